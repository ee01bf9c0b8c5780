"""``--set key=value``: changing a suite from the command line."""

from __future__ import annotations

import tomllib
from typing import Any

from agent.config import ProjectConfig
from agent.tomllines import Keys
from evals.errors import SuiteError

_TOP = ("name", "summary", "seeds", "scorers", "oracle", "cost", "rounds", "data", "settings", "matrix")
AXES_ONLY = ("vote", "selection", "finetune", "members")


def apply(data: dict[str, Any], given: str) -> Keys:
    """Change a suite's parsed TOML in place.

    The key is a key of the suite file (``seeds``, ``cost.max_minutes``,
    ``data.news.sample``), or a key of ``quorum.toml`` or of the matrix
    (``demonstrations.k``, ``vote``), which then no longer varies. A list given
    for such a key becomes its axis.

    Args:
        data: The parsed suite.
        given: ``key=value``; the value is TOML, or else a text.

    Returns:
        The keys that were set, for messages.

    Raises:
        SuiteError: Not of that form, or the key names nothing.
    """
    key, equals, text = given.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SuiteError(f"--set {given}: not of the form key=value", "for example --set demonstrations.k=3")
    value = _value(text.strip())
    if parts[0] == "data":
        return _of_data(data, parts[1:], value, given)
    if parts[0] in _TOP:
        return _put(data, parts, value)
    if parts[0] in ProjectConfig.model_fields or parts[0] in AXES_ONLY:
        return _pinned(data, parts, value)
    known = ", ".join((*_TOP, *ProjectConfig.model_fields, *AXES_ONLY))
    raise SuiteError(f"--set {given}: {parts[0]!r} is no key of a suite", f"known: {known}")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(data: dict[str, Any], parts: list[str], value: Any) -> Keys:
    here = data
    for part in parts[:-1]:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise SuiteError(f"--set {'.'.join(parts)}: {part!r} is no table", "name a key in a table")
    here[parts[-1]] = value
    return tuple(parts)


def _of_data(data: dict[str, Any], parts: list[str], value: Any, given: str) -> Keys:
    sets = [spec for spec in data.get("data", []) if isinstance(spec, dict)]
    if not parts:
        # Only some of the data sets, by name.
        wanted = value if isinstance(value, list) else [value]
        names = [spec.get("name") for spec in sets]
        for name in wanted:
            if name not in names:
                known = ", ".join(map(str, names))
                raise SuiteError(f"--set {given}: there is no data set {name!r}", f"known: {known}")
        data["data"] = [spec for spec in sets if spec.get("name") in wanted]
        return ("data",)
    chosen = [spec for spec in sets if spec.get("name") == parts[0]]
    if len(parts) == 1:
        # data.sample=50: of every data set.
        for spec in sets:
            spec[parts[0]] = value
        return ("data",)
    if not chosen:
        known = ", ".join(str(spec.get("name")) for spec in sets)
        raise SuiteError(f"--set {given}: there is no data set {parts[0]!r}", f"known: {known}")
    chosen[0][parts[1]] = value
    return ("data", data["data"].index(chosen[0]), parts[1])


def _pinned(data: dict[str, Any], parts: list[str], value: Any) -> Keys:
    name = ".".join(parts)
    varied = False
    for table in data.get("matrix", []):
        if isinstance(table, dict):
            varied |= _drop(table, parts)
    axis_only = parts[0] in AXES_ONLY
    if axis_only or (varied and isinstance(value, list)):
        # One choice of members is a list itself; an axis of them is a list of lists.
        one = not isinstance(value, list) or (name == "members" and not any(isinstance(v, list) for v in value))
        for table in data.setdefault("matrix", [{}]):
            table[name] = [value] if one else value
        return ("matrix",)
    return _put(data, ["settings", *parts], value)


def _drop(table: dict[str, Any], parts: list[str]) -> bool:
    """Take an axis out of a matrix table, however its key was written."""
    if ".".join(parts) in table:
        del table[".".join(parts)]
        return True
    inner = table.get(parts[0])
    if len(parts) > 1 and isinstance(inner, dict):
        found = _drop(inner, parts[1:])
        if not inner:
            del table[parts[0]]
        return found
    return False
