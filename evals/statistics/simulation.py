"""Made-up runs with a known truth, to see whether intervals cover it and tests keep their size.

Documents differ in how many mentions they hold and in how hard they are;
sentences of one article are hard together. Two systems find a mention together
more often than chance would have it, as real ones do. None of this is told to
the statistics, which see counts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evals.statistics.comparison import Verdict, compare, difference_of
from evals.statistics.seeds import compare_seeds
from tools.metrics.intervals import Floats, Interval, Method, Resamples, figure_of, wilson


@dataclass(frozen=True, slots=True)
class World:
    """From what documents are drawn.

    Attributes:
        documents: How many a sample holds.
        cluster: How many sentences an article has; 1 for documents that stand alone.
        mentions: Mean number of gold mentions a document (negative binomial).
        spread: Its dispersion: the smaller, the more documents differ.
        recall: Mean chance of system a to find a mention.
        noise: Mean number of spurious spans a document, of system a.
        hardness: Standard deviation, over articles, of the log-odds to find a mention.
        taste: Standard deviation, over articles, of the log-odds by which one
            system finds more there than the other.
        gain: What is added to the log-odds of system b; 0 makes the two equally good.
        shared: The share of mentions for which the two systems decide as one.
    """

    documents: int = 200
    cluster: int = 1
    mentions: float = 1.8
    spread: float = 1.5
    recall: float = 0.8
    noise: float = 0.45
    hardness: float = 1.0
    taste: float = 0.6
    gain: float = 0.0
    shared: float = 0.6


def sample(world: World, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Draw documents and what two systems make of them.

    Args:
        world: From where.
        rng: The source of the draws.

    Returns:
        Counts of system a and of system b, shape (documents, 3) each, and the
        cluster of each document.
    """
    n = world.documents
    article = np.arange(n) // world.cluster
    # A type of text is hard, and rich in mentions, article by article.
    hard = rng.normal(0, world.hardness, article[-1] + 1)[article]
    rate = world.mentions * rng.gamma(world.spread, 1 / world.spread, article[-1] + 1)[article]
    mentions = rng.poisson(rate)
    odds = np.log(world.recall / (1 - world.recall)) - hard
    taste = rng.normal(0, world.taste / 2, article[-1] + 1)[article]
    chances = [1 / (1 + np.exp(-(odds + gain))) for gain in (taste, world.gain - taste)]
    together = rng.binomial(mentions, world.shared)
    # Mentions that both decide as one: found by the weaker, by the stronger alone, by none.
    low, high = np.minimum(*chances), np.maximum(*chances)
    both = rng.binomial(together, low)
    more = rng.binomial(together - both, np.clip((high - low) / np.maximum(1e-12, 1 - low), 0, 1))
    sides = []
    for chance in chances:
        found = both + np.where(chance == high, more, 0) + rng.binomial(mentions - together, chance)
        spurious = rng.poisson(world.noise * np.exp(hard / 2), n)
        sides.append(np.stack([found, spurious, mentions - found], axis=1).astype(np.int64))
    return sides[0], sides[1], [f"article-{number}" for number in article]


def truth(world: World, rng: np.random.Generator, documents: int = 400_000) -> tuple[float, float]:
    """Micro-F1 of the two systems over so many documents that sampling no longer matters."""
    a, b, _ = sample(replace(world, documents=documents), rng)
    return _f1(a), _f1(b)


def _f1(counts: NDArray[np.int64] | Floats) -> float:
    tp, fp, fn = counts.sum(axis=0)
    return float(2 * tp / (2 * tp + fp + fn))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often an interval held the truth.

    Attributes:
        method: The interval's method.
        f1: Of system a's F1, with Wilson's interval of the share.
        difference: Of the difference between the two systems.
        width: Mean width of the interval of F1.
        difference_width: Mean width of the interval of the difference.
    """

    method: Method
    f1: Interval
    difference: Interval
    width: float
    difference_width: float


def coverage(
    world: World,
    rng: np.random.Generator,
    *,
    trials: int,
    resamples: int = 1000,
    methods: Sequence[Method] = ("expanded", "bca", "percentile"),
    level: float = 0.95,
) -> list[Coverage]:
    """Draw samples, make intervals, count how many hold the truth; all methods on the same draws.

    Args:
        world: From where.
        rng: The source of the draws.
        trials: How many samples.
        resamples: Draws an interval.
        methods: Which to compare.
        level: Of the intervals.
    """
    a, b = truth(world, rng)
    held = np.zeros((len(methods), 2))
    widths = np.zeros((len(methods), 2))
    figures = ((figure_of("f1"), a), (difference_of("f1"), b - a))
    for _ in range(trials):
        first, second, clusters = sample(world, rng)
        drawn = Resamples(np.concatenate([first, second], axis=1), rng, resamples, clusters)
        for row, method in enumerate(methods):
            for column, (figure, true) in enumerate(figures):
                found = drawn.interval(figure, level=level, method=method, bounds=(-1.0, 1.0))
                held[row, column] += found.low <= true <= found.high
                widths[row, column] += found.high - found.low
    return [
        Coverage(
            method,
            wilson(int(held[row, 0]), trials),
            wilson(int(held[row, 1]), trials),
            float(widths[row, 0] / trials),
            float(widths[row, 1] / trials),
        )
        for row, method in enumerate(methods)
    ]


@dataclass(frozen=True, slots=True)
class Claims:
    """How often two systems were called different.

    Attributes:
        difference: The true difference.
        interval: By the interval, hence in words.
        randomisation: By the approximate randomisation test.
        wrong_way: Called the wrong way round, by the interval.
        detectable: Mean of the smallest difference said to be detectable.
    """

    difference: float
    interval: Interval
    randomisation: Interval
    wrong_way: Interval
    detectable: float


def claims(
    world: World,
    rng: np.random.Generator,
    *,
    trials: int,
    resamples: int = 1000,
    alpha: float = 0.05,
    as_clusters: bool = True,
) -> Claims:
    """Compare two systems many times: the size of the tests where they are equally good, else their power.

    Args:
        world: From where.
        rng: The source of the draws.
        trials: How many samples.
        resamples: Draws a comparison.
        alpha: Of the tests.
        as_clusters: Whether the statistics are told which sentences belong together.
    """
    a, b = truth(world, rng)
    # Equally good systems differ in the large sample by luck alone.
    true = b - a if world.gain else 0.0
    right = Verdict.BETTER if true > 0 else Verdict.WORSE
    counted = np.zeros(3, dtype=np.int64)
    detectable = 0.0
    for _ in range(trials):
        first, second, clusters = sample(world, rng)
        found = compare(
            first, second, rng=rng, clusters=clusters if as_clusters else None, alpha=alpha, resamples=resamples
        )
        told = found.verdict is not Verdict.CANNOT_TELL
        counted += told, found.p_randomisation <= alpha, told and bool(true) and found.verdict is not right
        detectable += found.detectable / trials
    by_interval, by_randomisation, wrong = (wilson(int(count), trials) for count in counted)
    return Claims(true, by_interval, by_randomisation, wrong, detectable)


def sample_seeds(
    world: World, rng: np.random.Generator, *, seeds: int, luck: float
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Several seeds of two equally good settings, on the same documents.

    Args:
        world: From where; ``gain`` is added for the second setting.
        rng: The source of the draws.
        seeds: How many a setting.
        luck: Standard deviation, over seeds, of the log-odds to find a mention.

    Returns:
        Counts of shape (documents, 3), one a seed, of each setting.
    """
    n = world.documents
    hard = rng.normal(0, world.hardness, n)
    mentions = rng.poisson(world.mentions * rng.gamma(world.spread, 1 / world.spread, n))
    sides: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for gain, side in zip((0.0, world.gain), sides, strict=True):
        for _ in range(seeds):
            odds = np.log(world.recall / (1 - world.recall)) - hard + gain + rng.normal(0, luck)
            found = rng.binomial(mentions, 1 / (1 + np.exp(-odds)))
            spurious = rng.poisson(world.noise * np.exp(hard / 2), n)
            side.append(np.stack([found, spurious, mentions - found], axis=1).astype(np.int64))
    return sides


def seeded_claims(
    world: World, rng: np.random.Generator, *, trials: int, seeds: int, luck: float, alpha: float = 0.05
) -> Interval:
    """How often two settings of several seeds each are called different.

    Args:
        world: From where.
        rng: The source of the draws.
        trials: How many samples.
        seeds: How many a setting.
        luck: As of ``sample_seeds``.
        alpha: Of the comparison.

    Returns:
        The share, with Wilson's interval.
    """
    told = 0
    for _ in range(trials):
        first, second = sample_seeds(world, rng, seeds=seeds, luck=luck)
        told += compare_seeds(first, second, alpha=alpha).verdict is not Verdict.CANNOT_TELL
    return wilson(told, trials)
