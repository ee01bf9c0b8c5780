"""Several seeds: how much of a figure's uncertainty is the choice of documents, how much is luck of the seed?

All seeds see the same documents, so the data are a table of documents by seeds
with one number in each cell: the linearised contribution of that document to
that seed's F1 (the ratio's first-order expansion, as in survey sampling:
Woodruff 1971). The classical two-way random-effects analysis of variance
without replication (Searle, Casella and McCulloch 1992, chapter 4) splits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from evals.statistics.comparison import Counts, Verdict, verdict_of
from tools.metrics.intervals import Floats, Interval, Statistic, cluster_rows, ratio


@dataclass(frozen=True, slots=True)
class SeedSplit:
    """A figure over several seeds on the same documents.

    Attributes:
        mean: The mean of the seeds' figures, with an interval for the mean over
            all documents and all seeds that might have been drawn.
        seeds: The figure of each seed, in order.
        by_documents: Standard error of the mean that the choice of documents makes.
        by_seeds: The one that the luck of the seeds makes.
        by_both: The one of what seed and document make together (a seed that
            happens to be good at some documents), and of all else.
        units: How many documents or clusters there are.
    """

    mean: Interval
    seeds: tuple[float, ...]
    by_documents: float
    by_seeds: float
    by_both: float
    units: int

    @property
    def deviation(self) -> float:
        """Standard deviation of one seed's figure, were the documents the whole world."""
        return self.by_seeds * sqrt(len(self.seeds))


@dataclass(frozen=True, slots=True)
class SeededComparison:
    """The second of two settings against the first, several seeds each, on the same documents.

    Attributes:
        a: The mean figure of the first.
        b: The mean figure of the second.
        difference: b - a, with its interval over documents and seeds.
        verdict: As of ``Comparison``.
        by_documents: Standard error of the difference that the choice of documents makes.
        by_seeds: The one that the luck of the seeds makes.
    """

    a: float
    b: float
    difference: Interval
    verdict: Verdict
    by_documents: float
    by_seeds: float


def split_seeds(
    runs: Sequence[Counts],
    *,
    clusters: Sequence[str] | None = None,
    statistic: Statistic = "f1",
    level: float = 0.95,
) -> SeedSplit:
    """Split a figure's uncertainty between documents and seeds.

    Args:
        runs: Shape (documents, 3) a seed, documents in the same order.
        clusters: The cluster of each document.
        statistic: f1, precision or recall.
        level: Of the interval.

    Returns:
        The split; with one seed nothing is known of the seeds, and their parts are nan.

    Raises:
        ValueError: No run, runs of different shapes, or fewer than two units.
    """
    figures, table = _table(runs, clusters, statistic)
    units, seeds = table.shape
    documents, luck, rest = _components(table)
    # Components of the mean's variance; nan where one seed cannot say.
    variance = documents / units + (0.0 if seeds == 1 else luck / seeds + rest / (units * seeds))
    freedom = _freedom([(documents / units, units - 1), (luck / seeds if seeds > 1 else 0.0, seeds - 1)])
    return SeedSplit(
        mean=_interval(float(figures.mean()), variance, freedom, level, (0.0, 1.0)),
        seeds=tuple(map(float, figures)),
        by_documents=sqrt(documents / units),
        by_seeds=sqrt(luck / seeds) if seeds > 1 else nan,
        by_both=sqrt(rest / (units * seeds)) if seeds > 1 else nan,
        units=units,
    )


def compare_seeds(
    a: Sequence[Counts],
    b: Sequence[Counts],
    *,
    clusters: Sequence[str] | None = None,
    statistic: Statistic = "f1",
    alpha: float = 0.05,
) -> SeededComparison:
    """Compare two settings of several seeds each.

    Seeds are independent between the two (the same number is not the same
    luck); documents are shared, and what makes them hard for both cancels out.
    A setting with one seed cannot say how lucky it was: its luck is taken to be
    that of one seed of the other.

    Args:
        a: Shape (documents, 3) a seed, of the first setting.
        b: The same of the second; the number of seeds may differ.
        clusters: The cluster of each document.
        statistic: f1, precision or recall.
        alpha: How often a difference may be claimed where there is none.

    Raises:
        ValueError: Fewer than two seeds on both sides or two units, or other shapes.
    """
    if not a or not b or max(len(a), len(b)) < 2:
        raise ValueError("the luck of seeds is known from two seeds on at the least")
    (of_a, table_a), (of_b, table_b) = _table(a, clusters, statistic), _table(b, clusters, statistic)
    if len(table_a) != len(table_b):
        raise ValueError("the two settings were not run on the same documents")
    units = len(table_a)
    change = table_b.mean(axis=1) - table_a.mean(axis=1)
    # The mean over seeds holds their interaction with documents; that part is not to be counted twice.
    total = float(change.var(ddof=1)) / units
    of_one = [_components(table)[1] for table in (table_a, table_b)]
    if len(a) == 1 or len(b) == 1:
        known = of_one[0] if len(b) == 1 else of_one[1]
        # One quantity estimated once, in both terms: they are one with the degrees of freedom of the side that knows.
        spread = known * (1 / len(a) + 1 / len(b))
        luck = [known / len(a), known / len(b)]
        freedom = _freedom([(total, units - 1), (spread, max(len(a), len(b)) - 1)])
    else:
        luck = [of_one[0] / len(a), of_one[1] / len(b)]
        freedom = _freedom([(total, units - 1), (luck[0], len(a) - 1), (luck[1], len(b) - 1)])
    point = float(of_b.mean() - of_a.mean())
    interval = _interval(point, total + sum(luck), freedom, 1 - alpha, (-1.0, 1.0))
    return SeededComparison(
        float(of_a.mean()), float(of_b.mean()), interval, verdict_of(interval), sqrt(total), sqrt(sum(luck))
    )


def _table(
    runs: Sequence[Counts], clusters: Sequence[str] | None, statistic: Statistic
) -> tuple[NDArray[np.float64], Floats]:
    """Each seed's figure, and its linearised contributions, shape (units, seeds): a column's mean is the figure."""
    if not runs or any(run.shape != runs[0].shape for run in runs) or runs[0].shape[1:] != (3,):
        raise ValueError("needs arrays of one shape (documents, 3), at least one")
    figures, columns = [], []
    for run in runs:
        rows = cluster_rows(run, clusters)
        if len(rows) < 2:
            raise ValueError("nothing can be said of fewer than two documents or clusters")
        figure = float(ratio(rows.sum(axis=0), statistic))
        above, below = _parts(rows, statistic)
        scale = below.mean() or 1.0
        figures.append(figure)
        columns.append(figure + (above - figure * below) / scale)
    return np.array(figures), np.stack(columns, axis=1)


def _parts(rows: Floats, statistic: Statistic) -> tuple[Floats, Floats]:
    tp, fp, fn = rows.T
    if statistic == "f1":
        return 2 * tp, 2 * tp + fp + fn
    return tp, tp + (fp if statistic == "precision" else fn)


def _components(table: Floats) -> tuple[float, float, float]:
    """Variance of a single document, of a single seed, and of a single cell's rest; never below 0."""
    units, seeds = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    between_rows = seeds * float(rows.var(ddof=1))
    if seeds == 1:
        return between_rows, 0.0, 0.0
    between_columns = units * float(columns.var(ddof=1))
    rest = table - rows[:, None] - columns[None, :] + table.mean()
    within = float((rest**2).sum()) / ((units - 1) * (seeds - 1))
    return max(0.0, (between_rows - within) / seeds), max(0.0, (between_columns - within) / units), within


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts if freedom > 0)
    return total**2 / spread if spread > 0 else float(max(freedom for _, freedom in parts))


def _interval(point: float, variance: float, freedom: float, level: float, bounds: tuple[float, float]) -> Interval:
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, (1 + level) / 2)) * sqrt(variance)
    return Interval(point, max(bounds[0], point - reach), min(bounds[1], point + reach), level)
