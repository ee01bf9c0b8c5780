"""How much a pre-extracted span says about which demonstrations fit.

EL4NER weighs query spans by part of speech (names above nouns above pronouns,
the rest nothing; the unofficial code uses 4, 2, 1, 0). Quorum ships no tagger,
and one for every language would cost more than the step it serves, so this is
our reading of the same order from what the text itself shows:

- names: a word with a capital, inner capitals, or letters and digits mixed: 4;
  3 where a capital proves nothing because the word opens the sentence;
- scripts without case (Han, kana, Arabic, Thai ...) and texts all in capitals: 2 to 4
  by rarity, since shape says nothing there;
- other words, as nouns are: up to 2, by how rare they are in the pool;
- bare numbers 1, pronouns 0.5, other function words 0.

A span weighs as much as its heaviest word, so that a leading article does not
pull a name down. Rarity is an inverse document frequency over the pool, held in
a table of fixed size: it works in any language and makes common words light
that no list names.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tools.annotation import Span
from tools.annotation.chunks import word_chunks
from tools.demonstrations.duplicates import shape

BUCKETS = 1 << 16
NAME, OPENING_NAME, NUMBER, PRONOUN = 4.0, 3.0, 1.0, 0.5
_PRONOUN_LINE = (
    "i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours "
    "ourselves they them their theirs themselves who whom whose this that these those one ones someone anyone"
)
_FUNCTION_LINE = (
    "a an the and or but nor so yet if then than as at by for from in into of off on onto out over per to up upon via "
    "with within without about above across after against along among around before behind below between during "
    "is am are was were be been being do does did have has had will would can could shall should may might must "
    "not no all any both each every few more most other some such only own same too very just also which what when "
    "where why how there here s t d ll re ve"
)
_PRONOUNS = frozenset(_PRONOUN_LINE.split())
_FUNCTION = frozenset(_FUNCTION_LINE.split())
_SENTENCE_ENDS = frozenset(".!?\u2026\u3002\uff01\uff1f")


class WordStatistics:
    """In how many demonstrations a word occurs, in a hashed table of fixed size.

    Words share a bucket now and then; that only makes a rare word look a little
    more common. 256 KB however large the pool.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, dtype=np.int64)
        self.texts = 0

    @staticmethod
    def _bucket(word: str) -> int:
        return zlib.crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS

    def _buckets(self, text: str) -> list[int]:
        return list({self._bucket(word) for word in shape(text).words})

    def add(self, texts: Iterable[str], by: int = 1) -> None:
        """Count texts in, or out with ``by=-1``."""
        for text in texts:
            self.texts = max(0, self.texts + by)
            buckets = self._buckets(text)
            self._counts[buckets] = np.maximum(self._counts[buckets] + by, 0)

    def rarity(self, word: str) -> float:
        """0 for a word of every text, 1 for one never seen (inverse document frequency over its maximum)."""
        if not self.texts:
            return 1.0
        seen = min(int(self._counts[self._bucket(word)]), self.texts)
        return math.log((self.texts + 1) / (seen + 1)) / math.log(self.texts + 1)

    def save(self, path: Path) -> None:
        """Write the table to a file; the text count is its last element."""
        with path.open("wb") as stream:
            np.save(stream, np.append(self._counts, self.texts).astype(np.uint32), allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> WordStatistics:
        """Read a table.

        Raises:
            OSError: There is no such file.
            ValueError: It is not such a table.
        """
        stored = np.load(path, allow_pickle=False)
        if stored.shape != (BUCKETS + 1,):
            raise ValueError(f"{path.name} has the shape {stored.shape}")
        made = cls()
        made._counts = stored[:-1].astype(np.int64)
        made.texts = int(stored[-1])
        return made


def span_weight(text: str, span: Span, statistics: WordStatistics) -> float:
    """The weight w(s) of a query span, 0 (says nothing) to 4 (a name).

    Args:
        text: The text the span belongs to; its case and the words before the
            span decide what a capital means.
        span: The mention; its label is not used.
        statistics: Document frequencies of the pool.
    """
    cased = any(char.islower() for char in text)
    before = text[: span.start].rstrip()
    opens = not before or before[-1] in _SENTENCE_ENDS
    best = 0.0
    for piece in word_chunks(text[span.start : span.end]):
        if any(char.isalnum() for char in piece):
            best = max(best, _word_weight(piece, cased, opens, statistics))
            opens = False
    return best


def _word_weight(word: str, cased: bool, opens: bool, statistics: WordStatistics) -> float:
    folded = word.casefold()
    # "US" and "IT" in a text with lower case are names, "us" and "It" are not.
    shouted = cased and len(word) > 1 and word.isupper()
    if not shouted and folded in _PRONOUNS:
        return PRONOUN
    if not shouted and folded in _FUNCTION:
        return 0.0
    letters = [char for char in word if char.isalpha()]
    if not letters:
        return NUMBER
    if len(letters) < len(word) and any(char.isdigit() for char in word):
        return NAME
    has_case = any(char.lower() != char.upper() for char in letters)
    rarity = statistics.rarity(folded)
    if not has_case or not cased:
        return 2.0 + 2.0 * rarity
    if any(char.isupper() for char in letters):
        plain_title = letters[0].isupper() and not any(char.isupper() for char in letters[1:])
        return OPENING_NAME if opens and plain_title else NAME
    return 2.0 * rarity
