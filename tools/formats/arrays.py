"""The elements of a JSON array one by one, so that a large file needs no large memory."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any

from tools.formats.encoding import Encoding
from tools.formats.rows import LINE_LIMIT, Fault, Row, undecodable

_CHUNK = 1 << 18
_BLANK = " \t\r\n"


def array_rows(stream: io.BufferedReader, encoding: Encoding) -> Iterator[Row | Fault]:
    """The objects of an array (or one object alone), each with the line it begins at.

    A fault ends the file: behind broken JSON nothing can be told.
    """
    stream.read(encoding.bom)
    yield from _Elements(stream, encoding).rows()


class _Elements:
    def __init__(self, stream: io.BufferedReader, encoding: Encoding) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decode = codecs.getincrementaldecoder(encoding.name)().decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._over = False
        self._size = _CHUNK

    def rows(self) -> Iterator[Row | Fault]:
        try:
            yield from self._rows()
        except UnicodeDecodeError as error:
            line = self._line + self._text.count("\n", self._at) + error.object.count(b"\n", 0, error.start)
            yield undecodable(line, error, self._encoding)

    def _rows(self) -> Iterator[Row | Fault]:
        opener = self._peek()
        if opener not in ("[", "{"):
            yield Fault(self._line, "no JSON: an array of tasks is expected", "see --format")
            return
        if opener == "[":
            self._at += 1
        first = True
        while True:
            char = self._peek()
            if opener == "[" and char == "]":
                self._at += 1
                if rest := self._peek():
                    yield Fault(self._line, f"no JSON: {rest!r} behind the array's end")
                return
            if opener == "[" and not first:
                if char != ",":
                    what = "the file ends inside the array" if not char else f"a comma or ] is expected, not {char!r}"
                    yield Fault(self._line, f"no JSON: {what}", "fetch or write the file again")
                    return
                self._at += 1
                self._peek()
            line = self._line
            found = self._element()
            if not isinstance(found, Fault) and not isinstance(found, dict):
                found = Fault(line, "a JSON object is expected in the array")
            yield found if isinstance(found, Fault) else Row(line, found)
            if isinstance(found, Fault):
                return
            first = False
            if opener == "{":
                if self._peek():
                    yield Fault(self._line, "several objects without an array: this is JSON Lines", "name it .jsonl")
                return

    def _peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            start = self._at
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            self._line += self._text.count("\n", start, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._over:
                return ""
            self._more()

    def _more(self) -> None:
        data = self._stream.read(self._size)
        self._over = not data
        self._text = self._text[self._at :] + self._decode(data, self._over)
        self._at = 0

    def _element(self) -> Any:
        decoder = json.JSONDecoder()
        while True:
            try:
                found, end = decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 16
                if self._over or not cut:
                    line = self._line + self._text.count("\n", self._at, error.pos)
                    return Fault(line, f"no JSON: {error.msg}", "fetch or write the file again")
                if len(self._text) - self._at > LINE_LIMIT:
                    return Fault(self._line, f"an element of more than {LINE_LIMIT >> 20} MiB", "split the document")
                # Twice as much each time: a large element is parsed anew only a few times.
                self._size = max(_CHUNK, len(self._text) - self._at)
                self._more()
            except (ValueError, RecursionError) as error:
                return Fault(self._line, f"no usable JSON: {type(error).__name__}")
            else:
                self._line += self._text.count("\n", self._at, end)
                self._at = end
                self._size = _CHUNK
                return found
