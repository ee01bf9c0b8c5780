"""Demonstrations drawn at random: the baseline that every other retriever must beat."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from tools.demonstrations.model import Query
from tools.demonstrations.retrievers.base import Ranking, Retriever


class RandomRetriever(Retriever):
    """Draws without replacement, anew for each query; the same generator state gives the same draw."""

    name: ClassVar[str] = "random"

    def rank(self, queries: Sequence[Query], depth: int, rng: random.Random) -> list[Ranking]:
        """A random order, ``depth`` long."""
        keys = self.index.keys()
        size = min(depth, len(keys))
        draws = [rng.sample(range(len(keys)), size) for _ in queries]
        return [Ranking([(keys[i].decode(), 0.0) for i in row], size == len(keys)) for row in draws]
