"""Intervals hold the truth, and tests claim nothing, about as often as they say.

Small and seeded; ``benchmarks/scoring.py --simulate`` does it at length.
"""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.simulation import World, claims, coverage, sample, seeded_claims, truth
from tools.metrics.intervals import ratio

CLUSTERED = World(240, cluster=8)


@pytest.mark.parametrize("world", [World(25), World(150), CLUSTERED, World(150, gain=0.8)])
def test_intervals_cover(world: World) -> None:
    expanded, _, percentile = coverage(world, np.random.default_rng(3), trials=250, resamples=400)
    # 250 trials tell a share of 0.95 to within 0.03.
    assert 0.91 <= expanded.f1.point <= 0.985
    assert 0.915 <= expanded.difference.point <= 0.985
    assert expanded.width > percentile.width


def test_few_documents_need_the_expanded_interval() -> None:
    expanded, _, percentile = coverage(World(10), np.random.default_rng(5), trials=400, resamples=300)
    assert expanded.difference.point - percentile.difference.point > 0.02
    assert expanded.difference.point > 0.92


def test_equally_good_systems_are_seldom_called_different() -> None:
    found = claims(CLUSTERED, np.random.default_rng(6), trials=250, resamples=400)
    for share in (found.interval, found.randomisation):
        assert 0.015 <= share.point <= 0.09


def test_without_clusters_they_are_called_different_too_often() -> None:
    world = World(240, cluster=24, taste=1.2, mentions=4)
    rng = np.random.default_rng(7)
    told = claims(world, rng, trials=150, resamples=300)
    blind = claims(world, rng, trials=150, resamples=300, as_clusters=False)
    assert told.interval.point <= 0.11
    assert blind.interval.point > 2 * max(0.05, told.interval.point)


def test_a_detectable_difference_is_detected_as_often_as_was_said() -> None:
    world = World(150, gain=0.87)
    found = claims(world, np.random.default_rng(8), trials=250, resamples=400)
    assert found.difference == pytest.approx(found.detectable, rel=0.1)
    assert 0.7 <= found.interval.point <= 0.92
    assert 0.7 <= found.randomisation.point <= 0.92
    assert found.wrong_way.point == 0


@pytest.mark.parametrize(("seeds", "luck"), [(5, 0.1), (3, 0.4)])
def test_seeds_are_seldom_called_different(seeds: int, luck: float) -> None:
    found = seeded_claims(World(150), np.random.default_rng(9), trials=400, seeds=seeds, luck=luck)
    assert found.point <= 0.09


def test_the_world_is_as_it_says() -> None:
    rng = np.random.default_rng(1)
    a, b, clusters = sample(World(60_000, cluster=10, hardness=0.0, taste=0.0), rng)
    assert len(set(clusters)) == 6000
    found = a[:, 0].sum() / (a[:, 0] + a[:, 2]).sum()
    assert found == pytest.approx(0.8, abs=0.01)
    assert np.array_equal(a[:, 0] + a[:, 2], b[:, 0] + b[:, 2])
    equal = truth(World(), rng)
    assert equal[0] == pytest.approx(equal[1], abs=0.005)
    better = truth(World(gain=1.0), rng)
    assert better[1] - better[0] > 0.03
    totals = a.sum(axis=0).astype(float)
    assert ratio(totals, "recall") == pytest.approx(found)
