"""When two texts are so alike that one must not demonstrate the other.

Showing a model the text it is about to annotate, with its answer, would make
every evaluation wrong; showing it twice the same text wastes the prompt. Texts
count as the same if they are equal once case, width, blanks and punctuation are
ignored, if one long text lies within the other (overlapping passages), or if
their three-word shingles agree almost wholly (an edit or two).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from tools.annotation.chunks import word_chunks

SHINGLE_WORDS = 3
NEAR_JACCARD = 0.8
CONTAINED_CHARACTERS = 60
# Below this many shingles a Jaccard of 0.8 cannot tolerate even one edit.
_MIN_SHINGLES = 6


@dataclass(frozen=True, slots=True)
class Shape:
    """A text reduced to what is compared.

    Attributes:
        plain: Its words, folded and joined; the text itself if it has none.
        words: The distinct folded words.
        shingles: Hashes of all runs of three words; empty for short texts.
    """

    plain: str
    words: frozenset[str]
    shingles: frozenset[int]


def folded_words(text: str) -> list[str]:
    """The words of a text for comparison: compatibility-normalised, case-folded, no punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [piece for piece in word_chunks(folded) if any(char.isalnum() for char in piece)]


@lru_cache(maxsize=4096)
def shape(text: str) -> Shape:
    """The comparable form of a text (cached)."""
    words = folded_words(text)
    runs = range(len(words) - SHINGLE_WORDS + 1)
    shingles = frozenset(hash(tuple(words[i : i + SHINGLE_WORDS])) for i in runs)
    plain = " ".join(words) or "".join(text.split())
    return Shape(plain, frozenset(words), shingles if len(shingles) >= _MIN_SHINGLES else frozenset())


def same_text(a: str, b: str) -> bool:
    """Whether two texts are equal but for case, width, blanks and punctuation."""
    return shape(a).plain == shape(b).plain


def near_duplicate(a: str, b: str) -> bool:
    """Whether two texts are the same, nearly the same, or one long one lies in the other."""
    first, second = shape(a), shape(b)
    if first.plain == second.plain:
        return True
    short, long = sorted((first.plain, second.plain), key=len)
    if len(short) >= CONTAINED_CHARACTERS and short in long:
        return True
    if not first.shingles or not second.shingles:
        return False
    shared = len(first.shingles & second.shingles)
    return shared >= NEAR_JACCARD * (len(first.shingles) + len(second.shingles) - shared)


def overlap(a: str, b: str) -> float:
    """Share of common words, 0 to 1 (Dice): it breaks ties between equally similar texts."""
    first, second = shape(a).words, shape(b).words
    total = len(first) + len(second)
    return 2 * len(first & second) / total if total else 0.0
