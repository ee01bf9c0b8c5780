"""Demonstrations whose whole text is similar: cosine of sentence embeddings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from tools.demonstrations.model import Query
from tools.demonstrations.retrievers.base import DIGITS, Ranking, Retriever


class SentenceRetriever(Retriever):
    """Nearest neighbours of the query's text, one approximate search for the batch."""

    name: ClassVar[str] = "sentence"

    def rank(self, queries: Sequence[Query], depth: int, rng: random.Random) -> list[Ranking]:
        """By cosine."""
        vectors = self.index.embedder.encode([query.text for query in queries])
        found = self.index.near_sentences(vectors, depth)
        rows = [sorted(((hit.key, hit.similarity) for hit in row), key=_order) for row in found]
        return [Ranking(row, len(row) < depth) for row in rows]


def _order(item: tuple[str, float]) -> tuple[float, str]:
    return -round(item[1], DIGITS), item[0]
