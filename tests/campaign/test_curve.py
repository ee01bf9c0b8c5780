"""Learning curves, the stop rule, the oracle's slips: what can be said, and when it says that it cannot tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.campaign.curve import Gain, Outlook, Point, fit, outlook, value
from agent.campaign.errors import CampaignError
from agent.campaign.oracle import Oracle, read_oracle
from agent.campaign.policy import Rule, stops
from agent.campaign.state import StopReason
from tests.campaign.world import LABELS, corpus
from tools.annotation import Document, Span
from tools.errors import InputError
from tools.store import Store


def rounds(f1: list[float], step: int = 20, documents: int = 40, seed: int = 3) -> list[Point]:
    """Rounds whose documents hold five spans each, found with these probabilities."""
    rng = np.random.default_rng(seed)
    made = []
    for number, score in enumerate(f1, 1):
        found = rng.binomial(5, score, documents)
        made.append(Point(number * step, {f"d{n}": (int(tp), 5 - int(tp), 5 - int(tp)) for n, tp in enumerate(found)}))
    return made


def power(labels: float, a: float = 0.8, b: float = 1.2, c: float = 0.5) -> float:
    return a - b * float(labels**-c)


@given(a=st.floats(0.3, 0.99), b=st.floats(0.1, 2.0), c=st.sampled_from([0.2, 0.5, 1.0, 1.5]), seed=st.integers(0, 99))
def test_an_exact_power_law_is_found_again(a: float, b: float, c: float, seed: int) -> None:
    labels = np.array([10.0, 20, 30, 40, 60, 80])
    [curve] = fit(labels, (a - b * labels**-c)[None], np.ones(6))
    # Between the points of the grid of exponents a and b trade off; what counts is where it leads.
    assert np.allclose(value(curve[None], 120.0), a - b * 120.0**-c, atol=0.005)
    assert curve[0] <= 1 and curve[1] >= 0


def test_a_falling_curve_is_flat_and_never_above_one() -> None:
    labels = np.array([10.0, 20, 30, 40])
    falling, steep = fit(labels, np.array([[0.8, 0.7, 0.6, 0.5], [0.1, 0.5, 0.8, 0.99]]), np.ones(4))
    assert falling[1] == 0 and falling[0] == pytest.approx(0.65)
    assert steep[0] <= 1


def test_it_extrapolates_what_it_can_see() -> None:
    points = rounds([power(20 * n) for n in range(1, 7)], documents=200)
    seen = outlook(points, 20, 120, rng=np.random.default_rng(1))
    assert seen.known and seen.batch is not None and seen.further is not None
    assert seen.batch.low <= seen.batch.expected <= seen.batch.high
    assert seen.further.labels == 120 and seen.further.expected > seen.batch.expected
    assert seen.sentence().startswith("about 20 more labels for about +0.0")
    assert outlook(points, 20, 120, rng=np.random.default_rng(1)) == seen


def test_the_band_holds_what_it_says() -> None:
    """Eight in ten, over many campaigns; fitting costs some of it."""
    true = power(140) - power(120)
    held = 0
    for seed in range(60):
        points = rounds([power(20 * n) for n in range(1, 7)], documents=60, seed=seed)
        batch = outlook(points, 20, 120, rng=np.random.default_rng(1)).batch
        assert batch is not None and batch.expected == pytest.approx(true, abs=0.03)
        held += batch.low <= true <= batch.high
    assert 0.6 <= held / 60 <= 0.95


def test_the_way_to_a_target() -> None:
    points = rounds([power(20 * n) for n in range(1, 7)], documents=400)
    near = outlook(points, 20, 100, rng=np.random.default_rng(1), target=0.72)
    assert near.to_target is not None and 40 < near.to_target < 300  # exactly: (1.2 / 0.08) ** 2 - 120 = 105
    assert outlook(points, 20, 100, rng=np.random.default_rng(1), target=0.3).to_target == 0
    assert outlook(points, 20, 100, rng=np.random.default_rng(1), target=0.99).to_target is None


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "0 of at least 4 rounds"),
        (rounds([0.3, 0.4, 0.5]), "3 of at least 4 rounds"),
        (rounds([0.3, 0.4, 0.5, 0.6], documents=7), "7 of at least 8 audit documents"),
        ([Point(10 * n, {f"d{m}": (0, 0, 0) for m in range(30)}) for n in range(1, 6)], "0 of at least 8"),
        (rounds([0.1, 0.9, 0.2, 0.9], documents=30), "scatter by 0.3"),
    ],
)
def test_it_says_when_it_cannot_tell(points: list[Point], said: str) -> None:
    seen = outlook(points, 10, 400, rng=np.random.default_rng(1))
    assert not seen.known and said in seen.why and said in seen.sentence() and "cannot be told" in seen.sentence()
    assert seen.batch is None and seen.to_target is None


KNOWN = Outlook(True, batch=Gain(10, 0.004, -0.01, 0.02), further=Gain(90, 0.05, 0.01, 0.1))
UNKNOWN = Outlook(False, "too early")


@pytest.mark.parametrize(
    ("rule", "labels", "pool", "low", "seen", "reason"),
    [
        (Rule(10), 9, 5, 0.9, KNOWN, None),
        (Rule(10), 10, 5, None, UNKNOWN, StopReason.BUDGET),
        (Rule(10), 9, 0, None, UNKNOWN, StopReason.POOL),
        (Rule(10, target_f1=0.7), 9, 5, 0.69, KNOWN, None),
        (Rule(10, target_f1=0.7), 9, 5, 0.70, KNOWN, StopReason.TARGET),
        (Rule(10, target_f1=0.7), 9, 5, None, KNOWN, None),
        (Rule(10, min_gain=0.01), 9, 5, None, KNOWN, StopReason.GAIN),
        (Rule(10, min_gain=0.003), 9, 5, None, KNOWN, None),
        (Rule(10, min_gain=0.9), 9, 5, None, UNKNOWN, None),
        (Rule(10, target_f1=0.5, min_gain=0.9), 10, 0, 0.6, KNOWN, StopReason.TARGET),
    ],
)
def test_when_it_stops(
    rule: Rule, labels: int, pool: int, low: float | None, seen: Outlook, reason: StopReason | None
) -> None:
    assert stops(rule, labels, pool, low, seen) is reason


# -- the oracle -------------------------------------------------------------------------------------------------


def test_slips_come_at_their_rate_and_again_the_same() -> None:
    table = {document.id: spans for document, spans in corpus(200)}
    exact = Oracle(table, LABELS.names)
    noisy = Oracle(table, LABELS.names, noise=0.3)
    other = Oracle(table, LABELS.names, annotator="bob", noise=0.3)
    kept = total = 0
    differs = False
    for document, spans in corpus(200):
        assert exact.answer(document) == spans
        said = noisy.answer(document)
        assert said == noisy.answer(document)
        assert all(span.label in LABELS.names and span.end <= len(document.text) for span in said)
        kept, total = kept + len(set(said) & set(spans)), total + len(spans)
        differs |= said != other.answer(document)
    assert kept / total == pytest.approx(0.7, abs=0.06) and differs
    with pytest.raises(CampaignError, match="no gold"):
        exact.answer(Document("else", "Ada."))


def write(path: Path, *records: str) -> Path:
    path.write_text("\n".join(records) + "\n", encoding="utf-8")
    return path


def test_reading_an_oracle(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        store.add_documents([Document("a", "Ada ran."), Document("b", "Bo sat."), Document("c", "Rain.")])
        good = '{"id": "a", "text": "Ada ran.", "entities": [{"start": 0, "end": 3, "label": "person"}]}'
        none = '{"id": "b", "text": "Bo sat.", "entities": []}'
        else_ = '{"id": "z", "text": "Elsewhere.", "entities": []}'
        found = read_oracle(write(tmp_path / "g.jsonl", good, none, else_), store, LABELS)
        assert dict(found.gold) == {"a": (Span(0, 3, "person"),), "b": ()}
        assert (found.left_out, found.without) == (1, 1)
        with pytest.raises(CampaignError, match="none of its 1 documents is in the project, the first is 'z'"):
            read_oracle(write(tmp_path / "z.jsonl", else_), store, LABELS)
        with pytest.raises(CampaignError, match="another text"):
            read_oracle(write(tmp_path / "t.jsonl", good.replace("ran.", "ran!")), store, LABELS)
        with pytest.raises(InputError, match="no entities"):
            read_oracle(write(tmp_path / "n.jsonl", '{"id": "a", "text": "Ada ran."}'), store, LABELS)
        with pytest.raises(InputError, match="unknown label"):
            read_oracle(write(tmp_path / "l.jsonl", good.replace("person", "fish")), store, LABELS)
