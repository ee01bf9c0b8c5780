"""Suites: what is evaluated on what, as a TOML file that is told where it is wrong.

``[settings]`` is a ``quorum.toml`` within the suite; ``[[matrix]]`` says which
of its keys vary. Each ``[[matrix]]`` table is a product of its lists, all of
them together are the suite's cells, and a key that a table does not name keeps
the value of ``[settings]``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from agent.config import Name, ProjectConfig
from agent.configfault import first_fault
from agent.tomllines import Keys, key_lines
from evals.errors import SuiteError

SUITES = Path(__file__).parent / "suites"
MANIFESTS = Path(__file__).parent / "data" / "manifests"
Scorer = Literal[
    "strict", "boundaries", "schemes", "types", "tree", "lengths", "seen", "kinds", "calibration", "outcomes",
    "charges", "cost",
]  # fmt: skip
SCORERS: tuple[Scorer, ...] = get_args(Scorer)
Oracle = Literal["extract", "classify", "verify"]
Where = Callable[[Iterable[str | int]], str]
_SECTIONS = ("models", "members", "steps", "demonstrations", "passages", "run", "prompts")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataSpec(_Table):
    """A data set: documents to be judged on, and a pool that demonstrations come from."""

    name: Name
    """What cells and reports call it; unique."""
    corpus: str | None = None
    """A folder under the data root with ``test.jsonl`` and so on; label sets of public corpora are known."""
    path: str | None = None
    """A file of gold instead (JSON Lines or CoNLL), relative to the suite's folder."""
    project: str | None = None
    """Or a project's folder, whose decided documents are the gold."""
    labels: str | None = None
    """A label file; by default the corpus's own, or the project's."""
    split: str = "test"
    """The split to be judged on: a file's name in a corpus, ``meta.split`` in a project."""
    pool: str | None = None
    """Where demonstrations come from: a split of the corpus or project, or a file; none by default."""
    pool_size: Annotated[int, Field(ge=1)] = 2000
    """The most documents of the pool, drawn anew with each seed."""
    sample: Annotated[int, Field(ge=1)] | None = None
    """How many documents of the frozen manifest are used, from its beginning; all by default."""
    manifest: Name | None = None
    """The frozen manifest's name; by default the corpus's (or data set's) and the split's."""
    duplicates: Literal["drop", "refuse"] = "drop"
    """Whether near duplicates of documents of the split leave the pool, or stop the suite."""
    spans: Literal["nested", "flat"] | None = None
    """Overrides ``steps.spans`` for this data set."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("corpus", "path", "project") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none"
            raise _fault(f"data set {self.name!r} names {said} of corpus, path and project", "name exactly one")
        if self.path is not None and self.labels is None:
            raise _fault(f"data set {self.name!r} has no labels", "add labels = 'labels.toml'", "path")
        if self.pool == self.split and self.path is None:
            raise _fault(
                f"data set {self.name!r} takes its demonstrations from the split it is judged on",
                "name another split as pool",
                "pool",
            )
        return self

    @property
    def manifest_name(self) -> str:
        """The name of its manifest."""
        return self.manifest or f"{self.corpus or self.name}.{self.split}"


class CostSpec(_Table):
    """What may be spent without asking."""

    max_minutes: Annotated[float, Field(gt=0)] = 15.0
    """Estimated minutes above which ``quorum eval run`` asks, unless ``--yes``."""
    pilot: Annotated[int, Field(ge=1, le=200)] = 20
    """Documents that the estimate is made from; their answers are kept."""


class RoundsSpec(_Table):
    """How strategies that ask the models choose: in rounds, as a campaign does."""

    batch: Annotated[int, Field(ge=1)] = 20
    """How many documents are chosen, and labelled by the oracle, a round."""
    extract: Annotated[int, Field(ge=1)] = 100
    """The most unlabelled documents that the models read a round, to see where they are uncertain."""


class Suite(_Table):
    """A suite, as its file says it."""

    name: Name
    """Its name; the file is called so."""
    summary: Annotated[str, Field(min_length=1)]
    """What it answers, in a sentence."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (13,)
    """Each cell is measured with each: the pool, random retrieval and selection begin there."""
    scorers: Annotated[tuple[Scorer, ...], Field(min_length=1)] = SCORERS
    """Which figures are kept with a cell; any other can be had from the log later."""
    oracle: tuple[Oracle, ...] = ()
    """Steps that are also scored alone, given the truth, in the first cell of each data set."""
    cost: CostSpec = CostSpec()
    rounds: RoundsSpec = RoundsSpec()
    """For strategies that look at what the models say of the pool."""
    data: Annotated[tuple[DataSpec, ...], Field(min_length=1)]
    """The data sets; ``[[data]]``."""
    settings: dict[str, Any] = {}
    """Sections of ``quorum.toml``: what all cells have in common."""
    matrix: tuple[dict[str, Any], ...] = ({},)
    """What varies; ``[[matrix]]``, each a product of lists, with ``title``, ``note``, ``first_seeds``."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for key, values in (("seeds", self.seeds), ("data", tuple(spec.name for spec in self.data))):
            for position, value in enumerate(values):
                if value in values[:position]:
                    raise _fault(f"{key}: {value!r} occurs twice", "leave one out", key, position)
        for key in self.settings:
            if key not in _SECTIONS:
                raise _fault(f"'settings.{key}' is not a known key", f"known here: {', '.join(_SECTIONS)}", "settings")
        return self


@dataclass(frozen=True, slots=True)
class LoadedSuite:
    """A suite with where it came from.

    Attributes:
        suite: What it says.
        config: Its settings, validated.
        path: The file.
        text: The file's text.
        where: Keys to ``FILE:LINE``, for messages.
        overrides: What ``--set`` changed, as given.
    """

    suite: Suite
    config: ProjectConfig
    path: Path
    text: str
    where: Where
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """What relative paths start from."""
        return self.path.parent

    def manifest_path(self, spec: DataSpec) -> Path:
        """The manifest of a data set: beside the suite, or among ours where that has it."""
        ours = MANIFESTS / f"{spec.manifest_name}.json"
        own = self.folder / "manifests" / f"{spec.manifest_name}.json"
        return ours if self.path.parent == SUITES or (not own.exists() and ours.exists()) else own


def find_suite(name: str) -> Path:
    """The file of a suite named by its name (ours) or by its path.

    Raises:
        SuiteError: There is none.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise SuiteError(f"{name}: no such suite file", "see: quorum eval list")
    ours = SUITES / f"{name}.toml"
    if not ours.is_file():
        known = ", ".join(sorted(file.stem for file in SUITES.glob("*.toml")))
        raise SuiteError(f"there is no suite {name!r}", f"ours are {known}; or give a .toml file")
    return ours


def load_suite(name: str | Path, overrides: Sequence[str] = ()) -> LoadedSuite:
    """Read and check a suite.

    Args:
        name: The name of one of ours, or a file.
        overrides: ``key=value`` each; see :func:`evals.overrides.apply`.

    Raises:
        SuiteError: It cannot be read or says something that is not allowed; the
            message names the line, the hint what to write instead.
    """
    from evals import matrix
    from evals.overrides import apply

    path = find_suite(str(name))
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read ({error})", "a suite is UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path}: not TOML: {error}", "compare with evals/suites/smoke.toml") from error
    lines = key_lines(text)
    changed: dict[Keys, str] = {}
    for given in overrides:
        changed[apply(data, given)] = given

    def where(location: Iterable[str | int]) -> str:
        keys = tuple(location)
        for set_keys, given in changed.items():
            if keys[: len(set_keys)] == set_keys:
                return f"--set {given}"
        while keys and keys not in lines:
            keys = keys[:-1]
        return f"{path}:{lines[keys]}" if keys else f"{path}"

    try:
        suite = Suite.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise _told(first_fault(error, Suite), where) from error
    config = _settings(suite, path, where)
    loaded = LoadedSuite(suite, config, path, text, where, tuple(overrides))
    matrix.expand(loaded)
    return loaded


def _settings(suite: Suite, path: Path, where: Where) -> ProjectConfig:
    try:
        config = ProjectConfig.model_validate_json(json.dumps(suite.settings, default=str), strict=True)
    except ValidationError as error:
        fault = first_fault(error, ProjectConfig)
        raise _told(replace(fault, location=("settings", *fault.location)), where) from error
    config._root = path.parent
    return config


def _told(fault: Any, where: Where) -> SuiteError:
    return SuiteError(f"{where(fault.location)}: {fault.message}", fault.hint)


def _fault(message: str, hint: str, *location: str | int) -> PydanticCustomError:
    return PydanticCustomError("quorum", "{message}", {"message": message, "hint": hint, "at": list(location)})
