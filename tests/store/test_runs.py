from __future__ import annotations

import math
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult, Vote
from tools.errors import InputError, StoreError
from tools.store import DeadLetter, RunState, Store, fsck

Make = Callable[..., PassageResult]
Documents = Callable[[int], list[Document]]

TEXTS = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None), max_size=6)
SHARE = st.floats(0, 1)
VOTES = st.lists(st.builds(Vote, TEXTS, st.booleans(), TEXTS, SHARE), max_size=3).map(tuple)
SPANS = st.builds(lambda a, n, label: Span(a, a + n, label), st.integers(0, 10), st.integers(1, 9), TEXTS)
ENTITIES = st.lists(st.builds(Entity, SPANS, SHARE, VOTES, st.none() | SHARE), max_size=3).map(tuple)
RESULTS = st.builds(
    PassageResult,
    st.sampled_from(["a", "b", "\ud800"]),
    st.integers(0, 3),
    st.builds(Outcome, st.sampled_from([kind for kind in OutcomeKind if kind is not OutcomeKind.FAILED]), TEXTS),
    ENTITIES.map(lambda found: tuple(sorted(found, key=lambda entity: entity.span))),
    ENTITIES,
    st.lists(TEXTS, max_size=2).map(tuple),
    st.lists(TEXTS, max_size=2).map(tuple),
)


def placed(result: PassageResult) -> PassageResult:
    """The result with its index in its entities, as the extraction gives it."""
    return replace(
        result,
        entities=tuple(replace(entity, passage=result.index) for entity in result.entities),
        rejected=tuple(replace(entity, passage=result.index) for entity in result.rejected),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(RESULTS.map(placed), max_size=6, unique_by=lambda result: (result.document_id, result.index)),
    st.integers(0, 6),
)
def test_results_come_back_exactly(results: list[PassageResult], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "s.db") as store:
        store.add_documents(Document(name, "x" * 20) for name in ("a", "b", "\ud800"))
        other, run = store.start_run({}, "h"), store.start_run({}, "h")
        store.record_part(other, 0, "f", results, {})
        store.record_part(run, 0, "f", results[:cut], {})
        store.record_part(run, 1, "f", results[cut:], {})
        for name in ("a", "b", "\ud800"):
            expected = sorted((r for r in results if r.document_id == name), key=lambda r: r.index)
            assert store.passage_results(run, name) == expected
        joined = [result for _, found in store.iter_results(run, every_document=True) for result in found]
        key = lambda r: (["a", "b", "\ud800"].index(r.document_id), r.index)  # noqa: E731
        assert joined == sorted(results, key=key)
        assert store.part_results(run, 0) == sorted(results[:cut], key=key)
        assert [found for _, found in store.iter_results(run)] == [
            found for _, found in store.iter_results(run, every_document=True) if found
        ]
        assert fsck(store) == []


def test_runs_are_listed_and_change_state(store: Store) -> None:
    assert store.latest_run() is None
    first = store.start_run({"members": ["a"], "steps": {"verify": False}}, "h1")
    second = store.start_run({}, "h2", "pre-extract")
    run = store.run(first)
    assert (run.kind, run.config, run.config_hash) == ("extract", {"members": ["a"], "steps": {"verify": False}}, "h1")
    assert (run.state, run.finished) == (RunState.RUNNING, None)
    assert [x.id for x in store.runs()] == [first, second]
    assert store.latest_run() == store.run(second)
    assert store.latest_run("extract") == run
    assert store.latest_run("other") is None
    store.finish_run(first, RunState.PAUSED)
    assert store.run(first).state is RunState.PAUSED
    assert (store.run(first).finished or 0) >= run.started
    store.finish_run(first, "running")
    assert store.run(first) == run
    with pytest.raises(StoreError, match="no run 9"):
        store.run(9)
    with pytest.raises(StoreError, match="no run 9"):
        store.finish_run(9)
    with pytest.raises(ValueError, match="nonsense"):
        store.finish_run(first, "nonsense")
    with pytest.raises(InputError, match="no JSON form"):
        store.start_run({"x": object()}, "h")


def test_parts_once_unless_replaced(store: Store, documents: Documents, result: Make) -> None:
    store.add_documents(documents(4))
    run = store.start_run({}, "h")
    usage: dict[str, dict[str, float]] = {"extract/a": {"requests": 2, "seconds": 0.5}, "verify/a": {"requests": 1}}
    failed = result("d1", kind=OutcomeKind.FAILED, spans=0)
    store.record_part(run, 0, "f0", [result("d0"), failed], usage)
    store.record_part(run, 2, "f2", [result("d3")], usage)
    with pytest.raises(StoreError, match=f"part 0 of run {run} is recorded already"):
        store.record_part(run, 0, "f0", [], {})
    assert store.finished_parts(run) == {0: "f0", 2: "f2"}
    assert list(store.dead_letters(run)) == [DeadLetter("d1", 0, 0, "because of failed")]
    counts = store.outcome_counts(run)
    assert (counts[OutcomeKind.OK], counts[OutcomeKind.FAILED], counts[OutcomeKind.REFUSED]) == (2, 1, 0)

    again = [found if found.index else result(found.document_id) for found in store.part_results(run, 0)]
    store.record_part(run, 0, "f0", again, {"extract/a": {"requests": 1}}, replace=True)
    assert list(store.dead_letters(run)) == []
    assert store.part_results(run, 0) == again
    assert store.usage(run) == {"extract/a": {"requests": 5, "seconds": 1.0}, "verify/a": {"requests": 2}}
    assert fsck(store) == []


def test_a_part_is_written_whole_or_not_at_all(store: Store, documents: Documents, result: Make) -> None:
    store.add_documents(documents(4))
    run = store.start_run({}, "h")
    store.record_part(run, 0, "f", [result("d0")], {})
    beyond = replace(result("d2"), entities=(Entity(Span(0, 99, "x"), 0.5),))
    not_a_number = replace(result("d2"), entities=(Entity(Span(0, 2, "x"), math.nan),))
    for results, error, said in (
        ([result("d1"), beyond], InputError, "'d2': prediction 0:99 reaches beyond"),
        ([result("d1"), result("x")], InputError, "'x' is not in the store"),
        ([result("d1"), result("d0")], StoreError, "part 1 of run 1 cannot be recorded"),
        ([result("d1"), not_a_number], StoreError, "part 1 of run 1 cannot be recorded"),
    ):
        with pytest.raises(error, match=said):
            store.record_part(run, 1, "f", results, {})
    with pytest.raises(StoreError, match="no run 7"):
        store.record_part(7, 0, "f", [result("d1")], {})
    assert store.finished_parts(run) == {0: "f"}
    assert store.passage_results(run, "d0") == [result("d0")]
    assert store.passage_results(run, "d1") == []
    assert fsck(store) == []


def test_a_failed_replacement_leaves_the_old_part(store: Store, documents: Documents, result: Make) -> None:
    store.add_documents(documents(4))
    run = store.start_run({}, "h")
    store.record_part(run, 0, "f", [result("d0")], {})
    store.record_part(run, 1, "f", [result("d1")], {})
    with pytest.raises(StoreError):
        store.record_part(run, 1, "new", [result("d2"), result("d0")], {}, replace=True)
    assert store.finished_parts(run) == {0: "f", 1: "f"}
    assert store.part_results(run, 1) == [result("d1")]


def test_dead_letters_over_pages_in_document_order(store: Store, documents: Documents, result: Make) -> None:
    store.add_documents(documents(700))
    run = store.start_run({}, "h")
    kinds = [OutcomeKind.FAILED, OutcomeKind.OK]
    for part in reversed(range(7)):
        batch = [result(f"d{n}", n % 3, kinds[n % 2], 0) for n in range(part * 100, part * 100 + 100)]
        store.record_part(run, part, "f", batch, {})
    expected = [DeadLetter(f"d{n}", n % 3, n // 100, "because of failed") for n in range(0, 700, 2)]
    assert list(store.dead_letters(run)) == expected


def test_iter_results_only_this_runs_documents_while_writing(store: Store, documents: Documents, result: Make) -> None:
    store.add_documents(documents(1200))
    other, run = store.start_run({}, "h"), store.start_run({}, "h")
    store.record_part(other, 0, "f", [result(f"d{n}") for n in range(1200)], {})
    mine = [n for n in range(1200) if n % 5 == 0]
    store.record_part(run, 0, "f", [result(f"d{n}", index) for n in mine for index in (1, 0)], {})
    seen = []
    for count, (document, found) in enumerate(store.iter_results(run)):
        seen.append(document.id)
        assert found == [result(document.id, 0), result(document.id, 1)]
        if count % 100 == 0:  # a writer is not held up, nor does it disturb
            store.record_part(run, count + 1, "f", [result("d1", count)], {})
    assert seen == [f"d{n}" for n in mine]
    assert sum(1 for _ in store.iter_results(run, every_document=True)) == 1200


@pytest.mark.parametrize("every_document", [False, True])
def test_iter_results_has_flat_memory(store: Store, result: Make, every_document: bool) -> None:
    def peak(run: int) -> int:
        tracemalloc.start()
        count = sum(len(found) for _, found in store.iter_results(run, every_document=every_document))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == size[run]
        return top

    size = {}
    store.add_documents(Document(f"d{n}", "x" * 4_000) for n in range(3_000))
    for count in (750, 3_000):
        size[run := store.start_run({}, "h")] = count
        store.record_part(run, 0, "f", [result(f"d{n}") for n in range(count)], {})
    small, large = map(peak, size)
    assert large < small * 1.3
    assert large < 4_000_000, "all texts alone are 12 MB"


def test_pages_of_long_documents_are_short(store: Store, result: Make) -> None:
    store.add_documents(Document(f"d{n}", "x" * 1_000_000) for n in range(20))
    run = store.start_run({}, "h")
    store.record_part(run, 0, "f", [result(f"d{n}") for n in range(20)], {})
    tracemalloc.start()
    assert [document.id for document, _ in store.iter_results(run)] == [f"d{n}" for n in range(20)]
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert top < 13_000_000
