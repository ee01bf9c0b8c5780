"""Changing a type in a label file without losing what a person wrote around it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from agent.configtemplate import labels_toml, toml_value
from agent.tomllines import key_lines
from tools.annotation.labelfile import parse_label_set
from tools.annotation.labels import Label, LabelSet
from tools.errors import LabelSetError, OutputError

FIELDS = ("description", "examples", "counter_examples")


def changed_set(labels: LabelSet, label: Label) -> LabelSet:
    """The label set with one type replaced by its namesake.

    Raises:
        LabelSetError: The set cannot be used so.
    """
    return LabelSet(tuple(label if one.name == label.name else one for one in labels))


def write_label(path: Path, labels: LabelSet, label: Label) -> LabelSet:
    """Write a changed type into the label file; comments and order stay where that is possible.

    Args:
        path: The label file.
        labels: The types it holds now.
        label: The changed type, of a name that is among them.

    Returns:
        The new label set.

    Raises:
        LabelSetError: The file has changed meanwhile, or the set cannot be used.
        OutputError: The file cannot be written.
    """
    new = changed_set(labels, label)
    try:
        text = path.read_text(encoding="utf-8")
        now = parse_label_set(tomllib.loads(text).get("labels"), str(path))
        if now != labels:
            raise LabelSetError(f"{path} was changed meanwhile", "leave and come back, so that both changes are kept")
        edited = _edited(text, [one.name for one in labels].index(label.name), labels[label.name], label)
        if not _says(edited, new):
            edited = labels_toml(new)
        draft = path.with_name(path.name + ".new")
        draft.write_text(edited, encoding="utf-8")
        draft.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: cannot be written ({error})", "check the file and its folder") from error
    except tomllib.TOMLDecodeError as error:
        raise LabelSetError(f"{path}: {error}", "a label file is TOML with [[labels]] tables") from error
    return new


def _edited(text: str, place: int, old: Label, new: Label) -> str:
    """The file's text with the changed fields; what it cannot do is noticed by whoever parses the result."""
    lines = text.splitlines(keepends=True)
    for name in FIELDS:
        if getattr(old, name) == getattr(new, name):
            continue
        where = key_lines("".join(lines))
        fresh = f"{name} = {toml_value(getattr(new, name))}\n"
        at = where.get(("labels", place, name))
        if at is None:
            lines.insert(where[("labels", place, "name")], fresh)
        elif (behind := _behind(lines[at - 1])) is not None:
            lines[at - 1] = fresh.rstrip("\n") + behind
        else:
            return ""
    return "".join(lines) or text


def _says(text: str, labels: LabelSet) -> bool:
    """Whether a file of this text would hold these types."""
    try:
        return parse_label_set(tomllib.loads(text).get("labels"), "") == labels
    except (tomllib.TOMLDecodeError, LabelSetError):
        return False


def _behind(line: str) -> str | None:
    """What stands behind a key and all of its value: a comment or the line's end; None where the value goes on."""
    for place, char in enumerate(line):
        if char == "#" or place == len(line) - 1:
            end = place if char == "#" else len(line)
            try:
                tomllib.loads(line[:end])
            except tomllib.TOMLDecodeError:
                continue
            return f"  {line[end:]}" if end < len(line) else "\n"
    return None


def with_fields(label: Label, description: str, examples: str, counter_examples: str) -> Label:
    """A type with what was typed; examples are separated by semicolons."""

    def listed(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))

    return replace(
        label,
        description=" ".join(description.split()),
        examples=listed(examples),
        counter_examples=listed(counter_examples),
    )
