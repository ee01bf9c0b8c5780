from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Span
from tools.metrics import Counts, count_by_label, count_matches

SPANS = st.lists(
    st.builds(
        lambda start, size, label: Span(start, start + size, label),
        st.integers(0, 6),
        st.integers(1, 4),
        st.sampled_from("abc"),
    ),
    max_size=8,
)


@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_laws(gold: list[Span], predicted: list[Span], rng: random.Random) -> None:
    counts = count_matches(gold, predicted)
    assert counts.support == len(set(gold))
    assert counts.tp + counts.fp == len(set(predicted))
    assert count_matches(predicted, gold) == Counts(counts.tp, counts.fn, counts.fp)
    # Neither order nor doubles change anything.
    again = predicted + predicted[:3]
    rng.shuffle(again)
    assert count_matches(rng.sample(gold, len(gold)), again) == counts
    assert sum(count_by_label(gold, predicted).values(), Counts()) == counts
    assert set(count_by_label(gold, predicted)) == {s.label for s in gold + predicted}
    # Without types the same spans match, and others that share their place.
    places = count_matches(gold, predicted, boundaries_only=True)
    assert places.tp >= counts.tp and (places.support, places.predicted) == (counts.support, counts.predicted)
    # With one type only, the boundaries are all there is.
    bare = [[s.with_label("x") for s in spans] for spans in (gold, predicted)]
    assert count_matches(*bare, boundaries_only=True) == count_matches(*bare)


@given(SPANS)
def test_gold_itself_is_perfect_and_nothing_is_worth_nothing(gold: list[Span]) -> None:
    counts = count_matches(gold, gold)
    assert (counts.fp, counts.fn) == (0, 0)
    assert counts.f1 == (1.0 if gold else 0.0)
    assert count_matches(gold, []).f1 == count_matches([], gold).f1 == 0.0


@given(SPANS, SPANS, SPANS)
def test_a_right_span_never_hurts_and_a_wrong_one_never_helps(
    gold: list[Span], predicted: list[Span], more: list[Span]
) -> None:
    before = count_matches(gold, predicted)
    for span in more:
        after = count_matches(gold, [*predicted, span])
        if span in gold:
            assert after.f1 >= before.f1
        else:
            assert after.f1 <= before.f1


def test_nested_overlapping_and_mistyped() -> None:
    gold = [Span(0, 10, "org"), Span(0, 4, "place"), Span(3, 8, "org"), Span(0, 4, "org")]
    predicted = [Span(0, 4, "org"), Span(0, 10, "place"), Span(3, 8, "org"), Span(3, 7, "org")]
    assert count_matches(gold, predicted) == Counts(2, 2, 2)
    # A place with two types is two spans, of which one was found.
    assert count_matches(gold, predicted, boundaries_only=True) == Counts(3, 1, 1)
    assert count_by_label(gold, predicted) == {"org": Counts(2, 1, 1), "place": Counts(0, 1, 1)}
    counts = Counts(2, 2, 2)
    assert (counts.precision, counts.recall, counts.f1) == (0.5, 0.5, 0.5)
