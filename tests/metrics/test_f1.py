from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics.v1 import precision_recall_fscore_support  # type: ignore[import-untyped]
from seqeval.scheme import IOB2  # type: ignore[import-untyped]

from tools.annotation import Label, LabelSet, Span
from tools.metrics import Counts, score, wilson

TAGS = st.lists(st.sampled_from(["O", "B-per", "I-per", "B-org", "I-org", "B-loc", "I-loc"]), min_size=1, max_size=12)


def spans_of(tags: list[str]) -> list[Span]:
    """The entities of strict IOB2: an I- without its B- is none."""
    spans: list[Span] = []
    start, label = 0, ""
    for at, tag in enumerate([*tags, "O"]):
        if tag != f"I-{label}" and label:
            spans.append(Span(start, at, label))
            label = ""
        if tag.startswith("B-"):
            start, label = at, tag[2:]
    return spans


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(TAGS, st.randoms(use_true_random=False)), min_size=1, max_size=5))
def test_agrees_with_seqeval_on_flat_data(sentences: list[tuple[list[str], object]]) -> None:
    gold = [tags for tags, _ in sentences]
    # Predictions that are partly right: some tags changed.
    choices = ["O", "B-per", "I-per", "B-org", "I-org"]
    predicted = [[t if rng.random() < 0.7 else rng.choice(choices) for t in tags] for tags, rng in sentences]  # type: ignore[attr-defined]
    table = score(
        {str(i): spans_of(tags) for i, tags in enumerate(gold)},
        {str(i): spans_of(tags) for i, tags in enumerate(predicted)},
    )
    assume(table.by_label)  # without any entity seqeval says nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average, ours in (("micro", table.micro), ("macro", table.macro)):
            theirs = precision_recall_fscore_support(gold, predicted, average=average, scheme=IOB2, zero_division=0)
            assert (ours.precision, ours.recall, ours.f1) == pytest.approx(theirs[:3])
        each = precision_recall_fscore_support(gold, predicted, average=None, scheme=IOB2, zero_division=0)
    assert [s.f1 for s in table.by_label.values()] == pytest.approx(list(each[2]))
    assert [s.support for s in table.by_label.values()] == list(each[3])


def test_the_table() -> None:
    gold = {"a": [Span(0, 3, "per"), Span(5, 9, "loc")], "b": [Span(0, 2, "per")], "c": []}
    predicted = {"a": [Span(0, 3, "per"), Span(5, 9, "org")], "c": [Span(1, 2, "per")]}
    table = score(gold, predicted)
    assert table.micro.counts == Counts(1, 2, 2)
    assert table.micro.support == 3
    assert table.boundaries.counts == Counts(2, 1, 1)
    assert {label: s.counts for label, s in table.by_label.items()} == {
        "loc": Counts(0, 0, 1),
        "org": Counts(0, 1, 0),
        "per": Counts(1, 1, 1),
    }
    assert table.macro.f1 == pytest.approx(0.5 / 3)
    assert table.documents == ("a", "b", "c")
    assert table.matrix.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 0]]
    assert np.array_equal(sum(table.matrix_by_label.values()), table.matrix)
    assert table.micro.f1_interval is None
    assert "F1 0.333" in str(table.micro)


def test_a_prediction_without_gold_is_refused_and_a_missing_one_counts_as_not_found() -> None:
    with pytest.raises(ValueError, match="'b'"):
        score({"a": []}, {"b": []})
    assert score({"a": [Span(0, 1, "x")]}, {}).micro.counts == Counts(0, 0, 1)
    assert score({}, {}, rng=1).micro.f1 == 0.0


def made_up(documents: int = 60) -> tuple[dict[str, list[Span]], dict[str, list[Span]]]:
    """Documents of many sizes, so that draws differ."""
    rng = np.random.default_rng(3)
    gold, predicted = {}, {}
    for number in range(documents):
        spans = [Span(10 * i, 10 * i + 4, "xy"[i % 2]) for i in range(int(rng.integers(0, 9)))]
        gold[str(number)] = spans
        predicted[str(number)] = [s if rng.random() < 0.8 else Span(s.start, s.end + 1, "x") for s in spans[1:]]
    return gold, predicted


def test_intervals_come_with_a_generator_and_repeat_with_its_seed() -> None:
    gold, predicted = made_up()
    one, two = score(gold, predicted, rng=7), score(gold, predicted, rng=np.random.default_rng(7))
    assert one.micro == two.micro
    assert one.micro != score(gold, predicted, rng=8).micro
    for found in (*one.schemes.values(), one.macro, *one.by_label.values()):
        for name in ("f1", "precision", "recall"):
            interval = getattr(found, f"{name}_interval")
            assert interval.point == pytest.approx(getattr(found, name))
            assert 0 < interval.low < interval.point <= interval.high <= 1
    assert f"[{one.micro.f1_interval.low:.3f}, " in str(one.micro)  # type: ignore[union-attr]
    assert one.schemes["strict"] == one.micro and one.schemes["boundaries"] == one.boundaries
    assert np.array_equal(one.matrices["strict"], one.matrix)
    assert one.units == len(gold)


def test_clusters_are_drawn_whole() -> None:
    gold, predicted = made_up(20)
    alone = score(gold, predicted, rng=1)
    # The same documents ten times over, as sentences of one article each: ten times the data, no more knowledge.
    many = {f"{name}-{copy}": spans for name, spans in gold.items() for copy in range(10)}
    guess = {f"{name}-{copy}": spans for name, spans in predicted.items() for copy in range(10)}
    clustered = score(many, guess, rng=1, clusters={name: name.split("-")[0] for name in many})
    assert clustered.units == 20
    few, same, blind = (one.micro.f1_interval for one in (alone, clustered, score(many, guess, rng=1)))
    assert few is not None and same is not None and blind is not None
    assert (same.low, same.high) == pytest.approx((few.low, few.high), abs=0.01)
    assert blind.high - blind.low < 0.5 * (few.high - few.low)
    with pytest.raises(ValueError, match="no cluster"):
        score(gold, predicted, rng=1, clusters={"0": "a"})


def test_no_mistake_among_few_is_not_certainty() -> None:
    gold = {str(i): [Span(0, 2, "x"), *([Span(5, 9, "rare")] if i < 3 else [])] for i in range(30)}
    table = score(gold, gold, rng=1)
    rare, common = table.by_label["rare"], table.by_label["x"]
    assert rare.f1_interval == wilson(3, 3)
    assert common.f1_interval == wilson(30, 30)
    once = score({"a": [Span(0, 1, "once")], "b": []}, {"a": [Span(0, 1, "once")], "b": []}, rng=1).by_label["once"]
    assert once.f1_interval is not None and (once.f1_interval.low, once.f1_interval.high) == (0.0, 1.0)


TREE = LabelSet(
    (
        Label("agent"), Label("person", parent="agent"), Label("group", parent="agent"),
        Label("band", parent="group"), Label("place"),
    )
)  # fmt: skip


def test_rolled_up_a_type_tree() -> None:
    gold = {"a": [Span(0, 4, "band"), Span(5, 9, "person"), Span(10, 12, "place"), Span(20, 24, "group")]}
    predicted = {"a": [Span(0, 4, "group"), Span(5, 9, "band"), Span(10, 12, "place"), Span(20, 24, "place")]}
    table = score(gold, predicted, labels=TREE, rng=1)
    assert table.micro.counts == Counts(1, 3, 3)
    assert list(table.by_parent) == ["agent", "group"]
    assert table.by_parent["agent"].counts == Counts(2, 0, 1)
    assert table.by_parent["group"].counts == Counts(1, 1, 1)
    assert table.top is not None and table.top.counts == Counts(3, 1, 1)
    flat = score(gold, predicted, labels=LabelSet.of("person", "band", "group", "place"))
    assert flat.by_parent == {} and flat.top is None
    # A place that is marked with a type and its parent is one mention of the parent.
    doubled = {"a": [Span(0, 4, "band"), Span(0, 4, "group")]}
    assert score(doubled, doubled, labels=TREE).by_parent["agent"].counts == Counts(1, 0, 0)


def test_nothing_at_all() -> None:
    table = score({"a": [], "b": []}, {}, rng=1)
    assert table.by_label == {} and table.macro.f1 == 0 and table.micro.support == 0
