"""Parquet with provenance: who decided what and when, and what the whole file comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tools.errors import OutputError
from tools.formats.filing import atomic_file, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated
from tools.formats.loss import LossReport
from tools.formats.records import item_of_row, record_of_item
from tools.formats.report import ReadReport
from tools.formats.rows import Fault, parquet_rows
from tools.formats.sources import Source
from tools.formats.writing import without_surrogates

_ROWS, _CHARACTERS = 512, 8 << 20


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read a row a document, a few at a time."""
    if source.path is None:
        yield Fault(0, "Parquet cannot be read from a pipe", "give the file's name")
        return
    if source.path.stat().st_size == 0:
        report.opened(source.name, "empty")
        return
    report.opened(source.name, "parquet")
    for row in parquet_rows(source.path, options.text_column, name=source.name, gzipped=source.gzipped):
        if isinstance(row, Fault):
            yield row
        else:
            yield item_of_row(row, f"{source.stem}:{row.line}", options, packed=True)


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write a row a document, of one schema; ``meta`` is JSON, as it differs from document to document."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".gz":
        raise OutputError(f"{path}: Parquet is compressed already", "name it .parquet")
    schema = _schema(pa).with_metadata({"quorum": json.dumps(dict(options.provenance))})
    count = 0
    with atomic_file(path, losses.settle) as raw:
        writer = pq.ParquetWriter(raw, schema, compression="zstd")
        try:
            rows: list[dict[str, Any]] = []
            size = 0
            for item in items:
                rows.append(_row(item, losses))
                count += 1
                size += len(item.document.text)
                if len(rows) >= _ROWS or size >= _CHARACTERS:
                    with told(path):
                        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                    rows, size = [], 0
            with told(path):
                if rows:
                    writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                writer.close()
        except BaseException:
            # Or it would try to write its footer to a closed file when it is collected.
            writer.is_open = False
            raise
    return count


def _schema(pa: Any) -> Any:
    text, number = pa.string(), pa.float64()
    vote = [("member", text), ("proposed", pa.bool_()), ("label", text), ("probability", number)]
    entity = [
        ("start", pa.int64()), ("end", pa.int64()), ("label", text), ("text", text), ("confidence", number),
        ("votes", pa.list_(pa.struct(vote))), ("verdict", number), ("source", text), ("created", number),
        ("layer", pa.int32()),
    ]  # fmt: skip
    outcome = pa.struct([("kind", text), ("reason", text)])
    layer = [("annotator", text), ("kind", text), ("state", text), ("updated", number), ("outcome", outcome)]
    return pa.schema(
        [
            ("id", text),
            ("text", pa.large_string()),
            ("entities", pa.list_(pa.struct(entity))),
            ("layers", pa.list_(pa.struct(layer))),
            ("meta", text),
        ],
    )


def _row(item: Annotated, losses: LossReport) -> dict[str, Any]:
    row = record_of_item(item)
    # Escapes hold a lone surrogate of the meta; the other columns are UTF-8.
    meta = json.dumps(row.pop("meta"))
    for entity in row.get("entities", ()):
        entity.setdefault("layer", 0)
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        row, found = without_surrogates(row)
        losses.add("text", row["id"], detail="lone surrogates", count=found)
    return {**row, "meta": meta}


FORMAT = Format(
    name="parquet",
    title="Parquet",
    endings=(".parquet",),
    holds=Holds(
        suggestions=True, confidence=True, votes=True, provenance=True, annotators=True, meta=True, any_text=False,
        any_id=False,
    ),
    reader=read,
    writer=write,
    notes=(
        "A row a document: `id`, `text`, `entities` and `layers` (lists of structs), `meta` (JSON). The file's own "
        "metadata (`quorum`, JSON) says which release wrote it from which project, labels and run. Lone surrogates "
        "in texts and ids become U+FFFD."
    ),
)  # fmt: skip
