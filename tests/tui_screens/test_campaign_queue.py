"""A campaign's batch as the labelling screen's queue."""

from __future__ import annotations

from pathlib import Path

from agent.campaign import labelling
from agent.configtemplate import labels_toml
from tests.campaign.world import LABELS
from tests.tui_screens.campaign_made import ROUNDS, copied, latest, stored, truth, waiting
from tools.store import DocumentState, Store
from tui.commands.label import make_queue
from tui.labelling.campaignqueue import LONGEST, CampaignQueue, waits_for
from tui.labelling.queue import OPEN, Hidden, ListQueue, StoreQueue
from tui.labelling.session import Session


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def finish_all(session: Session) -> list[str]:
    done = []
    while session.next():
        assert session.document is not None
        done.append(session.document.id)
        session.finish()
    return done


def test_label_takes_the_open_batch_unless_told_otherwise(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        assert isinstance(make_queue(store, "me", None), CampaignQueue)
        assert isinstance(make_queue(store, "me", None, every=True), StoreQueue)
        assert isinstance(make_queue(store, "me", ["doc-01"]), ListQueue)
        queue = make_queue(store, "me", None)
        assert (queue.name, queue.total()) == (f"round {ROUNDS}", 6)
    with Store.open(tmp_path / "bare.db") as bare:
        assert isinstance(make_queue(bare, "me", None), StoreQueue), "no campaign"
        assert not waits_for(bare, "me")


def test_it_goes_through_the_batch_in_order_and_says_what_comes_then(tmp_path: Path) -> None:
    config = copied(tmp_path)
    names = waiting(config)
    with stored(config) as store:
        session = Session(store, "me", CampaignQueue(store, "me"))
        assert finish_all(session)[: len(names)] == names
        assert session.queue.left() == 0
        assert session.queue.ending() == "the round is done; next: quorum run"
        assert not any(item.open for item in store.items(1, ROUNDS))


def test_two_annotators_never_have_the_same_document(tmp_path: Path) -> None:
    config = copied(tmp_path)
    names = waiting(config)
    with stored(config) as store, stored(config) as other:
        one, two = Session(store, "me", CampaignQueue(store, "me")), Session(other, "bo", CampaignQueue(other, "bo"))
        once = {item.document_id for item in store.items(1, ROUNDS) if item.wanted == 1}
        met: list[str] = []
        while True:
            moved = [session for session in (one, two) if session.next()]
            met += [session.document.id for session in moved if session.document]
            for session in moved:
                session.finish()
            if not moved:
                break
        assert set(met) >= set(names)
        assert all(met.count(name) <= 1 for name in once)


def test_what_is_left_is_free_for_others_and_comes_last(tmp_path: Path) -> None:
    config = copied(tmp_path)
    names = waiting(config)
    with stored(config) as store:
        session = Session(store, "me", CampaignQueue(store, "me"))
        assert session.next() and session.document and session.document.id == names[0]
        session.skip()
        assert session.next() and session.document.id == names[1]
        assert [lease.document_id for lease in store.leases()] == [names[1]]
        rest = [names[1], *(done for done in finish_after(session))]
        assert rest[: len(names) - 1] == names[1:]
        assert names[0] in rest, "it comes again at the end"


def finish_after(session: Session) -> list[str]:
    session.finish()
    return finish_all(session)


def test_a_flag_sets_it_aside_and_taking_it_back_asks_again(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        session = Session(store, "me", CampaignQueue(store, "me"))
        assert session.next() and session.document
        name = session.document.id
        session.flag("garbled")
        item = store.item(1, name)
        assert item is not None and item.skips == 1 and not item.open
        assert session.next() and session.document.id != name
        session.undo()
        assert session.document.id == name
        item = store.item(1, name)
        assert item is not None and item.skips == 0 and item.open
        assert store.decision(name, "me").decision.state is not DocumentState.FLAGGED


def test_time_is_what_passed_while_it_was_shown(tmp_path: Path) -> None:
    config = copied(tmp_path)
    clock = Clock()
    with stored(config) as store:
        session = Session(store, "me", CampaignQueue(store, "me", clock))
        session.next()
        first = session.document
        clock.now += 12.0
        session.finish()
        session.next()
        second = session.document
        clock.now += LONGEST + 1
        session.finish()
        assert first is not None and second is not None
        taken = {visit.document_id: visit.seconds for visit in store.visits(1) if visit.annotator == "me"}
        assert taken == {first.id: 12.0, second.id: None}, "nobody reads for that long without a key"


def test_audit_documents_are_blind_until_they_are_done(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        queue = CampaignQueue(store, "me")
        session = Session(store, "me", queue)
        items = store.items(1, ROUNDS)
        audit = next(item for item in items if item.audit)
        other = next(item for item in items if not item.audit and labelling.suggestions(store, item.document_id))
        assert queue.hides(audit.document_id) == Hidden(models=True, people=True)
        assert not queue.hides(other.document_id).models
        session.open(audit.document_id)
        assert not session.editor.suggestions
        assert "no suggestions" in session.why
        assert audit.document_id not in session.wants_suggestions(10)
        session.open(other.document_id)
        assert session.editor.suggestions
        session.open(audit.document_id)
        session.finish()
        assert queue.hides(audit.document_id) == OPEN


def test_a_second_opinion_does_not_see_the_first(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        twice = next(item for item in store.items(1, ROUNDS) if item.wanted == 2 and truth(item.document_id))
        labelling.answer(store, twice.document_id, truth(twice.document_id), "bo")
        queue = CampaignQueue(store, "me")
        assert queue.hides(twice.document_id).people
        session = Session(store, "me", queue)
        session.open(twice.document_id)
        assert not any(one.by == "bo" for one in session.editor.suggestions)
        assert twice.document_id in finish_after(session) or store.decision(twice.document_id, "me").decision.finished


def test_it_says_when_the_rest_is_in_other_hands(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        labelling.lease(store, "bo", 100)
        labelling.lease(store, "cy", 100)
        queue = CampaignQueue(store, "me")
        assert queue.next(None) is None
        assert "in other hands" in queue.ending()
        store.release("bo")
        assert queue.next(None) is not None
        queue.release()
        assert not [lease for lease in store.leases() if lease.annotator == "me"]


def test_the_way_back_and_reasons(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        queue = CampaignQueue(store, "me")
        items = store.items(1)
        assert queue.previous(items[0].document_id) is None
        assert queue.previous(items[3].document_id) == items[2].document_id
        assert queue.why("doc-00") == "" or store.item(latest(store).id, "doc-00") is not None
        plain = next(item for item in items if not item.audit and item.open)
        assert str(plain.reason["meaning"]) in queue.why(plain.document_id)
        assert labels_toml(LABELS)
