"""Cutting a text into the smallest pieces at which a mention may begin or end.

The decoding grammar admits only runs of these pieces, and grounding looks for
mentions only at their borders, so both agree on what a word is. Scripts written
without spaces (Han, kana, Thai, Lao, Khmer, Burmese) are cut into characters,
and so is Hangul, where particles follow a name without a space. What a reader
takes for one character (UAX 29) stays whole: a letter with its marks, a flag of
two letters, a syllable in separate Hangul letters, a family of joined emoji.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tools.annotation.clusters import cluster_borders, one_by_one

_ASCII = re.compile(r"[A-Za-z0-9_]+| +|\r\n|[^A-Za-z0-9_ ]")
_GLUE = frozenset("\u200d\ufe0e\ufe0f\u20e3") | frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_ZWJ = "\u200d"
# First and last code point of blocks whose characters stand alone.
_ALONE = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007),
    (0x3040, 0x30FF), (0x3100, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x3FFFF),
)  # fmt: skip


@lru_cache(maxsize=8192)
def _kind(char: str) -> str:
    """w: part of a word, s: blank, g: glued to what stands before, x: stands alone."""
    if char in _GLUE or unicodedata.category(char) in ("Mn", "Mc", "Me"):
        return "g"
    if char.isspace():
        return "s"
    point = ord(char)
    if any(first <= point <= last for first, last in _ALONE):
        return "x"
    return "w" if char.isalnum() or char == "_" else "x"


def word_chunks(text: str) -> list[str]:
    """Cut a text into words, runs of blanks, and single other characters.

    Args:
        text: Any string.

    Returns:
        Non-empty pieces in order; joined they are the text.
    """
    if text.isascii():
        return _ASCII.findall(text)
    cuts: list[int] = []
    last = ""
    for at, char in enumerate(text):
        kind = _kind(char)
        joined = kind == "x" and at > 0 and text[at - 1] == _ZWJ
        if not (cuts and ((kind == "g" and last != "s") or joined or (kind == last and kind in "ws"))):
            cuts.append(at)
            last = "x" if kind == "g" else kind
    if not one_by_one(text):
        whole = {0, *cluster_borders(text)}
        cuts = [at for at in cuts if at in whole]
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def borders(text: str) -> frozenset[int]:
    """The offsets at which a mention may begin or end: the borders of all non-blank pieces."""
    at, found = 0, set()
    for piece in word_chunks(text):
        if not piece.isspace():
            found.add(at)
            found.add(at + len(piece))
        at += len(piece)
    return frozenset(found)
