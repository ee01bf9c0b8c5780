"""What all retrievers share: who may be shown what, how many, and in which order.

A retriever ranks; this module asks it for a little more than is wanted, leaves
out what must not be shown, and asks again, deeper, only for the queries that
then have too few. So a batch normally costs one query.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tools.demonstrations.duplicates import near_duplicate
from tools.demonstrations.index import DemonstrationIndex
from tools.demonstrations.model import Demonstration, Query, Retrieved, may_demonstrate

# Embeddings of one text differ in the last bits with the batch it stood in;
# scores that agree to here are ties and are ordered by key.
DIGITS = 5
_DEEPER = 8


@dataclass(frozen=True, slots=True)
class Ranking:
    """Keys and scores for one query, best first.

    Attributes:
        ranked: Pairs of key and score.
        exhausted: Whether asking deeper could bring no more.
    """

    ranked: Sequence[tuple[str, float]]
    exhausted: bool


def eligible(query: Query, demonstration: Demonstration) -> bool:
    """Whether a demonstration may be shown for a query.

    Never one of an evaluation split, of the query's own document under
    whatever id, or with nearly the query's own text.
    """
    return not (
        not may_demonstrate(demonstration.split)
        or demonstration.document_id == query.document_id
        or (query.document_hash and demonstration.document_hash == query.document_hash)
        or near_duplicate(demonstration.text, query.text)
    )


class Retriever(ABC):
    """Chooses demonstrations for passages.

    Args:
        index: Where they are.
    """

    name: ClassVar[str]

    def __init__(self, index: DemonstrationIndex) -> None:
        self.index = index

    @abstractmethod
    def rank(self, queries: Sequence[Query], depth: int, rng: random.Random) -> list[Ranking]:
        """Rank at least ``depth`` demonstrations for each query, where there are so many.

        Ranks whatever resembles the query: eligibility is not its business.
        """

    def fallback(self) -> Retriever | None:
        """Who fills up when this retriever has nothing (more) to go by."""
        return None

    def first_depth(self, k: int) -> int:
        """How deep to rank at first for k results."""
        return max(4 * k, k + 16)

    def retrieve(self, queries: Sequence[Query], k: int, *, rng: random.Random) -> list[list[Retrieved]]:
        """The k best demonstrations for each query, best first.

        Args:
            queries: A whole batch; one call of the index serves all.
            k: How many at most; fewer where fewer are eligible.
            rng: The source of chance; only ``random`` draws from it.

        Returns:
            A list a query. No demonstration is of an evaluation split, of the
            query's document or text, or nearly the same as another in its list.

        Raises:
            DemonstrationIndexError: The index cannot be read.
        """
        results: list[list[Retrieved]] = [[] for _ in queries]
        if k < 1 or not self.index.count():
            return results
        waiting, depth = list(range(len(queries))), self.first_depth(k)
        while waiting:
            rankings = self.rank([queries[i] for i in waiting], depth, rng)
            # What fills k is mostly among the first: reading all would be for the few.
            near = self.index.demonstrations({key for row in rankings for key, _ in row.ranked[: k + 3]})
            starved = []
            for i, row in zip(waiting, rankings, strict=True):
                results[i] = self._choose(queries[i], row.ranked, near, k)
                if len(results[i]) < k and not row.exhausted:
                    starved.append(i)
            waiting, depth = starved, depth * _DEEPER
        self._fill(queries, results, k, rng)
        return results

    def _choose(
        self, query: Query, ranked: Sequence[tuple[str, float]], near: dict[str, Demonstration], k: int
    ) -> list[Retrieved]:
        chosen: list[Retrieved] = []
        for at, (key, score) in enumerate(ranked):
            if len(chosen) == k:
                break
            if key not in near:
                near.update(self.index.demonstrations(key for key, _ in ranked[at : at + 4 * k]))
            demonstration = near.get(key)
            if (
                demonstration is not None
                and eligible(query, demonstration)
                and not any(near_duplicate(demonstration.text, other.demonstration.text) for other in chosen)
            ):
                chosen.append(Retrieved(demonstration, score, self.name))
        return chosen

    def _fill(self, queries: Sequence[Query], results: list[list[Retrieved]], k: int, rng: random.Random) -> None:
        other = self.fallback()
        short = [i for i, row in enumerate(results) if len(row) < k]
        if other is None or not short:
            return
        # Up to k of the others may be there already, under either name.
        for i, more in zip(short, other.retrieve([queries[i] for i in short], 2 * k, rng=rng), strict=True):
            for item in more:
                if len(results[i]) == k:
                    break
                texts = (known.demonstration.text for known in results[i])
                if not any(near_duplicate(item.demonstration.text, text) for text in texts):
                    results[i].append(item)
