"""The same demonstrations for every passage, chosen once to stand for all the gold.

What stands before the passage is then the same text in every prompt, and an
engine with a prefix cache reads it once: only the passage itself is new.
Similar demonstrations teach a model more about a passage; these cost nothing.

The choice is a greedy maximum of two submodular rewards, coverage and
representativeness (Lin and Bilmes, "A Class of Submodular Functions for
Document Summarization", ACL 2011, sections 4.1 and 4.2): each type counts as it
is shown, the first mention most, and each demonstration counts by how near it
brings all others to one that is shown. Chance has no part in it.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tools.demonstrations.embedder import Vectors
from tools.demonstrations.index import DemonstrationIndex
from tools.demonstrations.model import Demonstration, Query
from tools.demonstrations.retrievers.base import DIGITS, Ranking, Retriever

# Compared with one another, so the square of it is held in memory: 4 MB.
_POOL = 1000
# Of a type that the pool has fewer of, so many more are taken in.
_RARE = 4
# Below this many, none is left out for its length.
_ENOUGH = 20


@dataclass(frozen=True, slots=True)
class _Short:
    """What is kept of a demonstration while one chooses: its length, and distinct mentions by type."""

    length: int
    types: Mapping[str, int]


class FixedRetriever(Retriever):
    """The same for all, whatever is asked; who may not be shown one of them is shown the next instead."""

    name: ClassVar[str] = "fixed"

    def __init__(self, index: DemonstrationIndex) -> None:
        super().__init__(index)
        self._lock = threading.Lock()
        self._digest = ""
        self._depth = self._total = 0
        self._order: list[tuple[str, float]] = []

    def rank(self, queries: Sequence[Query], depth: int, rng: random.Random) -> list[Ranking]:
        """One order for all queries; a score is what a demonstration added to those before it."""
        with self._lock:
            if self._digest != self.index.digest or depth > self._depth:
                self._order = self._choice(depth)
                self._digest, self._depth = self.index.digest, depth
            ranking = Ranking(self._order[:depth], depth >= self._total)
        return [ranking for _ in queries]

    def _choice(self, depth: int) -> list[tuple[str, float]]:
        known = {key: _short(item) for key, item in self.index.items()}
        self._total = len(known)
        keys = pool_of(known)
        vectors = self.index.sentence_vectors(keys)
        chosen = {keys[at]: gain for at, gain in greedy([known[key].types for key in keys], vectors, depth)}
        # Behind them all others, for a passage whose own document is most of the gold.
        others = sorted(known.keys() - chosen.keys()) if len(chosen) < depth else []
        return [*chosen.items(), *((key, 0.0) for key in others)]


def _short(item: Demonstration) -> _Short:
    pairs = {(span.label, span.text_in(item.text)) for span in item.spans}
    return _Short(len(item.text), Counter(label for label, _ in pairs))


def pool_of(known: Mapping[str, _Short]) -> list[str]:
    """The keys to choose from: of ordinary length, evenly over all, rare types among them.

    The longest quarter is left out (it would win by its many mentions and cost
    every prompt), and the shortest (headings, scores of a table). Where a type
    has none left then, the nearest in length come back.
    """
    keys = sorted(known)
    if len(keys) <= _ENOUGH:
        return keys
    lengths = np.array([known[key].length for key in keys])
    low, middle, high = np.quantile(lengths, (0.25, 0.5, 0.75))
    usual = [key for key, length in zip(keys, lengths, strict=True) if low <= length <= high]
    # Keys are hashes, so that every n-th of them is as good as drawn.
    pool = dict.fromkeys(usual[:: -(-len(usual) // _POOL)])
    for label in sorted({label for one in known.values() for label in one.types}):
        having = sorted((key for key in keys if label in known[key].types), key=lambda k: abs(known[k].length - middle))
        there = sum(key in pool for key in having)
        pool.update(dict.fromkeys([key for key in having if key not in pool][: max(0, _RARE - there)]))
    return sorted(pool)


def greedy(types: Sequence[Mapping[str, int]], vectors: Vectors, count: int) -> list[tuple[int, float]]:
    """Choose so that types are covered and all others are near.

    The reward of a set is the mean over types of ``1 - 2**-n`` for ``n`` mentions
    shown, plus the mean over all of the largest cosine (at least 0) to one that
    is in the set.

    Args:
        types: Of each demonstration, how many distinct mentions a type has.
        vectors: Their unit vectors, shape (demonstrations, dimensions).
        count: How many to choose; a larger one begins with the choice of a smaller.

    Returns:
        Positions and what each added, in the order chosen; of equals the first.
    """
    names = {label: at for at, label in enumerate(sorted({label for one in types for label in one}))}
    mentions = np.zeros((len(types), max(1, len(names))))
    for row, one in enumerate(types):
        for label, number in one.items():
            mentions[row, names[label]] = number
    near = np.maximum(0.0, vectors @ vectors.T)
    shown, best = np.zeros(mentions.shape[1]), np.zeros(len(types))
    left = np.ones(len(types), dtype=bool)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(count, len(types))):
        covered = (2.0**-shown * (1.0 - 2.0**-mentions)).mean(axis=1)
        brought = np.maximum(0.0, near - best).mean(axis=1)
        gains = np.where(left, np.round(covered + brought, DIGITS), -1.0)
        at = int(gains.argmax())
        chosen.append((at, float(gains[at])))
        left[at] = False
        shown += mentions[at]
        best = np.maximum(best, near[at])
    return chosen
