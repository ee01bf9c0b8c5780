"""Tables as files for other programs: CSV, Parquet, Markdown; written by rename."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tools.errors import OutputError

Column = Literal["text", "whole", "number"]
ENDINGS = (".csv", ".parquet", ".md")


def check_ending(path: Path) -> None:
    """Refuse an ending that cannot be written, before the work is done.

    Raises:
        OutputError: It is none of ``ENDINGS``.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(f"{path}: this ending cannot be written", f"use {', '.join(ENDINGS)}")


def write_rows(
    path: Path, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]], markdown: Callable[[], str]
) -> None:
    """Write rows in the form that a file's ending names.

    Args:
        path: Ends in ``.csv``, ``.parquet`` or ``.md``.
        columns: Name to what the column holds.
        rows: Their values; None where a row has none.
        markdown: Makes the Markdown form.

    Raises:
        OutputError: The ending is another, or the file cannot be written.
    """
    check_ending(path)
    ending = path.suffix.lower()
    if ending == ".csv":
        data = _csv(columns, rows)
    elif ending == ".parquet":
        data = _parquet(columns, rows)
    else:
        data = markdown().encode()
    write_whole(path, data)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file by rename: it is there whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> list[str]:
    """The lines of a Markdown table, an empty one after it.

    Args:
        head: Of the columns.
        rows: Their cells.
        texts: How many columns at the left are texts; the others are aligned right.
    """

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = "|" + " --- |" * texts + " ---: |" * (len(head) - texts)
    return [line(head), rule, *map(line, rows), ""]


def _csv(columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _parquet(columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"text": pa.string(), "whole": pa.int64(), "number": pa.float64()}
    schema = pa.schema({name: kinds[kind] for name, kind in columns.items()})
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), out)
    return out.getvalue()
