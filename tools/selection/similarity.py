"""ALLabel's second stage: ``sum_rank``, how near an item is to the unlabelled pool as a whole (arXiv 2509.07512).

The paper's formula is not in what could be read of it; three readings are options:

- ``ranks`` (default): every unlabelled item q ranks all others by U(q, c); the mean of an item's ranks, lowest first;
- ``reciprocal``: the mean of 1 / rank, highest first: being first for some counts more than the middle for all;
- ``similarity``: the mean of U(q, c) itself, highest first.

Equal similarities share the better rank. An item does not rank itself. In a large pool a random sample of the
items ranks (``rank_queries``): means stay unbiased.
"""

from __future__ import annotations

import numpy as np

from tools.selection.protocol import Floats, Rows
from tools.selection.task import Choice, Task, best_first
from tools.selection.words import typical

NAME = "similarity"
_CELLS = 64_000_000
_BLOCK = 65_536


def choose(task: Task, wanted: int) -> list[Choice]:
    """The items most similar to the pool as a whole; with costs, a second."""
    rows = task.remaining()
    if not len(rows) or wanted <= 0:
        return []
    reading = task.options.rank_reading
    return best_first(task, rows, central(task, rows), wanted, NAME, lambda value: typical(reading, value))


def central(task: Task, rows: Rows) -> Floats:
    """How central each row is among ``rows``, by the reading asked for; higher is more, 0 or more.

    For ``ranks`` that is 1 - (mean rank - 1) / (number of others).
    """
    reading = task.options.rank_reading
    count = len(rows)
    if count == 1:
        return np.ones(1, dtype=np.float64)
    similarity = task.similarity
    asked = np.arange(count)
    if count > task.options.rank_queries:
        asked = np.sort(task.rng.choice(count, task.options.rank_queries, replace=False))
        task.notes.append(f"sum_rank: {len(asked):,} of {count:,} items, drawn at random, ranked the others")
    total: Floats = np.zeros(count, dtype=np.float64)
    side = similarity.side(rows) if count <= _BLOCK else None
    step = max(1, min(64, _CELLS // count))
    for begin in range(0, len(asked), step):
        queries = asked[begin : begin + step]
        scores = np.empty((len(queries), count), dtype=np.float64 if similarity.name == "bm25" else np.float32)
        if side is not None:
            scores[:] = similarity.product(rows[queries], side)
        else:
            for at in range(0, count, _BLOCK):
                scores[:, at : at + _BLOCK] = similarity.between(rows[queries], rows[at : at + _BLOCK])
        for query, line in zip(queries.tolist(), scores, strict=True):
            _add(total, line, query, reading)
        task.tell("ranking", begin + len(queries), len(asked))
    terms = np.full(count, float(len(asked)))
    terms[asked] -= 1
    mean: Floats = total / np.maximum(terms, 1)
    # The only query there is has no rank of its own; it takes the middle.
    mean[terms == 0] = np.median(mean[terms > 0])
    if reading == "ranks":
        return np.asarray(1.0 - (mean - 1.0) / (count - 1), dtype=np.float64)
    return np.maximum(0.0, mean) if reading == "reciprocal" else np.maximum(0.0, mean / similarity.unit)


def _add(total: Floats, line: np.ndarray, query: int, reading: str) -> None:
    """One query's contribution to every item's sum."""
    if reading == "similarity":
        own = total[query]
        total += line
        total[query] = own
        return
    line[query] = -np.inf  # itself comes last, and is not counted
    order = np.argsort(-line)
    ordered = line[order]
    rank = np.arange(1, len(line) + 1, dtype=np.int64)
    # Equal similarities: the rank of the first of them. Which of them stands first does not matter then.
    rank[1:][ordered[1:] == ordered[:-1]] = 0
    np.maximum.accumulate(rank, out=rank)
    own = total[query]
    total[order] += rank if reading == "ranks" else 1.0 / rank
    total[query] = own
