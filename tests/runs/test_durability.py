"""Kills, full disks, flat memory: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import psutil
import pytest

from agent.runs.ledger import Ledger, find_run
from agent.runs.sidecar import store_beside
from tests.runs.corpus import ScriptedCrew, job, records, run, write_corpus
from tests.runs.scripted import Scripted
from tools.errors import StoreError
from tools.store import DiskFull, Store, fsck

ROOT = Path(__file__).resolve().parents[2]


def start(source: Path, output: Path, wait: float = 0.0, **more: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runs.corpus", str(source), str(output), str(wait)]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
    )


def recorded(output: Path) -> int:
    """Parts on disk, seen from outside."""
    if not store_beside(output).exists():
        return 0
    try:
        with Store.open(store_beside(output), read_only=True) as store:
            found = find_run(store)
            return 0 if found is None else len(Ledger.of(store, found).parts)
    except StoreError:
        return 0  # it is being made just now


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    # Long enough that the killer wins on a fast machine too.
    source = write_corpus(tmp_path / "in.jsonl", 3000)
    run(job(source, tmp_path / "whole.jsonl"))
    output = tmp_path / "out.jsonl"
    rng = random.Random(20)
    kills = early = 0
    known = 0
    while kills < 20:
        process = start(source, output, 0.1)
        try:
            # Half of them early, while the store is made or parts are checked; the others once it works again.
            if kills % 2:
                deadline = time.monotonic() + 20
                while recorded(output) <= known and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 0.15))
            else:
                time.sleep(rng.uniform(0.05, 1.2))
            if process.poll() is not None:
                break  # it was faster than the killer
            process.kill()
        finally:
            process.kill()
            process.communicate()
        kills += 1
        early += recorded(output) == known
        assert recorded(output) >= known, "something recorded was lost"
        known = recorded(output)
        assert not output.exists() or output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert kills == 20, "the run ended before it was killed often enough"
    assert 0 < early < 20
    with Store.open(store_beside(output)) as store:
        assert not [f for f in fsck(store) if f.severity == "error"]
    summary = run(job(source, output))
    assert summary.skipped > 0
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [r["id"] for r in records(output)] == [f"doc-{n}" for n in range(3000)]
    assert not fsck(store_beside(output))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_process(tmp_path: Path, signum: signal.Signals, code: int) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 3000)
    process = start(source, tmp_path / "out.jsonl", 0.05)
    while recorded(tmp_path / "out.jsonl") < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signum)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "run the same command again" in err.decode()
    assert "Traceback" not in err.decode()
    assert recorded(tmp_path / "out.jsonl") >= 2


def _pour(pipe: IO[bytes], content: bytes) -> None:
    """Write and leave the pipe open; whoever reads may end at any time."""
    with contextlib.suppress(OSError):
        pipe.write(content)
        pipe.flush()


@pytest.mark.parametrize("given", [0, 9000])
def test_a_silent_pipe_does_not_hold_up_a_stop(tmp_path: Path, given: int) -> None:
    """Standard input stays open and gives nothing more: before the first document, and later."""
    process = start(Path("-"), tmp_path / "out.jsonl", stdin=subprocess.PIPE)
    assert process.stdin is not None
    content = write_corpus(tmp_path / "in.jsonl", given).read_bytes()
    writer = threading.Thread(target=_pour, args=(process.stdin, content), daemon=True)
    writer.start()
    deadline = time.monotonic() + 60
    while not (recorded(tmp_path / "out.jsonl") if given else store_beside(tmp_path / "out.jsonl").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=15) == 130
    finally:
        process.kill()
        writer.join(timeout=10)
        with contextlib.suppress(OSError):
            process.stdin.close()
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert "run the same command again" in told
    assert "Traceback" not in told
    assert "Fatal" not in told


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 800)
    run(job(source, tmp_path / "whole.jsonl"))
    output = tmp_path / "out.jsonl"

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    process = start(source, output, preexec_fn=small)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err.decode()
    message = err.decode()
    assert "Traceback" not in message
    assert "no room" in message
    assert "same command" in message
    assert not output.exists()
    done = recorded(output)
    assert done > 0
    summary = run(job(source, output))
    assert summary.skipped > 0
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_disk_that_fills_up_while_the_output_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.errors import OutputError

    source = write_corpus(tmp_path / "in.jsonl", 50)
    output = tmp_path / "out.jsonl"

    def full(*_: object) -> int:
        raise OutputError("out.jsonl: no room", "free some space")

    with monkeypatch.context() as patch:
        patch.setattr("tools.formats.writing.write_records", full)
        with pytest.raises(OutputError, match="no room"):
            run(job(source, output))
    crew = ScriptedCrew()
    assert run(job(source, output), crew).documents == 50
    assert crew.opened == 0, "all parts were recorded; only the output was missing"


def test_a_full_store_keeps_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_corpus(tmp_path / "in.jsonl", 100)
    output = tmp_path / "out.jsonl"
    real = Store.record_part
    count = 0

    def filling(self: Store, *args: object, **more: object) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise DiskFull("store: no room", "free some space")
        real(self, *args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Store, "record_part", filling)
        with pytest.raises(DiskFull):
            run(job(source, output))
    assert recorded(output) == 5
    assert run(job(source, output)).documents == 100


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    """From 2,000 to 20,000 documents the process grows by far less than their texts."""
    source = tmp_path / "in.jsonl"
    with source.open("w") as stream:
        for number in range(20_000):
            stream.write(
                json.dumps(
                    {
                        "id": f"doc-{number}",
                        "text": f"Ada met the others at {number}. " + "they went on and on about it. " * 35,
                    }
                )
                + "\n"
            )
    assert source.stat().st_size > 20e6
    process = psutil.Process()
    seen: dict[int, int] = {}

    class Watch:
        def update(self, snapshot: object) -> None:
            documents = snapshot.documents  # type: ignore[attr-defined]
            for mark in (2_000, 10_000, 19_500):
                if documents >= mark and mark not in seen:
                    seen[mark] = process.memory_info().rss

        def note(self, text: str) -> None:
            pass

    from agent.config import PassagesConfig, ProjectConfig, RunConfig

    whole = ProjectConfig.default(environment={}, run=RunConfig(batch=64), passages=PassagesConfig(max_tokens=400))
    summary = run(job(source, tmp_path / "out.jsonl", config=whole), ScriptedCrew(Scripted()), Watch())
    assert summary.documents == 20_000
    after_write = process.memory_info().rss
    assert seen[19_500] - seen[2_000] < 30e6, {k: v // 1_000_000 for k, v in seen.items()}
    assert after_write - seen[2_000] < 45e6
    assert os.path.getsize(tmp_path / "out.jsonl") > 20e6
