"""``quorum run``: what it does, what it says, and what it says about wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import agent.opening
import tools.demonstrations as demonstrations
from agent.campaign import labelling
from agent.campaign.errors import CampaignError
from agent.config import ProjectConfig
from agent.toolkit import project_toolkit
from tests.campaign.world import TOML, Notes, corpus, engines, make_project, opened, oracle, simulate
from tests.cli.run import quorum
from tests.demonstrations.conftest import HashEmbedder
from tools.annotation import Document
from tools.store import Store, schema


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands meet scripted models; store, Chroma and graph are real."""
    monkeypatch.setattr(agent.opening, "open_engines", lambda config, **more: engines(config))
    monkeypatch.setattr(demonstrations, "SentenceTransformerEmbedder", lambda *a, **k: HashEmbedder())


def gold_file(path: Path, count: int = 60, first: int = 0) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        for document, spans in corpus(count)[first:]:
            entities = [{"start": s.start, "end": s.end, "label": s.label} for s in spans]
            stream.write(json.dumps({"id": document.id, "text": document.text, "entities": entities}) + "\n")
    return path


def test_a_simulation_and_its_table(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    gold = gold_file(tmp_path / "gold.jsonl")
    status, out, err = quorum("run", "-p", config.root, "--oracle", gold, "--budget", "18", "--strategy", "random")
    assert status == 0, err
    heads, *rows = [line.split("\t") for line in out.splitlines()]
    assert heads[0] == "round"
    assert [row[:2] for row in rows] == [["1", "6"], ["2", "12"], ["3", "18"]]
    for row in rows:
        low, f1, high = float(row[4]), float(row[3]), float(row[5])
        assert 0 <= low <= f1 <= high <= 1 and int(row[2]) >= 2 and float(row[8]) >= 0
    assert "stopped after 18 labels: the budget is spent" in err and "cannot be told yet" in err
    assert "round 2: 12 of 18 labels; F1" in err and "left" in err
    # Asked again it has nothing to do; with more budget it goes on.
    assert quorum("run", "-p", config.root, "--oracle", gold, "--budget", "18")[1] == out
    status, out, err = quorum("run", "-p", config.root, "--oracle", gold, "--budget", "24", "--json")
    data = json.loads(out)
    assert (status, data["asked"], data["labels"], data["reason"]) == (0, 24, 24, "budget")
    assert len(data["rounds"]) == 4 and data["rounds"][3]["outlook"]["sentence"]
    status, out, _ = quorum("run", "-p", config.root, "--oracle", gold, "--budget", "6", "--new", "--json")
    assert json.loads(out)["campaign"] == 2


def test_a_person_is_told_what_to_do(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    status, out, err = quorum("run", "-p", config.root, "--batch", "3", "--budget", "3")
    assert status == 0 and "3 documents of round 1 wait for a person" in err
    assert f"quorum label --project {config.root}" in err
    gold = {document.id: spans for document, spans in corpus()}
    with Store.open(config.store_path) as store:
        for item in labelling.lease(store, "me", 9):
            labelling.answer(store, item.document_id, gold[item.document_id], "me", seconds=1)
    # What the first call was given holds for the campaign.
    status, out, err = quorum("run", "-p", config.root, "--json")
    assert status == 0 and json.loads(out)["reason"] == "budget" and json.loads(out)["asked"] == 3
    status, out, err = quorum("run", "-p", config.root, "--json", "--budget", "9")
    assert len(json.loads(out)["waiting"]) == 3 and json.loads(out)["settings"]["given"] == {"batch": 3, "budget": 9}


def test_a_target_stops_it_by_the_lower_end(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    status = simulate(config, target_f1=0.2, budget=60)
    last = status.rounds[-1].report
    assert status.stop == "target" and status.labels < 60 and last["f1_interval"][0] >= 0.2
    assert all(one.report["f1_interval"][0] < 0.2 for one in status.rounds[:-1])


def test_the_least_gain_stops_it_once_it_can_be_told(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    status = simulate(config, min_gain=0.9, budget=60, audit=0.5)
    assert status.stop == "gain" and 24 <= status.labels < 60
    assert status.rounds[-1].report["outlook"]["known"]
    assert not any(one.report["outlook"]["known"] for one in status.rounds[:-1])


def told(*arguments: Any) -> str:
    status, out, err = quorum(*arguments)
    assert (status, out) == (2, "") and "Traceback" not in err, err
    assert err.startswith("quorum: ") and "\nhint: " in err
    return err


@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_budget_of_nothing(tmp_path: Path, number: str) -> None:
    config = make_project(tmp_path / "p")
    assert "asks nothing" in told("run", "-p", config.root, f"--budget={number}")
    with Store.open(config.store_path, read_only=True) as store:
        assert store.campaign() is None


def test_an_empty_pool(tmp_path: Path) -> None:
    empty = make_project(tmp_path / "empty", [])
    assert "the pool is empty: the project has no documents" in told("run", "-p", empty.root)
    full = make_project(tmp_path / "full", [Document("d", "Ada.")])
    with Store.open(full.store_path) as store:
        store.set_gold("d", [], "me")
    assert "every document of the project has gold" in told("run", "-p", full.root)


def test_a_pool_smaller_than_the_budget(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p", [document for document, _ in corpus(8)])
    status = simulate(config, oracle(keep=lambda name: name < "doc-08"))
    assert (status.stop, status.labels) == ("pool", 8)


def test_an_oracle_of_other_documents(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p", [document for document, _ in corpus(20)])
    gold = gold_file(tmp_path / "gold.jsonl", first=10)
    status, out, err = quorum("run", "-p", config.root, "--oracle", gold, "--json")
    assert status == 0
    assert "40 documents of" in err and "10 documents without gold" in err
    assert (json.loads(out)["labels"], json.loads(out)["reason"]) == (10, "pool")
    other = gold_file(tmp_path / "other.jsonl", first=30)
    assert "none of its 30 documents is in the project" in told("run", "-p", config.root, "--oracle", other)
    assert "no such file" in told("run", "-p", config.root, "--oracle", tmp_path / "nothing.jsonl")


def test_an_oracle_that_cannot_answer_the_open_batch(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    with opened(config) as session:
        waiting = session.advance().waiting
    with pytest.raises(CampaignError, match="cannot answer 6 documents of the open batch"):
        simulate(config, oracle(keep=lambda name: name not in waiting))


def test_options_that_are_wrong(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    assert "no strategy 'best'" in told("run", "-p", config.root, "--strategy", "best")
    assert "no F1" in told("run", "-p", config.root, "--target-f1", "75")
    assert "no such file" in told("run", "-p", tmp_path / "nowhere")


def test_a_project_of_a_newer_release(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=6)
    with Store.open(config.store_path) as store, store.transaction():
        store.database.execute("UPDATE campaigns SET format = 99")
    assert "newer release" in told("run", "-p", config.root)
    with Store.open(config.store_path) as store:
        store.database.connection.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    assert "newer release" in told("run", "-p", config.root)


def test_changed_settings_are_noticed(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    (config.root / "quorum.toml").write_text(TOML.replace("k = 12", "k = 2"), encoding="utf-8")
    changed = ProjectConfig.load(config.root, environment={})
    notes = Notes()
    status = simulate(changed, observer=notes, budget=30)
    assert "changed since the last round: how demonstrations are retrieved" in notes.lines
    first, last = status.rounds[0], status.rounds[-1]
    assert first.identity != last.identity
    # Five rounds are assessed, and three under these settings: the curve must not mix them.
    assert "3 of at least 4 rounds" in last.report["outlook"]["why"]
    again = Notes()
    simulate(changed, observer=again, budget=30)
    assert not any("changed" in line for line in again.lines)


def test_a_type_that_is_gone_is_told_and_not_shown(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    labels = (config.root / "labels.toml").read_text(encoding="utf-8")
    (config.root / "labels.toml").write_text(labels[: labels.rindex("[[labels]]")], encoding="utf-8")
    notes = Notes()
    with opened(ProjectConfig.load(config.root, environment={}), observer=notes, budget=18) as session:
        session.advance()
        session.services.indexer.sync()
    assert any("does not have any more" in line and "place (" in line for line in notes.lines)
    with demonstrations.DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
        assert {span.label for _, one in index.items() for span in one.spans} == {"person"}


def test_training_is_a_step_when_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import agent.training

    config = make_project(tmp_path / "p")
    asked: list[str] = []

    class Outcome:
        name, registered, notes = "x", "", ("3 labelled documents of the audit were not trained on",)

    def train(folder: Path, options: Any, watch: Any, *, register: str) -> Any:
        asked.append(options.name)
        # What is new in the project file is what the next round extracts with.
        text = (folder / "quorum.toml").read_text(encoding="utf-8")
        (folder / "quorum.toml").write_text(text.replace('model = "m"', 'model = "m"\nweight = 2.0', 1), "utf-8")
        Outcome.registered = "the members" if len(asked) == 1 else ""
        return Outcome

    monkeypatch.setattr(agent.training, "train_project", train)
    notes = Notes()
    status = simulate(config, observer=notes, train_every=12)
    assert asked == ["campaign-1-2"] and status.labels == 24  # after 12; after 24 the budget is spent
    assert any("trained x: the members" in line for line in notes.lines)
    one, two, three, four = (dict(r.identity)["members"] for r in status.rounds)
    assert one == two != three == four


def test_the_tools_of_a_campaign(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p", toml=TOML.replace("budget = 24", "budget = 12"))
    with project_toolkit(config.root) as built:
        assert "ask_human" not in {tool.name for tool in built}
    simulate(config)
    with project_toolkit(config.root) as built:
        [ask] = [tool for tool in built if tool.name == "ask_human"]
        assert "more than the 0 left of the budget" in ask.invoke({"document_ids": ["doc-01"]})
    (config.root / "quorum.toml").write_text(TOML, encoding="utf-8")
    gold = {document.id: spans for document, spans in corpus()}
    with project_toolkit(config.root, annotator="robot") as built:
        tools = {tool.name: tool for tool in built}
        wanted = {"select_documents", "ask_human", "record_answer", "index_gold", "assess_campaign"}
        assert wanted < set(tools)
        chosen = tools["select_documents"].invoke({"count": 4})["documents"]
        assert len(chosen) == 4 and all(one["reason"]["meaning"] for one in chosen)
        assert "no batch is open" in tools["ask_human"].invoke({})
        names = [one["document_id"] for one in chosen]
        asked = tools["ask_human"].invoke({"document_ids": names})
        assert not isinstance(asked, str), asked
        assert asked["round"] == 3 and asked["waiting"] == names and asked["answered"] == []
        assert "still open" in tools["ask_human"].invoke({"document_ids": ["doc-01"]})
        for name in names:
            spans = [{"start": s.start, "end": s.end, "label": s.label} for s in gold[name]]
            said = tools["record_answer"].invoke({"document_id": name, "spans": spans})
            assert said["annotator"] == "robot" and len(said["recorded"]) == len(spans)
        assert tools["ask_human"].invoke({})["waiting"] == []
        before = tools["index_gold"].invoke({})["demonstrations"]
        audits = {one["document_id"] for one in chosen if one["audit"]}
        with demonstrations.DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
            shown = {one.document_id for _, one in index.items()}
        assert before and set(names) - audits <= shown and not audits & shown
        report = tools["assess_campaign"].invoke({})
        assert report["labels"] == 16 and 0 <= report["f1"] <= 1 and "sentence" in report["outlook"]
        hits = tools["retrieve_for_document"].invoke({"document_id": "doc-59", "k": 2})["demonstrations"]
        assert len(hits) == 2 and all(not hit["id"].startswith("doc-59#") for hit in hits)
        assert "unknown label" in tools["record_answer"].invoke(
            {"document_id": names[0], "spans": [{"text": "day", "label": "fish"}]}
        )


def test_who_leaves_audit_documents_out_gets_none(tmp_path: Path) -> None:
    toml = TOML.replace("audit = 0.34", "audit = 0.5")
    config = make_project(tmp_path / "p", toml=toml.replace("budget = 24", "budget = 6"))
    simulate(config)
    (config.root / "quorum.toml").write_text(toml, encoding="utf-8")
    with project_toolkit(config.root) as built:
        tools = {tool.name: tool for tool in built}
        chosen = tools["select_documents"].invoke({"count": 6})["documents"]
        audits = [one["document_id"] for one in chosen if one["audit"]]
        assert len(audits) == 3
        picked = [one["document_id"] for one in chosen if one["document_id"] != audits[0]]
        assert tools["ask_human"].invoke({"document_ids": picked})["waiting"] == picked
    with Store.open(config.store_path, read_only=True) as store:
        assert [item.audit for item in store.items(1, 2)] == [False] * 5


def test_a_signal_stops_it_in_between_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """The first signal ends the call with the shell's status; what was answered is there, and nothing is asked twice."""
    import os
    import signal

    from agent.campaign import assessing, nodes

    config = make_project(tmp_path / "p")
    gold = gold_file(tmp_path / "gold.jsonl")
    body, calls = assessing.answered_audit, list[int]()

    def once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return body(*arguments)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodes, "answered_audit", once)
        status, out, err = quorum("run", "-p", config.root, "--oracle", gold, "--budget", "12")
    assert (status, out) == (143, "") and "run the same command again to go on" in err
    assert "models cannot be had" not in err and signal.getsignal(signal.SIGTERM) is before
    status, out, _ = quorum("run", "-p", config.root, "--oracle", gold, "--budget", "12", "--json")
    assert status == 0 and json.loads(out)["labels"] == 12
    with Store.open(config.store_path, read_only=True) as store:
        assert sum(1 for _ in store.events()) == 12


def test_status_and_rebuild_know_the_campaign(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, budget=12)
    status, out, err = quorum("status", "-p", config.root)
    assert status == 0 and "campaign\t1, round 2: 12 labelled, stopped (budget)" in out
    with opened(config, budget=15) as session:
        session.advance()
    status, out, err = quorum("status", "-p", config.root)
    assert "3 waiting" in out and "3 documents of round 3 wait to be labelled: quorum label" in err
    assert json.loads(quorum("status", "-p", config.root, "--json")[1])["campaign"]["waiting"] == 3
    # An index made anew by hand leaves the audit documents out as well.
    status, out, err = quorum("demos", "rebuild", "-p", config.root, "--json")
    assert status == 0, err
    with Store.open(config.store_path, read_only=True) as store:
        audit = store.audit_documents()
    with demonstrations.DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as index:
        shown = {one.document_id for _, one in index.items()}
    assert json.loads(out)["held_out"] and shown and not shown & audit
