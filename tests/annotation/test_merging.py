from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Document, Passage, Span
from tools.annotation.chunking import merge
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult, Vote

DOCUMENT = Document("d", "Ada met New York Times people in Oslo.")


def entity(start: int, end: int, label: str, confidence: float, *voters: str, passage: int = 0) -> Entity:
    votes = tuple(Vote(name, True, label, confidence) for name in voters)
    return Entity(Span(start, end, label), confidence, votes, passage=passage)


def result(index: int, *entities: Entity, outcome: OutcomeKind = OutcomeKind.OK, reason: str = "") -> PassageResult:
    return PassageResult("d", index, Outcome(outcome, reason), entities)


def test_the_same_place_stands_once_with_the_surer_label_and_all_votes() -> None:
    low, high = entity(0, 3, "place", 0.4, "m1", "m2"), entity(0, 3, "person", 0.9, "m2", "m3")
    for results in ([result(0, low), result(1, high)], [result(1, low), result(0, high)]):
        (found,) = merge(DOCUMENT, results).entities
        assert found.span == Span(0, 3, "person")
        assert found.confidence == 0.9
        assert {(v.member, v.label) for v in found.votes} == {("m1", "place"), ("m2", "person"), ("m3", "person")}


def test_nested_and_overlapping_entities_stay() -> None:
    nested = [entity(8, 16, "place", 0.5), entity(8, 22, "organization", 0.5), entity(12, 29, "group", 0.5)]
    assert [e.span for e in merge(DOCUMENT, [result(0, *reversed(nested))]).entities] == [e.span for e in nested]


def test_the_outcome_is_the_worst_and_says_why() -> None:
    results = [
        result(0),
        result(1, outcome=OutcomeKind.TRUNCATED, reason="too long"),
        result(2, outcome=OutcomeKind.REPAIRED),
    ]
    assert merge(DOCUMENT, results).outcome == Outcome(OutcomeKind.TRUNCATED, "too long")
    assert merge(DOCUMENT, []).outcome.kind == OutcomeKind.OK


def test_a_retry_replaces_what_failed() -> None:
    failed, again = result(0, outcome=OutcomeKind.FAILED), result(0, entity(0, 3, "person", 0.9))
    merged = merge(DOCUMENT, [failed, again])
    assert merged.outcome.kind == OutcomeKind.OK
    assert merged.passages == (again,)


def test_a_piece_cut_off_by_a_passage_edge_gives_way_to_the_whole() -> None:
    passages = [Passage("d", 0, 0, DOCUMENT.text[:22]), Passage("d", 1, 12, DOCUMENT.text[12:])]
    whole = entity(8, 22, "organization", 0.8, passage=0)
    piece = entity(12, 22, "organization", 0.9, passage=1)
    nested = entity(8, 16, "place", 0.9, passage=0)
    other = entity(12, 16, "place", 0.5, passage=1)
    results = [result(0, whole, nested), result(1, piece)]
    assert [e.span for e in merge(DOCUMENT, results, passages).entities] == [nested.span, whole.span]
    assert len(merge(DOCUMENT, results).entities) == 3
    # Another type at the edge is no piece of this mention, and a piece without the whole is all there is.
    assert other.span in [e.span for e in merge(DOCUMENT, [result(0, whole), result(1, other)], passages).entities]
    assert [e.span for e in merge(DOCUMENT, [result(1, piece)], passages).entities] == [piece.span]


def test_what_cannot_belong_to_the_document_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond"):
        merge(DOCUMENT, [result(0, entity(30, 99, "x", 0.5))])
    with pytest.raises(ValueError, match="cannot be merged"):
        merge(Document("other", DOCUMENT.text), [result(0)])


ENTITIES = st.builds(
    entity,
    st.integers(0, 1),
    st.integers(2, 3),
    st.sampled_from("ab"),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.sampled_from(["m1", "m2"]),
)


@given(st.lists(st.lists(ENTITIES, max_size=4), max_size=4))
def test_every_place_once_and_in_order(found: list[list[Entity]]) -> None:
    merged = merge(DOCUMENT, [result(i, *entities) for i, entities in enumerate(found)])
    places = [(e.span.start, e.span.end) for e in merged.entities]
    assert places == sorted({(e.span.start, e.span.end) for entities in found for e in entities})
    for kept in merged.entities:
        same = [
            e
            for entities in found
            for e in entities
            if (e.span.start, e.span.end) == places[merged.entities.index(kept)]
        ]
        assert kept.confidence == max(e.confidence for e in same)
        assert sorted(v.member for v in kept.votes) == sorted({v.member for e in same for v in e.votes})
