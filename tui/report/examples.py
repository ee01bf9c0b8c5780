"""The sample sets: where they are and what belongs to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.errors import InputError

_TESTS = ("test.jsonl", "long_documents.jsonl")


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """A folder of sample data.

    Attributes:
        name: The folder's name.
        folder: Where it is.
    """

    name: str
    folder: Path

    @property
    def labels(self) -> Path:
        """The label file."""
        return self.folder / "labels.toml"

    @property
    def demonstrations(self) -> Path:
        """Gold to show."""
        return self.folder / "demonstrations.jsonl"

    @property
    def tests(self) -> tuple[Path, ...]:
        """Gold to extract and to be measured on; the long documents last."""
        return tuple(self.folder / name for name in _TESTS if (self.folder / name).is_file())


def example_sets() -> dict[str, ExampleSet]:
    """The sample sets by name: of the source tree that this package stands in, else of the working folder."""
    for root in (Path(__file__).resolve().parents[2], Path.cwd()):
        folders = [path.parent for path in sorted((root / "examples").glob("*/labels.toml"))]
        found = {folder.name: ExampleSet(folder.name, folder) for folder in folders if (folder / _TESTS[0]).is_file()}
        if found:
            return found
    return {}


def example_set(name: str) -> ExampleSet:
    """One sample set.

    Raises:
        InputError: There is none of that name, or no samples are here.
    """
    sets = example_sets()
    if not sets:
        raise InputError("the sample data is not here", "run this in a checkout of the source, where examples/ is")
    if name not in sets:
        raise InputError(f"there is no sample set {name!r}", f"one of {', '.join(sets)}")
    return sets[name]
