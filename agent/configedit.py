"""Adding a model and a member to ``quorum.toml``: a text edit that keeps comments and layout.

What is written is parsed and validated before it takes the file's place, and
the file as it was stays beside it (``quorum.toml.bak``).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config import FILE_NAME, MemberConfig, ProjectConfig
from agent.configtemplate import toml_value
from agent.tomllines import key_lines
from tools.errors import ConfigError


def add_member(folder: Path, member: MemberConfig, model: Mapping[str, Any], *, instead_of: str | None = None) -> str:
    """Register a model and a member that uses it; doing it twice changes nothing the second time.

    A member of that name that is there already is pointed at the model. Where the
    file names no members, the ones that hold by default are written out first,
    because they no longer count as soon as one is named.

    Args:
        folder: The project's folder.
        member: The new voter; its ``model`` is the name of the entry under ``[models]``.
        model: The entry's keys.
        instead_of: Point every member that names this model at the new one, and add no member.

    Returns:
        What changed, in a few words; empty for nothing.

    Raises:
        ConfigError: The file cannot be edited so that it stays valid, or cannot
            be written; it is as it was then.
    """
    path = folder / FILE_NAME
    text = _read(path)
    config = ProjectConfig.parse(text, path)
    said: list[str] = []
    edited = _with_model(text, member.model, model, config, said)
    edited = _with_member(edited, member, config, instead_of, said)
    if edited == text:
        return ""
    try:
        found = ProjectConfig.parse(edited, path)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: cannot be edited ({error.message})",
            f"write it yourself: [models.{member.model}] with {_inline(model)}, and a member with that model",
        ) from error
    if found.models[member.model].model_dump(exclude_unset=True) != dict(model):
        raise ConfigError(f"{path}: [models.{member.model}] cannot be edited", "write its keys one a line")
    _replace(path, text, edited)
    return ", ".join(said)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends stay as they are
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error})", f"make a project with: quorum init {path.parent}"
        ) from error


def _with_model(text: str, name: str, model: Mapping[str, Any], config: ProjectConfig, said: list[str]) -> str:
    old = config.models.get(name)
    if old is None:
        said.append(f"[models.{name}] added")
        header = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)
        return _appended(
            text, [f"[models.{header}]", *(f"{key} = {toml_value(value)}" for key, value in model.items())]
        )
    for key, value in model.items():
        if getattr(old, key) != value:
            text = _set(text, ("models", name), key, value)
            said.append(f"[models.{name}] {key} changed")
    return text


def _with_member(
    text: str, member: MemberConfig, config: ProjectConfig, instead_of: str | None, said: list[str]
) -> str:
    names = [one.name for one in config.members]
    written = "members" in tomllib.loads(text)
    if instead_of is not None:
        if instead_of == member.model:
            return text
        if not written:
            said.append("the members by default written out")
            for one in config.members:
                keys = {
                    **one.model_dump(exclude_unset=True),
                    **({"model": member.model} if one.model == instead_of else {}),
                }
                text = _appended(text, _table(keys))
            return text
        for position, one in enumerate(config.members):
            if one.model == instead_of:
                text = _set(text, ("members", position), "model", member.model)
                said.append(f"member {one.name} uses {member.model}")
        return text
    if member.name in names:
        position = names.index(member.name)
        if config.members[position].model == member.model:
            return text
        if not written:
            raise ConfigError(f"{member.name} is the name of a member by default", "choose another: --name")
        said.append(f"member {member.name} uses {member.model}")
        return _set(text, ("members", position), "model", member.model)
    if not written:
        said.append("the members by default written out")
        for one in config.members:
            text = _appended(text, _table(one.model_dump(exclude_unset=True)))
    said.append(f"member {member.name} added")
    return _appended(text, _table(member.model_dump(exclude_unset=True)))


def _table(keys: Mapping[str, Any]) -> list[str]:
    return ["[[members]]", *(f"{key} = {toml_value(value)}" for key, value in keys.items() if value is not None)]


def _appended(text: str, lines: list[str]) -> str:
    ending = "\r\n" if "\r\n" in text else "\n"
    return text.rstrip() + ending * 2 + ending.join(lines) + ending


def _set(text: str, table: tuple[str | int, ...], key: str, value: Any) -> str:
    """Change a key of a table, or add it below the table's first line."""
    where = key_lines(text)
    lines = text.splitlines(keepends=True)
    line = where.get((*table, key))
    if line is not None:
        pattern = re.compile(
            rf"^(\s*{re.escape(key)}\s*=\s*)(?:\"[^\"\\]*\"|'[^']*'|[^#\s\"'\[{{]+)(\s*(?:#.*)?\r?\n?)$"
        )
        found = pattern.match(lines[line - 1])
        if found is None:
            raise ConfigError(f"line {line}: {key} cannot be edited", f"write there: {key} = {toml_value(value)}")
        lines[line - 1] = f"{found[1]}{toml_value(value)}{found[2]}"
        return "".join(lines)
    head = where.get(table)
    if head is None or not lines[head - 1].lstrip().startswith("["):
        raise ConfigError(
            f"{key} cannot be added to an inline table", f"write it yourself: {key} = {toml_value(value)}"
        )
    ending = "\r\n" if lines[head - 1].endswith("\r\n") else "\n"
    lines[head - 1] = lines[head - 1].rstrip("\r\n") + ending
    lines.insert(head, f"{key} = {toml_value(value)}{ending}")
    return "".join(lines)


def _inline(model: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {toml_value(value)}" for key, value in model.items())


def _replace(path: Path, old: str, new: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with path.with_name(path.name + ".bak").open("w", encoding="utf-8", newline="") as backup:
            backup.write(old)
        with fresh.open("w", encoding="utf-8", newline="") as file:
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written ({error.strerror})", "it is as it was") from error
