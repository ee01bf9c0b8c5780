"""Demonstrations that share rare words with the query: BM25 over words.

The inverted index lives in memory, about 8 bytes for each distinct word of each
demonstration, and is made again when the demonstrations change; texts are not
kept. Scripts without spaces are indexed by characters and by pairs of them.
"""

from __future__ import annotations

import random
import threading
import unicodedata
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tools.annotation.chunks import word_chunks
from tools.demonstrations.index import DemonstrationIndex
from tools.demonstrations.model import Query
from tools.demonstrations.retrievers.base import DIGITS, Ranking, Retriever
from tools.demonstrations.retrievers.dense import SentenceRetriever


def words(text: str) -> list[str]:
    """The terms of a text: folded words, and pairs of neighbours that no blank parts (Han, kana, Thai ...)."""
    terms: list[str] = []
    last = ""
    for piece in word_chunks(unicodedata.normalize("NFKC", text).casefold()):
        if not any(char.isalnum() for char in piece):
            last = ""
            continue
        terms.append(piece)
        if last:
            terms.append(last + piece)
        last = piece
    return terms


class Bm25Retriever(Retriever):
    """BM25 with the usual parameters (Lucene's variant, k1 1.5, b 0.75).

    Queries that share no word with any demonstration get similar sentences.
    """

    name: ClassVar[str] = "bm25"

    def __init__(self, index: DemonstrationIndex) -> None:
        super().__init__(index)
        self._lock = threading.Lock()
        self._digest = ""
        self._vocabulary: dict[str, int] = {}
        self._model: Any = None
        self._keys: NDArray[np.bytes_] = np.zeros(0, dtype="S32")

    def fallback(self) -> Retriever:
        """Similar sentences."""
        return SentenceRetriever(self.index)

    def rank(self, queries: Sequence[Query], depth: int, rng: random.Random) -> list[Ranking]:
        """By BM25; demonstrations without a common word are not ranked at all."""
        with self._lock:
            if self._digest != self.index.digest:
                self._build()
            return [self._rank(query, depth) for query in queries]

    def _rank(self, query: Query, depth: int) -> Ranking:
        terms = [self._vocabulary[word] for word in words(query.text) if word in self._vocabulary]
        if not terms or self._model is None:
            return Ranking([], exhausted=True)
        scores = np.round(self._model.get_scores_from_ids(terms).astype(np.float64), DIGITS)
        rows = np.flatnonzero(scores > 0)
        more = len(rows) > depth
        if more:
            # All that tie with the last are sorted too: which of them come in must not be left to chance.
            rows = rows[scores[rows] >= np.partition(scores[rows], -depth)[-depth]]
        # Keys are sorted, so the row number orders ties as the key would.
        rows = rows[np.lexsort((rows, -scores[rows]))][:depth]
        return Ranking([(self._keys[row].decode(), float(scores[row])) for row in rows], exhausted=not more)

    def _build(self) -> None:
        import bm25s

        digest = self.index.digest
        vocabulary: dict[str, int] = {}
        corpus: list[list[int]] = []
        keys: list[str] = []
        for key, demonstration in self.index.items():
            keys.append(key)
            corpus.append([vocabulary.setdefault(word, len(vocabulary)) for word in words(demonstration.text)])
        model = None
        if vocabulary:
            model = bm25s.BM25()
            model.index((corpus, vocabulary), create_empty_token=False, show_progress=False)
        self._model, self._vocabulary, self._digest = model, vocabulary, digest
        self._keys = np.array(keys, dtype="S32")
