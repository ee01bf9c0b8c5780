"""What a reader takes for one character: borders that no cut may ignore.

A coarse form of Unicode's extended grapheme clusters (UAX 29): whatever that
rule keeps together stays together here; a few more pairs do as well, which is
harmless, because the borders only say where a text may be cut.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_ZWJ = "\u200d"
_GLUE = frozenset("\u200c\u200d\ufe0e\ufe0f\u20e3\u0e33\u0eb3\uff9e\uff9f") | frozenset(
    map(chr, range(0x1F3FB, 0x1F400))
)
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"


@lru_cache(maxsize=8192)
def extends(char: str) -> bool:
    """Whether a character belongs to the one before it: marks, joiners, selectors, tags, Hangul vowels and finals."""
    point = ord(char)
    return (
        char in _GLUE
        or unicodedata.category(char) in ("Mn", "Mc", "Me")
        or 0x1160 <= point <= 0x11FF
        or 0xD7B0 <= point <= 0xD7FF
        or 0xE0020 <= point <= 0xE007F
    )


@lru_cache(maxsize=8192)
def _holds(char: str) -> bool:
    """Whether a character keeps the next one with it: joiners, viramas, leading Hangul, prepended signs."""
    point = ord(char)
    return (
        char in (_ZWJ, "\r")
        or unicodedata.combining(char) == 9
        or (unicodedata.bidirectional(char) == "AN" and unicodedata.category(char) == "Cf")
        or 0x1100 <= point <= 0x115F
        or 0xA960 <= point <= 0xA97F
        or point in (0x070F, 0x08E2, 0x0D4E, 0x110BD, 0x110CD)
        or 0x111C2 <= point <= 0x111C3
        or 0x1193F <= point <= 0x11941
        or 0x11A3A <= point <= 0x11A89
        or point == 0x11D46
        or point == 0x11F02
        or point == 0x113D1
    )


def _plain(char: str) -> bool:
    return not (extends(char) or _holds(char) or _FIRST_FLAG <= char <= _LAST_FLAG)


def one_by_one(text: str) -> bool:
    """Whether every code point of a text is a visible character of its own."""
    return all(map(_plain, set(text)))


def cluster_borders(text: str, start: int = 0, end: int | None = None) -> list[int]:
    """The offsets after ``start`` at which a text may be cut without tearing a character.

    Args:
        text: Any string.
        start: Where to begin; itself a border.
        end: Where to stop; the text's end when left out.

    Returns:
        Ascending offsets; the last one is ``end``. Empty for an empty range.
    """
    stop = len(text) if end is None else end
    if one_by_one(text[start:stop]):
        return list(range(start + 1, stop + 1))
    found: list[int] = []
    flags = 0
    for at in range(start + 1, stop):
        before, char = text[at - 1], text[at]
        flags = flags + 1 if _FIRST_FLAG <= before <= _LAST_FLAG else 0
        paired = flags % 2 == 1 and _FIRST_FLAG <= char <= _LAST_FLAG
        if not paired and not extends(char) and not _holds(before):
            found.append(at)
    if stop > start:
        found.append(stop)
    return found
