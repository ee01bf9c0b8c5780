"""A document cut into rows of a screen, as far as somebody looks at it.

A text is cut into blocks: its lines, and long lines further at blanks, so that
a megabyte on one line is some hundred blocks. A block is cut into rows when it
is looked at, and kept. No function here reads the whole text but ``Layout``'s
search for line breaks, which is one pass of a regular expression.

What cannot be shown as it is (controls, invisible and directional signs, lone
surrogates and marks) takes one cell and a stand-in, so that no text can disturb
a terminal and the cursor can stand on every character.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from unicodedata import category

from rich.cells import cell_len

from tui.labelling import graphemes

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_BLOCK = 2000
_KEPT = 512
_PLAIN = re.compile(r"[ -~]*")


@lru_cache(maxsize=65536)
def glyph(cluster: str) -> tuple[str, int]:
    """How one visible character is shown, and the cells it takes (1 or 2, more for odd sequences)."""
    if cluster == "\t":
        return "\u2192", 1
    if len(cluster) == 1 and " " <= cluster <= "~":
        return cluster, 1
    first = cluster[0]
    if first in "\n\r\x85\u2028\u2029":
        return " ", 1
    if first < " ":
        return chr(0x2400 + ord(first)), 1
    if first == "\x7f":
        return "\u2421", 1
    if any(category(char) in ("Cc", "Cs") for char in cluster):
        return "\ufffd", 1
    if category(first) == "Zs":
        return (" ", 1) if cell_len(first) == 1 else ("  ", 2)
    # Directional and other format signs could reorder a line; inside emoji and words they are needed.
    kept = "".join(char for char in cluster if category(char) != "Cf" or char in "\u200c\u200d" or ord(char) > 0xE0000)
    if not kept or category(kept[0]) in ("Mn", "Me", "Mc", "Cf", "Zl", "Zp"):
        kept = "\u25cc" + kept if kept and category(kept[0])[0] == "M" else "\u00b7"
    return kept, max(1, cell_len(kept))


@dataclass(frozen=True, slots=True)
class Row:
    """A row of text.

    Attributes:
        start: Offset of its first character.
        end: Offset behind its last; its line break is not part of it.
        offsets: The start of each character, then ``end``; None where every
            code point is a character of one cell.
        columns: The cell each begins in, then the row's width; None likewise.
        shown: What is on the screen.
        last: Whether a line of the text (or the text) ends here.
    """

    start: int
    end: int
    offsets: tuple[int, ...] | None
    columns: tuple[int, ...] | None
    shown: tuple[str, ...] | str
    last: bool

    @property
    def width(self) -> int:
        """Cells it takes."""
        return self.end - self.start if self.columns is None else self.columns[-1]

    def column(self, offset: int) -> int:
        """The cell at which the character of an offset begins; borders clamp to the row's."""
        if self.offsets is None or self.columns is None:
            return max(0, min(offset, self.end) - self.start)
        return self.columns[max(0, bisect_right(self.offsets, offset) - 1)] if offset < self.end else self.columns[-1]

    def column_behind(self, offset: int) -> int:
        """The cell behind the character before an offset: where a span that ends there ends."""
        if self.offsets is None or self.columns is None:
            return self.column(offset)
        place = bisect_right(self.offsets, offset) - 1
        inside = place >= 0 and self.offsets[place] < offset < self.end
        return self.columns[place + 1] if inside else self.column(offset)

    def offset(self, column: int) -> int:
        """The character that covers a cell; behind the row's end its last character."""
        if self.offsets is None or self.columns is None:
            return max(self.start, min(self.start + column, self.end - (not self.last)))
        place = min(bisect_right(self.columns, column) - 1, len(self.offsets) - 1)
        if place == len(self.offsets) - 1 and not self.last:
            place = max(0, place - 1)
        return self.offsets[max(0, place)]

    def text(self, first: int, last: int) -> str:
        """What is shown between two offsets of the row."""
        if isinstance(self.shown, str) or self.offsets is None:
            return str(self.shown)[first - self.start : last - self.start]
        low = bisect_right(self.offsets, first) - 1
        high = bisect_right(self.offsets, last - 1) if last > first else low
        return "".join(self.shown[low:high])


class Layout:
    """The rows of a text at a width.

    Args:
        text: The document's text.
        width: Cells a row may take, at least 2.
    """

    def __init__(self, text: str, width: int) -> None:
        self.text, self.width = text, max(2, width)
        self._starts: list[int] = []  # of the blocks
        self._ends: list[int] = []  # the same, without line breaks
        at = 0
        for found in _BREAK.finditer(text):
            self._add_line(at, found.start())
            at = found.end()
        self._add_line(at, len(text))
        self._rows: OrderedDict[int, tuple[Row, ...]] = OrderedDict()

    def _add_line(self, start: int, end: int) -> None:
        while end - start > _BLOCK * 3 // 2:
            cut = self.text.rfind(" ", start + _BLOCK // 2, start + _BLOCK) + 1 or start + _BLOCK
            cut = graphemes.snap(self.text, cut)
            if cut <= start:
                break
            self._starts.append(start)
            self._ends.append(cut)
            start = cut
        self._starts.append(start)
        self._ends.append(end)

    @property
    def blocks(self) -> int:
        """How many there are; at least one."""
        return len(self._starts)

    def block_of(self, offset: int) -> int:
        """The block that holds an offset."""
        return max(0, bisect_right(self._starts, offset) - 1)

    def rows(self, block: int) -> tuple[Row, ...]:
        """A block's rows; at least one."""
        if (rows := self._rows.get(block)) is not None:
            self._rows.move_to_end(block)
            return rows
        start, end = self._starts[block], self._ends[block]
        # A block that was cut from a long line goes on in the next one without a line break.
        goes_on = block + 1 < self.blocks and self._starts[block + 1] == end and end < len(self.text)
        rows = tuple(self._wrap(start, end, goes_on=goes_on))
        self._rows[block] = rows
        if len(self._rows) > _KEPT:
            self._rows.popitem(last=False)
        return rows

    def _wrap(self, start: int, end: int, *, goes_on: bool) -> list[Row]:
        found = _PLAIN.match(self.text, start, end)
        if found is not None and found.end() == end:
            return self._wrap_plain(start, end, goes_on=goes_on)
        offsets = graphemes.clusters(self.text, start, end)
        shown = [glyph(self.text[a:b]) for a, b in zip(offsets, [*offsets[1:], end], strict=True)]
        rows: list[Row] = []
        first = 0
        while True:
            used, at, blank = 0, first, -1
            while at < len(offsets) and (used + shown[at][1] <= self.width or at == first):
                used += shown[at][1]
                if shown[at][0] == " ":
                    blank = at + 1
                at += 1
            if at < len(offsets) and shown[at][0] == " ":
                at += 1  # the blank at a row's end may stand beyond the margin
            elif at < len(offsets) and blank > first:
                at = blank
            last = at >= len(offsets)
            columns = [0]
            for n in range(first, at):
                columns.append(columns[-1] + shown[n][1])
            stop = end if last else offsets[at]
            rows.append(
                Row(
                    offsets[first] if first < len(offsets) else end,
                    stop,
                    (*offsets[first:at], stop),
                    tuple(columns),
                    tuple(text for text, _ in shown[first:at]),
                    last and not goes_on,
                )
            )
            if last:
                return rows
            first = at

    def _wrap_plain(self, start: int, end: int, *, goes_on: bool) -> list[Row]:
        text, rows = self.text, []
        while end - start > self.width:
            stop = start + self.width
            if text[stop] == " ":
                stop += 1
            else:
                stop = text.rfind(" ", start, stop) + 1 or stop
            rows.append(Row(start, stop, None, None, text[start:stop], False))
            start = stop
        rows.append(Row(start, end, None, None, text[start:end], not goes_on))
        return rows

    def locate(self, offset: int) -> tuple[int, int]:
        """The block and row in it that show an offset."""
        block = self.block_of(offset)
        rows = self.rows(block)
        place = bisect_right([row.start for row in rows], offset) - 1
        return block, max(0, place)

    def row(self, place: tuple[int, int]) -> Row:
        """The row at a block and a number in it."""
        return self.rows(place[0])[place[1]]

    def after(self, place: tuple[int, int]) -> tuple[int, int] | None:
        """The next row's place; None behind the last."""
        block, row = place
        if row + 1 < len(self.rows(block)):
            return block, row + 1
        return (block + 1, 0) if block + 1 < self.blocks else None

    def before(self, place: tuple[int, int]) -> tuple[int, int] | None:
        """The row's place before; None before the first."""
        block, row = place
        if row:
            return block, row - 1
        return (block - 1, len(self.rows(block - 1)) - 1) if block else None


def safe(text: str) -> str:
    """A text for one line of a screen: what a terminal could take for a command is a stand-in, line breaks too."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(glyph(text[a:b])[0] for a, b in pairwise([*graphemes.clusters(text, 0, len(text)), len(text)]))
