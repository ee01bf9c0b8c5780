"""Records to JSON Lines or Parquet: a file is there whole, or as it was before.

A file is written aside, forced to the disk and then put in its place in one
step, so that neither a full disk nor a kill leaves half of one.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from tools.annotation.document import Document
from tools.annotation.prediction import DocumentResult, Entity
from tools.errors import OutputError
from tools.formats.filing import atomic_file, told

Record = Mapping[str, Any]
_FIELDS = ("id", "text", "entities", "outcome", "meta")
_SURROGATES = re.compile("[\ud800-\udfff]")
_ROWS, _CHARACTERS = 512, 8 << 20


def record_of(document: Document, result: DocumentResult) -> dict[str, Any]:
    """The output record of a document.

    Args:
        document: The document.
        result: What was found in it.

    Returns:
        ``id``, ``text``, ``entities`` (``start``, ``end``, ``label``, ``text``,
        ``confidence``, ``votes``, ``verdict``), ``outcome`` (``kind``,
        ``reason``) and ``meta`` as the source had it.

    Raises:
        ValueError: A span reaches beyond the text.
    """
    return {
        "id": document.id,
        "text": document.text,
        "entities": [_entity(document, entity) for entity in result.entities],
        "outcome": {"kind": result.outcome.kind.value, "reason": result.outcome.reason},
        "meta": dict(document.meta),
    }


def _entity(document: Document, entity: Entity) -> dict[str, Any]:
    return {
        "start": entity.span.start,
        "end": entity.span.end,
        "label": entity.span.label,
        "text": entity.span.text_in(document.text),
        "confidence": entity.confidence,
        "votes": [
            {"member": v.member, "proposed": v.proposed, "label": v.label, "probability": v.probability}
            for v in entity.votes
        ],
        "verdict": entity.verdict,
    }


def encode_line(record: Record) -> bytes:
    """A record as a line of JSON with its line break.

    UTF-8 cannot hold a lone surrogate: a record with one is written in
    escapes, and reads back exactly the same.
    """
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def write_records(path: str | Path, records: Iterable[Record]) -> int:
    """Write records to a new file, or over an old one once all are written.

    Args:
        path: Ends in ``.jsonl``, ``.jsonl.gz`` (``.ndjson`` likewise) or ``.parquet``.
        records: Drawn one by one; what it raises ends the writing and passes through.

    Returns:
        How many records were written.

    Raises:
        OutputError: The ending is unknown, or the file cannot be written
            (no such folder, no permission, disk full). What was there before
            is untouched and nothing half-written stays.
    """
    make = _sink_of(Path(path))
    count = 0
    with atomic_file(path) as raw:
        sink = make(raw)
        try:
            for record in records:
                with told(path):
                    sink.write(record)
                count += 1
            with told(path):
                sink.finish()
        except BaseException:
            sink.abandon()
            raise
    return count


class _Sink(Protocol):
    """Something that takes records one by one."""

    def write(self, record: Record) -> None: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class _Lines:
    """JSON Lines."""

    def __init__(self, raw: IO[bytes], *, packed: bool = False) -> None:
        # Without name and time in its head, a packed file depends on its content only.
        self._out: IO[bytes] = gzip.GzipFile("", "wb", 6, raw, mtime=0) if packed else raw  # type: ignore[assignment]
        self._packed = packed

    def write(self, record: Record) -> None:
        self._out.write(encode_line(record))

    def finish(self) -> None:
        if self._packed:
            self._out.close()

    def abandon(self) -> None:
        if self._packed:
            with contextlib.suppress(OSError):
                self._out.close()


class _Parquet:
    """Parquet of one fixed schema; ``meta`` is JSON, as it differs from record to record."""

    def __init__(self, raw: IO[bytes]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        text, number = pa.string(), pa.float64()
        vote = [("member", text), ("proposed", pa.bool_()), ("label", text), ("probability", number)]
        entity = [
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("label", pa.string()),
            ("text", pa.string()),
            ("confidence", pa.float64()),
            ("votes", pa.list_(pa.struct(vote))),
            ("verdict", pa.float64()),
        ]
        self._schema = pa.schema(
            [
                ("id", pa.string()),
                ("text", pa.large_string()),
                ("entities", pa.list_(pa.struct(entity))),
                ("outcome", pa.struct([("kind", pa.string()), ("reason", pa.string())])),
                ("meta", pa.string()),
            ],
        )
        self._batch_of = pa.RecordBatch.from_pylist
        self._writer = pq.ParquetWriter(raw, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def write(self, record: Record) -> None:
        more = {key: value for key, value in record.items() if key not in _FIELDS}
        row = {key: record.get(key) for key in _FIELDS if key != "meta"}
        try:
            json.dumps(row, ensure_ascii=False).encode()
            note = {}
        except UnicodeEncodeError:
            row, found = without_surrogates(row)
            note = {"replaced_surrogates": found}
        row["meta"] = json.dumps({**(record.get("meta") or {}), **more, **note})
        self._rows.append(row)
        self._size += len(row["text"] or "")
        if len(self._rows) >= _ROWS or self._size >= _CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(self._batch_of(self._rows, schema=self._schema))
        self._rows, self._size = [], 0

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        # Or it would try to write its footer to a closed file when it is collected.
        self._writer.is_open = False


def without_surrogates(value: Any) -> tuple[Any, int]:
    """The value with U+FFFD for each lone surrogate (offsets stay), and how many there were."""
    if isinstance(value, str):
        return _SURROGATES.subn("\ufffd", value)
    if isinstance(value, Mapping):
        pairs = {key: without_surrogates(item) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, sum(found for _, found in pairs.values())
    if isinstance(value, (list, tuple)):
        items = [without_surrogates(item) for item in value]
        return [item for item, _ in items], sum(found for _, found in items)
    return value, 0


def _sink_of(path: Path) -> Any:
    name = path.name.lower()
    if name.endswith((".jsonl", ".ndjson")):
        return _Lines
    if name.endswith((".jsonl.gz", ".ndjson.gz")):
        return lambda raw: _Lines(raw, packed=True)
    if name.endswith(".parquet"):
        return _Parquet
    hint = "Parquet is compressed already" if name.endswith(".parquet.gz") else "use .jsonl, .jsonl.gz or .parquet"
    raise OutputError(f"{path}: this ending cannot be written", hint)
