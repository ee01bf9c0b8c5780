"""Every setting of a project with its value, where that comes from, and what is wrong with it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agent.config import DEFAULT_MEMBERS, ENV_PREFIX, FILE_NAME, MemberConfig, ModelConfig, ProjectConfig
from agent.configenv import environment_values, variable_of
from agent.configtemplate import toml_value
from agent.tomllines import Keys, key_lines
from tools.annotation.labels import LabelSet
from tools.errors import ConfigError, QuorumError
from tui.commands.doctor import Check, all_checks

Source = Literal["file", "environment", "default"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A key and what holds for it.

    Attributes:
        key: As a person writes it, e.g. ``run.batch``; members by their names.
        value: As TOML; empty where it is unset.
        source: What set it.
        where: The line of the file, or the variable; empty for a default.
        default: What holds where nothing sets it, as TOML.
        description: From the schema.
    """

    key: str
    value: str
    source: Source
    where: str
    default: str
    description: str

    @property
    def changed(self) -> bool:
        """Whether somebody set it."""
        return self.source != "default"


@dataclass(frozen=True, slots=True)
class Sheet:
    """All settings of a project.

    Attributes:
        path: The project file.
        settings: In the order of the schema.
        problem: Why the file cannot be used; None where it can. The settings are
            then those that stand in it, used or not.
        config: The configuration; None where there is a problem.
    """

    path: Path
    settings: tuple[Setting, ...]
    problem: QuorumError | None
    config: ProjectConfig | None

    @property
    def counts(self) -> dict[str, int]:
        """How many settings come from where."""
        found = {"file": 0, "environment": 0, "default": 0}
        for setting in self.settings:
            found[setting.source] += 1
        return found


def read_sheet(root: Path, environment: Mapping[str, str] | None = None) -> Sheet:
    """The settings of a project, whatever is wrong with them.

    Args:
        root: The project's folder.
        environment: Overrides; the process's environment when left out.
    """
    variables = dict(os.environ if environment is None else environment)
    path = root / FILE_NAME
    problem: QuorumError | None = None
    config: ProjectConfig | None = None
    data: dict[str, Any] = {}
    lines: dict[Keys, int] = {}
    over: dict[str, Any] = {}
    try:
        config = ProjectConfig.load(root, environment=variables)
    except QuorumError as error:
        problem = error
    try:
        text = path.read_text(encoding="utf-8")
        data, lines = tomllib.loads(text), key_lines(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        pass  # ``problem`` says so, with the line
    with suppress(ConfigError):  # the same
        over = environment_values(ProjectConfig, ENV_PREFIX, variables)
    values = config.model_dump(mode="json") if config is not None else _laid(data, over)

    def come_from(keys: Keys) -> tuple[Source, str]:
        if _holds(over, keys):
            return "environment", variable_of(keys, ENV_PREFIX, variables).removeprefix("environment variable ")
        if _holds(data, keys):
            at = keys
            while at and at not in lines:
                at = at[:-1]
            return "file", f"line {lines[at]}" if at else path.name
        return "default", ""

    settings: list[Setting] = []
    for keys, shown, value, default, description in _walk(values):
        source, where = come_from(keys)
        settings.append(Setting(shown, _written(value), source, where, _written(default), description))
    return Sheet(path, tuple(settings), problem, config)


def _walk(values: Mapping[str, Any]) -> Iterator[tuple[Keys, str, Any, Any, str]]:
    """Keys, their written form, value, default and description of every setting of the schema that has a value."""
    for name, field in ProjectConfig.model_fields.items():
        about = field.description or ""
        if name == "members":
            listed = values.get(name) or [one.model_dump(mode="json") for one in DEFAULT_MEMBERS]
            for number, member in enumerate(listed if isinstance(listed, list) else []):
                called = member.get("name", number) if isinstance(member, dict) else number
                yield from _section(MemberConfig, (name, number), f"{name}[{called}]", member)
        elif name == "models":
            models = values.get(name)
            for called, model in models.items() if isinstance(models, dict) else ():
                yield from _section(ModelConfig, (name, called), f"{name}.{called}", model)
        elif name == "keys":
            table = values.get(name)
            for key, wanted in table.items() if isinstance(table, dict) else ():
                yield (name, key), f"{name}.{key}", wanted, None, about
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _section(field.annotation, (name,), name, values.get(name))
        else:
            yield (name,), name, values.get(name), field.get_default(), about


def _section(model: type[BaseModel], keys: Keys, shown: str, table: Any) -> Iterator[tuple[Keys, str, Any, Any, str]]:
    given = table if isinstance(table, Mapping) else {}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        default = None if default is PydanticUndefined else default
        yield (*keys, name), f"{shown}.{name}", given.get(name, default), default, field.description or ""
    for name, value in given.items():  # what the schema does not know; the problem says so
        if name not in model.model_fields:
            yield (*keys, name), f"{shown}.{name}", value, None, "There is no such key."


def _holds(table: Any, keys: Keys) -> bool:
    """Whether a key, or a whole table or list that it lies in, is set."""
    at = table
    for key in keys:
        if isinstance(at, list):
            if not isinstance(key, int) or key >= len(at):
                return False
        elif not isinstance(at, Mapping) or key not in at:
            return False
        at = at[key]
    return True


def _laid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _laid(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping) and not value:
        return "{}"
    try:
        return toml_value(list(value) if isinstance(value, tuple) else value)
    except (TypeError, ValueError):
        return str(value)


# -- problems -----------------------------------------------------------------------------------------------------


def problems(sheet: Sheet) -> Iterator[Check]:
    """What is wrong or worth knowing, one by one: file, labels, keys, members, and what ``quorum doctor`` knows."""
    yield from _of_file(sheet)
    if sheet.config is not None:
        yield from _of_labels(sheet.config)
        yield from _of_members(sheet.config)
        yield from _of_embedder(sheet.config)
    for check in all_checks(sheet.path.parent):
        if (check.topic, check.name) != ("project", FILE_NAME):  # told above, with its hint
            yield check


def _of_file(sheet: Sheet) -> Iterator[Check]:
    if sheet.problem is not None:
        yield Check("settings", FILE_NAME, "failure", sheet.problem.message, sheet.problem.hint)
    else:
        said = ", ".join(f"{count} from {name}" for name, count in sheet.counts.items() if count)
        yield Check(
            "settings",
            FILE_NAME,
            "ok",
            said.replace("from file", "from the file").replace("from default", "by default"),
        )


def _of_labels(config: ProjectConfig) -> Iterator[Check]:
    try:
        labels = config.label_set()
    except QuorumError as error:
        yield Check("labels", config.project.labels, "failure", error.message, error.hint)
        return
    yield Check("labels", config.project.labels, "ok", f"{len(labels)} types: {', '.join(labels.names)}")
    bare = [label.name for label in labels if not label.description]
    if bare:
        advice = "a sentence and a few examples help the models more than anything else"
        yield Check("labels", "descriptions", "warning", f"none for {', '.join(bare)}", advice)
    yield from _of_keys(config, labels)


def _of_keys(config: ProjectConfig, labels: LabelSet) -> Iterator[Check]:
    from tui.commands.common import key_table
    from tui.keymap import make_keymap

    try:
        keymap = make_keymap(labels, key_table(config), f"{FILE_NAME} [keys]")
    except QuorumError as error:
        yield Check("labels", "keys", "failure", error.message, error.hint)
        return
    shown = ", ".join(f"{keymap.key_of_type(name) or 'none'} {name}" for name in labels.names)
    yield Check("labels", "keys", "ok", f"preset {keymap.preset}: {shown}")
    for note in keymap.notes:
        yield Check("labels", "keys", "warning", note, "give the type another hotkey, or the command another key")


def _of_members(config: ProjectConfig) -> Iterator[Check]:
    asked: dict[str, Check] = {}
    for member in config.members:
        if member.model not in asked:
            asked[member.model] = _of_model(config, member)
        known = asked[member.model]
        said = f"{member.extract}, {member.classify}; model {member.model}: {known.detail}"
        yield Check("members", member.name, known.level, said, known.advice)
    used = {member.model for member in config.members}
    for name in config.models:
        if name not in used:
            yield Check("members", f"models.{name}", "info", "no member uses it", "name it in a [[members]] table")


def _of_model(config: ProjectConfig, member: MemberConfig) -> Check:
    from agent.models.registry import resolve
    from agent.models.serve import remote_endpoint

    model = config.model_of(member)
    key = os.environ.get(model.api_key_env) if model.api_key_env else None
    if model.api_key_env and not key:
        return Check("members", member.model, "failure", f"{model.api_key_env} is not set", "set it to the API's key")
    try:
        if model.source.lower().endswith(".gguf"):  # resolving one converts it, which takes minutes
            path = Path(config.root, model.source).expanduser()
            if not path.is_file():
                return Check("members", member.model, "failure", f"{path}: no such file", "mend its source")
            return Check("members", member.model, "ok", f"here, {path}")
        ref = resolve(
            model.source,
            adapter=model.adapter,
            alias=member.model,
            context_tokens=model.context_tokens,
            merge=False,
            root=config.root,
            known=config.models,
        )
        if ref.kind == "url":
            endpoint = remote_endpoint(ref, key)
            return Check("members", member.model, "ok", f"{endpoint.url} answers and serves {endpoint.served_name}")
    except QuorumError as error:
        return Check("members", member.model, "failure", error.message, error.hint)
    return Check("members", member.model, "ok", f"here, {ref.base}")


def _of_embedder(config: ProjectConfig) -> Iterator[Check]:
    from tools.demonstrations import SentenceTransformerEmbedder

    name = config.demonstrations.embedder
    if not any(config.demonstrations_of(member) for member in config.members):
        yield Check("demonstrations", "embedder", "info", "no member is shown demonstrations")
        return
    try:
        embedder = SentenceTransformerEmbedder(name, root=config.root)
        yield Check("demonstrations", "embedder", "ok", f"{name}, revision {embedder.revision}")
    except QuorumError as error:
        yield Check("demonstrations", "embedder", "failure", error.message, error.hint)
    if not (config.chroma_path / "CURRENT").is_file():
        advice = "label some documents, then: quorum demos rebuild"
        yield Check("demonstrations", "index", "info", f"none in {config.chroma_path}", advice)
    else:
        yield Check("demonstrations", "index", "ok", str(config.chroma_path))


def worst(checks: Sequence[Check]) -> dict[str, int]:
    """How many failures and warnings there are."""
    return {level: sum(check.level == level for check in checks) for level in ("failure", "warning")}
