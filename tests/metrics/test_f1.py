from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics.v1 import precision_recall_fscore_support  # type: ignore[import-untyped]
from seqeval.scheme import IOB2  # type: ignore[import-untyped]

from tools.annotation import Span
from tools.metrics import Counts, score

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


def test_intervals_come_with_a_generator_and_repeat_with_its_seed() -> None:
    gold = {str(i): [Span(0, 1, "x"), Span(2, 3, "y")] for i in range(40)}
    predicted = {str(i): [Span(0, 1, "x")] if i % 3 else [Span(0, 2, "x")] for i in range(40)}
    one, two = score(gold, predicted, rng=7), score(gold, predicted, rng=np.random.default_rng(7))
    assert one.micro == two.micro
    assert one.micro != score(gold, predicted, rng=8).micro
    for found in (one.micro, one.boundaries, one.by_label["x"]):
        for name in ("f1", "precision", "recall"):
            interval = getattr(found, f"{name}_interval")
            assert interval.point == getattr(found, name)
            assert 0 < interval.low < interval.point < interval.high <= 1
    assert f"[{one.micro.f1_interval.low:.3f}, " in str(one.micro)  # type: ignore[union-attr]
