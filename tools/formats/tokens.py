"""Tokens for formats that have them, and mentions on tokens.

A token is a run of letters, digits and underscores (combining marks belong to
it), one character of a script written without spaces, or one other character
that is no white space. White space is never part of a token, and every other
character is part of exactly one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tools.annotation.span import Span

_DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_ONE = re.compile(f"[{_DENSE}]")
_TOKEN = re.compile(rf"[{_DENSE}]|[^\W{_DENSE}]+|[^\w\s]")

Range = tuple[int, int]


def tokenize(text: str) -> list[Range]:
    """Cut a text into tokens.

    Returns:
        Half-open ranges in text order.
    """
    found = [match.span() for match in _TOKEN.finditer(text)]
    if text.isascii():
        return found
    joined: list[Range] = []
    goes_on = False  # a mark belongs to the character before it, and a letter may follow a mark
    for start, end in found:
        mark = unicodedata.category(text[start])[0] == "M"
        adjacent = bool(joined) and joined[-1][1] == start
        if adjacent and (mark or (goes_on and text[start].isalnum() and not _ONE.match(text, start))):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
        first = joined[-1][0]
        goes_on = mark and text[first].isalnum() and not _ONE.match(text, first)
    return joined


def cut_at(tokens: Sequence[Range], spans: Iterable[Span]) -> list[Range]:
    """The tokens, cut wherever a mention begins or ends inside one."""
    borders = sorted({border for span in spans for border in (span.start, span.end)})
    if not borders:
        return list(tokens)
    cut: list[Range] = []
    at = 0
    for start, end in tokens:
        while at < len(borders) and borders[at] <= start:
            at += 1
        points = [start]
        while at < len(borders) and borders[at] < end:
            points.append(borders[at])
            at += 1
        cut.extend(pairwise([*points, end]))
    return cut


class TokenMap:
    """From offsets to tokens.

    Args:
        tokens: Half-open ranges in text order.
    """

    def __init__(self, tokens: Sequence[Range]) -> None:
        self._first = {start: number for number, (start, _) in enumerate(tokens)}
        self._last = {end: number for number, (_, end) in enumerate(tokens)}

    def find(self, span: Span) -> Range | None:
        """The first and last token (inclusive) of a mention; None where its borders are not theirs."""
        first, last = self._first.get(span.start), self._last.get(span.end)
        return None if first is None or last is None or last < first else (first, last)
