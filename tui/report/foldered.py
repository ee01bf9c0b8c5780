"""What an import took of a folder, and what it left there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.formats import ReadReport

NAMED = 8


@dataclass(frozen=True, slots=True)
class Foldered:
    """The files of a folder.

    Attributes:
        taken: Those that were read, below the folder.
        left: Those that were not; hidden ones do not count.
        more: How many more were read than are named (a report names the first thousand).
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    more: int = 0

    def lines(self) -> list[str]:
        """The same for a person, a line each."""
        count = len(self.taken) + self.more
        said = [f"read {count:,} {'file' if count == 1 else 'files'}: {_named(self.taken, count)}"]
        if self.left:
            kinds = Counter(Path(name).suffix or "no ending" for name in self.left)
            endings = ", ".join(f"{number:,} {ending}" for ending, number in kinds.most_common(6))
            said.append(f"left alone: {len(self.left):,} ({endings}): {_named(self.left, len(self.left))}")
        return said

    def to_json(self) -> dict[str, object]:
        """The same for machines."""
        return {"taken": list(self.taken), "left": list(self.left), "taken_more": self.more}


def foldered(folder: Path, report: ReadReport) -> Foldered:
    """Compare a folder with what was read of it.

    Args:
        folder: The folder.
        report: Of the reading.
    """
    from tools.formats.sources import hidden

    read = {Path(name) for name in report.encoding_of}
    pairs = any(path.suffix == ".ann" for path in read) or any(path.with_suffix(".ann").exists() for path in read)
    more = max(0, report.files - len(read))
    endings = {_ending(path) for path in read}
    taken, left = [], []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or hidden(folder, path):
            continue
        # A text and its .ann are one document; beyond the names a report keeps, the ending has to do.
        both = {path.with_suffix(".ann"), path.with_suffix(".txt")} if pairs else set()
        with_it = path in both and both & read
        if path in read or with_it:
            taken.append(path.relative_to(folder).as_posix())
        elif not (more and _ending(path) in endings):
            left.append(path.relative_to(folder).as_posix())
    return Foldered(tuple(taken), tuple(left), more)


def _ending(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix


def _named(names: tuple[str, ...], count: int) -> str:
    rest = count - len(names[:NAMED])
    return ", ".join(names[:NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
