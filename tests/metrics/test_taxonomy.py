"""Every span is charged once, with what a person would say it is."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.spans import SPANS
from tools.annotation import Span
from tools.metrics import Charge, ErrorKind, charge, count_matches, taxonomy


@settings(max_examples=400)
@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_each_span_is_charged_once(gold: list[Span], predicted: list[Span], rng: random.Random) -> None:
    charges = charge(gold, predicted)
    assert sorted(span for one in charges for span in one.gold) == sorted(set(gold))
    assert sorted(span for one in charges for span in one.predicted) == sorted(set(predicted))
    correct = [one for one in charges if one.kind is ErrorKind.CORRECT]
    assert len(correct) == count_matches(gold, predicted).tp
    again = rng.sample(gold, len(gold)), [*predicted, *rng.sample(predicted, len(predicted))]
    assert charge(*again) == charges


@settings(max_examples=400)
@given(SPANS, SPANS)
def test_a_charge_is_what_it_is_called(gold: list[Span], predicted: list[Span]) -> None:
    for one in charge(gold, predicted):
        sizes = len(one.gold), len(one.predicted)
        if one.kind is ErrorKind.MISSED:
            assert sizes == (1, 0)
        elif one.kind is ErrorKind.SPURIOUS:
            assert sizes == (0, 1)
        elif one.kind in (ErrorKind.SPLIT, ErrorKind.MERGED):
            outer, parts = (one.gold, one.predicted) if one.kind is ErrorKind.SPLIT else (one.predicted, one.gold)
            assert len(outer) == 1 and len(parts) > 1
            assert all(outer[0].start <= part.start and part.end <= outer[0].end for part in parts)
            assert all(a.end <= b.start for a, b in itertools.pairwise(parts))
        else:
            assert sizes == (1, 1)
            (g,), (p,) = one.gold, one.predicted
            assert g.overlaps(p)
            assert (g.label != p.label) == (one.kind in (ErrorKind.WRONG_TYPE, ErrorKind.WRONG_BOTH))
            same = (g.start, g.end) == (p.start, p.end)
            assert same == (one.kind in (ErrorKind.CORRECT, ErrorKind.WRONG_TYPE))
            if one.kind is ErrorKind.TOO_LONG:
                assert p.start <= g.start and g.end <= p.end
            if one.kind is ErrorKind.TOO_SHORT:
                assert g.start <= p.start and p.end <= g.end


@given(st.lists(st.tuples(SPANS, SPANS), max_size=4))
def test_counts_add_up(documents: list[tuple[list[Span], list[Span]]]) -> None:
    gold = {str(i): g for i, (g, _) in enumerate(documents)}
    predicted = {str(i): p for i, (_, p) in enumerate(documents) if p}
    found = taxonomy(gold, predicted)
    assert found.gold.total() == sum(len(set(spans)) for spans in gold.values())
    assert found.predicted.total() == sum(len(set(spans)) for spans in predicted.values())
    alone = [one for g, p in documents for one in charge(g, p)]
    for kind, cases, of_gold, of_predicted in found.rows():
        same = [one for one in alone if one.kind is kind]
        assert (cases, of_gold, of_predicted) == (
            len(same), sum(len(one.gold) for one in same), sum(len(one.predicted) for one in same),
        )  # fmt: skip
    kept = [one for charges in found.charges.values() for one in charges]
    assert kept == [one for one in alone if one.kind is not ErrorKind.CORRECT]
    assert not taxonomy(gold, predicted, keep=False).charges
    for side, total in ((0, found.gold.total()), (1, found.predicted.total())):
        assert sum(count for pair, count in found.confusion.items() if pair[side]) == total


G = Span(10, 20, "org")


@pytest.mark.parametrize(
    ("gold", "predicted", "charges"),
    [
        ([G], [G], [("correct", 1, 1)]),
        ([G], [Span(10, 20, "per")], [("wrong type", 1, 1)]),
        ([G], [Span(10, 22, "org")], [("too long", 1, 1)]),
        ([G], [Span(8, 22, "org")], [("too long", 1, 1)]),
        ([G], [Span(12, 20, "org")], [("too short", 1, 1)]),
        ([G], [Span(15, 25, "org")], [("shifted", 1, 1)]),
        ([G], [Span(15, 25, "per")], [("wrong both", 1, 1)]),
        ([G], [], [("missed", 1, 0)]),
        ([], [G], [("spurious", 0, 1)]),
        ([G], [Span(20, 25, "org")], [("missed", 1, 0), ("spurious", 0, 1)]),
        ([G], [Span(10, 14, "org"), Span(15, 20, "loc")], [("split", 1, 2)]),
        ([Span(10, 14, "per"), Span(15, 20, "per")], [Span(10, 20, "per")], [("merged", 2, 1)]),
        # Two pieces that overlap each other are no split.
        ([G], [Span(10, 14, "org"), Span(12, 15, "org")], [("too short", 1, 1), ("spurious", 0, 1)]),
        # Nested gold of which the inner span is right: the outer is missed, not split or merged.
        ([G, Span(10, 14, "per")], [Span(10, 14, "per")], [("correct", 1, 1), ("missed", 1, 0)]),
        # The right type is worth more than the larger overlap.
        ([Span(0, 10, "a")], [Span(0, 9, "b"), Span(5, 12, "a")], [("spurious", 0, 1), ("shifted", 1, 1)]),
        # One place, two types, one of them wrong: the other is spurious.
        ([G], [Span(10, 20, "a"), Span(10, 20, "b")], [("wrong type", 1, 1), ("spurious", 0, 1)]),
        # The tighter of two outer spans is the one that was split.
        (
            [Span(0, 30, "x"), Span(0, 20, "x")],
            [Span(0, 8, "x"), Span(10, 20, "x")],
            [("missed", 1, 0), ("split", 1, 2)],
        ),
    ],
)
def test_by_hand(gold: list[Span], predicted: list[Span], charges: list[tuple[str, int, int]]) -> None:
    found = [(str(one.kind), len(one.gold), len(one.predicted)) for one in charge(gold, predicted)]
    assert sorted(found) == sorted(charges)


def test_confusion_pairs_types_and_leaves_the_rest_to_nothing() -> None:
    gold = {"d": [G, Span(30, 35, "per"), Span(40, 45, "loc"), Span(50, 60, "org")]}
    predicted = {"d": [G, Span(30, 35, "org"), Span(70, 75, "per"), Span(50, 54, "org"), Span(55, 60, "org")]}
    found = taxonomy(gold, predicted).confusion
    assert found == {
        ("org", "org"): 1,
        ("per", "org"): 1,
        ("loc", ""): 1,
        ("", "per"): 1,
        ("org", ""): 1,
        ("", "org"): 2,
    }


def test_charges_are_records() -> None:
    assert charge([G], [])[0] == Charge(ErrorKind.MISSED, (G,))
