"""The four schemes: optimal, ordered, blind to the order of the input, and as the references have them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate.evaluator import Evaluator

from tests.metrics.spans import SPANS, best_credit
from tools.annotation import Span
from tools.metrics import SCHEMES, Counts, count_matches, count_schemes, score

REFERENCE = {"strict": "strict", "boundaries": "exact", "types": "ent_type", "partial": "partial"}


@settings(max_examples=400)
@given(SPANS, SPANS)
def test_no_assignment_gives_more_credit(gold: list[Span], predicted: list[Span]) -> None:
    found = count_schemes(gold, predicted)
    for scheme in SCHEMES:
        assert found[scheme].tp == best_credit(scheme, set(gold), set(predicted)), scheme


@settings(max_examples=300)
@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_laws(gold: list[Span], predicted: list[Span], rng: random.Random) -> None:
    found = count_schemes(gold, predicted)
    for counts in found.values():
        assert counts.support == len(set(gold)) and counts.predicted == len(set(predicted))
        assert min(counts.tp, counts.fp, counts.fn) >= 0
        assert 0 <= counts.precision <= 1 and 0 <= counts.recall <= 1 and 0 <= counts.f1 <= 1
    assert found["strict"].f1 <= found["boundaries"].f1 <= found["partial"].f1
    assert found["strict"].f1 <= found["types"].f1
    assert found["strict"] == count_matches(gold, predicted)
    assert found["boundaries"] == count_matches(gold, predicted, boundaries_only=True)
    # Neither order nor doubles change anything; changing sides changes precision and recall.
    again = [*gold, *gold[:2]], [*predicted, *predicted[:2]]
    for side in again:
        rng.shuffle(side)
    assert count_schemes(*again) == found
    for scheme, counts in count_schemes(predicted, gold).items():
        assert counts == Counts(found[scheme].tp, found[scheme].fn, found[scheme].fp)


def test_by_hand() -> None:
    gold = [Span(0, 10, "org"), Span(0, 4, "place"), Span(20, 25, "per"), Span(30, 35, "per")]
    predicted = [Span(0, 10, "org"), Span(0, 4, "org"), Span(21, 25, "per"), Span(30, 36, "org")]
    found = count_schemes(gold, predicted)
    assert found["strict"] == Counts(1, 3, 3)
    assert found["boundaries"] == Counts(2, 2, 2)
    assert found["types"] == Counts(2, 2, 2)
    assert found["partial"] == Counts(3.0, 1.0, 1.0)


def test_an_equal_span_may_stand_between_two_pairs_that_overlap() -> None:
    gold = [Span(0, 10, "x"), Span(8, 12, "x")]
    predicted = [Span(0, 10, "x"), Span(0, 2, "x")]
    found = count_schemes(gold, predicted)
    assert found["types"].tp == 2
    assert found["partial"].tp == 1


def test_a_place_with_two_types_is_two_spans() -> None:
    gold = [Span(0, 4, "a"), Span(0, 4, "b")]
    assert count_schemes(gold, gold)["boundaries"] == Counts(2, 0, 0)
    assert count_schemes(gold, [Span(0, 4, "c")])["boundaries"] == Counts(1, 0, 1)


CELL = st.tuples(
    st.none() | st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from("abc")),
    st.none() | st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from("abc")),
)


def in_cells(cells: list[tuple[tuple[int, int, str] | None, tuple[int, int, str] | None]]) -> list[list[Span]]:
    """Spans of which none overlaps more than one of the other side."""
    return [
        [
            Span(10 * at + cell[side][0], 10 * at + sum(cell[side][:2]), cell[side][2])  # type: ignore[index]
            for at, cell in enumerate(cells)
            if cell[side]
        ]
        for side in (0, 1)
    ]


@settings(max_examples=150)
@given(st.lists(st.lists(CELL, min_size=1, max_size=6), min_size=1, max_size=4))
def test_agrees_with_nervaluate_where_overlaps_are_one_to_one(documents: list[list[object]]) -> None:
    sides = [in_cells(cells) for cells in documents]  # type: ignore[arg-type]
    table = score(
        {str(i): gold for i, (gold, _) in enumerate(sides)}, {str(i): pred for i, (_, pred) in enumerate(sides)}
    )
    for scheme, theirs in reference(sides).items():
        ours = table.schemes[scheme]  # type: ignore[index]
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx((theirs.precision, theirs.recall, theirs.f1))


@settings(max_examples=150)
@given(SPANS, SPANS)
def test_nervaluate_never_finds_more(gold: list[Span], predicted: list[Span]) -> None:
    sides = [[sorted(set(gold)), sorted(set(predicted))]]
    ours = count_schemes(gold, predicted)
    for scheme, theirs in reference(sides).items():
        assert theirs.correct + 0.5 * theirs.partial <= ours[scheme].tp  # type: ignore[index]


def reference(sides: list[list[list[Span]]]) -> dict[str, object]:
    forms = [
        [[{"label": s.label, "start": s.start, "end": s.end - 1} for s in document[side]] for document in sides]
        for side in (0, 1)
    ]
    found = Evaluator(*forms, tags=list("abc"), loader="dict").evaluate()["overall"]
    return {ours: found[theirs] for ours, theirs in REFERENCE.items()}
