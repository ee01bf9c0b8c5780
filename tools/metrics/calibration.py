"""How far probabilities can be taken at their word.

Expected calibration error (Naeini et al. 2015, "Obtaining Well Calibrated
Probabilities Using Bayesian Binning") with bins of equal width or equal mass,
the Brier score with Murphy's decomposition (1973; with the two terms inside
bins of Stephenson et al. 2008, so that the parts add up), and the reliability
curve with Wilson's intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tools.metrics.intervals import Interval, wilson

Binning = Literal["width", "mass"]


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of a reliability curve.

    Attributes:
        low: The least probability that belongs here.
        high: The greatest.
        count: How many predictions.
        confidence: Their mean probability.
        accuracy: How many of them are right, with Wilson's interval.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Brier:
    """The Brier score, taken apart: ``score == reliability - resolution + uncertainty + within``.

    Attributes:
        score: Mean squared distance of probability and truth; 0 is best.
        reliability: How far bins lie from the diagonal, squared; 0 is best.
        resolution: How far their accuracies lie from the mean; large is good.
        uncertainty: What always saying the base rate would score.
        within: What the bins hide (their variance less twice the covariance
            with the truth); 0 where all probabilities of a bin are equal.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How predictions' probabilities compare with how often they are right.

    Attributes:
        count: How many predictions.
        ece: Expected calibration error with bins of equal width, 0 to 1.
        ece_mass: The same with bins of equal mass, which do not leave most
            predictions in one bin.
        brier: The Brier score and its parts, over the bins of equal width.
        curve: The bins of equal width that hold something, in order.
        curve_mass: The bins of equal mass.
    """

    count: int
    ece: float
    ece_mass: float
    brier: Brier
    curve: tuple[Bin, ...]
    curve_mass: tuple[Bin, ...]


def calibration(probabilities: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> Calibration:
    """Judge probabilities by what came true.

    Args:
        probabilities: Of each prediction to be right, 0 to 1.
        right: Whether it was.
        bins: How many.

    Raises:
        ValueError: There are none, the two are not of one length, or a
            probability is not between 0 and 1.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if p.shape != y.shape or not p.size:
        raise ValueError(f"needs as many truths as probabilities, at least one; got {p.size} and {y.size}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"{p[~((p >= 0) & (p <= 1))][0]} is no probability")
    width, mass = bin_places(p, bins, "width"), bin_places(p, bins, "mass")
    return Calibration(
        count=len(p),
        ece=_error(p, y, width),
        ece_mass=_error(p, y, mass),
        brier=_brier(p, y, width),
        curve=_curve(p, y, width, bins),
        curve_mass=_curve(p, y, mass, None),
    )


def calibration_error(
    probabilities: Sequence[float], right: Sequence[bool], *, bins: int = 10, binning: Binning = "width"
) -> float:
    """The expected calibration error alone: mean distance of confidence and accuracy, weighted by bin."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return _error(p, y, bin_places(p, bins, binning))


def bin_places(p: NDArray[np.float64], bins: int, binning: Binning) -> NDArray[np.int64]:
    """The bin of every probability, from 0.

    Args:
        p: Shape (predictions,).
        bins: How many bins; of equal mass there may come out fewer, since equal
            probabilities stay together.
        binning: ``width`` cuts 0 to 1 evenly, ``mass`` the predictions.
    """
    if binning == "width":
        return np.minimum((p * bins).astype(np.int64), bins - 1)
    _, value, times = np.unique(p, return_inverse=True, return_counts=True)
    # A value's bin is where the middle of its predictions falls in the ranking.
    middle = np.cumsum(times) - times / 2
    return np.minimum((bins * middle / max(1, len(p))).astype(np.int64), bins - 1)[value]


def _sums(p: NDArray[np.float64], y: NDArray[np.float64], place: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    count = np.bincount(place).astype(np.float64)
    held = count > 0
    mean_p = np.bincount(place, weights=p)[held] / count[held]
    mean_y = np.bincount(place, weights=y)[held] / count[held]
    return count[held], mean_p, mean_y


def _error(p: NDArray[np.float64], y: NDArray[np.float64], place: NDArray[np.int64]) -> float:
    if not len(p):
        return 0.0
    count, mean_p, mean_y = _sums(p, y, place)
    return float((count * np.abs(mean_p - mean_y)).sum() / len(p))


def _brier(p: NDArray[np.float64], y: NDArray[np.float64], place: NDArray[np.int64]) -> Brier:
    count, mean_p, mean_y = _sums(p, y, place)
    base = float(y.mean())
    share = count / len(p)
    inside = np.unique(place, return_inverse=True)[1]
    off_p, off_y = p - mean_p[inside], y - mean_y[inside]
    return Brier(
        score=float(((p - y) ** 2).mean()),
        reliability=float((share * (mean_p - mean_y) ** 2).sum()),
        resolution=float((share * (mean_y - base) ** 2).sum()),
        uncertainty=base * (1 - base),
        within=float((off_p**2).mean() - 2 * (off_p * off_y).mean()),
    )


def _curve(
    p: NDArray[np.float64], y: NDArray[np.float64], place: NDArray[np.int64], width: int | None
) -> tuple[Bin, ...]:
    found = []
    for number in np.unique(place):
        here = place == number
        count, successes = int(here.sum()), int(y[here].sum())
        low, high = (
            (float(p[here].min()), float(p[here].max())) if width is None else (number / width, (number + 1) / width)
        )
        found.append(Bin(float(low), float(high), count, float(p[here].mean()), wilson(successes, count)))
    return tuple(found)
