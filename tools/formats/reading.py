"""From files to documents: one at a time, in order, in flat memory.

Whatever is wrong with an input is told in one line with the file and the line.
With ``skip_bad`` a faulty record is left out and counted instead; nothing is
ever repaired in silence.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tools.annotation.document import Document
from tools.errors import InputError
from tools.formats.encoding import Encoding, detect
from tools.formats.report import BadRecord, ReadReport
from tools.formats.rows import Fault, Row, json_lines, parquet_rows, table_rows, text_lines, whole_text
from tools.formats.seen import SeenIds
from tools.formats.sources import BROKEN_GZIP, STDIN, Form, Source, open_source, sources

_SKIP_HINT = "mend it, or go on without it: --skip-bad"


def read_documents(
    source: str | Path,
    *,
    lines: bool = False,
    text_column: str = "text",
    id_column: str = "id",
    skip_bad: bool = False,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """Read documents from a file, a folder or standard input.

    ``.txt`` is a document a file, or a line with ``lines``; ``.jsonl`` an
    object a line; ``.csv``, ``.tsv`` and ``.parquet`` a row each; all of them
    also gzipped (``.gz``). Standard input is JSON Lines when its first line is
    an object, else text. All other fields of a record go to ``meta``, ``entities``
    and ``tokens`` among them, unchanged; a record with tokens and no text gets
    its tokens with blanks between.

    Args:
        source: A path, or ``-``.
        lines: Whether each line of a text is a document.
        text_column: The field or column with the text.
        id_column: The one with the id. Without an id the file's stem and the
            line make one, which stays the same from call to call.
        skip_bad: Leave faulty records out and count them.
        report: Filled while reading, where given.

    Yields:
        Documents with unique ids.

    Raises:
        InputError: The input is missing, empty, binary, or a record is faulty
            and ``skip_bad`` is off; also when not one document was found.
    """
    report = ReadReport() if report is None else report
    yield from _Reading(str(source), lines, text_column, id_column, skip_bad, report).documents()


@dataclass(slots=True)
class _Reading:
    """One pass over an input."""

    given: str
    lines: bool
    text_column: str
    id_column: str
    skip_bad: bool
    report: ReadReport
    seen: SeenIds = field(default_factory=SeenIds)

    def documents(self) -> Iterator[Document]:
        folder = self.given != STDIN and Path(self.given).is_dir()
        for number, source in enumerate(sources(self.given)):
            yield from self._file(source, number, alone=not folder)
        if not self.report.records:
            left_out = f", {self.report.bad_count} were left out" if self.report.bad_count else ""
            raise InputError(f"{self.given}: no document in it{left_out}", "an input must hold at least one document")

    def _file(self, source: Source, number: int, *, alone: bool) -> Iterator[Document]:
        read = 0
        try:
            for row in self._rows(source, alone=alone):
                made = row if isinstance(row, Fault) else self._document(source, row)
                if isinstance(made, Document):
                    fault = self._double(made.id, source, number, row.line)
                    if fault is None:
                        read += 1
                        self.report.records += 1
                        yield made
                        continue
                    made = fault
                self._bad(source, made)
        except BROKEN_GZIP as error:
            found = f"; {read} record(s) before the fault are kept" if self.skip_bad else ""
            what = (
                "not gzip data, despite its name"
                if "Not a gzip" in str(error)
                else "its gzip data ends early or is damaged"
            )
            self._bad(source, Fault(0, f"{what}{found}", "fetch or pack the file again"))
            self.report.warn(f"{source.name}: damaged gzip ({error}), {read} record(s) read")
        except OSError as error:
            raise InputError(f"{source.name}: cannot be read ({error.strerror or error})", "check the disk") from error

    def _rows(self, source: Source, *, alone: bool) -> Iterator[Row | Fault]:
        if source.form == "parquet":
            assert source.path is not None
            if source.path.stat().st_size == 0:
                yield from self._empty(source, alone=alone)
                return
            self.report.opened(source.name, "parquet")
            yield from parquet_rows(source.path, self.text_column, name=source.name, gzipped=source.gzipped)
            return
        stream, head, whole = open_source(source)
        with stream:
            if not head and whole:
                yield from self._empty(source, alone=alone)
                return
            encoding = detect(head, whole=whole)
            if encoding.fault:
                yield Fault(0, encoding.fault, "give text files: .txt, .jsonl, .csv, .tsv, .parquet, also .gz")
                return
            self.report.opened(source.name, encoding.name)
            if encoding.guessed:
                self.report.warn(f"{source.name}: read as {encoding.name}, which is a guess")
            form = source.form if source.path is not None else _sniff(head[encoding.bom :], encoding.name, whole=whole)
            yield from self._of_form(form, source, stream, encoding)

    def _of_form(
        self, form: Form, source: Source, stream: io.BufferedReader, encoding: Encoding
    ) -> Iterator[Row | Fault]:
        if form == "jsonl":
            return json_lines(stream, encoding)
        if form in ("csv", "tsv"):
            return table_rows(stream, encoding, self.text_column, name=source.name, tabs=form == "tsv")
        return text_lines(stream, encoding) if self.lines else whole_text(stream, encoding)

    def _empty(self, source: Source, *, alone: bool) -> Iterator[Row | Fault]:
        """An empty file is a mistake when it is the input, and one document without text among others."""
        if alone:
            raise InputError(f"{source.name}: empty", "an input must hold at least one document")
        self.report.opened(source.name, "empty")
        self.report.warn(f"{source.name}: empty")
        if source.form == "txt" and not self.lines:
            yield Row(0, {"text": ""}, plain=True)

    def _document(self, source: Source, row: Row) -> Document | Fault:
        if row.plain:
            return Document(_default_id(source, row), row.fields["text"])
        fields = row.fields
        packed = source.form in ("csv", "tsv", "parquet")
        for name in ("entities", "tokens", "meta"):
            value = fields.get(name)
            if packed and isinstance(value, str) and value[:1] in ("[", "{"):
                try:
                    fields[name] = json.loads(value)
                except (ValueError, RecursionError) as error:
                    return Fault(row.line, f"{name} is no JSON: {error}")
        text, tokens = fields.pop(self.text_column, None), fields.get("tokens")
        if text is None and isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
            text = " ".join(tokens)
        if not isinstance(text, str):
            what = "no" if text is None else "no text in"
            return Fault(row.line, f"{what} {self.text_column!r}", "name the field with --text-column, or --skip-bad")
        given = fields.pop(self.id_column, None)
        if isinstance(given, bool) or not isinstance(given, (str, int, type(None))):
            return Fault(row.line, f"{self.id_column!r} is neither text nor a whole number")
        inner = fields.pop("meta", None)
        if isinstance(inner, dict):
            meta = {**inner, **fields}
        elif inner is None or packed:
            meta = {**({"meta": inner} if inner not in (None, "") else {}), **fields}
        else:
            return Fault(row.line, "'meta' is no object")
        return Document(_default_id(source, row) if given in (None, "") else str(given), text, meta)

    def _double(self, document_id: str, source: Source, number: int, line: int) -> Fault | None:
        if source.form == "txt" and self.lines and source.path is not None and self.given == str(source.path):
            return None  # ids of line numbers alone cannot repeat
        before = self.seen.add(document_id, number, line)
        if before is None:
            return None
        file, first = before
        name = source.name if file == number else next(islice(sources(self.given), file, None)).name
        where = f"{name}:{first}" if first else name
        hint = "ids must be unique; --skip-bad keeps the first"
        return Fault(line, f"the id {document_id!r} was already used at {where}", hint)

    def _bad(self, source: Source, fault: Fault) -> None:
        bad = BadRecord(source.name, fault.line, fault.reason)
        if not self.skip_bad:
            raise InputError(str(bad), fault.hint or _SKIP_HINT)
        self.report.left_out(bad)


def _default_id(source: Source, row: Row) -> str:
    return f"{source.stem}:{row.line}" if row.line else source.stem


def _sniff(head: bytes, encoding: str, *, whole: bool) -> Form:
    """Standard input has no ending: a first line that is an object makes it JSON Lines."""
    text = head.decode(encoding, "replace").lstrip()
    line, broken, _ = text.partition("\n")
    if not line.startswith("{"):
        return "txt"
    try:
        return "jsonl" if isinstance(json.loads(line), dict) else "txt"
    except (ValueError, RecursionError):
        # A first line longer than the sample cannot be judged; a brace and a quote are JSON in all likelihood.
        return "jsonl" if not broken and not whole and line[1:].lstrip().startswith('"') else "txt"
