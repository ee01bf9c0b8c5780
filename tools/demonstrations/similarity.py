"""EL4NER's span-level sentence similarity (arXiv 2505.23038, stage 1), exactly.

``SpanSim(Q, C) = sum_s w(s) * max_c cos(s, c) / sum_s w(s)`` over the spans s of
the query and the gold spans c of a candidate. It is asymmetric: each query span
looks for its best match, and what else the candidate holds does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def span_similarities(
    query: NDArray[np.float32],
    weights: NDArray[np.float64],
    vectors: NDArray[np.float32],
    candidates: Sequence[Sequence[int]],
) -> NDArray[np.float64]:
    """SpanSim of one query with each of several candidates.

    Args:
        query: Unit vectors of the query's spans, shape (spans, dimensions), at least one.
        weights: Their weights, shape (spans,); the sum must be positive.
        vectors: Unit vectors of the candidates' spans, shape (n, dimensions).
        candidates: For each candidate the rows of ``vectors`` that are its spans.

    Returns:
        One similarity a candidate, -1 to 1; minus infinity for a candidate without spans.
    """
    scores = np.full(len(candidates), -np.inf)
    filled = [i for i, rows in enumerate(candidates) if len(rows)]
    if not filled:
        return scores
    rows = np.concatenate([np.asarray(candidates[i], dtype=np.intp) for i in filled])
    starts = np.cumsum([0, *(len(candidates[i]) for i in filled[:-1])])
    best = np.maximum.reduceat(query @ vectors[rows].T, starts, axis=1)
    scores[filled] = (weights / weights.sum()) @ best
    return scores
