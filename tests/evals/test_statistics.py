"""Comparing runs: words, corrections, tests against enumeration, seeds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evals.statistics import (
    Interval,
    Verdict,
    compare,
    compare_all,
    compare_seeds,
    detectable_difference,
    holm,
    randomisation_p,
    split_seeds,
    verdict_of,
)
from evals.statistics.simulation import World, sample, sample_seeds
from tools.metrics.intervals import ratio

ROWS = st.lists(st.tuples(*[st.integers(0, 4)] * 6), min_size=2, max_size=25)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=60)
@given(ROWS)
def test_changing_sides_changes_signs(rows: list[tuple[int, ...]]) -> None:
    counts = np.array(rows)
    a, b = counts[:, :3], counts[:, 3:]
    one, other = compare(a, b, rng=rng(), resamples=500), compare(b, a, rng=rng(), resamples=500)
    assert one.difference.point == pytest.approx(-other.difference.point)
    assert one.difference.low <= one.difference.high
    assert 0 < one.p_value <= 1 and 0 < one.p_randomisation <= 1
    assert (one.a, one.b) == (other.b, other.a)
    same = compare(a, a, rng=rng(), resamples=200)
    assert same.verdict is Verdict.CANNOT_TELL and same.p_randomisation == 1 and same.difference.point == 0


def test_the_word_follows_from_the_interval() -> None:
    assert verdict_of(Interval(0.1, 0.01, 0.2)) is Verdict.BETTER
    assert verdict_of(Interval(-0.1, -0.2, -0.01)) is Verdict.WORSE
    assert verdict_of(Interval(0.1, 0.0, 0.2)) is Verdict.CANNOT_TELL
    a, b, _ = sample(World(600, gain=1.0), rng(2))
    for first, second, word in ((a, b, Verdict.BETTER), (b, a, Verdict.WORSE)):
        found = compare(first, second, rng=rng(), resamples=2000)
        assert found.verdict is word and str(found).startswith(str(word))
        assert found.p_value < 0.01 and found.p_randomisation < 0.01
        assert (found.units, found.documents, found.comparisons, found.alpha) == (600, 600, 1, 0.05)


def test_the_difference_is_paired() -> None:
    """Runs that find the same documents hard are compared more sharply than two unrelated ones."""
    a, b, _ = sample(World(400, taste=0.1, shared=0.9), rng(4))
    paired = compare(a, b, rng=rng(), resamples=2000)
    unpaired = compare(a, rng(9).permutation(b), rng=rng(), resamples=2000)
    assert paired.standard_error < 0.7 * unpaired.standard_error
    assert paired.detectable < 0.7 * unpaired.detectable


def test_clusters_widen_what_documents_hide() -> None:
    a, b, clusters = sample(World(600, cluster=30, taste=1.0, mentions=4), rng(3))
    blind, told = compare(a, b, rng=rng(), resamples=2000), compare(a, b, rng=rng(), resamples=2000, clusters=clusters)
    assert told.units == 20 and blind.units == 600
    assert told.standard_error > 1.3 * blind.standard_error


def test_fewer_than_two_units_say_nothing() -> None:
    a, b, _ = sample(World(30, gain=3.0), rng(3))
    found = compare(a, b, rng=rng(), resamples=200, clusters=["one"] * 30)
    assert found.verdict is Verdict.CANNOT_TELL
    assert (found.difference.low, found.difference.high) == (-1.0, 1.0)
    assert found.p_value == 1.0 and np.isnan(found.detectable)


def test_runs_on_other_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        compare(np.ones((3, 3)), np.ones((4, 3)), rng=rng())


def test_randomisation_is_what_all_coins_give() -> None:
    a, b, _ = sample(World(11, gain=1.2, mentions=4), rng(8))
    observed = abs(difference(a, b))
    reached = 0
    for coins in itertools.product((False, True), repeat=len(a)):
        swap = np.array(coins)[:, None]
        reached += abs(difference(np.where(swap, b, a), np.where(swap, a, b))) >= observed - 1e-12
    exact = reached / 2 ** len(a)
    assert 0.01 < exact < 0.9
    assert randomisation_p(a, b, rng=rng(), rounds=40_000) == pytest.approx(exact, abs=0.01)


def test_randomisation_swaps_clusters_whole() -> None:
    a, b, _ = sample(World(40, gain=0.8), rng(5))
    clusters = [str(number // 8) for number in range(40)]
    # Five clusters: no more than 32 ways to throw, so no p-value under 2/32.
    assert randomisation_p(a, b, rng=rng(), clusters=clusters, rounds=5000) > 1 / 20


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(ratio(b.sum(axis=0).astype(float), "f1") - ratio(a.sum(axis=0).astype(float), "f1"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_what_the_definition_says(p: list[float]) -> None:
    found = holm(p)
    ranked = sorted(p)
    for value, adjusted in zip(p, found, strict=True):
        before = [min(1.0, (len(p) - i) * q) for i, q in enumerate(ranked) if q <= value]
        assert adjusted == pytest.approx(max(before))
        assert value <= adjusted <= min(1.0, len(p) * value)


def test_a_family_steps_down() -> None:
    generator = rng(7)
    strong, weak, none = (sample(World(400, gain=gain, taste=0.2), generator)[:2] for gain in (1.5, 1.2, 0.0))
    alone = {
        name: compare(*pair, rng=rng(), resamples=4000) for name, pair in (("s", strong), ("w", weak), ("n", none))
    }
    family = compare_all({"n": none, "w": weak, "s": strong}, rng=rng(), resamples=4000)
    assert list(family) == ["n", "w", "s"]
    first, second = sorted((family["s"], family["w"]), key=lambda one: one.alpha)
    assert first.alpha == pytest.approx(0.05 / 3) and second.alpha == pytest.approx(0.05 / 2)
    # The third and last is tested at the whole alpha.
    assert family["n"].alpha == pytest.approx(0.05) and family["n"].verdict is alone["n"].verdict
    assert first.verdict is second.verdict is Verdict.BETTER
    for name in "sw":
        wide, narrow = family[name].difference, alone[name].difference
        assert wide.high - wide.low > narrow.high - narrow.low
        assert family[name].p_value >= alone[name].p_value and family[name].detectable > alone[name].detectable
    assert all(one.comparisons == 3 for one in family.values())


def test_after_the_first_that_cannot_be_told_none_can() -> None:
    generator = rng(11)
    pairs = {str(number): sample(World(80), generator)[:2] for number in range(12)}
    family = compare_all(pairs, rng=rng(), resamples=1000)
    assert {one.verdict for one in family.values()} == {Verdict.CANNOT_TELL}
    # None was passed, so all share the strictest level.
    assert {round(one.alpha, 9) for one in family.values()} == {round(0.05 / 12, 9)}


def test_detectable_difference() -> None:
    assert detectable_difference(0.01) == pytest.approx(0.01 * (1.959964 + 0.841621))
    assert detectable_difference(0.01, power=0.5) == pytest.approx(0.01 * 1.959964)


def test_seeds_are_told_from_documents() -> None:
    world = World(3000, taste=0.0)
    steady, _ = sample_seeds(world, rng(1), seeds=8, luck=0.0)
    lucky, _ = sample_seeds(world, rng(1), seeds=8, luck=0.4)
    calm, wild = split_seeds(steady), split_seeds(lucky)
    assert calm.by_seeds < 0.5 * calm.by_documents
    assert wild.by_seeds > 2 * wild.by_documents
    assert wild.mean.high - wild.mean.low > 2 * (calm.mean.high - calm.mean.low)
    figures = [float(ratio(run.sum(axis=0).astype(float), "f1")) for run in lucky]
    assert wild.seeds == pytest.approx(tuple(figures))
    assert wild.mean.point == pytest.approx(np.mean(figures))
    # Of many documents, nearly all that differs between seeds is their luck.
    assert wild.deviation == pytest.approx(np.std(figures, ddof=1), rel=0.1)


def test_one_seed_knows_documents_alone() -> None:
    (run,), _ = sample_seeds(World(200), rng(1), seeds=1, luck=0.4)
    found = split_seeds([run])
    assert np.isnan(found.by_seeds) and np.isnan(found.by_both)
    plain = compare(run, run * 0, rng=rng(), resamples=4000)
    assert found.by_documents == pytest.approx(plain.standard_error, rel=0.1)
    half = float(stats.t.ppf(0.975, 199)) * found.by_documents
    assert found.mean.high - found.mean.low == pytest.approx(2 * half)


def test_a_setting_that_is_better_beyond_the_luck_of_seeds() -> None:
    better = compare_seeds(*sample_seeds(World(500, gain=1.0), rng(2), seeds=5, luck=0.1))
    assert better.verdict is Verdict.BETTER and better.b > better.a
    assert better.difference.point == pytest.approx(better.b - better.a)
    # The same gain, but every seed is a lottery.
    lottery = compare_seeds(*sample_seeds(World(500, gain=1.0), rng(2), seeds=3, luck=1.5))
    assert lottery.verdict is Verdict.CANNOT_TELL
    assert lottery.by_seeds > lottery.by_documents


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda one: split_seeds([]), "at least one"),
        (lambda one: split_seeds([one, one[:-1]]), "one shape"),
        (lambda one: split_seeds([one], clusters=["a"] * len(one)), "fewer than two"),
        (lambda one: compare_seeds([one], [one]), "two seeds"),
        (lambda one: compare_seeds([one, one], [one[:-1], one[:-1]]), "same documents"),
    ],
)
def test_what_cannot_be_split_is_refused(call: object, says: str) -> None:
    one, _, _ = sample(World(10), rng())
    with pytest.raises(ValueError, match=says):
        call(one)  # type: ignore[operator]
