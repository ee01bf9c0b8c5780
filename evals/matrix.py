"""From a suite's matrix to its cells: every combination once, each a complete configuration."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from pydantic import ValidationError

from agent.config import ProjectConfig
from agent.configfault import first_fault
from evals.errors import SuiteError
from evals.suite import DataSpec, LoadedSuite
from prompts.loader import Step, load
from tools.errors import QuorumError

Vote = Literal["calibrated", "weighted", "plain", "union"]
VOTES: tuple[Vote, ...] = get_args(Vote)
Kind = Literal["end_to_end", "oracle_extract", "oracle_classify", "oracle_verify"]
PROMPT_AXES: dict[str, Step] = {
    "members.extract": "extract",
    "members.classify": "classify",
    "members.pre_extract": "pre_extract",
    "members.verify": "verify",
}
OWN_AXES = ("vote", "members", *PROMPT_AXES, "selection.strategy", "selection.budget", "selection.measure",
            "finetune.method", "finetune.examples")  # fmt: skip
_CONFIG_TABLES = ("steps", "demonstrations", "passages", "run")
METHODS = ("lora", "contrastive")
_VOTE_HINT = f"one of {', '.join(VOTES)}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A planned cell.

    Attributes:
        name: For people; unique within the suite.
        kind: Whether the whole graph or one step alone is scored.
        data: The data set.
        seed: The seed.
        settings: What varies in the suite, and its value here.
        config: The configuration, complete.
        vote: How votes become a decision.
        strategy: What chooses the documents that become demonstrations; empty for the whole pool.
        budget: How many of them, or a share of the pool (``"10%"``).
        method: Training before the evaluation: ``lora``, ``contrastive``, or empty for none.
        examples: Training examples a type.
        measure: What a strategy that asks the models reads their uncertainty from; empty for others.
        tables: The matrix tables that it stands in, and its place in each; empty for a step scored alone.
    """

    name: str
    kind: Kind
    data: DataSpec
    seed: int
    settings: Mapping[str, Any]
    config: ProjectConfig = field(repr=False)
    vote: Vote = "calibrated"
    strategy: str = ""
    budget: str | int = ""
    method: str = ""
    examples: int = 0
    measure: str = ""
    tables: tuple[tuple[int, int], ...] = ()


def expand(loaded: LoadedSuite) -> list[Cell]:
    """All cells of a suite, data set by data set, seed by seed, each once.

    Raises:
        SuiteError: An axis names nothing, or a value of it is not allowed; the
            message names the line.
    """
    suite = loaded.suite
    tables = [table_of(loaded, number) for number in range(len(suite.matrix))]
    axes_of = [_axes(table.axes, ("matrix", number), loaded) for number, table in enumerate(tables)]
    varied = list(dict.fromkeys(name for axes in axes_of for name in axes))
    chosen: dict[str, _Choice] = {}
    places: dict[str, dict[int, int]] = {}
    for number, axes in enumerate(axes_of):
        for values in itertools.product(*(enumerate(axis) for axis in axes.values())):
            given = {name: value for name, (_, value) in zip(axes, values, strict=True)}
            at = {name: ("matrix", number, name, place) for name, (place, _) in zip(axes, values, strict=True)}
            choice = _choice(loaded, given, at, varied)
            key = json.dumps(choice.settings, sort_keys=True, default=str)
            chosen.setdefault(key, choice)
            own = places.setdefault(key, {})
            own.setdefault(number, sum(number in other for other in places.values()))
    cells = []
    for spec, (nth, seed) in itertools.product(suite.data, enumerate(suite.seeds)):
        for key, choice in chosen.items():
            stands = tuple((n, place) for n, place in places[key].items() if nth < (tables[n].first_seeds or nth + 1))
            if stands:
                cells.append(
                    replace(_cell(choice, spec, seed, suite.seeds, varied, "end_to_end"), tables=stands)
                )  # fmt: skip
        base = next(iter(chosen.values()))
        cells += [
            _cell(base, spec, seed, suite.seeds, varied, kind) for kind in _oracles(suite.oracle) if not base.method
        ]
    return cells


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the matrix, what is said about it apart from what varies.

    Attributes:
        axes: What varies.
        title: What it asks, in words.
        note: What a reader should know.
        first_seeds: With how many of the suite's seeds, from their beginning; 0 for all.
    """

    axes: Mapping[str, Any]
    title: str = ""
    note: str = ""
    first_seeds: int = 0


def table_of(loaded: LoadedSuite, number: int) -> Table:
    """A table of the matrix.

    Raises:
        SuiteError: What is said about it is of another form.
    """
    given = dict(loaded.suite.matrix[number])
    said: dict[str, Any] = {}
    for key, kind, hint in (("title", str, "a text"), ("note", str, "a text"), ("first_seeds", int, "1 or more")):
        if key in given:
            value: Any = given.pop(key)
            if type(value) is not kind or (kind is int and int(value) < 1):
                raise SuiteError(f"{loaded.where(('matrix', number, key))}: {key} = {value!r} is not allowed", hint)
            said[key] = value
    return Table(given, **said)


def _oracles(wanted: tuple[str, ...]) -> Iterator[Kind]:
    for kind in get_args(Kind)[1:]:
        if kind.removeprefix("oracle_") in wanted:
            yield kind


@dataclass(frozen=True, slots=True)
class _Choice:
    settings: dict[str, Any]
    config: ProjectConfig
    vote: Vote
    strategy: str
    budget: str | int
    method: str
    examples: int
    measure: str


def _cell(
    choice: _Choice, spec: DataSpec, seed: int, seeds: tuple[int, ...], varied: list[str], kind: Kind
) -> Cell:  # fmt: skip
    config = choice.config.model_copy(update={"run": choice.config.run.model_copy(update={"seed": seed})})
    if spec.spans is not None:
        config = config.model_copy(update={"steps": config.steps.model_copy(update={"spans": spec.spans})})
    if spec.pool is None:
        config = config.model_copy(update={"steps": config.steps.model_copy(update={"retrieve": False})})
    # model_copy keeps private attributes, the root that relative paths start from among them.
    words = [f"{_short(name)}={_shown(choice.settings[name])}" for name in varied]
    name = " ".join([spec.name, *words, *([f"seed={seed}"] if len(seeds) > 1 else [])])
    name = name if kind == "end_to_end" else f"{spec.name} {kind.replace('_', ' ')}" + (
        f" seed={seed}" if len(seeds) > 1 else ""
    )  # fmt: skip
    return Cell(
        name, kind, spec, seed, choice.settings, config, choice.vote, choice.strategy, choice.budget, choice.method,
        choice.examples, choice.measure,
    )  # fmt: skip


def _short(axis: str) -> str:
    return axis.removeprefix("demonstrations.").removeprefix("steps.").removeprefix("run.").removeprefix("selection.")


def _shown(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value).lower()


def _axes(table: Mapping[str, Any], at: tuple[str | int, ...], loaded: LoadedSuite) -> dict[str, list[Any]]:
    """The axes of a matrix table; dotted keys and tables within it mean the same."""
    axes: dict[str, list[Any]] = {}

    def take(inner: Mapping[str, Any], before: str) -> None:
        for key, value in inner.items():
            name = f"{before}{key}"
            if isinstance(value, Mapping):
                take(value, f"{name}.")
                continue
            _known(name, (*at, key) if not before else at, loaded)
            if not isinstance(value, list) or not value:
                raise SuiteError(
                    f"{loaded.where((*at, key))}: {name} = {value!r} is no list of values",
                    f"write {name} = [{value!r}]; a value that all cells share belongs into [settings]",
                )
            axes[name] = value

    take(table, "")
    return axes


def _known(name: str, at: tuple[str | int, ...], loaded: LoadedSuite) -> None:
    known = list(OWN_AXES)
    for section in _CONFIG_TABLES:
        model: Any = ProjectConfig.model_fields[section].annotation
        known += [f"{section}.{key}" for key in model.model_fields]
    known.remove("run.seed")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        hint = "write seeds = [...] at the suite's top" if name == "run.seed" else hint
        raise SuiteError(f"{loaded.where(at)}: {name!r} cannot vary", hint)


def _choice(
    loaded: LoadedSuite, given: Mapping[str, Any], at: Mapping[str, tuple[str | int, ...]], varied: list[str]
) -> _Choice:
    def wrong(axis: str, message: str, hint: str) -> SuiteError:
        return SuiteError(f"{loaded.where(at.get(axis, ()))}: {message}", hint)

    config = loaded.config
    names = [member.name for member in config.members]
    if "members" in given:
        wanted = given["members"] if isinstance(given["members"], list) else [given["members"]]
        try:
            config = config.with_members(map(str, wanted))
        except QuorumError as error:
            raise wrong("members", error.message, error.hint) from error
        names = [member.name for member in config.members]
    for axis, step in PROMPT_AXES.items():
        if axis in given:
            members = tuple(m.model_copy(update={step: given[axis]}) for m in config.members)
            config = config.model_copy(update={"members": members})
    config = _configured(config, given, wrong)
    pinned = []
    for number, member in enumerate(config.members):
        versions: dict[str, str] = {}
        for axis, step in PROMPT_AXES.items():
            try:
                template = load(step, getattr(member, step), config.prompts_folder)
            except QuorumError as error:
                place = at.get(axis) or ("settings", "members", number, step)
                raise SuiteError(f"{loaded.where(place)}: {error.message}", error.hint) from error
            # A name without its version means another prompt tomorrow; a cell means the one of today.
            versions[step] = f"{template.id}.v{template.version}"
        pinned.append(member.model_copy(update=versions))
    config = config.model_copy(update={"members": tuple(pinned)})
    vote = given.get("vote", "calibrated" if config.steps.calibrate else "weighted")
    if vote not in VOTES:
        raise wrong("vote", f"vote = {vote!r} is not allowed", _VOTE_HINT)
    strategy, budget = _selection(given, wrong)
    measure = _measure(given, strategy, config, wrong)
    method, examples = _training(given, wrong)
    own = {
        "vote": vote,
        "members": names,
        **{axis: [getattr(m, step) for m in config.members] for axis, step in PROMPT_AXES.items()},
        "selection.strategy": strategy or "all",
        "selection.budget": budget or "100%",
        "selection.measure": measure or "none",
        "finetune.method": method or "none",
        "finetune.examples": examples,
    }
    dump = config.model_dump(mode="json")
    settings: dict[str, Any] = {}
    for axis in varied:
        section, _, key = axis.partition(".")
        settings[axis] = own[axis] if axis in own else dump[section][key]
    for axis in PROMPT_AXES:
        if axis in settings and len(set(settings[axis])) == 1:
            settings[axis] = settings[axis][0]
    return _Choice(settings, config, vote, strategy, budget, method, examples, measure)


def _configured(config: ProjectConfig, given: Mapping[str, Any], wrong: Any) -> ProjectConfig:
    """The configuration with the axes that are keys of ``quorum.toml``, validated as that is."""
    changed = {axis: value for axis, value in given.items() if axis.partition(".")[0] in _CONFIG_TABLES}
    if not changed:
        return config
    dump = config.model_dump(mode="json", exclude_unset=True)
    # Members and quorum go together; what was narrowed to few members has its quorum set already.
    dump["members"] = [m.model_dump(mode="json") for m in config.members]
    dump.setdefault("run", {})["quorum"] = config.run.quorum
    for axis, value in changed.items():
        section, _, key = axis.partition(".")
        dump.setdefault(section, {})[key] = value
    try:
        fresh = ProjectConfig.model_validate_json(json.dumps(dump, default=str), strict=True)
    except ValidationError as error:
        fault = first_fault(error, ProjectConfig)
        axis = ".".join(str(part) for part in fault.location[:2])
        raise wrong(axis, fault.message, fault.hint) from error
    fresh._root = config.root
    return fresh


def _selection(given: Mapping[str, Any], wrong: Any) -> tuple[str, str | int]:
    from evals.selecting import strategies

    strategy = given.get("selection.strategy", "")
    if strategy and strategy not in (known := strategies()):
        raise wrong("selection.strategy", f"there is no selection strategy {strategy!r}", f"known: {', '.join(known)}")
    budget = given.get("selection.budget", "")
    share = budget.removesuffix("%") if isinstance(budget, str) else ""
    good = budget == "" or (
        (share.replace(".", "", 1).isdigit() and 0 < float(share) <= 100 and str(budget).endswith("%"))
        if isinstance(budget, str)
        else type(budget) is int and budget > 0
    )
    if not good:
        raise wrong("selection.budget", f"selection.budget = {budget!r} is not allowed", "a number, or like '10%'")
    if budget and not strategy:
        raise wrong("selection.budget", "a budget without a strategy", "add selection.strategy = ['random']")
    return strategy, budget


def _measure(given: Mapping[str, Any], strategy: str, config: ProjectConfig, wrong: Any) -> str:
    """What uncertainty is read from; only strategies that ask the models have one."""
    from evals.selecting import ASKING, MEASURES

    measure = given.get("selection.measure", "mixed")
    if measure not in MEASURES:
        hint = f"one of {', '.join(MEASURES)}"
        raise wrong("selection.measure", f"selection.measure = {measure!r} is not allowed", hint)
    if strategy not in ASKING:
        return ""
    if measure == "verifier" and config.steps.verify == "off":
        raise wrong(
            "selection.measure", "the verifier's disagreement needs verification", "add steps.verify = ['on'], say"
        )  # fmt: skip
    if measure in ("votes", "perplexity", "margin", "verifier") and not config.steps.classify:
        raise wrong("selection.measure", f"{measure} is read off votes, and nobody votes", "steps.classify = true")
    return str(measure)


def _training(given: Mapping[str, Any], wrong: Any) -> tuple[str, int]:
    method, examples = given.get("finetune.method", ""), given.get("finetune.examples", 0)
    if method and method not in METHODS:
        raise wrong("finetune.method", f"finetune.method = {method!r} is not allowed", f"one of {', '.join(METHODS)}")
    if type(examples) is not int or examples < 0 or bool(method) != bool(examples):
        raise wrong(
            "finetune.examples", f"finetune.examples = {examples!r} does not fit", "give a method and examples together"
        )  # fmt: skip
    return method, examples
