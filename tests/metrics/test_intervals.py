from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tools.metrics import Resamples, bootstrap, cluster_rows, resampled_totals, wilson
from tools.metrics.intervals import Method, distinct_rows, figure_of, ratio

COUNTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30)


@settings(deadline=None)
@given(COUNTS, st.sampled_from(["f1", "precision", "recall"]), st.sampled_from(["percentile", "bca", "expanded"]))
def test_the_interval_holds_its_order(
    rows: list[tuple[int, int, int]], name: Literal["f1", "precision", "recall"], method: Method
) -> None:
    counts = np.array(rows)
    interval = bootstrap(counts, name, rng=np.random.default_rng(1), resamples=200, method=method)
    assert 0 <= interval.low <= interval.high <= 1
    tp, fp, fn = counts.sum(axis=0)
    below = {"f1": 2 * tp + fp + fn, "precision": tp + fp, "recall": tp + fn}[name]
    assert interval.point == pytest.approx((2 * tp if name == "f1" else tp) / below if below else 0.0)
    if len({tuple(row) for row in rows}) == 1 and len(rows) > 1 and any(rows[0]):
        assert interval.low == interval.high == pytest.approx(interval.point)


def test_one_document_says_nothing() -> None:
    interval = bootstrap(np.array([[3, 1, 0]]), rng=np.random.default_rng(1))
    assert (interval.low, interval.high) == (0.0, 1.0)
    assert interval.point == pytest.approx(6 / 7)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("name", ["f1", "recall"])
@pytest.mark.parametrize("documents", [60, 15])
def test_agrees_with_scipy(method: Method, name: Literal["f1", "recall"], documents: int) -> None:
    rng = np.random.default_rng(5)
    counts = np.stack(
        [rng.binomial(6, 0.8, documents), rng.poisson(1.0, documents), rng.poisson(1.5, documents)],
        axis=1,
    )
    if documents < 20:
        # One bad document makes the distribution skewed: here bias and acceleration matter.
        counts[0] = 1, 30, 30

    def statistic(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, axis: int = -1) -> np.ndarray:
        return ratio(np.stack([tp.sum(axis), fp.sum(axis), fn.sum(axis)], axis=-1).astype(float), name)

    # Where the correction reaches far into a tail, few draws lie there.
    draws = 20_000 if documents > 20 or method == "percentile" else 150_000
    theirs = stats.bootstrap(
        tuple(counts.T),
        statistic,
        paired=True,
        method=method,
        n_resamples=draws,
        batch=50_000,
        rng=np.random.default_rng(2),
        vectorized=True,
    ).confidence_interval
    ours = bootstrap(counts, name, rng=np.random.default_rng(3), resamples=draws, method=method)
    assert ours.low == pytest.approx(theirs.low, abs=0.005)
    assert ours.high == pytest.approx(theirs.high, abs=0.005)
    if documents < 20 and method == "bca":
        plain = bootstrap(counts, name, rng=np.random.default_rng(3), resamples=20_000, method="percentile")
        assert plain.low - ours.low > 0.03


@pytest.mark.parametrize("method", ["percentile", "bca", "expanded"])
def test_it_covers_the_truth_about_as_often_as_it_says(method: Method) -> None:
    rng = np.random.default_rng(11)
    truth = 2 * 4 * 0.8 / (2 * 4 * 0.8 + 1.0 + 4 * 0.2)
    hits, trials = 0, 300
    for _ in range(trials):
        # Documents differ in how well they go: spans of one document are not independent.
        found = rng.binomial(4, rng.beta(8, 2, 80))
        counts = np.stack([found, rng.poisson(1.0, 80), 4 - found], axis=1)
        interval = bootstrap(counts, rng=rng, resamples=400, level=0.9, method=method)
        hits += interval.low <= truth <= interval.high
    assert 0.84 <= hits / trials <= 0.95


def test_the_expanded_interval_is_students_where_a_mean_is_estimated() -> None:
    rng = np.random.default_rng(2)
    tp = rng.integers(20, 80, 12)
    counts = np.stack([tp, 100 - tp, np.zeros_like(tp)], axis=1)
    found = bootstrap(counts, "precision", rng=rng, resamples=100_000)
    theirs = stats.t.interval(0.95, 11, tp.mean() / 100, stats.sem(tp) / 100)
    assert (found.low, found.high) == pytest.approx(theirs, rel=0.04)
    plain = bootstrap(counts, "precision", rng=rng, resamples=100_000, method="percentile")
    assert (found.high - found.low) / (plain.high - plain.low) > 1.12
    error = Resamples(counts, rng, 50_000).deviation(figure_of("precision"))
    assert error == pytest.approx(stats.sem(tp) / 100, rel=0.02)


def test_units_without_a_part_say_nothing_about_it() -> None:
    counts = np.zeros((500, 6), dtype=np.int64)
    counts[:, 0] = 1
    counts[:4, 3:] = [[3, 1, 0], [1, 1, 1], [4, 0, 2], [2, 2, 0]]
    drawn = Resamples(counts, np.random.default_rng(1), 2000)
    assert drawn.telling() == 500 and drawn.telling(slice(3, 6)) == 4
    few = drawn.interval(figure_of("f1", 3), columns=slice(3, 6))
    assert 0 < few.low < few.point < few.high < 1
    # The best and the worst of four documents: with so few, no more can be said.
    assert (few.low, few.high) == pytest.approx((0.5, 6 / 7))
    assert np.isnan(Resamples(counts[:1], np.random.default_rng(1)).deviation(figure_of("f1")))


@given(COUNTS)
def test_equal_rows_are_counted(rows: list[tuple[int, int, int]]) -> None:
    for scale in (1.0, 0.5, 0.1):
        kinds, times = distinct_rows(np.array(rows) * scale)
        assert sorted(map(tuple, np.repeat(kinds, times, axis=0))) == sorted(map(tuple, np.array(rows) * scale))
        assert len({tuple(row) for row in kinds}) == len(kinds)


def test_clusters_are_summed() -> None:
    counts = np.array([[1, 2], [3, 4], [5, 6]])
    assert cluster_rows(counts, ["b", "a", "b"]).tolist() == [[3, 4], [6, 8]]
    assert cluster_rows(counts).tolist() == counts.tolist()
    with pytest.raises(ValueError, match="clusters"):
        cluster_rows(counts, ["a"])


def test_documents_are_drawn_whole_and_all_columns_together() -> None:
    counts = np.array([[1, 10], [2, 20], [4, 40]])
    totals = resampled_totals(counts, np.random.default_rng(1), 500)
    assert totals.shape == (500, 2)
    assert np.array_equal(totals[:, 1], 10 * totals[:, 0])
    assert totals[:, 0].min() == 3
    assert totals[:, 0].max() == 12
    assert totals[:, 0].mean() == pytest.approx(7, abs=0.3)


def test_many_documents_are_drawn_in_blocks() -> None:
    counts = np.ones((200_000, 3), dtype=np.int64)
    totals = resampled_totals(counts, np.random.default_rng(1), 45)
    assert totals.shape == (45, 3)
    assert (totals == 200_000).all()


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_what_scipy_says(successes: int, failures: int, level: float) -> None:
    trials = successes + failures
    interval = wilson(successes, trials, level)
    assert 0 <= interval.low <= interval.point <= interval.high <= 1 or not trials
    if trials:
        theirs = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
        assert interval.low == pytest.approx(theirs.low, abs=1e-9)
        assert interval.high == pytest.approx(theirs.high, abs=1e-9)
    else:
        assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (1, 0)])
def test_wilson_refuses_what_is_no_share(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, trials)
