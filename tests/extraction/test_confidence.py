"""Calibration: the model's maths, fitting, cross-fitting, and its file."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.extraction.confidence as module
from agent.extraction.confidence import FEATURES, Calibrator, cross_fit, features, fit, log_odds
from agent.extraction.state import Candidate
from tools.annotation import Span
from tools.errors import ConfigError, OutputError

Example = tuple[tuple[float, ...], bool]


def candidate(probability: float, verdict: float | None = None, proposers: tuple[str, ...] = ("a", "b")) -> Candidate:
    return Candidate(Span(0, 3, "x"), proposers, probability=probability, verdict=verdict)


@given(st.floats(0.001, 0.999))
def test_uncalibrated_confidence_is_the_vote(probability: float) -> None:
    assert Calibrator().confidence(candidate(probability), 3) == pytest.approx(probability, abs=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_verdict_pulls_half_way_in_log_odds(probability: float, verdict: float) -> None:
    joined = Calibrator().confidence(candidate(probability, verdict), 3)
    assert math.log(joined / (1 - joined)) == pytest.approx(log_odds(probability) + log_odds(verdict) / 2, abs=1e-6)


coefficient = st.floats(-1e6, 1e6)


@given(coefficient, coefficient, coefficient, coefficient, coefficient, st.floats(0, 1), st.none() | st.floats(0, 1))
def test_confidence_is_a_probability_whatever_the_coefficients(
    intercept: float, vote: float, proposed: float, verdict: float, asked: float, p: float, v: float | None
) -> None:
    model = Calibrator(intercept, vote, proposed, verdict, asked)
    assert 0.0 <= model.confidence(candidate(p, v), 3) <= 1.0


def test_features_are_what_they_say() -> None:
    assert features(candidate(0.5), 4) == (0.0, 0.0, 0.0, 0.0)
    vote, proposed, verdict, asked = features(candidate(1.0, 0.0, ("a",)), 1)
    assert vote == pytest.approx(-verdict) and vote == pytest.approx(math.log(0.9999 / 0.0001))
    assert (proposed, asked) == (0.5, 1.0)


def drawn(rng: random.Random, count: int, slope: float = 1.5) -> list[Example]:
    """Examples whose truth follows a known model of the vote."""
    examples: list[Example] = []
    for _ in range(count):
        p = rng.uniform(0.02, 0.98)
        right = rng.random() < 1 / (1 + math.exp(-slope * log_odds(p)))
        examples.append((features(candidate(p, rng.choice((None, 0.5))), 3), right))
    return examples


def test_fit_finds_the_model_that_made_the_examples() -> None:
    model = fit(drawn(random.Random(3), 3000), "made up")
    assert model.vote == pytest.approx(1.5, abs=0.25)
    assert abs(model.intercept) < 0.3
    assert model.source == "made up"


@pytest.mark.parametrize(
    "examples",
    [[], [((0.0, 0.0, 0.0, 0.0), True)] * 19, [((1.0, 0.0, 0.0, 0.0), True)] * 50, drawn(random.Random(1), 12)],
)
def test_too_few_or_equal_examples_are_refused(examples: list[Example]) -> None:
    with pytest.raises(ConfigError, match="too few to calibrate"):
        fit(examples, "x")


@given(st.integers(5, 23), st.integers(2, 9))
def test_no_document_is_judged_by_a_model_that_saw_it(documents: int, folds: int) -> None:
    rng = random.Random(documents * 100 + folds)
    by_document = {
        f"d{n:02}": [((float(n), 0.0, 0.0, 0.0), good) for good in (True, False) * 10] for n in range(documents)
    }
    seen: list[set[float]] = []

    def watched(examples: list[Example], source: str) -> Calibrator:
        seen.append({x[0] for x, _ in examples})
        return Calibrator(intercept=float(len(seen) - 1), source=source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", watched)
        shuffled = dict(rng.sample(list(by_document.items()), documents))
        fitted = cross_fit(shuffled, folds)
    assert set(fitted) == set(by_document)
    for name, model in fitted.items():
        training = seen[int(model.intercept)]
        assert float(name[1:]) not in training
        assert len(training) >= documents - math.ceil(documents / folds)
    assert len(seen) == min(folds, documents)


def test_cross_fit_really_fits() -> None:
    rng = random.Random(5)
    fitted = cross_fit({f"d{n}": drawn(rng, 60) for n in range(10)})
    assert len({model.vote for model in fitted.values()}) == 5
    assert all(model.vote > 0.5 for model in fitted.values())


def test_cross_fit_of_a_single_document_is_refused() -> None:
    with pytest.raises(ConfigError):
        cross_fit({"only": drawn(random.Random(2), 100)})


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    model = Calibrator(0.1, 1.2, -0.3, 0.4, 0.5, "somewhere")
    path = tmp_path / "calibration.json"
    model.save(path)
    model.save(path)
    assert Calibrator.load(path) == model
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


GOOD = {"intercept": 0.0, **dict.fromkeys(FEATURES, 1.0), "source": "x"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"3",
        b'"text"',
        b"[]",
        b"{}",
        b"\xff\xfe",
        json.dumps({**GOOD, "vote": "much"}).encode(),
        json.dumps({**GOOD, "vote": None}).encode(),
        json.dumps({**GOOD, "vote": math.nan}).encode(),
        json.dumps({**GOOD, "verdict": math.inf}).encode(),
        json.dumps({k: v for k, v in GOOD.items() if k != "source"}).encode(),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a calibration") as caught:
        Calibrator.load(path)
    assert "\n" not in caught.value.message and caught.value.hint


def test_missing_and_unwritable_places_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Calibrator.load(tmp_path / "nowhere.json")
    with pytest.raises(OutputError, match="cannot be written"):
        Calibrator().save(tmp_path / "no" / "folder.json")


def test_the_shipped_calibration_loads() -> None:
    for mode in module.MODES:
        assert all(math.isfinite(getattr(module.shipped(mode), name)) for name in FEATURES)
    assert module.shipped("off").verdict == module.shipped("off").asked == 0.0
