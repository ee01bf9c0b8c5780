"""From what a model wrote to where it stands: offsets are found here, never asked for.

An exact occurrence at word borders always wins. Only where there is none is
the same text looked for under other spellings that mean the same characters:
blanks, Unicode forms, quotes and dashes, and last upper and lower case. What is
found is always a slice of the passage as it stands; nothing is guessed.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tools.annotation.chunks import borders
from tools.annotation.clusters import cluster_borders
from tools.annotation.span import Span

_QUOTES = dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2039\u203a\u02bc\u02b9\u2032`\u00b4\u05f3"), "'")
_DOUBLE = dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u301d\u301e\u301f\u05f4"), '"')
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d\u05be"), "-")
# Invisible, and often lost when a text is copied: soft hyphen, zero-width space, word joiner, byte-order mark.
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"), "")
_SAME = {**_QUOTES, **_DOUBLE, **_DASHES, **_UNSEEN}


@dataclass(frozen=True, slots=True)
class Grounded:
    """Where mentions stand in a passage.

    Attributes:
        spans: Every place of every mention, each once, in text order, without
            label; offsets of the passage.
        ungrounded: The mentions that stand nowhere, as written, each once.
        repaired: Whether a mention was only found under another spelling.
    """

    spans: tuple[Span, ...] = ()
    ungrounded: tuple[str, ...] = ()
    repaired: bool = False


def ground(shown: str, mentions: Sequence[str]) -> Grounded:
    """Find mentions in a passage.

    Args:
        shown: The passage as the model saw it (``Passage.shown``).
        mentions: What the model wrote; repeated and blank ones change nothing.

    Returns:
        All occurrences at word borders.
    """
    found: set[Span] = set()
    ungrounded: list[str] = []
    repaired = False
    for mention in dict.fromkeys(mentions):
        if not mention or mention.isspace():
            continue
        spans, otherwise = locate(shown, mention)
        found.update(spans)
        repaired |= otherwise
        if not spans:
            ungrounded.append(mention)
    return Grounded(tuple(sorted(found)), tuple(ungrounded), repaired)


def locate(shown: str, mention: str) -> tuple[tuple[Span, ...], bool]:
    """Every place of one mention, and whether it took another spelling to find it.

    Args:
        shown: The passage as the model saw it.
        mention: What the model wrote.

    Returns:
        Spans in text order (overlapping ones too), and whether they differ
        from the mention by more than nothing.
    """
    bare = mention.strip()
    if not bare:
        return (), False
    at_borders = _borders(shown)
    spans = tuple(Span(*place) for place in _places(shown, bare) if at_borders.issuperset(place))
    if spans:
        return spans, bare != mention
    for fold in (False, True):
        wanted = _spelling(mention, fold=fold).text.strip(" ")
        spans = _respelled(shown, wanted, at_borders, fold=fold) if wanted else ()
        if spans:
            return spans, True
    return (), False


def snap(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A range without the blanks at its ends.

    Args:
        text: Any string.
        start: Offset of the first code point.
        end: Offset after the last; what reaches beyond the text is cut off.

    Returns:
        The stripped offsets, or None when nothing but blanks is left.
    """
    start, end = max(0, start), min(end, len(text))
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


@lru_cache(maxsize=1024)
def _borders(shown: str) -> frozenset[int]:
    # Several members ask about the same passage; its borders cost more than the search.
    return borders(shown)


def _places(text: str, wanted: str) -> Iterable[tuple[int, int]]:
    at = text.find(wanted)
    while at >= 0:
        yield at, at + len(wanted)
        at = text.find(wanted, at + 1)


@dataclass(frozen=True, slots=True)
class _Spelling:
    """A text in the one spelling in which comparisons are made, with the way back.

    Attributes:
        text: The normalised text.
        offsets: Where in ``text`` each visible character's spelling begins, ascending.
        starts: Where each of these characters begins in the original.
        ends: And where it ends.
    """

    text: str
    offsets: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@lru_cache(maxsize=256)
def _spelling(text: str, *, fold: bool) -> _Spelling:
    """Normalise visible character by visible character, so that every one can be traced back."""
    parts: list[str] = []
    offsets: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    start = size = 0
    for end in cluster_borders(text):
        part = _normal(text[start:end], fold=fold)
        # A run of blanks counts as one.
        if part and not (part == " " and parts and parts[-1] == " "):
            parts.append(part)
            offsets.append(size)
            starts.append(start)
            ends.append(end)
            size += len(part)
        start = end
    return _Spelling("".join(parts), tuple(offsets), tuple(starts), tuple(ends))


@lru_cache(maxsize=16384)
def _normal(character: str, *, fold: bool) -> str:
    if character.isspace():
        return " "
    same = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).translate(_SAME))
    if fold:
        same = unicodedata.normalize("NFKC", same.casefold())
    # Compatibility forms can bring blanks of their own, as in a spaced accent.
    return "".join(" " if char.isspace() else char for char in same)


def _respelled(shown: str, wanted: str, at_borders: frozenset[int], *, fold: bool) -> tuple[Span, ...]:
    spelling = _spelling(shown, fold=fold)
    spans = []
    for start, end in _places(spelling.text, wanted):
        first = bisect_left(spelling.offsets, start)
        last = bisect_left(spelling.offsets, end) - 1
        whole = spelling.offsets[first] == start if first < len(spelling.offsets) else False
        ends_whole = (spelling.offsets[last + 1] if last + 1 < len(spelling.offsets) else len(spelling.text)) == end
        if whole and ends_whole and at_borders.issuperset((spelling.starts[first], spelling.ends[last])):
            spans.append(Span(spelling.starts[first], spelling.ends[last]))
    return tuple(spans)
