"""The approximate randomisation test: were the two runs exchangeable?

Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses"; for F1 in
Yeh 2000, "More accurate tests for the statistical significance of result
differences". A coin for every document, or cluster of them, decides whether the
two runs change places there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.metrics.intervals import Floats, Statistic, cluster_rows, ratio

_BLOCK = 4_000_000


def randomisation_p(
    a: NDArray[np.integer[Any]] | Floats,
    b: NDArray[np.integer[Any]] | Floats,
    *,
    rng: np.random.Generator,
    clusters: Sequence[str] | None = None,
    statistic: Statistic = "f1",
    rounds: int = 10_000,
) -> float:
    """The two-sided p-value of the difference between two runs on the same documents.

    Args:
        a: Shape (documents, 3): tp, fp, fn of each document, of the first run.
        b: The same of the second.
        rng: The source of the coins.
        clusters: The cluster of each document; its documents change places together.
        statistic: What is compared.
        rounds: How many throws of all coins.

    Returns:
        (1 + throws with at least the observed difference) / (1 + rounds).
    """
    first, second = cluster_rows(a, clusters), cluster_rows(b, clusters)
    observed = abs(float(ratio(second.sum(axis=0), statistic) - ratio(first.sum(axis=0), statistic)))
    change = second - first
    kinds, times = np.unique(change[change.any(axis=1)], axis=0, return_counts=True)
    if not len(kinds):
        return 1.0
    total_a, total_b = first.sum(axis=0), second.sum(axis=0)
    reached, step = 0, max(1, _BLOCK // len(kinds))
    for done in range(0, rounds, step):
        # Documents that differ alike are thrown together: how many of them change places is binomial.
        swapped = rng.binomial(times, 0.5, size=(min(step, rounds - done), len(times))) @ kinds
        differences = ratio(total_b - swapped, statistic) - ratio(total_a + swapped, statistic)
        # The observed order itself must count in spite of rounding.
        reached += int(np.count_nonzero(np.abs(differences) >= observed - 1e-12))
    return (1 + reached) / (1 + rounds)
