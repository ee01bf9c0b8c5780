"""A document of 100 MB in one line: worked on from its beginning, not held up and not piled up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from agent.runs.errors import RunInterrupted
from agent.runs.ledger import Ledger, find_run
from agent.runs.sidecar import store_beside
from tests.runs.corpus import ScriptedCrew, Stopper, config, job, run
from tools.store import Store


@pytest.mark.slow
def test_a_hundred_megabytes_in_one_line(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    with source.open("w") as stream:
        for _ in range(100):
            stream.write("Ada met Bo in Lagos and went on. " * 32_000)
    assert source.stat().st_size > 100e6
    process = psutil.Process()
    before = process.memory_info().rss
    most = 0
    watching = threading.Event()

    def watch() -> None:
        nonlocal most
        while not watching.wait(0.05):
            most = max(most, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.monotonic()

    class Few(Stopper):
        """Stops when twenty parts are recorded."""

        def update(self, snapshot) -> None:  # type: ignore[no-untyped-def]
            if snapshot.passages >= 20 * 16 and not self.sent:
                self.after = 0
                super().update(snapshot)

    output = tmp_path / "out.jsonl"
    with pytest.raises(RunInterrupted) as caught:
        run(job(source, output, config=config(batch=16)), ScriptedCrew(), Few(0))
    watching.set()
    watcher.join()
    assert "0 of 1 documents are done and kept" in caught.value.message
    assert time.monotonic() - began < 60
    # The file's bytes, its text, and a copy on the way to the store; not millions of sentences.
    assert most < 700e6, f"{most / 1e6:.0f} MB"
    with Store.open(store_beside(output), read_only=True) as store:
        found = find_run(store)
        assert found is not None
        assert len(Ledger.of(store, found).parts) >= 20
