from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.errors import InputError
from tools.store import DocumentState, Event, Gold, Snapshot, Store, fsck

BERLIN = Span(0, 6, "place")
WALL = Span(0, 11, "thing")
SPANS = st.builds(
    lambda a, n, label: Span(a, a + n, label), st.integers(0, 8), st.integers(1, 3), st.sampled_from("xy")
)


def gold_of(store: Store, document_id: str, annotator: str | None = None) -> Gold:
    gold = store.gold(document_id, annotator)
    assert gold is not None
    return gold


@pytest.fixture
def berlin(store: Store) -> Store:
    store.add_documents([Document("a", "Berlin Wall"), Document("b", "nothing at all"), Document("c", "😀 Berlin")])
    return store


def test_gold_is_sorted_without_doubles_and_nested(berlin: Store) -> None:
    berlin.set_gold("a", [WALL, BERLIN, BERLIN], "ann", "human")
    gold = gold_of(berlin, "a")
    assert gold.spans == (BERLIN, WALL)
    assert (gold.annotator, gold.state, gold.source) == ("ann", DocumentState.DONE, "human")
    assert not gold.nothing_here


def test_reviewed_and_empty_is_not_the_same_as_untouched(berlin: Store) -> None:
    berlin.set_gold("a", [], "ann")
    berlin.set_gold("b", [], "ann", state=DocumentState.IN_PROGRESS)
    assert gold_of(berlin, "a").nothing_here
    assert not gold_of(berlin, "b").nothing_here
    assert berlin.gold("c") is None
    states = {DocumentState.DONE: 1, DocumentState.IN_PROGRESS: 1, DocumentState.NEW: 1, DocumentState.FLAGGED: 0}
    assert berlin.state_counts() == states
    assert [berlin.state(x) for x in "abc"] == [DocumentState.DONE, DocumentState.IN_PROGRESS, DocumentState.NEW]


@pytest.mark.parametrize(
    ("span", "said"), [(Span(6, 12, "x"), "6:12 reaches beyond"), (Span(0, 2, ""), "0:2 has no label")]
)
def test_impossible_spans_are_refused_and_nothing_changes(berlin: Store, span: Span, said: str) -> None:
    berlin.set_gold("a", [BERLIN], "ann")
    with pytest.raises(InputError, match=said):
        berlin.set_gold("a", [WALL, span], "ann")
    assert gold_of(berlin, "a").spans == (BERLIN,)
    assert len(list(berlin.events())) == 1


def test_offsets_count_code_points(berlin: Store) -> None:
    berlin.set_gold("c", [Span(2, 8, "place")], "ann")
    assert gold_of(berlin, "c").spans[0].text_in(berlin.document("c").text) == "Berlin"
    with pytest.raises(InputError):
        berlin.set_gold("c", [Span(2, 9, "place")], "ann")


def test_a_span_that_stays_keeps_its_origin(berlin: Store) -> None:
    berlin.set_gold("a", [BERLIN], "ann", "import")
    first = gold_of(berlin, "a").marks[0]
    berlin.set_gold("a", [BERLIN, WALL], "ann", "human")
    marks = gold_of(berlin, "a").marks
    assert marks[0] == first
    assert (marks[0].source, marks[1].source) == ("import", "human")
    assert marks[1].created >= marks[0].created


def test_several_annotators(berlin: Store) -> None:
    berlin.set_gold("a", [BERLIN], "ann")
    berlin.set_gold("a", [WALL], "bob")
    assert gold_of(berlin, "a").annotator == "bob", "the last that was finished counts"
    berlin.set_gold("a", [], "cyd", state=DocumentState.IN_PROGRESS)
    assert gold_of(berlin, "a").annotator == "bob", "an open one does not hide a finished one"
    assert berlin.state("a") is DocumentState.IN_PROGRESS
    assert gold_of(berlin, "a", "ann").spans == (BERLIN,)
    assert berlin.gold("a", "dan") is None
    assert berlin.annotators("a") == ["ann", "bob", "cyd"]
    assert [(d.id, g.annotator) for d, g in berlin.iter_gold()] == [("a", "bob")]
    assert [(d.id, g.spans) for d, g in berlin.iter_gold("ann")] == [("a", (BERLIN,))]


def test_iter_gold_in_order_over_pages(store: Store, documents: Callable[[int], list[Document]]) -> None:
    store.add_documents(documents(900))
    with store.transaction():
        for n in reversed(range(0, 900, 2)):
            state = DocumentState.DONE if n % 4 else DocumentState.FLAGGED
            store.set_gold(f"d{n}", [Span(0, 4, "word")], "ann", state=state)
    assert [d.id for d, _ in store.iter_gold()] == [f"d{n}" for n in range(2, 900, 4)]
    assert [d.id for d, _ in store.iter_gold(states=[DocumentState.FLAGGED])] == [f"d{n}" for n in range(0, 900, 4)]
    assert all(gold.document_id == d.id and gold.spans == (Span(0, 4, "word"),) for d, gold in store.iter_gold())


def test_the_trail_tells_everything(berlin: Store) -> None:
    numbers = [
        berlin.set_gold("a", [BERLIN], "ann", "import", what="accept"),
        berlin.set_state("a", DocumentState.FLAGGED, "ann"),
        berlin.set_gold("b", [], "bob"),
        berlin.clear_gold("a", "ann"),
    ]
    events = list(berlin.events())
    assert [event.number for event in events] == numbers
    assert [(e.document_id, e.annotator, e.what) for e in events] == [
        ("a", "ann", "accept"), ("a", "ann", "state"), ("b", "bob", "set"), ("a", "ann", "clear"),
    ]  # fmt: skip
    done = Snapshot(DocumentState.DONE, "import", (BERLIN,))
    flagged = Snapshot(DocumentState.FLAGGED, "import", (BERLIN,))
    assert [(e.before, e.after) for e in berlin.events("a")] == [(None, done), (done, flagged), (flagged, None)]
    assert [e.number for e in berlin.events(after=numbers[1])] == numbers[2:]
    assert berlin.gold("a") is None
    assert berlin.state("a") is DocumentState.NEW


def test_the_trail_cannot_be_changed(berlin: Store) -> None:
    berlin.set_gold("a", [BERLIN], "ann")
    for sql in ("UPDATE events SET annotator = 'bob'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            berlin.database.connection.execute(sql)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(SPANS, max_size=4), st.sampled_from(["ann", "bob"])), min_size=1, max_size=6))
def test_replaying_the_trail_gives_the_present(store: Store, decisions: list[tuple[list[Span], str]]) -> None:
    store.add_documents([Document("a", "Berlin Wall")])
    last = max((event.number for event in store.events()), default=0)
    for spans, annotator in decisions:
        store.set_gold("a", spans, annotator)
    present: dict[str, Snapshot | None] = {}
    events: list[Event] = list(store.events("a", after=last))
    assert len(events) == len(decisions)
    for event in events:
        present[event.annotator] = event.after
    for annotator, snapshot in present.items():
        gold = gold_of(store, "a", annotator)
        assert snapshot == Snapshot(gold.state, gold.source, gold.spans)
    assert fsck(store) == []
