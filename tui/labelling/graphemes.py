"""Visible characters, words and sentences around an offset, without reading the whole text.

Every function looks at a window around the offset only, so that a step of the
cursor costs the same in a tweet and in a megabyte on one line. Characters are
Unicode's extended grapheme clusters (UAX 29), as the ``regex`` package finds them.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

import regex

from tools.annotation.sentences import sentence_spans

_CLUSTER = regex.compile(r"\X")
_OTHER = regex.compile(r"\p{GCB=Other}")
_LIMIT = 2048
_SLICE = 64
_AROUND = 8192
# Scripts written without spaces: every character is a step of its own.
_ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
_RUN = rf"(?:(?!{_ALONE})[\p{{L}}\p{{N}}_]\p{{M}}*)+"
_PIECE = regex.compile(rf"{_ALONE}|{_RUN}|(?:(?![\p{{L}}\p{{N}}_\s])\X)+")
# What a person means by the word under the cursor: joined by hyphens, apostrophes, dots and the like.
_WORD = regex.compile(rf"{_ALONE}|{_RUN}(?:[-\u2010\u2011.'\u2019&/+@]{_RUN})*")
_POSSESSIVE = regex.compile(r"['\u2019][sS]$")


@lru_cache(maxsize=16384)
def _other(char: str) -> bool:
    """Whether a character neither joins nor is joined: between two of them there is always a border."""
    return " " <= char <= "~" or _OTHER.match(char) is not None


def _safe(text: str, at: int) -> int:
    """A border of characters at or before an offset, from which clusters can be counted on."""
    here = at
    while here > 0 and at - here < _LIMIT:
        if _other(text[here - 1]) and _other(text[here]):
            return here
        here -= 1
    return here


def snap(text: str, at: int) -> int:
    """The start of the character that an offset lies in; the text's length at its end."""
    if at <= 0:
        return 0
    if at >= len(text):
        return len(text)
    if " " <= text[at - 1] <= "~" and " " <= text[at] <= "~":
        return at
    start = _safe(text, at)
    while (end := cluster_end(text, start)) <= at:
        start = end
    return start


def cluster_end(text: str, at: int) -> int:
    """The end of the character that begins at an offset; the text's length at its end."""
    if at >= len(text):
        return len(text)
    if at + 1 < len(text) and " " <= text[at] <= "~" and " " <= text[at + 1] <= "~":
        return at + 1
    # On a slice, because the pattern would look back to the beginning of a run of flags.
    size = _SLICE
    while True:
        found = _CLUSTER.match(text[at : at + size])
        end = at + (found.end() if found else 1)
        if end < at + size or end >= len(text) or size >= _LIMIT:
            return end
        size *= 4


def next_cluster(text: str, at: int) -> int:
    """The start of the next character; the text's length behind the last."""
    return cluster_end(text, snap(text, at))


def previous_cluster(text: str, at: int) -> int:
    """The start of the character before an offset; 0 at the beginning."""
    return snap(text, at - 1) if at > 0 else 0


def clusters(text: str, start: int, end: int) -> list[int]:
    """The starts of the characters between two borders."""
    return [start + found.start() for found in _CLUSTER.finditer(text[start:end])]


def next_word(text: str, at: int) -> int:
    """The start of the next word or run of signs; the text's length behind the last."""
    here = _piece_at(text, at)
    found = _PIECE.search(text, here[1] if here else at)
    return found.start() if found else len(text)


def previous_word(text: str, at: int) -> int:
    """The start of the word that the character before an offset belongs to, blanks skipped; 0 before the first."""
    at = previous_cluster(text, at)
    while at > 0 and text[at].isspace():
        at = previous_cluster(text, at)
    here = _piece_at(text, at)
    return here[0] if here else at


def word_end(text: str, at: int) -> int:
    """The start of the last character of the next word that ends behind an offset."""
    after = next_cluster(text, at)
    here = _piece_at(text, after)
    if here is None:
        found = _PIECE.search(text, after)
        if found is None:
            return len(text)
        here = found.span()
    return previous_cluster(text, here[1])


def _piece_at(text: str, at: int) -> tuple[int, int] | None:
    return _found_at(_PIECE, text, at)


def _found_at(pattern: regex.Pattern[str], text: str, at: int) -> tuple[int, int] | None:
    if at >= len(text) or text[at].isspace():
        return None
    start = at
    low = max(0, at - _LIMIT)
    while start > low and not text[start - 1].isspace():
        start -= 1
    for found in pattern.finditer(text, snap(text, start)):
        if found.start() > at:
            return None
        if found.end() > at:
            return found.span()
    return None


def word_at(text: str, at: int) -> tuple[int, int] | None:
    """What a person calls the word at an offset (``IL-2``, ``O'Brien``), or None on a blank or a sign.

    A possessive ending is left out, unless the cursor stands on it.
    """
    found = _found_at(_WORD, text, at)
    if found is None:
        return _piece_at(text, at)
    start, end = found
    ending = _POSSESSIVE.search(text, start, end)
    if ending and ending.start() > start:
        return (ending.start(), end) if at >= ending.start() else (start, ending.start())
    return found


def sentences(text: str, at: int) -> tuple[int, int, list[tuple[int, int]]]:
    """The sentences around an offset, from a window of the text: its start and end, and their borders."""
    low, high = max(0, at - _AROUND), min(len(text), at + _AROUND)
    if low:
        line = text.rfind("\n", low, at)
        low = snap(text, line + 1 if line >= 0 else low)
    return low, high, [(start + low, end + low) for start, end in sentence_spans(text[low:high])]


def next_sentence(text: str, at: int) -> int:
    """The start of the next sentence; the text's length behind the last."""
    _, high, spans = sentences(text, at)
    starts = [start for start, _ in spans]
    place = bisect_right(starts, at)
    return starts[place] if place < len(starts) else high


def previous_sentence(text: str, at: int) -> int:
    """The start of the sentence, or of the one before where the offset stands at a start already."""
    low, _, spans = sentences(text, max(0, at - 1))
    starts = [start for start, _ in spans if start < at]
    return starts[-1] if starts else low


def words_between(text: str, start: int, end: int) -> list[int]:
    """Where words begin between two offsets that are borders of words; reads nothing else."""
    return [start + match.start() for match in _WORD.finditer(text[start:end])]
