"""How uncertain a figure is: a bootstrap over documents, and Wilson's interval for shares.

Spans of one document are not independent, so documents are what is drawn, and
every resample recomputes the ratio from its summed counts; averaging a figure
a document would weigh a short document like a long one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["f1", "precision", "recall"]
Method = Literal["expanded", "bca", "percentile"]
"""``percentile``: the quantiles of the draws. ``bca``: these corrected for bias and acceleration (Efron 1987,
"Better Bootstrap Confidence Intervals"). ``expanded``, the default: the quantiles moved outwards as Student's t and
n/(n-1) say (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", expanded percentile interval); of the
three it covers best with few documents, see docs/metrics.md."""
Floats = NDArray[np.float64]
Figure = Callable[[Floats], Floats]
"""Takes summed counts, shape (..., columns); gives a figure, shape (...)."""
_ALL = slice(None)
_BLOCK = 4_000_000
# A category of a multinomial costs about as much as this many single draws, and a resample done in Python as many.
_CATEGORY_COST, _RESAMPLE_COST = 8, 400
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the interval it lies in.

    Attributes:
        point: The figure from all the data.
        low: Lower end.
        high: Upper end.
        level: The interval's level of confidence, such as 0.95.
    """

    point: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.point:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(counts: Floats, statistic: Statistic) -> Floats:
    """Precision, recall or F1 of rows of (tp, fp, fn); 0 where undefined.

    Args:
        counts: Shape (..., 3).
        statistic: Which of them.

    Returns:
        Shape (...).
    """
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    numerator = 2 * tp if statistic == "f1" else tp
    denominator = {"f1": 2 * tp + fp + fn, "precision": tp + fp, "recall": tp + fn}[statistic]
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def figure_of(statistic: Statistic, first: int = 0) -> Figure:
    """Precision, recall or F1 of three columns that begin at ``first``."""
    return lambda totals: ratio(totals[..., first : first + 3], statistic)


def cluster_rows(counts: NDArray[np.integer] | Floats, clusters: Sequence[str] | None = None) -> Floats:
    """Sum the rows of documents that belong together.

    Args:
        counts: Shape (documents, columns).
        clusters: The cluster of each document; None leaves each for itself.

    Returns:
        Shape (clusters, columns), float64, clusters in sorted order.

    Raises:
        ValueError: There is not one cluster a document.
    """
    rows = np.asarray(counts, dtype=np.float64)
    if clusters is None:
        return rows
    if len(clusters) != len(rows):
        raise ValueError(f"{len(rows)} documents, but {len(clusters)} clusters named")
    names, place = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    summed = [np.bincount(place, weights=column, minlength=len(names)) for column in rows.T]
    return np.stack(summed, axis=1) if summed else np.zeros((len(names), 0))


def distinct_rows(rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The different rows, and how often each occurs."""
    whole = np.round(rows * 2).astype(np.uint64)
    # One number a row sorts many times faster than rows do. Half-counts are the smallest fractions there are.
    keys = whole @ np.random.default_rng(0).integers(1, 2**63, size=rows.shape[1], dtype=np.uint64)
    _, first, place, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if np.array_equal(rows[first][place], rows):
        return rows[first], times
    # Two rows with one key, or rows that are no counts.
    kinds, times = np.unique(rows, axis=0, return_counts=True)
    return kinds, times


def resampled_totals(counts: NDArray[np.integer] | Floats, rng: np.random.Generator, resamples: int = 2000) -> Floats:
    """Summed counts of resampled documents.

    The one place where documents are drawn: stack the columns of two systems
    to compare them on the same draws. Documents with equal rows are drawn as
    one category of a multinomial, which is the same and much less work.

    Args:
        counts: Shape (documents, columns), one row a document (or cluster).
        rng: The source of the draws.
        resamples: How many.

    Returns:
        Shape (resamples, columns).
    """
    return _drawn(*distinct_rows(np.asarray(counts, dtype=np.float64)), rng, resamples)


def _drawn(rows: Floats, times: NDArray[np.int64], rng: np.random.Generator, resamples: int) -> Floats:
    documents, kinds = int(times.sum()), len(rows)
    step = max(1, _BLOCK // max(1, kinds))
    blocks = []
    for done in range(0, resamples, step):
        size = min(step, resamples - done)
        if kinds * _CATEGORY_COST < documents + _RESAMPLE_COST:
            weights = rng.multinomial(documents, times / documents, size=size).astype(np.float64)
        else:
            owner = np.repeat(np.arange(kinds, dtype=np.int32), times)
            weights = np.empty((size, kinds))
            for row in weights:
                picks = rng.integers(0, documents, size=documents, dtype=np.int32)
                row[:] = np.bincount(picks if kinds == documents else owner[picks], minlength=kinds)
        blocks.append(weights @ rows)
    return np.concatenate(blocks)


class Resamples:
    """Documents (or clusters of them) drawn with replacement, once, for any number of figures.

    Args:
        counts: Shape (documents, columns).
        rng: The source of the draws.
        resamples: How many draws.
        clusters: The cluster of each document; clusters are then what is drawn.

    Attributes:
        units: How many documents or clusters there are.
        total: Shape (columns,): the sums over all.
        totals: Shape (resamples, columns): the sums of each draw.
    """

    def __init__(
        self,
        counts: NDArray[np.integer] | Floats,
        rng: np.random.Generator,
        resamples: int = 2000,
        clusters: Sequence[str] | None = None,
    ) -> None:
        rows = cluster_rows(counts, clusters)
        self.units = len(rows)
        self.total: Floats = rows.sum(axis=0)
        self._rows, self._times = distinct_rows(rows)
        enough = self.units > 1
        self.totals: Floats = _drawn(self._rows, self._times, rng, resamples) if enough else self.total[None]

    def interval(
        self,
        figure: Figure,
        *,
        columns: slice = _ALL,
        level: float = 0.95,
        method: Method = "expanded",
        bounds: tuple[float, float] = (0.0, 1.0),
    ) -> Interval:
        """The interval of a figure.

        Args:
            figure: Takes sums of shape (..., columns), gives shape (...).
            columns: Those that the figure looks at. Units with zeros there tell
                nothing about it, and draws of such units alone are left out.
            level: The level of confidence.
            method: See ``Method``.
            bounds: Between what the figure lies; the interval of fewer than two
                telling units, of which nothing can be said.
        """
        point = float(figure(self.total))
        telling = self.telling(columns)
        drawn = figure(self.totals)[self.totals[:, columns].any(axis=1)]
        if telling < 2 or not len(drawn):
            return Interval(point, *bounds, level)
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        if method == "expanded":
            tails = _expanded(level, self.units, telling)
        elif method == "bca":
            tails = _bca(tails, drawn, point, figure(self.total - self._rows), self._times)
        low, high = np.quantile(drawn, tails)
        return Interval(point, float(low), float(high), level)

    def telling(self, columns: slice = _ALL) -> int:
        """How many units have anything in some columns."""
        return int(self._times[self._rows[:, columns].any(axis=1)].sum())

    def deviation(self, figure: Figure) -> float:
        """The standard error of a figure: the deviation of its draws, corrected for the number of units.

        Returns:
            The standard error; nan of fewer than two units.
        """
        drawn = figure(self.totals)
        return float(drawn.std(ddof=1)) * sqrt(self.units / (self.units - 1)) if len(drawn) > 1 else nan


def bootstrap(
    counts: NDArray[np.integer] | Floats,
    statistic: Statistic = "f1",
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
    method: Method = "expanded",
    clusters: Sequence[str] | None = None,
) -> Interval:
    """The interval of a micro-averaged ratio, documents being drawn with replacement.

    Args:
        counts: Shape (documents, 3): tp, fp, fn of each document.
        statistic: f1, precision or recall.
        rng: The source of the draws.
        resamples: How many draws.
        level: The level of confidence.
        method: See ``Method``.
        clusters: The cluster of each document, where documents belong together
            (sentences of one article); clusters are then what is drawn.

    Returns:
        The interval. With fewer than two documents nothing can be said, and
        it reaches from 0 to 1.
    """
    rows = np.asarray(counts, dtype=np.float64).reshape(-1, 3)
    return Resamples(rows, rng, resamples, clusters).interval(figure_of(statistic), level=level, method=method)


def _expanded(level: float, units: int, telling: int) -> Floats:
    """The tails of a percentile interval, moved outwards for a small number of units."""
    from scipy.special import ndtr, stdtrit

    # Degrees of freedom as in surveys: of a part, only the units that have some of it count.
    reach = stdtrit(telling - 1, (1 + level) / 2) * sqrt(units / (units - 1))
    return np.array([ndtr(-reach), ndtr(reach)])


def _bca(tails: Floats, drawn: Floats, point: float, left_out: Floats, times: NDArray[np.int64]) -> Floats:
    """Move the quantiles by bias and acceleration; unmoved where the draws do not vary."""
    # Draws equal to the point count half, or a coarse statistic would look biased.
    below = float(np.mean(drawn < point) + np.mean(drawn == point) / 2)
    if not 0 < below < 1 or np.ptp(drawn) == 0:
        return tails
    bias = _NORMAL.inv_cdf(below)
    away = np.average(left_out, weights=times) - left_out
    spread = float((times * away**2).sum()) ** 1.5
    acceleration = float((times * away**3).sum()) / (6 * spread) if spread else 0.0
    moved = []
    for tail in tails:
        reach = bias + _NORMAL.inv_cdf(float(tail))
        scale = 1 - acceleration * reach
        moved.append(_NORMAL.cdf(bias + reach / scale) if scale > 0 else float(tail))
    return np.array(moved)


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The interval of a share of independent trials (Wilson 1927).

    Args:
        successes: How many succeeded.
        trials: Out of how many.
        level: The level of confidence.

    Returns:
        The interval; from 0 to 1 without trials.

    Raises:
        ValueError: ``0 <= successes <= trials`` does not hold.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"needs 0 <= successes <= trials, got {successes} of {trials}")
    if not trials:
        return Interval(0.0, 0.0, 1.0, level)
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At the ends the formula is exact only up to rounding.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return Interval(share, low, 1.0 if successes == trials else min(1.0, middle + half), level)
