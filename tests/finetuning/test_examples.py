"""Gold made ready: checked, counted, cut into passages, a dev part set aside by document."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetuning.gold import GOLD, LABELS, made, marked
from tools.annotation import Document, LabelSet, Span
from tools.errors import InputError
from tools.finetuning.errors import TrainingError
from tools.finetuning.examples import GoldDocument, prepare, split_documents

TYPES = LabelSet.of("person", "place", "organization")


def documents(count: int = 12, seed: int = 0) -> list[GoldDocument]:
    return [(Document(f"d{n}", gold.text), gold.spans) for n, gold in enumerate(made(count, seed))]


def words(text: str) -> int:
    return len(text.split())


def test_parts_say_what_is_in_them() -> None:
    examples = prepare(documents(20), TYPES, words, seed=1)
    train, dev = examples.train, examples.dev
    assert len(train.documents) == 16 and len(dev.documents) == 4
    assert {d.id for d, _ in train.documents} | {d.id for d, _ in dev.documents} == {f"d{n}" for n in range(20)}
    assert sum(train.counts.values()) == sum(len(g.spans) for g in train.passages) == 32
    assert train.used[0] == {"id": train.documents[0][0].id, "hash": train.documents[0][0].hash}
    assert not examples.left_out and not examples.cut
    assert {g.text for g in train.sentences} == {g.text for g in train.passages}


@given(st.integers(1, 30), st.integers(0, 50), st.sampled_from([0.0, 0.2, 0.5]))
def test_a_split_is_by_document_repeatable_and_leaves_every_type_most_of_its_mentions(
    count: int, seed: int, share: float
) -> None:
    given_ = documents(count, seed)
    train, dev = split_documents(given_, share=share, seed=seed)
    assert [*train, *dev] != [] and sorted([*train, *dev], key=given_.index) == given_
    assert (train, dev) == split_documents(given_, share=share, seed=seed)
    assert len(dev) <= round(share * count) and (count >= 5 or not dev)
    totals = Counter(s.label for _, spans in given_ for s in spans)
    left = Counter(s.label for _, spans in train for s in spans)
    assert all(3 * left[name] >= 2 * total for name, total in totals.items())


def test_a_document_stays_on_its_side_when_others_come() -> None:
    few, many = documents(20), documents(30)
    _, before = split_documents(few, share=0.2, seed=3)
    _, after = split_documents([*few, *many[20:]], share=0.2, seed=3)
    assert len({d.id for d, _ in before} & {d.id for d, _ in after}) >= 1


def test_long_documents_are_cut_and_lost_mentions_counted() -> None:
    text = " ".join(f"Ada{n} met Bo." for n in range(30))
    spans = [Span(text.index(f"Ada{n} "), text.index(f"Ada{n} ") + len(f"Ada{n}"), "person") for n in range(30)]
    # A mention over a whole passage's border cannot be in any passage.
    spans.append(Span(0, text.index(" Ada29"), "place"))
    labels = LabelSet.of("person", "place")
    examples = prepare([(Document("long", text), spans)], labels, words, max_tokens=10, minimum=1)
    assert len(examples.train.passages) > 5 and examples.cut == 1
    kept = [s.text_in(g.text) for g in examples.train.passages for s in g.spans]
    assert kept == [f"Ada{n}" for n in range(30)]


def test_no_gold() -> None:
    with pytest.raises(TrainingError, match="no labelled document") as caught:
        prepare([], TYPES, words)
    assert caught.value.hint and caught.value.exit_code == 2
    with pytest.raises(TrainingError, match="1 documents have no mention"):
        prepare([(Document("x", "Rain."), ())], TYPES, words)


def test_too_few_examples_are_named_with_counts_and_left_out_on_demand() -> None:
    labels = LabelSet.of("person", "place", "organization", "song", "river")
    extra = (Document("s", "He sang Oh."), (Span(8, 10, "song"),))
    given_ = [*documents(20), extra]
    with pytest.raises(
        TrainingError, match=r"too few examples of 2 of 5 types \(song 1, river 0; at least 3"
    ) as caught:
        prepare(given_, labels, words)
    assert "--allow-few" in caught.value.hint
    examples = prepare(given_, labels, words, allow_few=True)
    assert dict(examples.left_out) == {"song": 1, "river": 0}
    assert examples.labels.names == ("person", "place", "organization")
    assert all(
        s.label in examples.labels for part in (examples.train, examples.dev) for g in part.passages for s in g.spans
    )
    with pytest.raises(TrainingError, match="no type has 99 examples"):
        prepare(given_, labels, words, allow_few=True, minimum=99)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (Span(0, 99, "person"), "reaches beyond its 23 characters"),
        (Span(0, 3, "person"), "'Ils' cuts a word"),
        (Span(0, 5, "person"), "blank at an end: no model"),
        (Span(0, 4, "nobody"), "unknown label 'nobody'"),
    ],
)
def test_gold_that_does_not_ground_is_told_or_left_out(span: Span, said: str) -> None:
    document = Document("bad", "Ilse Varga left Tarnow.")
    with pytest.raises(InputError, match=said) as caught:
        prepare([*documents(), (document, [span])], TYPES, words, minimum=1)
    assert "'bad'" in caught.value.message and caught.value.hint and caught.value.exit_code == 2
    if span.label in TYPES:
        examples = prepare([*documents(), (document, [span])], TYPES, words, minimum=1, skip_bad=True)
        assert sum(examples.train.counts.values()) + sum(examples.dev.counts.values()) == 24


def test_aliases_count_as_their_type_and_all_of_the_sample_gold_grounds() -> None:
    given_ = [(Document(f"g{n}", gold.text), gold.spans) for n, gold in enumerate(GOLD)]
    alias = marked("Ada Vane sang.", ("Ada Vane", "PER"))
    examples = prepare([*given_, (Document("a", alias.text), alias.spans)], LABELS, words, minimum=1)
    together = Counter(examples.train.counts) + Counter(examples.dev.counts)
    assert together == Counter(s.label for g in GOLD for s in g.spans) + Counter(["person"])
