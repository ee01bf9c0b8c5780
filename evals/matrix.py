"""From a suite's matrix to its cells: every combination once, each a complete configuration."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
OWN_AXES = ("vote", "members", *PROMPT_AXES, "selection.strategy", "selection.budget", "finetune.method",
            "finetune.examples")  # fmt: skip
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


def expand(loaded: LoadedSuite) -> list[Cell]:
    """All cells of a suite, data set by data set, seed by seed, each once.

    Raises:
        SuiteError: An axis names nothing, or a value of it is not allowed; the
            message names the line.
    """
    suite = loaded.suite
    tables = [_axes(table, ("matrix", number), loaded) for number, table in enumerate(suite.matrix)]
    varied = list(dict.fromkeys(name for axes in tables for name in axes))
    chosen: dict[str, _Choice] = {}
    for number, axes in enumerate(tables):
        for values in itertools.product(*(enumerate(axis) for axis in axes.values())):
            given = {name: value for name, (_, value) in zip(axes, values, strict=True)}
            at = {name: ("matrix", number, name, place) for name, (place, _) in zip(axes, values, strict=True)}
            choice = _choice(loaded, given, at, varied)
            chosen.setdefault(json.dumps(choice.settings, sort_keys=True, default=str), choice)
    cells = []
    for spec, seed in itertools.product(suite.data, suite.seeds):
        for choice in chosen.values():
            cells.append(_cell(choice, spec, seed, suite.seeds, varied, "end_to_end"))
        base = next(iter(chosen.values()))
        cells += [
            _cell(base, spec, seed, suite.seeds, varied, kind) for kind in _oracles(suite.oracle) if not base.method
        ]
    return cells


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
        choice.examples,
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
    method, examples = _training(given, wrong)
    own = {
        "vote": vote,
        "members": names,
        **{axis: [getattr(m, step) for m in config.members] for axis, step in PROMPT_AXES.items()},
        "selection.strategy": strategy or "all",
        "selection.budget": budget or "100%",
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
    return _Choice(settings, config, vote, strategy, budget, method, examples)


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


def _training(given: Mapping[str, Any], wrong: Any) -> tuple[str, int]:
    method, examples = given.get("finetune.method", ""), given.get("finetune.examples", 0)
    if method and method not in METHODS:
        raise wrong("finetune.method", f"finetune.method = {method!r} is not allowed", f"one of {', '.join(METHODS)}")
    if type(examples) is not int or examples < 0 or bool(method) != bool(examples):
        raise wrong(
            "finetune.examples", f"finetune.examples = {examples!r} does not fit", "give a method and examples together"
        )  # fmt: skip
    return method, examples
