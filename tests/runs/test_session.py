"""Whole runs with a scripted crew: resuming, refusing, ending, writing."""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runs.errors import RunInterrupted
from agent.runs.identity import Reading
from agent.runs.ledger import Ledger, find_run
from agent.runs.progress import Snapshot
from agent.runs.sidecar import store_beside
from tests.runs.corpus import LABELS, ScriptedCrew, Stopper, job, records, run, text, write_corpus
from tests.runs.scripted import Scripted
from tools.annotation import Passage
from tools.errors import InputError, OutputError, QuorumLost, StoreError
from tools.store import RunState, Store, fsck


def test_every_document_ends_in_the_output_in_order(corpus: Path, tmp_path: Path) -> None:
    summary = run(job(corpus, tmp_path / "out.jsonl"))
    found = records(tmp_path / "out.jsonl")
    assert [r["id"] for r in found] == [f"doc-{n}" for n in range(100)]
    assert [r["text"] for r in found] == [text(n) for n in range(100)]
    for record in found:
        assert record["outcome"]["kind"] == "ok"
        words = [w for w in record["text"].replace(".", "").split() if w[0].isupper()]
        assert [e["text"] for e in record["entities"]] == words
        assert all(record["text"][e["start"] : e["end"]] == e["text"] for e in record["entities"])
    assert summary.documents == summary.extracted == 100
    assert summary.entities == sum(len(r["entities"]) for r in found) > 0
    assert summary.grounded == 1.0
    assert not fsck(store_beside(tmp_path / "out.jsonl"))


def test_the_same_call_again_opens_nothing_and_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    run(job(corpus, tmp_path / "out.jsonl"))
    before = (tmp_path / "out.jsonl").stat()
    crew = ScriptedCrew()
    summary = run(job(corpus, tmp_path / "out.jsonl"), crew)
    assert summary.already_complete
    assert summary.documents == 100
    assert summary.extracted == 0
    assert crew.opened == 0
    assert (tmp_path / "out.jsonl").stat() == before


def test_an_output_that_was_removed_is_written_again(corpus: Path, tmp_path: Path) -> None:
    run(job(corpus, tmp_path / "out.jsonl"))
    before = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    crew = ScriptedCrew()
    run(job(corpus, tmp_path / "out.jsonl"), crew)
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert crew.opened == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_and_gives_the_same(corpus: Path, tmp_path: Path, signum: signal.Signals) -> None:
    run(job(corpus, tmp_path / "whole.jsonl"))
    slow = ScriptedCrew(Scripted(wait=0.01))
    with pytest.raises(RunInterrupted, match=r"documents are done and kept") as caught:
        run(job(corpus, tmp_path / "out.jsonl"), slow, Stopper(20, signum))
    assert caught.value.exit_code == 128 + signum
    assert caught.value.signal_name == signum.name
    assert "same command" in caught.value.hint
    assert not (tmp_path / "out.jsonl").exists()
    with Store.open(store_beside(tmp_path / "out.jsonl")) as store:
        stopped = find_run(store)
        assert stopped is not None
        assert stopped.state is RunState.STOPPED
        assert not fsck(store)
    rest = ScriptedCrew()
    summary = run(job(corpus, tmp_path / "out.jsonl"), rest)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert 20 <= summary.skipped < 100
    assert summary.extracted + summary.skipped == 100
    once = [p for call in slow.extractor.calls for p in call], [p for call in rest.extractor.calls for p in call]
    assert not set(once[0]) & set(once[1]), "a passage was extracted twice"


def test_a_signal_while_models_load_ends_at_once(corpus: Path, tmp_path: Path) -> None:
    import asyncio
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager
    from typing import Any

    closed = []

    class Loading(ScriptedCrew):
        @asynccontextmanager
        async def open(self, store: Store, observer: Any) -> AsyncIterator[Scripted]:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(30)
                yield self.extractor
            finally:
                closed.append(True)

    began = time.monotonic()
    with pytest.raises(RunInterrupted):
        run(job(corpus, tmp_path / "out.jsonl"), Loading())
    assert time.monotonic() - began < 5
    assert closed


def test_bad_places_are_told_before_anything_is_made(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such folder"):
        run(job(corpus, tmp_path / "no" / "out.jsonl"))
    with pytest.raises(OutputError, match="a folder"):
        run(job(corpus, tmp_path))
    with pytest.raises(OutputError, match="ending"):
        run(job(corpus, tmp_path / "out.docx"))
    with pytest.raises(InputError, match="no such file"):
        run(job(tmp_path / "nothing.jsonl", tmp_path / "out.jsonl"))
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_broken_line_is_named_and_what_is_done_is_kept(tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 60)
    good = source.read_text()
    source.write_text(good + "{broken\n" + json.dumps({"id": "last", "text": "Ada"}) + "\n")
    with pytest.raises(InputError, match="61"):
        run(job(source, tmp_path / "out.jsonl"))
    source.write_text(good + json.dumps({"id": "last", "text": "Ada"}) + "\n")
    summary = run(job(source, tmp_path / "out.jsonl"))
    assert summary.documents == 61
    assert summary.skipped > 30


def test_a_broken_line_can_be_left_out(tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 10)
    source.write_text(source.read_text() + "{broken\n")
    summary = run(job(source, tmp_path / "out.jsonl", reading=Reading(skip_bad=True)))
    assert (summary.documents, summary.bad_records) == (10, 1)


def test_duplicate_ids_are_refused(tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 10)
    source.write_text(source.read_text() * 2)
    with pytest.raises(InputError, match="doc-0"):
        run(job(source, tmp_path / "out.jsonl"))


def test_a_limit_and_shards(corpus: Path, tmp_path: Path) -> None:
    found: list[str] = []
    for shard in (1, 2, 3):
        output = tmp_path / f"{shard}.jsonl"
        run(job(corpus, output, reading=Reading(limit=70, shard=(shard, 3))))
        found.extend(r["id"] for r in records(output))
    assert sorted(found) == sorted(f"doc-{n}" for n in range(70))


def test_nothing_left_after_sharding_is_an_empty_output(tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 1)
    sizes = []
    for shard in (1, 2):
        crew = ScriptedCrew()
        sizes.append(run(job(source, tmp_path / f"{shard}.jsonl", reading=Reading(shard=(shard, 2))), crew).documents)
        assert (tmp_path / f"{shard}.jsonl").exists()
        assert run(job(source, tmp_path / f"{shard}.jsonl", reading=Reading(shard=(shard, 2)))).already_complete
    assert sorted(sizes) == [0, 1]


def test_a_lost_quorum_pauses(corpus: Path, tmp_path: Path) -> None:
    def lose(passage: Passage) -> None:
        if passage.document_id == "doc-60":
            raise QuorumLost("member typed does not answer", "start its server")

    with pytest.raises(QuorumLost) as caught:
        run(job(corpus, tmp_path / "out.jsonl"), ScriptedCrew(Scripted(lose)))
    assert caught.value.exit_code == 3
    assert caught.value.hint == "start its server; then run the same command again to go on"
    with Store.open(store_beside(tmp_path / "out.jsonl")) as store:
        paused = find_run(store)
        assert paused is not None
        assert paused.state is RunState.PAUSED
        assert len(Ledger.of(store, paused).parts) >= 5
    assert run(job(corpus, tmp_path / "out.jsonl")).skipped >= 20


def test_a_second_process_on_the_same_output_is_told(corpus: Path, tmp_path: Path) -> None:
    with Store.open(store_beside(tmp_path / "out.jsonl")):
        for fresh in (False, True):
            with pytest.raises(StoreError, match="writing the store"):
                run(job(corpus, tmp_path / "out.jsonl", fresh=fresh))


def test_a_damaged_store_can_be_begun_again(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    run(job(corpus, output))
    store_beside(output).write_bytes(b"no database at all, not even nearly" * 100)
    with pytest.raises(StoreError):
        run(job(corpus, output))
    assert run(job(corpus, output, fresh=True)).documents == 100


def test_output_to_a_stream(corpus: Path, tmp_path: Path) -> None:
    import io

    stream = io.StringIO()
    run(replace(job(corpus, tmp_path / "x"), output=None, stream=stream, store=tmp_path / "s.db"))
    assert [json.loads(line)["id"] for line in stream.getvalue().splitlines()] == [f"doc-{n}" for n in range(100)]


def test_parquet_and_gzip(corpus: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    run(job(corpus, tmp_path / "out.parquet"))
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.column("id").to_pylist() == [f"doc-{n}" for n in range(100)]
    run(job(corpus, tmp_path / "out.jsonl.gz"))
    lines = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).splitlines()
    assert len(lines) == 100


def test_hostile_texts_come_through_unchanged(tmp_path: Path) -> None:
    texts = ["\x1b[31mAda\x1b[0m", "{{ Ada }} {% x %}", "Ada\0Bo", "Ada \ud800 Bo", "<|im_end|> Ada", "\u202eAda"]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"id": f"<{n}>", "text": t}) + "\n" for n, t in enumerate(texts)))
    run(job(source, tmp_path / "out.jsonl"))
    assert [r["text"] for r in records(tmp_path / "out.jsonl")] == texts


def test_the_event_loop_is_not_held_up_by_reading(tmp_path: Path) -> None:
    """Progress goes on while a pipe gives nothing."""
    fifo = tmp_path / "pipe.jsonl"
    os.mkfifo(fifo)
    seen: list[int] = []

    class Watch:
        def update(self, snapshot: Snapshot) -> None:
            seen.append(snapshot.documents)

        def note(self, text: str) -> None:
            pass

    def feed() -> None:
        with fifo.open("w") as stream:
            for number in range(40):
                stream.write(json.dumps({"id": str(number), "text": "Ada"}) + "\n")
            stream.flush()
            time.sleep(1.6)
            stream.write(json.dumps({"id": "last", "text": "Ada"}) + "\n")

    writer = threading.Thread(target=feed)
    writer.start()
    assert run(job(fifo, tmp_path / "out.jsonl"), observer=Watch()).documents == 41
    writer.join()
    assert LABELS
    assert seen
