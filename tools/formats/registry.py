"""All formats, by name and by what a file looks like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.errors import InputError, OutputError
from tools.formats import brat, conll, docbin, jsonl, labelstudio, parquet, plain, prodigy
from tools.formats.encoding import detect
from tools.formats.format import Format
from tools.formats.sources import STDIN, Source, open_source
from tools.formats.tags import split_tag

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        jsonl.FORMAT, parquet.FORMAT, conll.FORMAT, docbin.FORMAT, brat.FORMAT, labelstudio.FORMAT, prodigy.FORMAT,
        plain.TEXT, plain.TABLE,
    )
}  # fmt: skip
"""Name to format, in the order of the published table."""

READABLE = tuple(name for name, format_ in FORMATS.items() if format_.reads)
WRITABLE = tuple(name for name, format_ in FORMATS.items() if format_.writes)


def format_named(name: str, *, writing: bool = False) -> Format:
    """The format of a name.

    Raises:
        InputError: There is none of that name to read.
        OutputError: There is none of that name to write.
    """
    found = FORMATS.get(name.strip().lower())
    if writing and (found is None or not found.writes):
        raise OutputError(f"there is no format {name!r} to write", f"one of {', '.join(WRITABLE)}")
    if found is None or not found.reads:
        raise InputError(f"there is no format {name!r} to read", f"one of {', '.join(READABLE)}")
    return found


def ending_of(path: Path) -> str:
    """A file's ending in lower case, without ``.gz``."""
    return Path(path.name[:-3] if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def format_of_file(source: Source) -> Format:
    """The format of a file, by its ending and, where several have that ending, by its beginning.

    Raises:
        InputError: The ending is unknown, the beginning is of another format
            than the ending, or it could be several: then ``--format`` is asked for.
    """
    path = source.path
    ending = ending_of(path) if path is not None and source.name != STDIN else ""
    known = {ending: format_ for format_ in reversed(FORMATS.values()) for ending in format_.endings}
    if not ending and source.name == STDIN:
        _, first = _beginning(source)
        return _json_lines(source, first) if isinstance(first, dict) else FORMATS["text"]
    if ending not in known and ending != ".ndjson":
        what = ending or "a file without ending"
        raise InputError(f"{source.name}: {what} is not supported", f"use {', '.join(sorted(known))}, or give --format")
    if ending in (".spacy", ".parquet", ".ann", ".csv"):
        return known[ending]
    lines, first = _beginning(source)
    if ending in (".jsonl", ".ndjson"):
        return _json_lines(source, first)
    if ending == ".json" and isinstance(first, dict) and "data" not in first and "annotations" not in first:
        raise InputError(
            f"{source.name}: its first line is a whole object, so this may be JSON Lines",
            "name it .jsonl, or give --format jsonl, prodigy or labelstudio",
        )
    if ending == ".txt" and _tagged(lines):
        raise InputError(
            f"{source.name}: this looks like CoNLL columns, and its ending says text",
            "say which: --format conll or --format text",
        )
    if ending == ".tsv" and _tagged(lines) and "text" not in lines[0].split("\t"):
        raise InputError(
            f"{source.name}: this looks like CoNLL columns, not like a table",
            "say which: --format conll or --format table",
        )
    return known[ending]


def format_of_output(path: Path) -> Format:
    """The format that an output's ending names.

    Raises:
        OutputError: It names none, or several.
    """
    found = [format_ for format_ in FORMATS.values() if format_.writes and ending_of(path) in format_.endings]
    found = [format_ for format_ in found if format_.name != "prodigy"]
    if len(found) != 1:
        raise OutputError(f"{path}: its ending names no format", f"name it: --format {'|'.join(WRITABLE)}")
    return found[0]


def _beginning(source: Source) -> tuple[list[str], Any]:
    """The first lines, and the first of them as JSON (None where it is none)."""
    stream, head, whole = open_source(source)
    if source.path is not None:
        stream.close()
    encoding = detect(head, whole=whole)
    if encoding.fault:
        return [], None
    text = head[encoding.bom :].decode(encoding.name, "replace")
    lines = [line for line in text.split("\n")[:200] if line.strip()]
    if not lines:
        return [], None
    try:
        return lines, json.loads(lines[0])
    except (ValueError, RecursionError):
        return lines, None


def _looks_prodigy(first: dict[str, Any]) -> bool:
    spans = first.get("spans")
    return (
        any(key in first for key in ("_input_hash", "_task_hash", "_annotator_id", "answer"))
        or (isinstance(spans, list) and all(isinstance(span, dict) for span in spans))
        or (isinstance(first.get("tokens"), list) and any(isinstance(t, dict) and "ws" in t for t in first["tokens"]))
    )


def _json_lines(source: Source, first: Any) -> Format:
    if isinstance(first, list):
        raise InputError(
            f"{source.name}: a JSON array, and its ending says JSON Lines",
            "Label Studio's tasks? Name it .json, or give --format labelstudio",
        )
    if not isinstance(first, dict) or not _looks_prodigy(first):
        return FORMATS["jsonl"]
    if "entities" in first:
        raise InputError(
            f"{source.name}: its records have entities as well as spans or answers",
            "say which: --format jsonl or --format prodigy",
        )
    return FORMATS["prodigy"]


def _tagged(lines: Sequence[str]) -> bool:
    """Whether lines look like CoNLL: columns of which the last is a tag, one of them more than O."""
    found = [line.rstrip("\r").split("\t" if "\t" in line else None) for line in lines if not line.startswith("# ")]
    found = [columns for columns in found if columns and columns[0] != "-DOCSTART-"]
    tags = [split_tag(columns[-1]) if 1 < len(columns) < 30 else None for columns in found[:100]]
    return len(tags) > 1 and all(tags) and any(tag and tag[0] != "O" for tag in tags)
