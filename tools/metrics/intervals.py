"""How uncertain a figure is: a bootstrap over documents, and Wilson's interval for shares.

Spans of one document are not independent, so documents are what is drawn, and
every resample recomputes the ratio from its summed counts; averaging a figure
a document would weigh a short document like a long one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["f1", "precision", "recall"]
Method = Literal["percentile", "bca"]
Floats = NDArray[np.float64]
_BLOCK = 4_000_000
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
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def resampled_totals(counts: NDArray[np.integer] | Floats, rng: np.random.Generator, resamples: int = 2000) -> Floats:
    """Summed counts of resampled documents.

    The one place where documents are drawn: stack the columns of two systems
    to compare them on the same draws.

    Args:
        counts: Shape (documents, columns), one row a document.
        rng: The source of the draws.
        resamples: How many.

    Returns:
        Shape (resamples, columns).
    """
    rows = np.asarray(counts, dtype=np.float64)
    documents = len(rows)
    chances = np.full(documents, 1 / documents)
    step = max(1, _BLOCK // documents)
    blocks = [
        rng.multinomial(documents, chances, size=min(step, resamples - done)).astype(np.float64) @ rows
        for done in range(0, resamples, step)
    ]
    return np.concatenate(blocks)


def bootstrap(
    counts: NDArray[np.integer] | Floats,
    statistic: Statistic = "f1",
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
    method: Method = "bca",
) -> Interval:
    """The interval of a micro-averaged ratio, documents being drawn with replacement.

    Args:
        counts: Shape (documents, 3): tp, fp, fn of each document.
        statistic: f1, precision or recall.
        rng: The source of the draws.
        resamples: How many draws.
        level: The level of confidence.
        method: ``percentile``, or ``bca``: bias-corrected and accelerated
            (Efron 1987, "Better Bootstrap Confidence Intervals").

    Returns:
        The interval. With fewer than two documents nothing can be said, and
        it reaches from 0 to 1.
    """
    rows = np.asarray(counts, dtype=np.float64).reshape(-1, 3)
    total = rows.sum(axis=0)
    point = float(ratio(total, statistic))
    if len(rows) < 2:
        return Interval(point, 0.0, 1.0, level)
    drawn = ratio(resampled_totals(rows, rng, resamples), statistic)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _bca(tails, drawn, point, ratio(total - rows, statistic))
    low, high = np.quantile(drawn, tails)
    return Interval(point, float(low), float(high), level)


def _bca(tails: Floats, drawn: Floats, point: float, left_out: Floats) -> Floats:
    """Move the quantiles by bias and acceleration; unmoved where the draws do not vary."""
    # Draws equal to the point count half, or a coarse statistic would look biased.
    below = float(np.mean(drawn < point) + np.mean(drawn == point) / 2)
    if not 0 < below < 1 or np.ptp(drawn) == 0:
        return tails
    bias = _NORMAL.inv_cdf(below)
    away = left_out.mean() - left_out
    spread = float((away**2).sum()) ** 1.5
    acceleration = float((away**3).sum()) / (6 * spread) if spread else 0.0
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
