"""Texts made from the configuration's models, so that they cannot fall behind them.

The commented ``quorum.toml`` of a new project, its label file, the effective
configuration as TOML, and the tables of ``docs/configuration.md``.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config import DEFAULT_MEMBERS, MemberConfig, ModelConfig, ProjectConfig
from agent.configfault import models_in
from tools.annotation.labels import LabelSet

_HEAD = """\
# A Quorum project. Every key is optional; what stands behind a # is the default.
# Explained in docs/configuration.md; checked by: quorum config check
# Any key can be set from outside, e.g. QUORUM_RUN__BATCH=32
"""
_MODELS = """\
# Models that members can name; the starter needs no entry.
# [models.big]
# source = "Qwen/Qwen3-4B-Instruct-2507"     # a Hugging Face id, a local folder, or an OpenAI-compatible URL
"""
_KEYS = """\
# Keys of the screens: a preset (default, vim or prodigy), and any command with a key or a list of keys; a key you give
# away leaves the command that had it. Key ? lists all commands of a screen; docs/labelling.md and docs/screens.md, too.
#   [keys]
#   preset = "vim"
#   accept = ["y", "space"]
#   [keys.on.campaign]
#   label = "enter"
"""
_KEYS_REFERENCE = """\
## `[keys]`

Which key does what. A person's own table, in `keys.toml` of the configuration folder, holds where the project's says
nothing. The commands are listed in [labelling](labelling.md#keys) and [screens](screens.md#keys).

| key | default | meaning |
|---|---|---|
| `preset` | `"default"` | What the labelling screen's keys begin with: `default`, `vim` or `prodigy`. |
| a command | as in the preset | A key or a list of keys, such as `accept = ["y", "space"]`, `skip = "ctrl+n"`. |
| `[keys.on.SCREEN]` | as listed | The same for one other screen: `[keys.on.campaign]` and `label = "enter"`. |
"""
_EMPTY = "# unset"
_BARE = r"[A-Za-z0-9_-]+"


def project_toml(name: str) -> str:
    """The commented project file of a new project.

    Args:
        name: The project's name.
    """
    parts = [_HEAD]
    parts.append("\n".join(_key("prompts", ProjectConfig.model_fields["prompts"])) + "\n")
    parts.append(f"[project]\nname = {toml_value(name)}\n" + _keys(ProjectConfig, "project", skip=("name",)))
    parts.append(_MODELS)
    members = ["# The voters. As soon as one [[members]] table is written, these three no longer count."]
    for member in DEFAULT_MEMBERS:
        members += ["# [[members]]", *(f"# {line}" for line in _pairs(member.model_dump(exclude_unset=True)))]
    parts.append("\n".join(members) + "\n")
    for section in ("steps", "demonstrations", "passages", "run", "campaign"):
        parts.append(f"[{section}]\n" + _keys(ProjectConfig, section))
    parts.append(_KEYS)
    return "\n".join(parts)


def labels_toml(labels: LabelSet) -> str:
    """A label set as the file that ``read_label_set`` reads."""
    tables = ["# The entity types. A description and a few examples help the models more than anything else.\n"]
    for label in labels:
        fields = {
            "name": label.name,
            "description": label.description,
            "examples": list(label.examples),
            "counter_examples": list(label.counter_examples),
            **({"hotkey": label.hotkey} if label.hotkey else {}),
            **({"parent": label.parent} if label.parent else {}),
            **({"aliases": list(label.aliases)} if label.aliases else {}),
        }
        tables.append("\n".join(["[[labels]]", *_pairs(fields)]) + "\n")
    return "\n".join(tables)


def effective_toml(config: ProjectConfig) -> str:
    """A configuration with every key that has a value written out."""
    data = config.model_dump(exclude_none=True)
    top = {key: value for key, value in data.items() if not isinstance(value, dict | list | tuple)}
    parts = ["\n".join(_pairs(top)) + "\n"] if top else []
    for section in ("project", "steps", "demonstrations", "passages", "run", "campaign"):
        parts.append("\n".join([f"[{section}]", *_pairs(data[section])]) + "\n")
    for name, model in data["models"].items():
        parts.append("\n".join([f"[models.{toml_value(name) if '.' in name else name}]", *_pairs(model)]) + "\n")
    keys = dict(data["keys"])
    screens = keys.pop("on", {})
    if keys:
        parts.append("\n".join(["[keys]", *_pairs(keys)]) + "\n")
    for name, table in screens.items():
        parts.append("\n".join([f"[keys.on.{name}]", *_pairs(table)]) + "\n")
    for member in data["members"]:
        parts.append("\n".join(["[[members]]", *_pairs(member)]) + "\n")
    return "\n".join(parts)


def reference_markdown() -> str:
    """The tables of every section, for ``docs/configuration.md``."""
    sections: list[tuple[str, type[BaseModel]]] = [
        (f"[{name}]", models_in(ProjectConfig.model_fields[name].annotation)[0])
        for name in ("project", "steps", "demonstrations", "passages", "run", "campaign")
    ]
    sections[1:1] = [("[models.NAME]", ModelConfig), ("[[members]]", MemberConfig)]
    folder = ProjectConfig.model_fields["prompts"]
    parts = [
        "## Before the first section\n\n| key | default | meaning |\n|---|---|---|\n"
        f"| `prompts` | {_default(folder)} | {_plain(folder.description)} |\n"
    ]
    for title, model in sections:
        rows = [f"## `{title}`", "", (model.__doc__ or "").strip(), "", "| key | default | meaning |", "|---|---|---|"]
        for key, field in model.model_fields.items():
            default = "required" if field.is_required() else _default(field)
            rows.append(f"| `{key}` | {default} | {_plain(field.description).replace('|', '/')} |")
        parts.append("\n".join(rows) + "\n")
    parts.append(_KEYS_REFERENCE)
    return "\n".join(parts)


def toml_value(value: Any) -> str:
    """A text, number, truth value, list or table as TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (
            f"{key if re.fullmatch(_BARE, key) else toml_value(key)} = {toml_value(item)}"
            for key, item in value.items()
        )
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, str):
        # JSON strings are TOML basic strings but for one escape: DEL must be written out.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "unset" if value is None else f"`{toml_value(value)}`"


def _plain(description: str | None) -> str:
    return " ".join((description or "").replace("``", "`").split())


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {toml_value(value)}" for key, value in values.items() if value is not None]


def _keys(model: type[BaseModel], section: str, skip: tuple[str, ...] = ()) -> str:
    inner = models_in(model.model_fields[section].annotation)[0]
    lines = [line for key, field in inner.model_fields.items() if key not in skip for line in _key(key, field)]
    return "\n".join(lines) + "\n"


def _key(key: str, field: FieldInfo) -> list[str]:
    comment = textwrap.wrap(_plain(field.description).replace("`", ""), 110)
    value = field.get_default(call_default_factory=True)
    shown = f"# {key} = {toml_value(value)}" if value is not None else f"# {key} =   {_EMPTY}"
    return [*(f"# {line}" for line in comment), shown]
