"""Label sets on disk (TOML) and on the command line (``a,b,c``)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tools.annotation.labels import Label, LabelSet
from tools.errors import LabelSetError

_TEXTS = ("name", "description", "hotkey", "parent")
_LISTS = ("examples", "counter_examples", "aliases")


def read_label_set(source: str | Path) -> LabelSet:
    """A label set from a TOML file, or from names separated by commas.

    Args:
        source: Path of a file with ``[[labels]]`` tables, or ``"person,location"``.

    Raises:
        LabelSetError: The file is missing or not of the form, or the set is
            not usable; the message names the label at fault.
    """
    path = Path(source)
    if isinstance(source, str) and "," in source and path.suffix != ".toml":
        return LabelSet.of(*(part.strip() for part in source.split(",")))
    if not path.is_file():
        if isinstance(source, str) and source.isidentifier():
            return LabelSet.of(source)
        raise LabelSetError(f"{source}: no such label file", "give a TOML file or names like person,organization")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabelSetError(f"{path}: {error}", "a label file is TOML with [[labels]] tables") from error
    return parse_label_set(data.get("labels"), str(path))


def parse_label_set(tables: object, where: str) -> LabelSet:
    """A label set from parsed ``[[labels]]`` tables.

    Args:
        tables: A list of tables.
        where: The file's name, for messages.

    Raises:
        LabelSetError: A field is unknown or of another type.
    """
    if not isinstance(tables, list) or not tables:
        raise LabelSetError(f"{where}: no [[labels]] table", "write one [[labels]] table a type")
    labels = []
    for number, table in enumerate(tables, 1):
        if not isinstance(table, dict):
            raise LabelSetError(f"{where}: label {number} is not a table", "write [[labels]]")
        for key, value in table.items():
            good = (
                isinstance(value, str)
                if key in _TEXTS
                else isinstance(value, list) and all(isinstance(x, str) for x in value)
            )
            if key not in (*_TEXTS, *_LISTS) or not good:
                raise LabelSetError(
                    f"{where}: label {number}: {key} = {value!r} is not allowed",
                    f"texts: {', '.join(_TEXTS)}; lists of texts: {', '.join(_LISTS)}",
                )
        fields: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in table.items()}
        labels.append(Label(**{"name": "", **fields}))
    try:
        return LabelSet(tuple(labels))
    except LabelSetError as error:
        raise LabelSetError(f"{where}: {error.message}", error.hint) from error
