"""What more labels would bring: an inverse power law through the rounds' F1, with a bootstrap band.

``F1(n) = a - b * n ** -c``: learning curves of annotation follow it well enough to extrapolate a little
(Figueroa et al. 2012, "Predicting sample size required for classification performance"). The band comes from
drawing the audit documents again and fitting again. With few rounds or few audit documents it says that it cannot
tell, instead of drawing a line through noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.metrics.intervals import ratio, resampled_totals

LEAST_ROUNDS = 4
LEAST_DOCUMENTS = 8
WIDEST_BAND = 0.2
WIDEST_SCATTER = 0.1
RESAMPLES = 400
BAND = (0.1, 0.9)
FURTHEST = 10
_EXPONENTS = np.linspace(0.1, 2.0, 20)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One round on the curve.

    Attributes:
        labels: How many documents were labelled.
        counts: Audit document to (tp, fp, fn) of the predictions made with these labels.
    """

    labels: int
    counts: Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Gain:
    """What so many more labels are expected to add to F1; the band holds 80 % of the draws."""

    labels: int
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What can be said about more labels.

    Attributes:
        known: Whether anything can be said.
        why: Why not; empty where it can.
        batch: What the next batch adds; None where it cannot be said.
        further: What all labels up to the budget, or as many again, add; None as above.
        to_target: Labels from here to the target by the curve; None where there is no target, where
            the curve does not reach it within ten times the labels, or where it cannot be said.
        ceiling: Where the curve flattens out; None as above.
    """

    known: bool
    why: str = ""
    batch: Gain | None = None
    further: Gain | None = None
    to_target: int | None = None
    ceiling: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """What a person reads: ``about 40 more labels for about +0.020 (0.004 to 0.041)``."""
        if not self.known or self.batch is None or self.further is None:
            return f"what more labels would bring cannot be told yet: {self.why}"
        said = [
            f"about {gain.labels} more labels for about {gain.expected:+.3f} F1 ({gain.low:+.3f} to {gain.high:+.3f})"
            for gain in dict.fromkeys((self.batch, self.further))
        ]
        if self.to_target is not None:
            said.append(f"the target about {self.to_target} labels away")
        return "; ".join(said)


def outlook(
    points: Sequence[Point],
    batch: int,
    left: int,
    *,
    rng: np.random.Generator,
    target: float | None = None,
    resamples: int = RESAMPLES,
) -> Outlook:
    """Extrapolate the rounds so far.

    Args:
        points: Rounds whose figures may be compared, by rising labels.
        batch: Labels of the next batch.
        left: Labels up to the budget; 0 looks as far again as has been labelled.
        rng: The source of the draws.
        target: An F1 to reach.
        resamples: How many draws.

    Returns:
        What can be said.
    """
    usable = [point for point in points if point.labels > 0 and point.counts]
    documents = sorted({name for point in usable for name in point.counts})
    telling = sum(any(any(point.counts.get(name, (0, 0, 0))) for point in usable) for name in documents)
    if len({point.labels for point in usable}) < LEAST_ROUNDS:
        return Outlook(False, f"{len(usable)} of at least {LEAST_ROUNDS} rounds are assessed")
    if telling < LEAST_DOCUMENTS:
        return Outlook(False, f"{telling} of at least {LEAST_DOCUMENTS} audit documents hold anything")
    labels, stacked, weights = _stacked(usable, documents)
    scores = ratio(stacked.sum(axis=0).reshape(1, len(usable), 3), "f1")
    whole = fit(labels, scores, weights)[0]
    curve = np.array([float(value(whole[None], at)[0]) for at in labels])
    scatter = float(np.sqrt(weights / weights.sum() @ (scores[0] - curve) ** 2))
    if scatter > WIDEST_SCATTER:
        return Outlook(False, f"the rounds scatter by {scatter:.2f} F1 around any curve")
    drawn = resampled_totals(stacked, rng, resamples).reshape(resamples, len(usable), 3)
    curves = fit(labels, ratio(drawn, "f1"), weights)
    here, further = float(labels[-1]), float(left or labels[-1])
    next_gain = _gain(curves, here, float(batch))
    if next_gain.high - next_gain.low > WIDEST_BAND:
        return Outlook(
            False, f"the estimates differ by {next_gain.high - next_gain.low:.2f} F1; audit documents are few"
        )
    return Outlook(
        True,
        batch=next_gain,
        further=_gain(curves, here, further),
        to_target=_distance(whole, here, target),
        ceiling=round(float(np.median(curves[:, 0])), 4),
    )


def band(
    points: Sequence[Point], at: Sequence[float], *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Floats:
    """The curve through the rounds with its band, for a picture; whether it may be believed is ``outlook``'s to say.

    Args:
        points: As of ``outlook``; at least one with labels and audit documents.
        at: Numbers of labels, positive.
        rng: The source of the draws.
        resamples: How many draws.

    Returns:
        Shape (3, numbers): lower end, middle and upper end of F1.
    """
    usable = [point for point in points if point.labels > 0 and point.counts]
    labels, stacked, weights = _stacked(usable, sorted({name for point in usable for name in point.counts}))
    drawn = resampled_totals(stacked, rng, resamples).reshape(resamples, len(usable), 3)
    curves = fit(labels, ratio(drawn, "f1"), weights)
    ends: Floats = np.quantile(np.stack([value(curves, x) for x in at], axis=1), [BAND[0], 0.5, BAND[1]], axis=0)
    return ends


def _stacked(usable: Sequence[Point], documents: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    """Labels of the rounds, their counts by document, and how much each round weighs."""
    # A column triple a round, zero where the round had not seen the document: one draw serves all rounds.
    stacked = [[count for point in usable for count in point.counts.get(name, (0, 0, 0))] for name in documents]
    return (
        np.array([point.labels for point in usable], dtype=np.float64),
        np.array(stacked, dtype=np.float64),
        np.array([len(point.counts) for point in usable], dtype=np.float64),
    )


def fit(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """Least squares of ``a - b * n ** -c`` with a at most 1 and b at least 0.

    For each exponent on a grid the other two have a closed form, so that hundreds of draws take
    milliseconds and there is no starting value to choose.

    Args:
        labels: Shape (rounds,), positive.
        scores: Shape (draws, rounds).
        weights: Shape (rounds,): how much each round counts.

    Returns:
        Shape (draws, 3): a, b, c.
    """
    best = np.full(len(scores), np.inf)
    found = np.zeros((len(scores), 3))
    share = weights / weights.sum()
    for exponent in _EXPONENTS:
        x = labels**-exponent
        mean_x, mean_y = float(share @ x), scores @ share
        spread = float(share @ (x - mean_x) ** 2)
        slope = -((scores - mean_y[:, None]) * (x - mean_x)) @ share / spread if spread > 0 else np.zeros(len(scores))
        b = np.maximum(slope, 0.0)
        a = mean_y + b * mean_x
        high = a > 1.0
        b = np.where(high, np.maximum(((1.0 - scores) * x) @ share / float(share @ x**2), 0.0), b)
        a = np.where(high, 1.0, a)
        error = ((scores - (a[:, None] - b[:, None] * x)) ** 2) @ share
        better = error < best - 1e-15
        best = np.where(better, error, best)
        found[better] = np.stack([a, b, np.full(len(scores), exponent)], axis=1)[better]
    return found


def value(curves: Floats, labels: float) -> Floats:
    """F1 by each curve at a number of labels; shape (draws,)."""
    at: Floats = curves[:, 0] - curves[:, 1] * labels ** -curves[:, 2]
    return at


def _gain(curves: Floats, here: float, more: float) -> Gain:
    gains = value(curves, here + more) - value(curves, here)
    low, middle, high = np.quantile(gains, [BAND[0], 0.5, BAND[1]])
    return Gain(int(more), round(float(middle), 5), round(float(low), 5), round(float(high), 5))


def _distance(curve: Floats, here: float, target: float | None) -> int | None:
    if target is None:
        return None
    a, b, c = map(float, curve)
    if a - b * here**-c >= target:
        return 0
    if a <= target or b <= 0:
        return None
    needed = (b / (a - target)) ** (1 / c)
    return int(np.ceil(needed - here)) if needed <= here * FURTHEST else None
