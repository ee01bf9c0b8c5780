from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.errors import InputError, StoreError
from tools.store import Change, Decision, DocumentState, StaleDecision, Store, fsck
from tools.store.labelling import delta_of, without

WHO = "ada"
SPANS = st.builds(lambda a, n, x: Span(a, a + n, x), st.integers(0, 20), st.integers(1, 9), st.sampled_from("pq"))
DECISIONS = st.builds(
    Decision,
    st.sampled_from(DocumentState),
    st.dictionaries(SPANS, st.sampled_from(["human", "suggestion"]), max_size=5).map(
        lambda d: tuple(sorted(d.items()))
    ),
    st.sets(SPANS, max_size=4).map(lambda s: tuple(sorted(s))),
    st.sampled_from(["", "unsure", "\ud800 odd"]),
    st.booleans(),
)


def fill(store: Store, count: int = 3) -> None:
    store.add_documents(Document(f"d{n}", "x" * 40) for n in range(count))


@given(DECISIONS, DECISIONS)
def test_a_change_taken_back_leaves_what_was_there(before: Decision, after: Decision) -> None:
    assert without(after, delta_of(before, after)) == before


def held(store: Store) -> list[Decision]:
    return [store.decision(f"d{n}", WHO).decision for n in range(3)]


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 2), min_size=1), st.lists(DECISIONS, min_size=3, max_size=3)), max_size=6)
)
def test_undo_of_everything_restores_everything_and_redo_brings_it_back(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[set[int], list[Decision]]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "store.db"
    with Store.open(path) as store:
        fill(store)
        states = [held(store)]
        for docs, decisions in actions:
            store.act(WHO, "edit", [Change(f"d{n}", decisions[n]) for n in sorted(docs)])
            states.append(held(store))
        normal = [[Decision(DocumentState.NEW) if d == Decision() else d for d in state] for state in states]
        assert states == normal
        for wanted in reversed(states[:-1]):
            assert store.undo(WHO) is not None
            assert held(store) == wanted
        assert store.undo(WHO) is None
    with Store.open(path) as store:
        for wanted in states[1:]:
            done = store.redo(WHO)
            assert done is not None and done.what == "edit"
            assert held(store) == wanted
        assert store.redo(WHO) is None
        for wanted in reversed(states[:-1]):
            store.undo(WHO)
            assert held(store) == wanted
        assert [f for f in fsck(store) if f.severity == "error"] == []


def test_stacks_against_a_plain_list_model(tmp_path: Path) -> None:
    rng = random.Random(5)
    with Store.open(tmp_path / "s.db") as store:
        fill(store)
        past: list[str] = []
        future: list[str] = []
        for n in range(120):
            choice = rng.random()
            if choice < 0.45:
                note = f"n{n}"
                store.act(WHO, note, [Change("d1", Decision(DocumentState.IN_PROGRESS, note=note))])
                past.append(note)
                future.clear()
            elif choice < 0.8:
                done = store.undo(WHO)
                assert (done.what if done else None) == (past[-1] if past else None)
                if past:
                    future.append(past.pop())
            else:
                done = store.redo(WHO)
                assert (done.what if done else None) == (future[-1] if future else None)
                if future:
                    past.append(future.pop())
            assert store.decision("d1", WHO).decision.note == (past[-1] if past else "")
            last = store.last_action(WHO)
            assert (last.what if last else None) == (past[-1] if past else None)
        assert fsck(store) == []


def test_people_have_stacks_of_their_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        fill(store)
        one = Decision(DocumentState.DONE, ((Span(0, 2, "p"), "human"),))
        store.act("a", "mark", [Change("d0", one)])
        store.act("b", "flag", [Change("d0", Decision(DocumentState.FLAGGED, note="?"))])
        assert store.undo("a") is not None
        assert store.undo("a") is None
        assert store.decision("d0", "a").decision == Decision()
        assert store.decision("d0", "b").decision.note == "?"
        assert store.gold("d0", "a") is None


def test_sources_of_marks_are_kept_through_undo(tmp_path: Path) -> None:
    marks = ((Span(0, 2, "p"), "suggestion"), (Span(3, 5, "p"), "human"))
    with Store.open(tmp_path / "s.db") as store:
        fill(store)
        store.act(WHO, "mark", [Change("d0", Decision(DocumentState.IN_PROGRESS, marks))])
        gold = store.gold("d0")
        assert gold is not None and [mark.source for mark in gold.marks] == ["suggestion", "human"]
        store.act(WHO, "delete", [Change("d0", Decision(DocumentState.IN_PROGRESS))])
        store.undo(WHO)
        assert store.decision("d0", WHO).decision.marks == marks


def test_a_change_that_builds_on_an_old_state_is_refused_whole(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        fill(store)
        before = store.decision("d0", WHO).event
        store.act(WHO, "mark", [Change("d0", Decision(DocumentState.DONE), before)])
        with pytest.raises(StaleDecision, match="changed elsewhere"):
            store.act(WHO, "two", [Change("d1", Decision(DocumentState.DONE)), Change("d0", Decision(), before)])
        assert store.decision("d1", WHO).decision == Decision()
        assert store.last_action(WHO).what == "mark"  # type: ignore[union-attr]


def test_undo_spares_what_someone_wrote_in_between(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        fill(store)
        store.act(WHO, "mark", [Change("d0", Decision(DocumentState.IN_PROGRESS, ((Span(0, 2, "p"), "human"),)))])
        store.set_gold("d0", [Span(0, 2, "p"), Span(5, 9, "q")], WHO, "script")
        store.undo(WHO)
        now = store.decision("d0", WHO).decision
        assert now.spans == (Span(5, 9, "q"),)
        assert now.state is DocumentState.DONE
        assert fsck(store) == []


@pytest.mark.parametrize(
    "after",
    [
        Decision(DocumentState.DONE, ((Span(39, 41, "p"), "human"),)),
        Decision(DocumentState.DONE, (), (Span(39, 41, "p"),)),
        Decision(DocumentState.DONE, ((Span(1, 2, ""), "human"),)),
        Decision(DocumentState.DONE, ((Span(1, 2, "p"), "human"), (Span(1, 2, "p"), "suggestion"))),
    ],
)
def test_what_cannot_be_gold_is_refused(tmp_path: Path, after: Decision) -> None:
    with Store.open(tmp_path / "s.db") as store:
        fill(store)
        with pytest.raises(InputError):
            store.act(WHO, "mark", [Change("d0", after)])
        assert store.undo(WHO) is None


def test_guidelines_have_versions(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        assert store.guidelines() == (0, "")
        assert store.save_guidelines("one", WHO) == 1
        assert store.save_guidelines("one", WHO) == 1
        assert store.save_guidelines("two\n", WHO) == 2
        assert store.guidelines() == (2, "two\n")
        assert store.guidelines(1) == (1, "one")
        with pytest.raises(StoreError, match="no version 3"):
            store.guidelines(3)


def test_shared_writers_write_side_by_side_and_beside_a_locked_one(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store.open(path) as run:
        fill(run)
        with Store.open(path, shared=True, durable=True) as one, Store.open(path, shared=True) as two:
            assert not one.read_only

            def work(store: Store, who: str) -> None:
                for n in range(40):
                    store.act(who, "note", [Change("d0", Decision(DocumentState.IN_PROGRESS, note=str(n)))])

            threads = [threading.Thread(target=work, args=(s, w)) for s, w in ((one, "a"), (two, "b"), (run, "c"))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [one.decision("d0", who).decision.note for who in "abc"] == ["39"] * 3
            assert len(list(one.events("d0"))) == 120
            assert fsck(two) == []
    with Store.open(tmp_path / "new.db", shared=True) as made, Store.open(tmp_path / "new.db") as locked:
        fill(made)
        assert locked.document_count() == 3
