"""Two runs on the same documents: is one better, and by how much?

The figure is a ratio (micro-F1), so documents, or clusters of them, are drawn
whole and both runs are counted on the same draws. The word a report may use
follows from the interval of the difference, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import nan
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.statistics.randomisation import randomisation_p
from tools.metrics.intervals import Figure, Floats, Interval, Method, Resamples, Statistic, ratio

Counts = NDArray[np.integer[Any]] | Floats
_NORMAL = NormalDist()


class Verdict(StrEnum):
    """What may be said of the second run against the first."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second run (b) against the first (a), on the same documents.

    Attributes:
        a: The figure of a.
        b: The figure of b.
        difference: b - a with its interval, at the level that the correction
            for several comparisons leaves.
        verdict: ``better`` when the whole interval lies above 0, ``worse`` when
            below, else ``cannot tell``.
        p_value: Two-sided, of the bootstrap: the level at which the interval
            would just touch 0, corrected where several were compared.
        p_randomisation: Two-sided, of the approximate randomisation test, corrected likewise.
        standard_error: Of the difference.
        detectable: The smallest true difference that these data would have
            shown with ``power``; nan of fewer than two units.
        power: Of ``detectable``, such as 0.8.
        alpha: What the correction left for this comparison, such as 0.05.
        units: How many documents or clusters were drawn.
        documents: How many documents there are.
        comparisons: Among how many comparisons it was corrected.
    """

    a: float
    b: float
    difference: Interval
    verdict: Verdict
    p_value: float
    p_randomisation: float
    standard_error: float
    detectable: float
    power: float
    alpha: float
    units: int
    documents: int
    comparisons: int = 1

    def __str__(self) -> str:
        low, high = self.difference.low, self.difference.high
        return f"{self.verdict}: {self.difference.point:+.4f} [{low:+.4f}, {high:+.4f}], p {self.p_value:.4f}"


def compare(
    a: Counts,
    b: Counts,
    *,
    rng: np.random.Generator,
    clusters: Sequence[str] | None = None,
    statistic: Statistic = "f1",
    alpha: float = 0.05,
    power: float = 0.8,
    resamples: int = 10_000,
    method: Method = "expanded",
) -> Comparison:
    """Compare two runs on the same documents.

    Args:
        a: Shape (documents, 3): tp, fp, fn of each document, of the first run
            (``ScoreTable.matrix``).
        b: The same of the second, documents in the same order.
        rng: The source of the draws.
        clusters: The cluster of each document, where documents belong together.
        statistic: f1, precision or recall.
        alpha: How often a difference may be claimed where there is none.
        power: For ``Comparison.detectable``.
        resamples: Draws of the bootstrap and of the randomisation test.
        method: Of the interval.

    Returns:
        The comparison, alone; see ``compare_all`` for several.

    Raises:
        ValueError: The two are not of one shape.
    """
    return compare_all(
        {"": (a, b)},
        rng=rng,
        clusters=clusters,
        statistic=statistic,
        alpha=alpha,
        power=power,
        resamples=resamples,
        method=method,
    )[""]


def compare_all(
    pairs: Mapping[str, tuple[Counts, Counts]],
    *,
    rng: np.random.Generator,
    clusters: Sequence[str] | Mapping[str, Sequence[str] | None] | None = None,
    statistic: Statistic = "f1",
    alpha: float = 0.05,
    power: float = 0.8,
    resamples: int = 10_000,
    method: Method = "expanded",
) -> dict[str, Comparison]:
    """Compare several pairs of runs, corrected by Holm (1979).

    The intervals step down as Holm's test does: the comparison with the
    smallest p-value keeps alpha / m, the next alpha / (m - 1), and from the
    first whose interval holds 0 all others keep that one's level. So no more
    than ``alpha`` of such families claim any difference where there is none.

    Args:
        pairs: Name to the counts of the first and of the second run, as of ``compare``.
        rng: The source of the draws.
        clusters: The cluster of each document; by name where pairs differ in their documents.
        statistic: As of ``compare``.
        alpha: Of the whole family.
        power: As of ``compare``.
        resamples: As of ``compare``.
        method: As of ``compare``.

    Returns:
        Name to comparison, in the order given.

    Raises:
        ValueError: The two of a pair are not of one shape.
    """
    drawn: dict[str, Resamples] = {}
    first: dict[str, Comparison] = {}
    figure = difference_of(statistic)
    for name, (a, b) in pairs.items():
        if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3:
            raise ValueError(f"{name or 'the runs'}: needs two arrays of one shape (documents, 3)")
        own = clusters.get(name) if isinstance(clusters, Mapping) else clusters
        drawn[name] = one = Resamples(np.concatenate([a, b], axis=1), rng, resamples, own)
        first[name] = Comparison(
            a=float(ratio(one.total[:3], statistic)),
            b=float(ratio(one.total[3:], statistic)),
            difference=one.interval(figure, level=1 - alpha, method=method, bounds=(-1.0, 1.0)),
            verdict=Verdict.CANNOT_TELL,
            p_value=p_of_interval(one, figure),
            p_randomisation=randomisation_p(a, b, rng=rng, clusters=own, statistic=statistic, rounds=resamples),
            standard_error=one.deviation(figure),
            detectable=nan,
            power=power,
            alpha=alpha,
            units=one.units,
            documents=len(a),
            comparisons=len(pairs),
        )
    adjusted = holm([one.p_randomisation for one in first.values()])
    by_randomisation = dict(zip(first, adjusted, strict=True))
    found: dict[str, Comparison] = {}
    share, open_still, floor = alpha, True, 0.0
    for place, name in enumerate(sorted(first, key=lambda one: first[one].p_value)):
        before = first[name]
        if open_still:
            share = alpha / (len(first) - place)
        interval = drawn[name].interval(figure, level=1 - share, method=method, bounds=(-1.0, 1.0))
        verdict = verdict_of(interval)
        open_still = open_still and verdict is not Verdict.CANNOT_TELL
        floor = max(floor, min(1.0, before.p_value * (len(first) - place)))
        found[name] = replace(
            before,
            difference=interval,
            verdict=verdict if open_still else Verdict.CANNOT_TELL,
            p_value=floor,
            p_randomisation=by_randomisation[name],
            detectable=detectable_difference(before.standard_error, alpha=share, power=power),
            alpha=share,
        )
    return {name: found[name] for name in pairs}


def difference_of(statistic: Statistic) -> Figure:
    """The figure of columns 3 to 5 less that of columns 0 to 2."""
    return lambda totals: ratio(totals[..., 3:6], statistic) - ratio(totals[..., :3], statistic)


def verdict_of(difference: Interval) -> Verdict:
    """What may be said, given the interval of b - a."""
    if difference.low > 0:
        return Verdict.BETTER
    return Verdict.WORSE if difference.high < 0 else Verdict.CANNOT_TELL


def p_of_interval(drawn: Resamples, figure: Figure) -> float:
    """The level at which the expanded interval of a difference would just touch 0, two-sided.

    Returns:
        Between 0 and 1; 1 where the draws say nothing.
    """
    telling = drawn.telling()
    if telling < 2:
        return 1.0
    values = figure(drawn.totals)
    # One draw more on the far side: a p-value of 0 cannot follow from finitely many.
    below = (np.count_nonzero(values < 0) + np.count_nonzero(values == 0) / 2 + 1) / (len(values) + 2)
    tail = min(below, 1 - below)
    from scipy.special import ndtri, stdtr

    reach = -float(ndtri(tail)) * np.sqrt((drawn.units - 1) / drawn.units)
    return float(min(1.0, 2 * stdtr(telling - 1, -reach)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979), in the order given."""
    adjusted, floor = [0.0] * len(p_values), 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, p_values[at] * (len(p_values) - place)))
        adjusted[at] = floor
    return adjusted


def detectable_difference(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that is found with a given power.

    Args:
        standard_error: Of the difference.
        alpha: The two-sided level that it is tested at.
        power: How often it is to be found.

    Returns:
        In units of the difference: (z(1 - alpha/2) + z(power)) standard errors.
    """
    return (_NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)) * standard_error
