"""The rows of each form: a generator a form, which tells of a broken row and goes on."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import InputError
from tools.formats.encoding import Encoding

# A line of JSON or CSV is held in memory several times over while it is parsed.
LINE_LIMIT = 64 << 20
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_MIXED_HINT = "convert the file to UTF-8, or go on without such records: --skip-bad"


@dataclass(frozen=True, slots=True)
class Row:
    """A record as its file has it.

    Attributes:
        line: Where it begins, from 1; 0 when the file is the record.
        fields: Its fields by name.
        plain: Whether it is bare text, under ``text`` whatever the text column is called.
    """

    line: int
    fields: dict[str, Any]
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be used, and why.

    Attributes:
        line: Where it begins, from 1; 0 for a whole file.
        reason: What is wrong.
        hint: What to do about it; empty for the usual.
        file: Which file, where it is not the one that is read (brat's ``.ann``).
    """

    line: int
    reason: str
    hint: str = ""
    file: str = ""


def undecodable(line: int, error: UnicodeDecodeError, encoding: Encoding) -> Fault:
    """The fault of bytes that are not in their file's encoding."""
    byte = error.object[error.start]
    name = encoding.name.upper() if encoding.name.startswith("utf") else encoding.name
    return Fault(line, f"byte 0x{byte:02X} is not {name}: the file mixes encodings or is damaged", _MIXED_HINT)


def whole_text(stream: io.BufferedReader, encoding: Encoding) -> Iterator[Row | Fault]:
    """A file that is one document, exactly as it stands, without its byte-order mark."""
    stream.read(encoding.bom)
    data = stream.read()
    try:
        text = data.decode(encoding.name)
    except UnicodeDecodeError as error:
        fault = undecodable(data.count(b"\n", 0, error.start) + 1, error, encoding)
        yield fault
        return
    yield Row(0, {"text": text}, plain=True)


def text_lines(stream: io.BufferedReader, encoding: Encoding) -> Iterator[Row | Fault]:
    """A document a line, without its line break; blank lines hold none."""
    for number, line in numbered_lines(stream, encoding, limit=-1):
        if isinstance(line, Fault):
            yield line
        elif line.strip():
            yield Row(number, {"text": line.removesuffix("\n").removesuffix("\r")}, plain=True)


def json_lines(stream: io.BufferedReader, encoding: Encoding) -> Iterator[Row | Fault]:
    """An object a line; blank lines are passed over."""
    for number, line in numbered_lines(stream, encoding, limit=LINE_LIMIT):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            yield Fault(number, f"no JSON: {error.msg} (column {error.colno})")
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            yield Fault(number, f"no usable JSON: {reason}")
        else:
            known = isinstance(fields, dict)
            yield Row(number, fields) if known else Fault(number, f"a JSON object is expected, not {_kind(fields)}")


def table_rows(
    stream: io.BufferedReader, encoding: Encoding, text_column: str, *, name: str, tabs: bool
) -> Iterator[Row | Fault]:
    """Rows below a header line; the delimiter is the one that makes the text column appear.

    Raises:
        InputError: No column has the text.
    """
    if csv.field_size_limit() < LINE_LIMIT:
        csv.field_size_limit(LINE_LIMIT)
    lines = _csv_lines(stream, encoding)
    first = next(lines, "")
    delimiter, header = _header(first, text_column, tabs=tabs)
    if text_column not in header:
        columns = ", ".join(header)[:200]
        raise InputError(f"{name}: no column {text_column!r}, there is {columns}", "name it with --text-column")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    while True:
        # The header was read apart, hence one line more than the reader counts.
        begins = reader.line_num + 2
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Fault(begins, f"no {'TSV' if tabs else 'CSV'}: {error}")
            continue
        if not row:
            continue
        if any("\udc80" <= char <= "\udcff" for field in row if not field.isascii() for char in field):
            yield Fault(begins, f"not {encoding.name}: the file mixes encodings or is damaged", _MIXED_HINT)
        elif len(row) != len(header):
            yield Fault(begins, f"{len(row)} fields, the header has {len(header)}")
        else:
            yield Row(begins, dict(zip(header, row, strict=True)))


def parquet_rows(path: Path, text_column: str, *, name: str, gzipped: bool) -> Iterator[Row | Fault]:
    """Rows of a Parquet file, a few at a time; an unusable file is one fault.

    Raises:
        InputError: No column has the text.
    """
    import pyarrow
    import pyarrow.parquet

    with tempfile.TemporaryFile() as unpacked:
        source: Any = str(path)
        if gzipped:
            import gzip

            with gzip.open(path, "rb") as packed:
                shutil.copyfileobj(packed, unpacked)
            unpacked.seek(0)
            source = unpacked
        try:
            with pyarrow.parquet.ParquetFile(source) as file:
                columns = file.schema_arrow.names
                if text_column not in columns and "tokens" not in columns:
                    there = ", ".join(columns)[:200]
                    raise InputError(f"{name}: no column {text_column!r}, there is {there}", "use --text-column")
                number = 0
                for batch in file.iter_batches(batch_size=256):
                    for fields in batch.to_pylist():
                        number += 1
                        yield Row(number, {key: _plain(value) for key, value in fields.items()})
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Fault(0, f"no usable Parquet: {reason}", "write the file again")


def numbered_lines(stream: io.BufferedReader, encoding: Encoding, *, limit: int) -> Iterator[tuple[int, str | Fault]]:
    """Numbered lines with their line breaks; only a line feed ends one, as JSON Lines wants it."""
    stream.read(encoding.bom)
    if encoding.name in _WIDE:
        yield from _wide_lines(stream, encoding, limit)
        return
    number = 0
    while line := stream.readline(limit):
        number += 1
        if len(line) == limit and not line.endswith(b"\n"):
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield number, _too_long(number, limit)
            continue
        try:
            yield number, line.decode(encoding.name)
        except UnicodeDecodeError as error:
            yield number, undecodable(number, error, encoding)


def _wide_lines(stream: io.BufferedReader, encoding: Encoding, limit: int) -> Iterator[tuple[int, str | Fault]]:
    """Lines of UTF-16 or UTF-32, where a line break is no single byte; a faulty one ends the file."""
    text = io.TextIOWrapper(stream, encoding.name, newline="\n")
    number = 0
    while True:
        number += 1
        try:
            line = text.readline(limit)
            if len(line) == limit and not line.endswith("\n"):
                while (rest := text.readline(1 << 20)) and not rest.endswith("\n"):
                    pass
                yield number, _too_long(number, limit)
                continue
        except UnicodeDecodeError as error:
            yield (
                number,
                Fault(number, f"not {encoding.name}: {error.reason}; nothing after it can be read", _MIXED_HINT),
            )
            return
        if not line:
            return
        yield number, line


def _too_long(number: int, limit: int) -> Fault:
    return Fault(number, f"longer than {limit >> 20} MiB", "split the document, or give it as a .txt file")


def _csv_lines(stream: io.BufferedReader, encoding: Encoding) -> Iterator[str]:
    """Lines for the csv module; bytes at fault become lone surrogates that the caller looks for."""
    stream.read(encoding.bom)
    text = io.TextIOWrapper(stream, encoding.name, errors="surrogateescape", newline="")
    while line := text.readline(LINE_LIMIT):
        yield line


def _header(line: str, text_column: str, *, tabs: bool) -> tuple[str, list[str]]:
    names: list[str] = []
    for delimiter in "\t,;|" if tabs else ",;\t|":
        found = next(csv.reader([line], delimiter=delimiter), [])
        found = [name.strip() for name in found]
        if text_column in found:
            return delimiter, found
        names = max(names, found, key=len)
    return ",", names


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(type(value), "a number")


def _plain(value: Any) -> Any:
    """A value of Arrow as JSON could hold it."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
