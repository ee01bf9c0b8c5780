"""What is read from predictions, and what an item costs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult, Vote
from tools.selection import Pool, SelectionOptions, Timing, TimingModel, items_of, select
from tools.selection.cost import LEAST_SECONDS
from tools.selection.signals import measured, signal_of, signals_for


def entity(*votes: tuple[str, float], start: int = 0, confidence: float = 0.5, verdict: float | None = None) -> Entity:
    cast = tuple(Vote(f"m{n}", True, label, p) for n, (label, p) in enumerate(votes))
    return Entity(Span(start, start + 3, "person"), confidence, cast, verdict)


def passage(*entities: Entity, rejected: tuple[Entity, ...] = (), kind: OutcomeKind = OutcomeKind.OK) -> PassageResult:
    return PassageResult("d", 0, Outcome(kind), entities, rejected)


def test_perplexity_is_that_of_all_answers() -> None:
    found = signal_of([passage(entity(("person", 0.5), ("person", 0.25)), rejected=(entity(("", 0.125)),))])
    assert found is not None
    assert found.perplexity == pytest.approx((0.5 * 0.25 * 0.125) ** (-1 / 3))


def test_margin_is_minus_the_log_odds() -> None:
    found = signal_of([passage(entity(("person", 0.9), ("person", 0.6)), entity(("person", 0.5)))])
    assert found is not None
    first = -(math.log(0.9 / 0.1) + math.log(0.6 / 0.4)) / 2
    assert found.margin == pytest.approx((first + 0.0) / 2)
    worst = signal_of([passage(entity(("person", 0.9)), entity(("person", 0.5)))], "max")
    assert worst is not None and worst.margin == pytest.approx(0.0)


def test_vote_entropy() -> None:
    def votes(*labels: str) -> float:
        found = signal_of([passage(entity(*((label, 0.9) for label in labels)))])
        assert found is not None
        return found.votes

    assert votes("person", "person", "person") == 0
    assert votes("person", "place", "") == pytest.approx(1)
    assert votes("person", "person", "") == pytest.approx((math.log(3) - 2 / 3 * math.log(2)) / math.log(3))
    assert votes("person") == 0


def test_verifier_against_the_members() -> None:
    found = signal_of([passage(entity(("person", 0.9), ("", 0.9), verdict=0.9), entity(("person", 0.9)))])
    assert found is not None
    assert found.verifier == pytest.approx(0.4)
    never = signal_of([passage(entity(("person", 0.9)))])
    assert never is not None and math.isnan(never.verifier)


def test_expected_errors_and_suggestions() -> None:
    found = signal_of([passage(entity(confidence=0.8), entity(confidence=0.6), rejected=(entity(confidence=0.1),))])
    assert found is not None
    assert (found.expected_errors, found.suggestions) == (pytest.approx(0.7), 2)


def test_nothing_found_is_certain_and_failure_is_unknown() -> None:
    empty = signal_of([passage()])
    assert empty is not None and empty.perplexity == 1 and empty.votes == 0
    sure = signal_of([passage(entity(("person", 0.999)))])
    assert sure is not None and empty.margin < sure.margin
    assert signal_of([]) is None
    assert signal_of([passage(), passage(kind=OutcomeKind.FAILED)]) is None


def test_a_pools_signals() -> None:
    results = [("b", [passage(entity(("person", 0.5)))]), ("elsewhere", [passage()]), ("c", [])]
    found = signals_for(["a", "b", "c"], results)
    assert found["perplexity"].tolist()[1] == pytest.approx(2)
    assert np.isnan(found["perplexity"][[0, 2]]).all()
    assert signals_for(["a"], results) == {}


def test_mixed_is_the_mean_percentile() -> None:
    signals = {"perplexity": np.array([1.0, 2.0, 3.0, np.nan]), "votes": np.array([0.0, 0.0, 1.0, 0.5])}
    found = measured(signals, "mixed")
    assert found is not None
    # perplexity: 1/6, 3/6, 5/6; votes: the two least share the place of 2/8, then 7/8, 5/8.
    assert found.tolist() == pytest.approx([(1 / 6 + 2 / 8) / 2, (3 / 6 + 2 / 8) / 2, (5 / 6 + 7 / 8) / 2, 5 / 8])
    assert measured({}, "mixed") is None
    assert measured({"votes": np.array([np.nan])}, "votes") is None


def test_errors_a_second_decide_where_time_counts() -> None:
    signals = {"perplexity": np.array([9.0, 3.0, 2.0]), "expected_errors": np.array([3.0, 1.0, 0.9])}
    pool = Pool(["long", "short", "middle"], signals=signals, seconds=np.array([60.0, 5.0, 10.0]))

    def order(cost_aware: bool) -> tuple[str, ...]:
        options = SelectionOptions(audit=0.0, cost_aware=cost_aware)
        return select("uncertainty", pool, 3, np.random.default_rng(0), options=options).ids

    assert order(False) == ("long", "short", "middle")
    assert order(True) == ("short", "middle", "long")


def test_a_person_is_learned_from_their_timing() -> None:
    rng = np.random.default_rng(0)
    lengths, spans = rng.integers(20, 900, 400), rng.integers(0, 9, 400)
    true = 5 + 0.1 * lengths + 3 * spans
    timings = [
        Timing(int(n), int(s), float(t)) for n, s, t in zip(lengths, spans, true * rng.normal(1, 0.2, 400), strict=True)
    ]
    coffee = [Timing(100, 1, 3600.0), Timing(100, 1, -3.0), Timing(100, 1, math.nan), Timing(50, 0, 0.0)]
    model = TimingModel.fit([*timings, *coffee])
    assert model.overhead == pytest.approx(5, rel=0.35)
    assert model.per_character == pytest.approx(0.1, rel=0.1)
    assert model.per_suggestion == pytest.approx(3, rel=0.15)
    assert (model.records, model.left_out) == (400, 4)
    assert model.seconds([100, 200], [1, 0]) == pytest.approx([18, 25], rel=0.1)


def test_a_few_records_move_the_prior_a_little() -> None:
    prior = TimingModel()
    assert TimingModel.fit([]) == prior
    slow = [Timing(200, 2, 3 * float(prior.seconds(200, 2)))]
    after = [float(TimingModel.fit(slow * count).seconds(200, 2) / prior.seconds(200, 2)) for count in (1, 5, 50, 5000)]
    assert 1 < after[0] < after[1] < after[2] < after[3] <= 3
    assert after[0] < 1.5
    assert after[3] == pytest.approx(3, rel=0.02)


@given(
    st.lists(
        st.builds(Timing, st.integers(0, 5000), st.integers(0, 50), st.floats(allow_nan=True, allow_infinity=True)),
        max_size=30,
    )
)
def test_whatever_the_records_costs_are_usable(timings: list[Timing]) -> None:
    model = TimingModel.fit(timings)
    assert min(model.overhead, model.per_character, model.per_suggestion) >= 0
    expected = model.seconds([0, 10, 10_000], [0, 5, 50])
    assert np.isfinite(expected).all() and (expected >= LEAST_SECONDS).all()
    assert expected[0] <= expected[1] <= expected[2]
    assert model.records + model.left_out == len(timings)


SENTENCE = "The ship left the harbour of Lagos before noon. "


@given(st.integers(0, 60), st.integers(30, 400))
def test_items_cover_a_document_once(sentences: int, longest: int) -> None:
    document = Document("d", SENTENCE * sentences)
    items = items_of(document, longest)
    assert all(item.text == document.text[item.start : item.end] for item in items)
    assert all(len(item.text) <= longest + 3 for item in items)
    assert all(before.end <= after.start for before, after in itertools.pairwise(items))
    assert "".join("".join(item.text.split()) for item in items) == "".join(document.text.split())
    assert len({item.id for item in items}) == len(items)


def test_short_documents_stay_whole_and_blank_ones_go() -> None:
    (item,) = items_of(Document("d", SENTENCE))
    assert (item.id, item.whole, item.end) == ("d", True, len(SENTENCE))
    assert items_of(Document("d", " \n ")) == []
    (long,) = items_of(Document("d", SENTENCE * 500), None)
    assert long.whole


def test_spans_go_to_the_item_they_begin_in() -> None:
    document = Document("d", SENTENCE * 20)
    items = items_of(document, 200)
    found = [passage(entity(start=at), rejected=(entity(start=at + 5),)) for at in (0, 300, 700)]
    shares = [item.results(found) for item in items]
    begins = sorted(e.span.start for share in shares for p in share for e in p.entities)
    assert begins == [0, 300, 700]
    for item, share in zip(items, shares, strict=True):
        assert all(item.start <= e.span.start < item.end for p in share for e in (*p.entities, *p.rejected))
