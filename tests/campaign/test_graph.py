"""The campaign graph with a real store, real Chroma and scripted models: rounds, resuming, kills."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.campaign import labelling
from agent.campaign.driver import CHECKPOINTS
from agent.campaign.graph import NODES, build_graph
from tests.campaign.world import Notes, corpus, make_project, no_engines, opened, oracle, picture, simulate, work
from tests.demonstrations.conftest import HashEmbedder
from tools.demonstrations import DemonstrationIndex
from tools.store import RoundState, Store


def test_a_simulated_campaign_goes_to_its_budget(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    status = simulate(config)
    assert (status.asked, status.labels, status.stop, status.waiting) == (24, 24, "budget", ())
    assert [one.state for one in status.rounds] == [RoundState.ASSESSED] * 4
    assert [one.report["labels"] for one in status.rounds] == [6, 12, 18, 24]
    # The models learn names from what they are shown: on the same documents they must have become better.
    first, last = status.rounds[0].report, status.rounds[-1].report
    assert sum(last["counts"][name][0] for name in first["counts"]) > sum(c[0] for c in first["counts"].values())
    assert last["f1_interval"][0] <= last["f1"] <= last["f1_interval"][1]
    assert last["audit_documents"] > first["audit_documents"] >= 2
    with Store.open(config.store_path, read_only=True) as store:
        items = store.items(status.campaign)
        asked = [item.document_id for item in items]
        assert len(set(asked)) == 24
        gold = {document.id: spans for document, spans in corpus()}
        assert {d.id: g.spans for d, g in store.iter_gold()} == {name: gold[name] for name in asked}
        assert all(item.reason["meaning"] for item in items)
        audit = store.audit_documents()
    with DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
        shown = {one.document_id for _, one in index.items()}
    assert shown == set(asked) - audit and audit


def test_audit_documents_are_judged_by_what_the_models_said_of_them(tmp_path: Path) -> None:
    """The report's figures are recomputed here from the store, by another way."""
    config = make_project(tmp_path / "p")
    status = simulate(config, budget=12)
    gold = {document.id: set(spans) for document, spans in corpus()}
    report = status.rounds[-1].report
    tp = fp = fn = 0
    with Store.open(config.store_path, read_only=True) as store:
        for name in store.audit_documents():
            said = {e.span for r in store.passage_results(report["run"], name) for e in r.entities}
            tp, fp, fn = tp + len(said & gold[name]), fp + len(said - gold[name]), fn + len(gold[name] - said)
    assert report["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert [sum(c) for c in zip(*report["counts"].values(), strict=True)] == [tp, fp, fn]


def test_a_person_is_asked_batch_by_batch(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    gold = {document.id: spans for document, spans in corpus()}
    with opened(config, budget=9, batch=5) as session:
        status = session.advance()
        assert len(status.waiting) == 5 and status.round == 1 and not status.stop
        store = session.services.store
        batch = labelling.open_batch(store)
        assert batch is not None and [item.document_id for item in batch.waiting] == list(status.waiting)
        # Suggestions are there before anyone is asked, but not for audit documents.
        for item in batch.items:
            assert labelling.why(store, item.document_id) == item
            assert bool(labelling.predictions(store, item.document_id)) is not item.audit
            if item.audit:
                assert labelling.suggestions(store, item.document_id) == ()
        for item in labelling.lease(store, "me", 3):
            assert labelling.answer(store, item.document_id, gold[item.document_id], "me", seconds=2.0)
        assert len(session.advance().waiting) == 2
    with opened(config, budget=9, batch=5) as session:
        status = session.advance()
        assert len(status.waiting) == 2 and status.round == 1
        store = session.services.store
        left = labelling.lease(store, "me", 9)
        assert [item.document_id for item in left] == list(status.waiting)
        labelling.answer(store, left[0].document_id, (), "me")
        labelling.skip(store, left[1].document_id, "me")
        status = session.advance()
        assert (status.round, len(status.waiting), status.labels, status.asked) == (2, 4, 4, 9)
        assert status.rounds[0].report["human_seconds"] == 6.0
        for item in labelling.lease(store, "me", 9):
            labelling.answer(store, item.document_id, gold[item.document_id], "me")
        status = session.advance()
        assert (status.stop, status.labels, status.asked) == ("budget", 8, 9)


def test_the_interrupt_takes_answers_by_document_id(tmp_path: Path) -> None:
    """As LangGraph's own server and Studio answer it: wrong ones are told and asked again, right ones are kept."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    config = make_project(tmp_path / "p")
    gold = {document.id: spans for document, spans in corpus()}
    with opened(config, budget=3, batch=3) as session:
        graph = build_graph(InMemorySaver(), suggestions=False)
        thread: Any = {"configurable": {"thread_id": "x"}}
        services = session.services
        out: Any = graph.invoke({"campaign": session.campaign, "round": 1}, thread, context=services)
        [asked] = out["__interrupt__"]
        one, two, three = asked.value["items"]
        form = {name: [[s.start, s.end, s.label] for s in gold[name]] for name in (one, two, three)}
        wrong = {one: form[one], two: [[0, 10_000, "person"]], three: [[0, 1, "fish"]], "doc-99": []}
        out = graph.invoke(Command(resume=wrong), thread, context=services)
        [asked] = out["__interrupt__"]
        assert asked.value["items"] == [two, three]
        assert set(asked.value["refused"]) == {two, three, "doc-99"}
        assert "fish" in asked.value["refused"][three]
        right = {two: {"spans": form[two], "annotator": "eve", "seconds": 3}, three: {"spans": []}}
        out = graph.invoke(Command(resume=right), thread, context=services)
        assert "__interrupt__" not in out and out["stop"] == "budget" and out["labels"] == 3
        assert services.store.annotators(two) == ["eve"] and services.store.annotators(three) == ["me"]


def test_the_checkpoint_holds_no_text(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    raw = b"".join(p.read_bytes() for p in config.store_path.parent.glob(f"{CHECKPOINTS}*"))
    assert b"doc-0" in raw
    for word in (b"Lagos", b"Nothing happened", b" on day "):
        assert word not in raw


KILLS = [
    *((node, moment, 2) for node in ("select", "ask", "record", "index", "extract", "measure", "turn")
      for moment in ("before", "after")),
    ("labelling", "answer", 9),  # between two answers of the second round
    ("store", "record_part", 3),  # with a part of an extraction recorded
    ("index", "add", 2),  # with Chroma changed and nothing said of it
]  # fmt: skip


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    config = make_project(tmp_path_factory.mktemp("unbroken") / "p")
    simulate(config)
    return picture(config)


@pytest.fixture(scope="module")
def processes() -> Any:
    """Makes processes quickly: what they import is imported once, in a server that forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaign.world", "agent.campaign.graph", "langgraph.checkpoint.sqlite"])
    return context


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("node", "moment", "number"), KILLS)
def test_killed_at_a_node_it_asks_nothing_twice_and_loses_nothing(
    tmp_path: Path, unbroken: dict[str, Any], processes: Any, node: str, moment: str, number: int
) -> None:
    config = make_project(tmp_path / "p")
    process = processes.Process(target=work, args=(tmp_path / "p", (node, moment, number)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    before = _confirmed(tmp_path)
    with Store.open(config.store_path, read_only=True) as store:
        kept = {document.id for document, _ in store.iter_gold()}
    assert set(before) <= kept, "an answer that was confirmed is gone"
    assert work(tmp_path / "p") == {"labels": 24, "stop": "budget"}
    assert picture(config) == unbroken
    # The one answer whose confirmation the kill may have cut off is in the store all the same, and not asked again.
    counted = Counter(_confirmed(tmp_path))
    assert max(counted.values()) == 1 and len(counted) in (23, 24)


EVERYTHING: dict[str, Any] = {"suggest": True, "train_every": 6, "budget": 18}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, processes: Any) -> tuple[dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("everything") / "p"
    config = make_project(folder)
    process = processes.Process(target=work, args=(folder,), kwargs=EVERYTHING)
    process.start()
    process.join()
    return picture(config), (folder / "trained.log").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("node", "moment"), [(n, m) for n in ("suggest", "train") for m in ("before", "after")])
def test_killed_at_a_step_that_is_optional(
    tmp_path: Path, everything: tuple[dict[str, Any], str], processes: Any, node: str, moment: str
) -> None:
    """Suggestions and training switched on: killed there and run again, all is as if nothing had been."""
    folder = tmp_path / "p"
    config = make_project(folder)
    for kill, status in (((node, moment, 2), -signal.SIGKILL), (None, 0)):
        process = processes.Process(target=work, args=(folder, kill), kwargs=EVERYTHING)
        process.start()
        process.join()
        assert process.exitcode == status
    assert (picture(config), (folder / "trained.log").read_text(encoding="utf-8")) == everything
    assert max(Counter(_confirmed(tmp_path)).values()) == 1


def _confirmed(folder: Path) -> list[str]:
    log = folder / "p" / "confirmed.log"
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def test_without_its_checkpoint_it_goes_on_from_the_store(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    for path in config.store_path.parent.glob(f"{CHECKPOINTS}*"):
        path.unlink()
    assert simulate(config).labels == 24
    # The budget was another in the first half, and with it ALLabel's stages: only the bookkeeping is compared.
    mine = picture(config)
    assert [r[0] for r in mine["rounds"]] == [1, 2, 3, 4] and len(mine["gold"]) == 24 == mine["events"]


def test_a_damaged_checkpoint_is_put_aside(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    path = config.store_path.parent / CHECKPOINTS
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    path.write_bytes(b"no database " * 400)
    notes = Notes()
    assert simulate(config, observer=notes, budget=18).labels == 18
    assert any("damaged" in line for line in notes.lines)
    assert sqlite3.connect(path).execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_a_deleted_chroma_folder_is_made_again(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    with DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
        digest = index.digest
    shutil.rmtree(config.chroma_path)
    notes = Notes()
    status = simulate(config, budget=18, observer=notes)
    assert status.labels == 18 and status.rounds[-1].report["f1"] is not None
    with Store.open(config.store_path, read_only=True) as store:
        gold = {document.id for document, _ in store.iter_gold()} - store.audit_documents()
    with DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
        assert {one.document_id for _, one in index.items()} == gold and index.digest != digest


def test_without_models_a_person_labels_on(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    notes = Notes()
    gold = {document.id: spans for document, spans in corpus()}
    with opened(config, observer=notes, models=no_engines, budget=12) as session:
        for _ in range(2):
            status = session.advance()
            assert len(status.waiting) == 6
            for item in labelling.lease(session.services.store, "me", 99):
                labelling.answer(session.services.store, item.document_id, gold[item.document_id], "me")
        status = session.advance()
    assert (status.labels, status.stop) == (12, "budget")
    assert [one.report["f1"] for one in status.rounds] == [None, None]
    told = "\n".join(notes.lines)
    assert "the models cannot be had" in told and "quorum models pull" in told and "labelling goes on" in told
    # When they are back, the figures are too, also of what was labelled without them.
    assert simulate(config, oracle(), budget=18).rounds[-1].report["audit_documents"] >= 4


def test_without_models_a_simulation_says_so_and_goes_on_later(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    from tools.errors import ModelError

    config = make_project(tmp_path / "p")
    with pytest.raises(ModelError):
        simulate(config, models=no_engines)
    with Store.open(config.store_path, read_only=True) as store:
        assert len(list(store.iter_gold())) == 6
    simulate(config)
    assert picture(config) == unbroken


def test_every_node_is_drawn() -> None:
    drawn = set(build_graph(training=True).get_graph().nodes) - {"__start__", "__end__"}
    assert drawn == set(NODES)


def test_what_a_screen_may_ask_when_there_is_nothing(tmp_path: Path) -> None:
    from tools.errors import InputError

    config = make_project(tmp_path / "p")
    with Store.open(config.store_path) as store:
        assert labelling.open_batch(store) is None and labelling.lease(store, "me") == []
        assert labelling.why(store, "doc-01") is None and labelling.suggestions(store, "doc-01") == ()
        with pytest.raises(InputError, match="no campaign"):
            labelling.answer(store, "doc-01", (), "me")
    with opened(config, budget=3, batch=3) as session:
        [first, *_] = session.advance().waiting
        store = session.services.store
        outside = next(name for name in store.unlabelled(session.campaign))
        with pytest.raises(InputError, match="does not ask"):
            labelling.skip(store, outside, "me")
        event = labelling.answer(store, first, (), "me", seconds=4.0)
        assert event and labelling.answer(store, first, (), "me", seconds=9.0) == 0, "the same answer is no event"
        assert [visit.seconds for visit in store.visits(session.campaign)] == [4.0]
        number = labelling.resolve(store, first, "eve", (), (), "both are wrong")
        assert [one.number for one in store.resolutions(first)] == [number]
        assert labelling.open_batch(store) is not None
