"""What earlier runs have finished: their logs are the only place where that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evals.errors import EvalLogError
from evals.log import ENDING, Block, LogWriter, PassLog, RunLog, blocks, passes_in, read_run
from tools.errors import OutputError

RUNS = "runs"


@dataclass(slots=True)
class Finished:
    """Finished cells and passes of a folder of logs.

    Attributes:
        cells: Identity to the log and block that hold it; the newest where several do.
        unreadable: Logs that could not be read, with why.
    """

    cells: dict[str, tuple[Path, Block]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    _blocks: dict[Path, list[Block]] = field(default_factory=dict)

    def copy_into(self, writer: LogWriter, cell: str, there: set[str]) -> None:
        """Copy a finished cell, and the pass it was read off, into another log.

        Args:
            writer: The log.
            cell: The cell's identity.
            there: Passes and cells that the log has; added to.
        """
        path, block = self.cells[cell]
        if block.of and block.of not in there:
            found = self._passes(path).get(block.of)
            if found is not None:
                writer.copy(path, found.blocks)
                there.add(block.of)
        writer.copy(path, [block])
        there.add(cell)

    def _passes(self, path: Path) -> dict[str, PassLog]:
        return passes_in(path, self._blocks[path])


def logs(folder: Path) -> list[Path]:
    """The logs in a folder of evaluations, oldest first."""
    return sorted((folder / RUNS).glob(f"*{ENDING}"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def finished(folder: Path) -> Finished:
    """What all logs of a folder have finished; nothing is decompressed."""
    found = Finished()
    for path in logs(folder):
        try:
            listed, _ = blocks(path)
        except EvalLogError as error:
            found.unreadable.append(error.message)
            continue
        found._blocks[path] = listed
        for block in listed:
            # One that could not be measured is of another kind: it may be possible by now.
            if block.kind == "cell":
                found.cells[block.id] = (path, block)
    return found


def runs(folder: Path) -> Iterator[RunLog]:
    """The runs of a folder that can be read, newest first."""
    for path in reversed(logs(folder)):
        try:
            yield read_run(path)
        except EvalLogError:
            continue


def find_run(folder: Path, name: str) -> Path:
    """The log of a run that is named by its id, by its log's path, or as ``latest``.

    Raises:
        EvalLogError: There is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = logs(folder)
    if name == "latest" and known:
        return known[-1]
    for log in known:
        if log.name == f"{name}{ENDING}":
            return log
    newest = [log.name.removesuffix(ENDING) for log in known[-3:]]
    raise EvalLogError(
        f"there is no run {name!r} in {folder}",
        f"the newest: {', '.join(newest)}" if newest else "see: quorum eval run",
    )


def make_folder(folder: Path) -> None:
    """Make a folder for evaluations.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})", "give another --into") from error
