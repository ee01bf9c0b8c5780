"""Demonstrations with similar mentions: EL4NER's span-level similarity.

One approximate search over the vectors of all distinct gold mentions, for all
query spans of a batch at once, gives for each span its nearest mentions and so
the demonstrations that hold them. The most promising of these are then scored
exactly (``similarity``) from their stored vectors, read in one call. The pool
is never scanned.

For a span s that found its m nearest mentions, a demonstration it did not reach
can be no more similar to s than the m-th (the floor). So a demonstration's score
is at most ``sum w(s) * max(found, floor) / sum w(s)``: candidates are taken in
that order, and with m at the number of mentions the result is that of a scan.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tools.demonstrations.duplicates import overlap
from tools.demonstrations.model import Demonstration, Query, mention_texts
from tools.demonstrations.records import Hit
from tools.demonstrations.retrievers.base import DIGITS, Ranking, Retriever
from tools.demonstrations.retrievers.dense import SentenceRetriever
from tools.demonstrations.similarity import span_similarities
from tools.demonstrations.weights import WordStatistics, span_weight

# Among 5,000 made-up demonstrations 64 neighbours and 128 candidates find 0.96 of a scan's five best (and 0.995 of
# their scores), 64 of each 0.92, 128 and 512 0.98 at four times the cost.
_MIN_DEPTH = 64
_CANDIDATES = 2


@dataclass(frozen=True, slots=True)
class _Spans:
    """The spans of a query that weigh anything: their texts' numbers in the batch, and weights."""

    rows: tuple[int, ...]
    weights: tuple[float, ...]


def weighted_mentions(query: Query, statistics: WordStatistics) -> dict[str, float]:
    """The distinct mention texts of a query that weigh more than nothing; of equal texts the heaviest."""
    found: dict[str, float] = {}
    for span in query.spans:
        weight = span_weight(query.text, span, statistics)
        for text in mention_texts(query.text, (span,)):
            if weight > 0:
                found[text] = max(weight, found.get(text, 0.0))
    return found


class SpanRetriever(Retriever):
    """SpanSim over gold mentions; ties go to the demonstration with more words in common.

    A query without spans, or whose spans weigh nothing, gets similar sentences,
    and so does one whose neighbours are too few; ``Retrieved.by`` tells which.
    """

    name: ClassVar[str] = "span"

    def fallback(self) -> Retriever:
        """Similar sentences."""
        return SentenceRetriever(self.index)

    def first_depth(self, k: int) -> int:
        """Neighbours of each mention; twice as many candidates are scored, as their first order is only a bound."""
        return max(12 * k, _MIN_DEPTH)

    def rank(self, queries: Sequence[Query], depth: int, rng: random.Random) -> list[Ranking]:
        """By SpanSim, among the most promising demonstrations."""
        place: dict[str, int] = {}
        asked = []
        for query in queries:
            mentions = weighted_mentions(query, self.index.words)
            rows = tuple(place.setdefault(text, len(place)) for text in mentions)
            asked.append(_Spans(rows, tuple(mentions.values())))
        if not place:
            return [Ranking([], exhausted=True) for _ in queries]
        vectors = self.index.embedder.encode(list(place))
        neighbours = self.index.near_mentions(vectors, depth)
        everything = all(len(row) < depth for row in neighbours)
        candidates = [_promising(spans, neighbours, _CANDIDATES * depth) for spans in asked]
        pool = self.index.demonstrations({key for row in candidates for key in row})
        texts = dict.fromkeys(text for item in pool.values() for text in item.mentions)
        numbers = {text: i for i, text in enumerate(texts)}
        stored = self.index.mention_vectors(list(numbers))
        owned = {key: [numbers[text] for text in item.mentions] for key, item in pool.items()}
        rankings = []
        for query, spans, row in zip(queries, asked, candidates, strict=True):
            keys = [key for key in row if key in pool]
            ranked: list[tuple[str, float]] = []
            if keys:
                spread = vectors[list(spans.rows)], np.array(spans.weights)
                scores = span_similarities(*spread, stored, [owned[key] for key in keys])
                ranked = _ordered(query, keys, scores.tolist(), pool, depth)
            done = not spans.rows or (everything and len(row) <= depth)
            rankings.append(Ranking(ranked, exhausted=done))
        return rankings


def _ordered(
    query: Query, keys: Sequence[str], scores: Sequence[float], pool: Mapping[str, Demonstration], depth: int
) -> list[tuple[str, float]]:
    """The ``depth`` best; of equal scores the text with more common words first, then the lower key."""
    rounded = [round(score, DIGITS) for score in scores]
    # Words are compared only where they can matter: of hundreds of candidates few are shown.
    least = sorted(rounded, reverse=True)[min(depth, len(rounded)) - 1]
    near = [i for i, score in enumerate(rounded) if score >= least]
    alike = {i: overlap(query.text, pool[keys[i]].text) for i in near}
    near.sort(key=lambda i: (-rounded[i], -alike[i], keys[i]))
    return [(keys[i], scores[i]) for i in near[:depth]]


def _promising(spans: _Spans, neighbours: Sequence[Sequence[Hit]], limit: int) -> list[str]:
    """The ``limit`` demonstrations with the highest bound on their score."""
    gains: dict[str, float] = {}
    for row, weight in zip(spans.rows, spans.weights, strict=True):
        hits = neighbours[row]
        floor = hits[-1].similarity if hits else 0.0
        reached: set[str] = set()
        for hit in hits:
            for owner in hit.owners:
                if owner not in reached:
                    reached.add(owner)
                    gains[owner] = gains.get(owner, 0.0) + weight * (hit.similarity - floor)
    return sorted(gains, key=lambda key: (-round(gains[key], DIGITS), key))[:limit]
