from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from tools.annotation import Document, LabelSet, Span
from tools.annotation.prediction import PassageResult
from tools.errors import InputError
from tools.store import Store, fsck

Documents = Callable[[int], list[Document]]


def test_parts_recorded_from_many_threads(
    store: Store, documents: Documents, result: Callable[..., PassageResult]
) -> None:
    store.add_documents(documents(100))
    run = store.start_run({}, "h")

    def record(part: int) -> None:
        store.record_part(run, part, f"f{part}", [result(f"d{n}", part) for n in range(0, 100, 7)], {"t": {"n": 1}})
        store.cache_put({f"{part}": b"x"})
        store.set_gold(f"d{part}", [Span(0, 4, "x")], "ann")
        assert store.cache_get([f"{part}"]) == {f"{part}": b"x"}
        assert len(store.part_results(run, part)) == 15

    async def all_at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(record, part) for part in range(60)))

    asyncio.run(all_at_once())
    assert store.finished_parts(run) == {part: f"f{part}" for part in range(60)}
    assert store.usage(run) == {"t": {"n": 60}}
    assert len(list(store.iter_gold())) == 60
    assert fsck(store) == []


def test_no_thread_sees_half_a_transaction(store: Store, documents: Documents) -> None:
    store.add_documents(documents(2))
    inside, looked = threading.Event(), threading.Event()
    seen: list[int] = []

    def look() -> None:
        inside.wait()
        looked.set()
        seen.append(store.document_count())

    other = threading.Thread(target=look)
    other.start()
    with store.transaction():
        store.add_documents([Document("x", "x")])
        inside.set()
        looked.wait()
        other.join(0.05)
        assert other.is_alive(), "it must wait for the transaction's end"
        store.add_documents([Document("y", "y")])
    other.join()
    assert seen == [4]


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    def write_and_break() -> None:
        with store.transaction():
            store.add_documents([Document("a", "a")])
            store.save_label_set(LabelSet.of("x"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_break()
    assert store.document_count() == 0
    assert store.label_set() is None


def test_an_inner_failure_undoes_only_its_own_part(store: Store) -> None:
    with store.transaction():
        store.add_documents([Document("a", "a")])
        with pytest.raises(InputError):
            store.add_documents([Document("b", "b"), Document("a", "other")])
        store.add_documents([Document("c", "c")])
    assert [document.id for document in store.documents()] == ["a", "c"]
