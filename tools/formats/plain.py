"""Text and tables (CSV, TSV): only read."""

from __future__ import annotations

import io
from collections.abc import Iterator

from tools.annotation.document import Document
from tools.formats.encoding import Encoding
from tools.formats.format import Format, ReadOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated
from tools.formats.records import item_of_row
from tools.formats.report import ReadReport
from tools.formats.rows import Fault, Row, table_rows, text_lines, whole_text
from tools.formats.sources import Source
from tools.formats.texts import text_rows


def read_text(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read a file as one document, or as one a line; an empty file is a document without text."""
    rows = 0
    for row in text_rows(source, report, text_lines if options.lines else whole_text):
        rows += 1
        if isinstance(row, Fault):
            yield row
        else:
            name = f"{source.stem}:{row.line}" if row.line else source.stem
            yield item_of_row(row, name, options, packed=False)
    if not rows and not options.lines:
        yield Annotated(Document(source.stem, ""))


def read_table(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read a row a document; lists and objects are JSON in a cell."""

    def rows(stream: io.BufferedReader, encoding: Encoding) -> Iterator[Row | Fault]:
        tabs = source.form == "tsv"
        return table_rows(stream, encoding, options.text_column, name=source.name, tabs=tabs)

    for row in text_rows(source, report, rows):
        if isinstance(row, Fault):
            yield row
        else:
            yield item_of_row(row, f"{source.stem}:{row.line}", options, packed=True)


_NOTHING = Holds(
    nested=False, overlapping=False, same_span=False, any_offsets=False, undecided=False, annotator=False,
)  # fmt: skip

TEXT = Format(
    name="text",
    title="plain text",
    endings=(".txt",),
    holds=_NOTHING,
    reader=read_text,
    writer=None,
    packed=True,
    streams=False,
    notes="A document a file, or a line with `--lines` (then memory stays flat). The text is kept as it stands.",
)
TABLE = Format(
    name="table",
    title="CSV, TSV",
    endings=(".csv", ".tsv"),
    holds=Holds(meta=True, annotator=False),
    reader=read_table,
    writer=None,
    packed=True,
    notes="A document a row below a header; a column `entities` may hold JSON as in JSON Lines.",
)
