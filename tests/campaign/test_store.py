"""Campaigns in the store: items once, leases, second opinions, resolutions, versions of the format."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from tools.annotation import Document, Span
from tools.errors import InputError, StoreError
from tools.store import CampaignState, DocumentState, Item, RoundState, Store, Version, fsck
from tools.store.campaigns import CAMPAIGN_FORMAT

WHO = "ann"


def item(name: str, number: int = 1, position: int = 0, *, audit: bool = False, wanted: int = 1) -> Item:
    return Item(name, number, position, audit, wanted, {"strategy": "random"})


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "store.db") as opened:
        opened.add_documents(Document(f"d{n}", f"Text number {n}.") for n in range(10))
        yield opened


def begun(store: Store, *items: Item) -> int:
    number = store.start_campaign({"budget": 9}, {"labels": "x"})
    store.open_round(number, 1, items, {"labels": "x"})
    return number


def test_a_round_is_written_once(store: Store) -> None:
    number = begun(store, item("d1"), item("d2", audit=True, wanted=2))
    again = store.open_round(number, 1, [item("d3")], {"labels": "y"})
    assert [one.document_id for one in again] == ["d1", "d2"]
    assert [(one.position, one.audit, one.wanted) for one in again] == [(0, False, 1), (1, True, 2)]
    assert store.rounds(number)[0].identity == {"labels": "x"} and store.audit_documents() == {"d2"}
    with pytest.raises(StoreError, match="asked before"):
        store.open_round(number, 2, [item("d4"), item("d1")], {})
    assert [one.number for one in store.rounds(number)] == [1], "a round that cannot be written leaves nothing"
    assert list(store.unlabelled(number)) == ["d0", *(f"d{n}" for n in range(3, 10))]


def test_rounds_and_campaigns_move_on(store: Store) -> None:
    number = begun(store, item("d1"))
    store.update_round(number, 1, RoundState.ANSWERED)
    closed = store.rounds(number)[0].closed
    store.update_round(number, 1, RoundState.ASSESSED, report={"f1": 0.5})
    [one] = store.rounds(number)
    assert (one.state, one.closed, one.report, one.run) == (RoundState.ASSESSED, closed, {"f1": 0.5}, None)
    store.update_campaign(number, settings={}, identity={}, state=CampaignState.STOPPED, reason="budget")
    found = store.campaign()
    assert found is not None and (found.id, found.reason) == (number, "budget")
    assert store.campaign(number) == found
    with pytest.raises(StoreError, match="no campaign 7"):
        store.campaign(7)


def test_two_never_get_the_same_item(store: Store) -> None:
    number = begun(store, *(item(f"d{n}", position=n) for n in range(4)))
    mine = [one.document_id for one in store.lease(number, "ann", 3, seconds=60, now=0)]
    theirs = [one.document_id for one in store.lease(number, "bob", 3, seconds=60, now=1)]
    assert mine == ["d0", "d1", "d2"] and theirs == ["d3"]
    assert [one.document_id for one in store.lease(number, "ann", 3, seconds=60, now=30)] == mine, "renewed"
    assert store.lease(number, "cem", 3, now=40) == []
    # Bob's has expired, Ann's was renewed.
    assert [one.document_id for one in store.lease(number, "cem", 9, seconds=60, now=62)] == ["d3"]
    store.release("ann", ["d1"])
    assert [one.document_id for one in store.lease(number, "cem", 9, seconds=60, now=63)] == ["d3", "d1"]
    assert [(one.document_id, one.annotator) for one in store.leases(now=64)] == [
        ("d0", "ann"), ("d1", "cem"), ("d2", "ann"), ("d3", "cem"),
    ]  # fmt: skip
    store.release("cem")
    assert {one.annotator for one in store.leases(now=64)} == {"ann"}
    assert [one.document_id for one in store.lease(number, "bob", 9, now=65, only={"d1"})] == ["d1"]


def test_a_second_opinion_goes_to_somebody_else(store: Store) -> None:
    number = begun(store, item("d0", wanted=2), item("d1", position=1))
    assert [one.document_id for one in store.lease(number, "ann", 9, now=0)] == ["d0", "d1"]
    assert [one.document_id for one in store.lease(number, "bob", 9, now=0)] == ["d0"]
    assert store.lease(number, "cem", 9, now=0) == []
    store.set_gold("d0", [], "ann")
    store.record_visit(number, "d0", "ann", seconds=4)
    found = store.item(number, "d0")
    assert found is not None and not found.open and found.answers == 1
    assert [one.document_id for one in store.lease(number, "ann", 9, now=1)] == ["d1"]
    store.release("bob")
    assert [one.document_id for one in store.lease(number, "cem", 9, now=1)] == ["d0"]
    store.set_gold("d0", [Span(0, 4, "x")], "cem")
    assert store.shared_documents() == {"d0": ["ann", "cem"]}
    assert store.lease(number, "bob", 9, now=2) == []


def test_an_item_put_aside_is_not_offered_again(store: Store) -> None:
    number = begun(store, item("d0"))
    store.record_visit(number, "d0", "ann", seconds=1.5, skipped=True)
    assert store.lease(number, "ann", 9) == [] == store.lease(number, "bob", 9)
    store.record_visit(number, "d0", "ann", seconds=2.0)
    [visit] = store.visits(number)
    assert (visit.seconds, visit.skipped) == (3.5, False)
    with pytest.raises(InputError, match="does not ask"):
        store.record_visit(number, "d5", "ann")


def test_taking_an_answer_back_opens_the_item(store: Store) -> None:
    number = begun(store, item("d0"))
    store.set_gold("d0", [Span(0, 4, "x")], "ann")
    assert store.items(number)[0].answers == 1
    store.set_state("d0", DocumentState.IN_PROGRESS, "ann")
    assert store.items(number)[0].open and len(store.lease(number, "ann", 9)) == 1


def test_a_resolution_is_gold_and_stays(store: Store) -> None:
    store.set_gold("d0", [Span(0, 4, "x")], "ann")
    store.set_gold("d0", [Span(0, 4, "y")], "bob")
    sides = (Version("ann", (Span(0, 4, "x"),)), Version("model:quorum", ()))
    number = store.record_resolution("d0", "cem", sides, [Span(0, 4, "y"), Span(0, 4, "y")], "the guidelines, 3.2")
    [found] = store.resolutions("d0")
    assert (found.number, found.reviewer, found.versions, found.reason) == (number, "cem", sides, "the guidelines, 3.2")
    assert found.decision == (Span(0, 4, "y"),)
    gold = store.gold("d0")
    assert gold is not None and (gold.annotator, gold.source, gold.spans) == ("cem", "review", found.decision)
    assert [event.what for event in store.events("d0")][-1] == "resolve" and found.event == gold_event(store)
    for sql in ("UPDATE resolutions SET reason = ''", "DELETE FROM resolutions"):
        with pytest.raises(Exception, match="append-only"), store.transaction():
            store.database.execute(sql)
    with pytest.raises(InputError, match="beyond"):
        store.record_resolution("d0", "cem", (), [Span(0, 999, "x")])
    assert len(store.resolutions()) == 1 and store.resolutions("d1") == []
    assert not [finding for finding in fsck(store) if finding.severity == "error"]


def gold_event(store: Store) -> int:
    return max(event.number for event in store.events())


def test_a_campaign_of_a_newer_release_is_told(store: Store) -> None:
    begun(store, item("d0"))
    with store.transaction():
        store.database.execute("UPDATE campaigns SET format = ?", CAMPAIGN_FORMAT + 1)
    with pytest.raises(StoreError, match="newer release") as caught:
        store.campaign()
    assert "upgrade" in (caught.value.hint or "")


def take(path: Path, annotator: str, number: int, found: Any) -> None:
    """One annotator: leases and answers one item at a time until nothing is left."""
    with Store.open(path, shared=True) as store:
        while items := store.lease(number, annotator, 1):
            with store.transaction():
                store.set_gold(items[0].document_id, [], annotator)
                store.record_visit(number, items[0].document_id, annotator, seconds=0.1)
            found.append((annotator, items[0].document_id))


def test_two_processes_share_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.add_documents(Document(f"d{n}", f"Text number {n}.") for n in range(60))
        number = begun(store, *(item(f"d{n}", position=n, wanted=1 + (n % 10 == 0)) for n in range(60)))
    context = multiprocessing.get_context("forkserver")
    with context.Manager() as manager:
        found = manager.list()
        people = [context.Process(target=take, args=(path, name, number, found)) for name in ("ann", "bob")]
        for person in people:
            person.start()
        for person in people:
            person.join()
            assert person.exitcode == 0
        taken = list(found)
    by_document: dict[str, list[str]] = {}
    for who, name in taken:
        by_document.setdefault(name, []).append(who)
    for n in range(60):
        wanted = ["ann", "bob"] if n % 10 == 0 else None
        people_of = sorted(by_document[f"d{n}"])
        assert people_of == wanted if wanted else len(people_of) == 1
