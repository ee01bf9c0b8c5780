"""Opening a file of text for a format: encoding told, faults told apart from rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TypeVar

from tools.formats.encoding import Encoding, detect
from tools.formats.report import ReadReport
from tools.formats.rows import Fault
from tools.formats.sources import Source, open_source

Found = TypeVar("Found")
Parser = Callable[[io.BufferedReader, Encoding], Iterator[Found | Fault]]


def text_rows(source: Source, report: ReadReport, parse: Parser[Found]) -> Iterator[Found | Fault]:
    """The rows of a file of text.

    Args:
        source: The file.
        report: Told of the file's encoding.
        parse: Makes rows of the opened stream.

    Yields:
        Rows and faults; one fault alone where the bytes are no text.

    Raises:
        InputError: It cannot be opened.
    """
    stream, head, whole = open_source(source)
    with stream:
        if not head and whole:
            report.opened(source.name, "empty")
            return
        encoding = detect(head, whole=whole)
        if encoding.fault:
            yield Fault(0, encoding.fault, "give the file its own ending, or name its format: --format")
            return
        report.opened(source.name, encoding.name)
        if encoding.guessed:
            report.warn(f"{source.name}: read as {encoding.name}, which is a guess")
        yield from parse(stream, encoding)
