"""Where the brackets of spans go: lanes beneath a row of text, so that no two share a cell."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from rich.cells import cell_len, set_cell_size

from tui.labelling.editor import Target


@dataclass(frozen=True, slots=True)
class Placed:
    """A span with its lane.

    Attributes:
        target: The span.
        lane: 0 for the row next to the text.
        title: What its bracket says where there is room.
        key: What it says where there is room for one or two cells.
    """

    target: Target
    lane: int
    title: str
    key: str


class Lanes:
    """All spans of a document with their lanes.

    A span keeps its lane over all rows it reaches; outer spans come first, so
    that an inner one lies beneath the one it is part of.

    Args:
        spans: Each with its title and its key.
    """

    def __init__(self, spans: Sequence[tuple[Target, str, str]]) -> None:
        ordered = sorted(spans, key=lambda s: (s[0].span.start, -s[0].span.end, not s[0].own, s[0].span.label))
        self._placed: list[Placed] = []
        free: list[int] = []
        busy: list[tuple[int, int]] = []
        lanes = 0
        for target, title, key in ordered:
            while busy and busy[0][0] <= target.span.start:
                heappush(free, heappop(busy)[1])
            if free:
                lane = heappop(free)
            else:
                lane, lanes = lanes, lanes + 1
            heappush(busy, (target.span.end, lane))
            self._placed.append(Placed(target, lane, title, key))
        self._starts = [placed.target.span.start for placed in self._placed]
        self._reach: list[int] = []
        reach = 0
        for placed in self._placed:
            reach = max(reach, placed.target.span.end)
            self._reach.append(reach)

    def between(self, start: int, end: int) -> list[Placed]:
        """The spans that share a character with a range, in order."""
        found = []
        for place in range(bisect_left(self._starts, end) - 1, -1, -1):
            if self._reach[place] <= start:
                break
            if self._placed[place].target.span.end > start:
                found.append(self._placed[place])
        return found[::-1]


def bracket(width: int, placed: Placed, *, opens: bool, closes: bool) -> str:
    """A span's bracket: solid for a mark, dashed for a suggestion, open where it goes on in another row.

    Args:
        width: Cells there are, at least 1.
        placed: The span.
        opens: Whether it begins in this row.
        closes: Whether it ends in this row.

    Returns:
        A text of exactly that many cells.
    """
    own = placed.target.own
    left, line, right = ("\u2517", "\u2501", "\u251b") if own else ("\u2570", "\u254c", "\u256f")
    first, last = (left if opens else line), (right if closes else line)
    if width <= 2:
        return set_cell_size(placed.key[:1] or "?", 1) + (last if width == 2 else "")
    room = width - 2
    short = placed.title.rsplit(" ", 1)[0]
    title = next((t for t in (placed.title, short) if cell_len(t) <= room), "")
    if not title:
        title = set_cell_size(short, room) if room >= 2 and cell_len(short) > room else placed.key[:1]
    return first + title + line * (room - cell_len(title)) + last
