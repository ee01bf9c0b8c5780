"""ECE, Brier and the reliability curve against scikit-learn and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from tools.metrics import calibration, calibration_error, wilson

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(PAIRS, st.integers(1, 15))
def test_the_parts_add_up(pairs: list[tuple[float, bool]], bins: int) -> None:
    p, right = [a for a, _ in pairs], [b for _, b in pairs]
    found = calibration(p, right, bins=bins)
    parts = found.brier
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert parts.score == pytest.approx(total, abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0
    assert 0 <= found.ece <= 1 and 0 <= found.ece_mass <= 1
    for curve in (found.curve, found.curve_mass):
        assert sum(at.count for at in curve) == len(pairs)
        for at in curve:
            assert at.low - 1e-12 <= at.confidence <= at.high + 1e-12
            assert at.accuracy.low <= at.accuracy.point <= at.accuracy.high
        assert all(a.high <= b.low for a, b in itertools.pairwise(curve))
    # With one bin the error is the distance of the means, however the bins are cut.
    alone = calibration(p, right, bins=1)
    assert alone.ece == alone.ece_mass == pytest.approx(abs(np.mean(p) - np.mean(right)))


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    p = rng.uniform(0, 1, 500)
    right = rng.uniform(0, 1, 500) < p**1.5
    found = calibration(p.tolist(), right.tolist())
    assert found.brier.score == pytest.approx(brier_score_loss(right, p))
    accuracy, confidence = calibration_curve(right, p, n_bins=10)
    assert [at.accuracy.point for at in found.curve] == pytest.approx(accuracy.tolist())
    assert [at.confidence for at in found.curve] == pytest.approx(confidence.tolist())
    assert found.ece == calibration_error(p.tolist(), right.tolist())
    assert found.ece_mass == calibration_error(p.tolist(), right.tolist(), binning="mass")
    assert {at.count for at in found.curve_mass} == {50}
    first = found.curve[0]
    assert first.accuracy == wilson(round(first.accuracy.point * first.count), first.count)


def test_by_hand() -> None:
    found = calibration([0.9, 0.9, 0.9, 0.9, 0.1], [True, True, True, False, False])
    assert found.ece == pytest.approx(0.8 * 0.15 + 0.2 * 0.1)
    assert found.brier.score == pytest.approx((3 * 0.01 + 0.81 + 0.01) / 5)
    assert found.brier.within == pytest.approx(0)
    assert found.brier.uncertainty == pytest.approx(0.24)


def test_truth_told_is_calibrated() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0, 1, 40_000)
    right = rng.uniform(0, 1, 40_000) < p
    found = calibration(p.tolist(), right.tolist())
    assert max(found.ece, found.ece_mass, found.brier.reliability) < 0.01
    bragging = calibration(np.sqrt(p).tolist(), right.tolist())
    assert bragging.ece > 0.1


def test_equal_probabilities_stay_together() -> None:
    found = calibration([0.5] * 30 + [0.7], [True] * 31)
    assert [at.count for at in found.curve_mass] == [30, 1]


@pytest.mark.parametrize(("p", "right"), [([], []), ([0.5], []), ([1.5], [True]), ([float("nan")], [True])])
def test_refused(p: list[float], right: list[bool]) -> None:
    with pytest.raises(ValueError, match="probabilit"):
        calibration(p, right)
