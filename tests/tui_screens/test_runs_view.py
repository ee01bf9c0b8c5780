"""What is read of a run: the same as the run itself said, at little cost, whatever happens to the store."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agent.runs.sidecar import store_beside
from agent.runs.summary import RunSummary
from tests.runs.corpus import LABELS, ScriptedCrew, job, run, write_corpus
from tests.runs.scripted import Scripted, result
from tests.tui_screens.runs_made import BEGAN, FAILING, PART_SECONDS, cut_back, finished, poison
from tools.annotation import Document, Passage
from tools.errors import StoreError
from tools.store import RunState, Store
from tools.store.watching import marks
from tui.views.runs import RunReader, RunView, spark

ROOT = Path(__file__).parents[2]


def look(reader: RunReader) -> RunView:
    view = reader.look()
    assert view is not None
    return view


def test_a_finished_run_is_what_its_summary_said(tmp_path: Path) -> None:
    source, output = write_corpus(tmp_path / "in.jsonl", 100), tmp_path / "out.jsonl"
    told: RunSummary = run(job(source, output), ScriptedCrew(Scripted(poison)))
    view = look(RunReader(store_beside(output)))
    assert view.documents == view.total == told.documents == 100
    assert view.outcomes == told.passages
    assert view.passages == sum(told.passages.values())
    assert view.predictions == told.entities  # the scripted members' spans are all accepted
    assert view.dead_letters == told.dead_letters == len(FAILING)
    assert (view.state, view.going, view.killed, view.eta) == ("complete", False, False, None)
    assert f"quorum retry --output {output}" in view.next
    by_name = {member.name: member for member in view.members}
    assert by_name["list"].requests == told.usage["extract/list"].requests
    assert by_name["list"].state == "answers"
    assert by_name["typed"].state == "silent"  # the scripted crew has one member that asks


def test_rates_are_taken_over_the_last_minute(tmp_path: Path) -> None:
    store = cut_back(finished(tmp_path), 10, "running")
    with Store.open(store):  # somebody writes it: the run goes on
        now = BEGAN + 10 * PART_SECONDS + 2
        view = look(RunReader(store, clock=lambda: now))
    assert view.going
    with Store.open(store, read_only=True) as opened:
        parts = marks(opened, view.run.id).parts
    assert len(parts) == 10
    passed = now - parts[0].recorded
    documents = sum(part.documents for part in parts[1:])
    assert view.documents_per_second == pytest.approx(documents / passed)
    assert view.total == 100
    assert view.eta == pytest.approx((100 - view.documents) / view.documents_per_second)
    assert view.average == pytest.approx(view.documents / (now - BEGAN))
    assert view.tokens_per_second == pytest.approx(sum(10 * (p.passages) for p in parts[1:]) / passed, rel=0.2)
    assert view.idle == pytest.approx(2)
    assert sum(view.series) == view.documents


def test_a_run_that_nobody_writes_was_killed(tmp_path: Path) -> None:
    view = look(RunReader(cut_back(finished(tmp_path), 4, "running")))
    assert view.killed
    assert view.state == "killed"
    assert "same quorum extract command" in view.next


def test_look_by_look_it_is_what_one_look_at_the_end_shows(tmp_path: Path) -> None:
    """Parts recorded in any order, with looks in between, one of them replaced later."""
    path = tmp_path / "store.db"
    clock = [1000.0]
    with Store.open(path) as store:
        texts = [Document(f"d{n}", f"Ada met Bo {n}") for n in range(12)]
        store.add_documents(texts)
        store.save_label_set(LABELS)
        number = store.start_run({"output": "o", "config": {"members": [{"name": "list"}]}}, "0")
        reader = RunReader(path, clock=lambda: clock[0])
        assert look(reader).documents == 0
        for part in (1, 0, 4, 2, 3, 5):
            found = [result(Passage(one.id, 0, 0, one.text)) for one in texts[2 * part : 2 * part + 2]]
            store.record_part(number, part, "f", found, {"extract/list": {"requests": 2, "prompt_tokens": 10}})
            clock[0] += 1
            seen, fresh = look(reader), look(RunReader(path, clock=lambda: clock[0]))
            assert seen == fresh
        assert (seen.documents, seen.outcomes) == (12, {"ok": 12})
        before = reader._settled
        look(reader)
        assert reader._settled is before, "a look at what has not changed must read nothing"
        store.record_part(number, 1, "f", [], {"extract/list": {"requests": 1}}, replace=True)
        clock[0] += 60
        assert look(reader) == look(RunReader(path, clock=lambda: clock[0]))
        store.finish_run(number, RunState.COMPLETE)
        assert look(reader).state == "complete"
        other = store.start_run({"output": "p"}, "1")
        assert look(reader).run.id == other  # the latest is followed
        pinned = RunReader(path, wanted=number)
        assert look(pinned).run.id == number
        assert [one.id for one in reader.runs()] == [other, number]
        reader.close()


def test_dead_letters_and_their_texts(tmp_path: Path) -> None:
    reader = RunReader(finished(tmp_path))
    letters = reader.letters(look(reader).run.id)
    assert tuple(letter.document_id for letter in letters) == FAILING
    assert all("grammar" in letter.reason for letter in letters)
    assert "Ada" in reader.text(letters[0])


def test_a_store_that_is_begun_again_is_read_again(tmp_path: Path) -> None:
    path = finished(tmp_path)
    reader = RunReader(path)
    assert look(reader).documents == 100
    source, output = write_corpus(tmp_path / "in.jsonl", 5), tmp_path / "out.jsonl"
    run(job(source, output, fresh=True))
    assert look(reader).documents == 5


def test_what_is_wrong_with_the_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        RunReader(tmp_path / "none.db").look()
    with Store.open(tmp_path / "empty.db"):
        assert RunReader(tmp_path / "empty.db").look() is None
        with pytest.raises(StoreError, match="no run 7"):
            RunReader(tmp_path / "empty.db", wanted=7).look()


def test_a_run_of_another_process_is_followed(tmp_path: Path) -> None:
    source, output = write_corpus(tmp_path / "in.jsonl", 400), tmp_path / "out.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.corpus", str(source), str(output), "0.1"], cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    counts: list[int] = []
    going: Counter[bool] = Counter()
    reader = RunReader(store_beside(output))
    try:
        until = time.monotonic() + 40
        while time.monotonic() < until:
            try:
                view = reader.look()
            except StoreError:  # not made yet
                view = None
            if view is not None:
                counts.append(view.documents)
                going[view.going] += 1
                if view.run.state is RunState.COMPLETE:
                    break
            time.sleep(0.1)
    finally:
        child.wait(30)
    assert counts == sorted(counts)
    assert counts[-1] == 400
    assert len(set(counts)) > 3, "progress was not seen while it went on"
    assert going[True] > 3


def test_spark_shows_every_slice_that_has_something() -> None:
    assert spark((), 10) == ""
    assert spark((0, 1, 100), 3) == " \u2581\u2588"
    assert len(spark(tuple(range(60)), 20)) == 20
    assert spark((0, 0), 0) == ""
