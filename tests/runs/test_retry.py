"""Dead letters: kept, told, tried again, replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.runs.errors import RunInterrupted, RunMismatch
from agent.runs.retry import Retried, begun, retry
from agent.runs.sidecar import store_beside
from tests.runs.corpus import ScriptedCrew, config, job, records, run, write_corpus
from tests.runs.scripted import Scripted
from tools.annotation import Passage
from tools.errors import StoreError
from tools.store import Store, fsck

BAD = {"doc-3", "doc-40", "doc-41", "doc-91"}


def poison(passage: Passage) -> None:
    """Documents that raise; of the long one (doc-3) only the second passage."""
    if passage.document_id in BAD and (passage.document_id != "doc-3" or passage.index == 1):
        raise ValueError("bad passage")


def again(output: Path, crew: ScriptedCrew, write: bool = True) -> Retried:
    with Store.open(store_beside(output)) as store:
        return asyncio.run(retry(store, begun(store, output.name, Path()), crew, output if write else None))


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    source = write_corpus(tmp_path / "in.jsonl", 100)
    run(job(source, tmp_path / "whole.jsonl"))
    summary = run(job(source, tmp_path / "out.jsonl"), ScriptedCrew(Scripted(poison)))
    assert summary.dead_letters == 4
    assert summary.outcomes == {"ok": 96, "failed": 4}
    return tmp_path / "out.jsonl"


def test_a_failure_is_a_record_and_the_rest_is_there(failed: Path) -> None:
    found = {r["id"]: r for r in records(failed)}
    assert len(found) == 100
    assert {key for key, r in found.items() if r["outcome"]["kind"] == "failed"} == BAD
    assert found["doc-40"]["outcome"]["reason"] == "ValueError: bad passage"
    assert found["doc-3"]["entities"], "what its other passages gave is kept"


def test_a_retry_mends_and_gives_what_an_unharmed_run_gives(failed: Path) -> None:
    crew = ScriptedCrew()
    done = again(failed, crew)
    assert (done.tried, done.mended, done.left) == (4, 4, 0)
    assert failed.read_bytes() == (failed.parent / "whole.jsonl").read_bytes()
    asked = {p for call in crew.extractor.calls for p in call}
    assert asked == {"doc-3#1", "doc-40#0", "doc-41#0", "doc-91#0"}, "only what had failed was asked again"
    assert not fsck(store_beside(failed))
    assert run(job(failed.parent / "in.jsonl", failed)).already_complete


def test_what_fails_again_stays_a_dead_letter(failed: Path) -> None:
    def still(passage: Passage) -> None:
        if passage.document_id == "doc-41":
            raise ValueError("still bad")

    done = again(failed, ScriptedCrew(Scripted(still)))
    assert (done.tried, done.mended, done.left) == (4, 3, 1)
    found = {r["id"]: r["outcome"] for r in records(failed)}
    assert found["doc-41"] == {"kind": "failed", "reason": "ValueError: still bad"}
    assert again(failed, ScriptedCrew()).left == 0


def test_usage_of_both_attempts_is_counted(failed: Path) -> None:
    with Store.open(store_beside(failed)) as store:
        before = store.usage(1)["extract/list"]["requests"]
    again(failed, ScriptedCrew())
    with Store.open(store_beside(failed)) as store:
        assert store.usage(1)["extract/list"]["requests"] == before + 4


def test_nothing_to_do(tmp_path: Path) -> None:
    run(job(write_corpus(tmp_path / "in.jsonl", 10), tmp_path / "out.jsonl"))
    crew = ScriptedCrew()
    assert again(tmp_path / "out.jsonl", crew).tried == 0
    assert crew.opened == 0


def test_another_model_is_refused(failed: Path) -> None:
    with pytest.raises(RunMismatch, match="a model"):
        again(failed, ScriptedCrew(revision="2"))


def test_a_run_is_taken_up_as_it_was_begun(tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 10)
    own = config(batch=3).with_members(["typed"])
    run(job(source, tmp_path / "out.jsonl", config=own))
    with Store.open(store_beside(tmp_path / "out.jsonl")) as store:
        start = begun(store, "out.jsonl", Path())
        assert start.config == own
        assert start.labels.names == ("name", "place")


def test_no_run_no_retry(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store, pytest.raises(StoreError, match="no extraction"):
        begun(store, None, Path())


def test_an_unfinished_run_can_be_mended_and_is_not_written(tmp_path: Path) -> None:
    from tests.runs.test_session import Stopper

    source, output = write_corpus(tmp_path / "in.jsonl", 100), tmp_path / "out.jsonl"
    with pytest.raises(RunInterrupted):
        run(job(source, output), ScriptedCrew(Scripted(poison, wait=0.01)), Stopper(60))
    done = again(output, ScriptedCrew())
    assert done.mended == done.tried > 0
    assert done.output == ""
    assert not output.exists()
    run(job(source, output))
    assert {r["outcome"]["kind"] for r in records(output) if r["id"] in {"doc-3", "doc-40"}} == {"ok"}
