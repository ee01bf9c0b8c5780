"""JSON Lines: the product's own form, and the plain one of id, text and entities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.formats.filing import atomic_text, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated
from tools.formats.loss import LossReport
from tools.formats.records import item_of_row, record_of_item
from tools.formats.report import ReadReport
from tools.formats.rows import Fault, json_lines
from tools.formats.sources import Source
from tools.formats.texts import text_rows
from tools.formats.writing import encode_line


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read an object a line; other fields than ours go to the document's meta."""
    for row in text_rows(source, report, json_lines):
        if isinstance(row, Fault):
            yield row
        else:
            yield item_of_row(row, f"{source.stem}:{row.line}", options, packed=False)


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write an object a line."""
    count = 0
    with atomic_text(path, losses.settle) as out:
        for item in items:
            line = encode_line(record_of_item(item))
            with told(path):
                out.write(line)
            count += 1
    return count


FORMAT = Format(
    name="jsonl",
    title="JSON Lines",
    endings=(".jsonl", ".ndjson"),
    holds=Holds(
        suggestions=True, confidence=True, votes=True, provenance=True, annotators=True, meta=True,
    ),
    reader=read,
    writer=write,
    packed=True,
    notes=(
        "A document a line: `id`, `text`, `entities` (`start`, `end`, `label`, `text`, ...), `layers`, `meta`. The "
        "plain form is read as well: any object with a text; `entities` may be lists `[start, end, label]`; a record "
        "without `entities` is undecided, one with an empty list was looked at."
    ),
)  # fmt: skip
