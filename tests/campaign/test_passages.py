"""Campaigns over long documents: passages are asked, and nothing is known of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.campaign import labelling
from agent.campaign.agreement import agreement
from agent.campaign.assessing import audit_table
from agent.campaign.indexing import demonstrations
from agent.campaign.oracle import Oracle
from agent.campaign.pool import open_places
from tests.campaign.world import LABELS, TOML, corpus, make_project, opened, simulate
from tests.demonstrations.conftest import HashEmbedder
from tools.annotation import Document, Span
from tools.demonstrations import DemonstrationIndex
from tools.errors import InputError, StoreError
from tools.formats.fromstore import gold_items
from tools.selection import corpus_of
from tools.store import Change, Decision, DocumentState, Item, Store, fsck
from tools.store.ranges import covers, inside, joined, touches, whole, without
from tools.store.teaching import taught

LONGEST = 160
PASSAGES = f"{TOML}longest = {LONGEST}\n"


def long_corpus(documents: int = 8, sentences: int = 14) -> list[tuple[Document, tuple[Span, ...]]]:
    """Documents of several sentences, with their gold, and short ones beside them."""
    made, short = [], corpus(documents * sentences + 8)
    for number in range(documents):
        text, spans = "", []
        for document, gold in short[number * sentences : (number + 1) * sentences]:
            spans += [span.shifted(len(text)) for span in gold]
            text += document.text + " "
        made.append((Document(f"long-{number}", text), tuple(sorted(spans))))
    return [*made, *((Document(f"short-{n}", d.text), g) for n, (d, g) in enumerate(short[documents * sentences :]))]


def gold_of(made: list[tuple[Document, tuple[Span, ...]]]) -> dict[str, tuple[Span, ...]]:
    return {document.id: spans for document, spans in made}


def project(folder: Path, made: list[tuple[Document, tuple[Span, ...]]]) -> Any:
    return make_project(folder, [document for document, _ in made], PASSAGES)


def test_ranges() -> None:
    assert joined([(5, 9), (0, 2), (2, 4), (7, 12), (3, 3)]) == ((0, 4), (5, 12))
    assert without([(0, 10)], [(2, 4), (6, 7)]) == ((0, 2), (4, 6), (7, 10))
    assert without([(0, 3), (5, 8)], [(0, 10)]) == ()
    assert covers([(0, 4), (4, 9)], (2, 8)) and not covers([(0, 4), (5, 9)], (2, 8))
    assert touches([(0, 4)], (3, 9)) and not touches([(0, 4)], (4, 9))
    assert whole([(0, 3), (5, 8)], "abc  def  ") and not whole([(0, 3)], "abc  def")
    assert inside([Span(1, 3, "a"), Span(3, 6, "a")], [(0, 4)]) == (Span(1, 3, "a"),)


def test_a_campaign_over_passages(tmp_path: Path) -> None:
    made = long_corpus()
    texts = {document.id: document.text for document, _ in made}
    config = project(tmp_path / "p", made)
    who = Oracle(gold_of(made), LABELS.names)
    status = simulate(config, who, budget=24, batch=6)
    assert (status.labels, status.stop) == (24, "budget")
    assert status.rounds[-1].report["f1"] is not None
    with Store.open(config.store_path, read_only=True) as store:
        items = store.items(status.campaign)
        parts = [item for item in items if item.part is not None]
        assert len(parts) > 10 and len({item.id for item in items}) == 24
        assert len({item.document_id for item in parts}) < len(parts), "a document gives passages again and again"
        for item in items:
            length = len(texts[item.document_id])
            assert (item.part is None) == (length <= LONGEST)
            if item.part is not None:
                start, end = item.part
                assert 0 <= start < end <= length and end - start <= LONGEST * 1.3
                assert item.id == f"{item.document_id}#{start}-{end}"
        by_round: dict[int, list[str]] = {}
        for item in items:
            by_round.setdefault(item.round, []).append(item.document_id)
        assert all(len(set(names)) == len(names) for names in by_round.values()), "one passage a document and batch"
        for name in {item.document_id for item in parts}:
            asked = [item.part for item in parts if item.document_id == name and item.part]
            gold = store.gold(name)
            assert gold is not None
            done = joined(asked)
            assert gold.ranges == done and not any(touches([a], b) for a in asked for b in asked if a != b)
            assert gold.state is (DocumentState.DONE if whole(done, texts[name]) else DocumentState.IN_PROGRESS)
            assert gold.spans == inside(gold_of(made)[name], asked), "labelled is what was asked, and nothing else"
        audit = store.audit_parts()
        assert audit and all(item.part in (None, *audit.get(item.document_id, ())) or not item.audit for item in parts)
        # What models may see: finished parts only, never one of the audit.
        pieces = list(taught(store))
        assert {piece.parent.id for piece in pieces} & {item.document_id for item in parts}
        for piece in pieces:
            if piece.part is not None:
                assert piece.document.text == texts[piece.parent.id][slice(*piece.part)]
                assert not touches(audit.get(piece.parent.id, ()), piece.part)
                assert {piece.document.text[s.start : s.end] for s in piece.spans} <= {
                    texts[piece.parent.id][s.start : s.end] for s in gold_of(made)[piece.parent.id]
                }
        shown = list(demonstrations(store, LABELS))
        assert {one.document_id for one in shown} <= set(texts) and len({one.id for one in shown}) == len(shown)
        with DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
            assert {one.id for _, one in index.items()} == {one.id for one in shown}
        # Audited passages are judged by what was found in them, and by nothing else.
        report = status.rounds[-1].report
        table, _ = audit_table(store, status.campaign, report["run"], seed=13)
        assert table is not None
        audited = [item for item in items if item.audit]
        spans = sum(
            len(inside(gold_of(made)[i.document_id], (i.part,)) if i.part else gold_of(made)[i.document_id])
            for i in audited
        )
        assert table.micro.support == spans == report["audit_spans"]
        # Only passages that were asked or looked at were extracted, not whole documents.
        seen = store.passage_results(store.rounds(status.campaign)[0].run or 0, audited[0].document_id)
        assert seen
        assert not [finding for finding in fsck(store) if finding.severity == "error"]
        # What is left to ask touches nothing that was asked.
        for place in open_places(store, status.campaign, LONGEST):
            asked = [i.part or (0, len(texts[i.document_id])) for i in items if i.document_id == place.document_id]
            assert (place.part is not None and not touches(asked, place.part)) or not asked
        found = corpus_of(store, longest=LONGEST)
        labelled = {found.pool.ids[row] for row in found.pool.labelled}
        assert {i.id for i in items if not i.audit} <= labelled and not {i.id for i in audited} & labelled


def test_the_same_campaign_twice_is_the_same(tmp_path: Path) -> None:
    made = long_corpus(3)
    who = Oracle(gold_of(made), LABELS.names)
    asked = []
    for name in ("a", "b"):
        config = project(tmp_path / name, made)
        status = simulate(config, who, budget=8, batch=4)
        with Store.open(config.store_path, read_only=True) as store:
            asked.append([item.id for item in store.items(status.campaign)])
    assert asked[0] == asked[1]


def test_a_person_answers_a_passage(tmp_path: Path) -> None:
    made = long_corpus()
    gold = gold_of(made)
    config = project(tmp_path / "p", made)
    with opened(config, budget=8, batch=4, strategy="random") as session:
        status = session.advance()
        store = session.services.store
        item = next(one for one in labelling.lease(store, "me", 9) if one.part is not None)
        name, part = item.document_id, item.part
        assert part is not None
        outside = next(span for span in gold[name] if not touches([part], (span.start, span.end)))
        with pytest.raises(InputError, match="lies outside"):
            labelling.answer(store, name, [outside], "me")
        assert store.items(session.campaign, 1)[item.position].open
        mine = inside(gold[name], (part,))
        assert labelling.answer(store, name, mine, "me", seconds=3.0) > 0
        assert labelling.answer(store, name, mine, "me") == 0, "the same answer again"
        again = store.item(session.campaign, name)
        assert again is not None and again.answers == 1
        [visit] = [one for one in store.visits(session.campaign) if one.document_id == name]
        assert (visit.chars, visit.round, visit.part) == (part[1] - part[0], 1, part)
        # Two people, one passage: compared on that passage, and on nothing else.
        store.set_passage(name, mine[1:], part, "eve")
        found = agreement(store, resamples=50)
        [pair] = [one for one in found.pairs if set((one.one, one.other)) == {"eve", "me"}]
        assert pair.f1.documents == 1
        # An answer to something that a model or a person gave elsewhere in the document stays.
        store.set_passage(name, [outside], (outside.start, outside.end + 1), "me")
        kept = store.gold(name, "me")
        assert kept is not None and set(kept.spans) == {*mine, outside}
        assert len(status.waiting) == 4


def test_parts_make_a_whole(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        store.add_documents([Document("d", "Ada met Bo. \n Cem left.")])
        store.set_passage("d", [Span(0, 3, "person")], (0, 11), "me")
        first = store.gold("d")
        assert first is not None and (first.state, first.ranges) == (DocumentState.IN_PROGRESS, ((0, 11),))
        assert list(store.iter_gold()) == [], "a document in parts is not taken for labelled"
        store.set_passage("d", [], (14, 23), "me")
        done = store.gold("d")
        assert done is not None and (done.state, done.spans) == (DocumentState.DONE, (Span(0, 3, "person"),))
        for part, match in (((0, 99), "no part"), ((5, 5), "no part")):
            with pytest.raises(InputError, match=match):
                store.set_passage("d", [], part, "me")


def test_a_campaign_asks_one_part_at_a_time(tmp_path: Path) -> None:
    def part(start: int, end: int, number: int = 1) -> Item:
        return Item("d", number, 0, False, 1, {}, part=(start, end))

    with Store.open(tmp_path / "s.db") as store:
        store.add_documents([Document("d", "x" * 40), Document("e", "y")])
        campaign = store.start_campaign({}, {})
        with pytest.raises(StoreError, match="at a time"):
            store.open_round(campaign, 1, [part(0, 10), part(10, 20)], {})
        store.open_round(campaign, 1, [part(0, 10)], {})
        assert list(store.unlabelled(campaign)) == ["e"], "a part of it still waits"
        store.set_passage("d", [], (0, 10), "me")
        assert list(store.pool(campaign)) == [("d", 40, True), ("e", 1, False)]
        assert store.taken_parts(campaign, "d") == ((0, 10),)
        with pytest.raises(StoreError, match="asked before"):
            store.open_round(campaign, 2, [part(5, 15, 2)], {})
        store.open_round(campaign, 2, [part(10, 20, 2)], {})
        latest = store.item(campaign, "d")
        assert latest is not None and (latest.id, latest.open) == ("d#10-20", True)
        store.record_visit(campaign, "d", "me", skipped=True)
        assert list(store.unlabelled(campaign)) == ["e"], "who put it aside is not asked about the rest"
        assert [one.skips for one in store.items(campaign)] == [0, 1]


def test_undo_opens_a_finished_part(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        store.add_documents([Document("d", "Ada met Bo. Cem left.")])
        decision = Decision(DocumentState.IN_PROGRESS, ((Span(0, 3, "person"), "human"),), ranges=((0, 11),))
        store.act("me", "finish", [Change("d", decision)])
        assert store.decision("d", "me").decision == decision
        assert decision.finished_in((2, 9)) and not decision.finished_in((2, 15)) and not decision.finished_in(None)
        store.undo("me")
        assert store.decision("d", "me").decision == Decision()
        store.redo("me")
        assert store.decision("d", "me").decision == decision


def test_parts_are_exported_as_documents_of_their_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        store.add_documents([Document("d", "Ada met Bo. Cem left.", {"page": 3}), Document("e", "Bo.")])
        store.set_passage("d", [Span(12, 15, "person")], (12, 21), "me")
        store.set_gold("e", [Span(0, 2, "person")], "me")
        first, second = gold_items(store)
        assert (first.document.id, first.document.text) == ("d#12-21", "Cem left.")
        assert first.document.meta == {"page": 3, "part_of": "d", "start": 12}
        assert [m.span for m in first.layers[0].mentions] == [Span(0, 3, "person")] and second.document.id == "e"
        whole_too = list(gold_items(store, undecided=True))
        assert [(one.document.id, len(one.layers)) for one in whole_too] == [("d", 0), ("d#12-21", 1), ("e", 1)]
        assert json.dumps(first.document.meta)


def test_the_labelling_screen_asks_for_the_passage_alone(tmp_path: Path) -> None:
    """The real screen: what lies outside is shown and not asked, and finishing finishes the passage."""
    from tests.tui.conftest import Bench
    from tools.annotation.prediction import Entity, Outcome, PassageResult
    from tui.labelling.campaignqueue import CampaignQueue
    from tui.labelling.project import Project
    from tui.labelling.session import Session

    made = long_corpus(2)
    gold = gold_of(made)
    config = project(tmp_path / "p", made)
    with opened(config, budget=4, batch=2, audit=0.0, strategy="random", suggest=False) as session:
        session.advance()
    with Store.open(config.store_path, shared=True) as store:
        item = next(one for one in store.items(1) if one.part is not None)
        part, name = item.part, item.document_id
        assert part is not None
        run = store.start_run({}, "x")
        entities = tuple(Entity(span, 0.9) for span in gold[name])
        store.record_part(run, 0, "f", [PassageResult(name, 0, Outcome(), entities)], {})
        queue = CampaignQueue(store, "me")
        session_ = Session(store, "me", queue)
        session_.open(name)
        bench = Bench(store, Project("p", config.root, LABELS, config.root / "labels.toml"), session_)
        mine = inside(gold[name], (part,))
        assert [s.span for s in session_.editor.open] == list(mine) and len(mine) < len(gold[name])
        assert part[0] <= session_.editor.cursor < part[1]

        async def work(pilot: Any, screen: Any) -> None:
            await pilot.press("ctrl+a")
            await pilot.pause()

        bench.run(work)
        held = store.decision(name, "me").decision
        assert held.spans == mine and held.ranges == (part,) and held.state is DocumentState.IN_PROGRESS
        assert held.rejected == (), "what lies outside was not asked, so it was not turned down"
        answered = store.item(1, name)
        assert answered is not None and answered.answers == 1 and not answered.open
        session_.open(name)
        assert session_.editor.done and session_.editor.open == () and session_.editor.marks == mine
        # A change opens it again, and "nothing here" empties the passage alone.
        outside = next(s for s in gold[name] if not touches([part], (s.start, s.end)))
        session_.decide("mark", session_.editor.with_marks([outside]))
        assert not session_.editor.done and store.items(1)[item.position].open
        session_.decide("nothing here", session_.editor.emptied())
        empty = store.decision(name, "me").decision
        assert empty.spans == (outside,) and empty.ranges == (part,)
        session_.undo()
        assert store.decision(name, "me").decision.ranges == ()
