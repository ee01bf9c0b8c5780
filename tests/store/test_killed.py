"""A writer is killed at random moments; what it had confirmed is there, and nothing is half."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tools.annotation.prediction import PassageResult
from tools.store import RunState, Store, fsck

KILLS = 12
PASSAGES = 40

WRITER = """
import sys
from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.store import Store

passages = int(sys.argv[2])
with Store.open(sys.argv[1]) as store:
    store.add_documents(Document(f"d{n}", "some text to find things in") for n in range(passages))
    run = store.latest_run()
    run_id = run.id if run else store.start_run({}, "h")
    done = store.finished_parts(run_id)
    number = len(done)
    print("run", run_id, flush=True)
    while True:
        votes = (Vote("a", True, "x", 0.5),) * 3
        entities = tuple(Entity(Span(k, k + 2, "x"), 0.5, votes, None, number) for k in range(3))
        results = [
            PassageResult(f"d{n}", number, Outcome(), entities)
            for n in range(passages)
        ]
        store.record_part(run_id, number, f"print {number}", results, {"tag": {"requests": passages}})
        print("part", number, flush=True)
        event = store.set_gold(f"d{number % passages}", [Span(0, 1 + number % 20, "x")], "ann")
        print("event", event, flush=True)
        number += 1
"""


def test_kill_at_random_moments(path: Path, child: Callable[..., subprocess.Popen[str]]) -> None:
    rng = random.Random(7)
    confirmed = {"part": -1, "event": -1}
    for _ in range(KILLS):
        writer = child(WRITER, path, PASSAGES)
        assert writer.stdout
        assert writer.stdout.readline().startswith("run ")
        time.sleep(rng.uniform(0, 0.12))
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout.read().splitlines():
            kind, _, number = line.partition(" ")
            if number:
                confirmed[kind] = max(confirmed[kind], int(number))
        writer.wait()
        check(path, confirmed)
    assert confirmed["part"] > KILLS, "the writer did not come to write anything between the kills"


def check(path: Path, confirmed: dict[str, int]) -> None:
    with Store.open(path, read_only=True) as store:
        assert fsck(store) == []
        (run,) = store.runs()
        assert run.state is RunState.RUNNING
        parts = store.finished_parts(run.id)
        assert list(parts) == list(range(len(parts))), "parts are recorded in order here, so none may be missing"
        assert len(parts) > confirmed["part"]
        assert max((event.number for event in store.events()), default=0) >= confirmed["event"]
        assert store.usage(run.id).get("tag", {}).get("requests", 0) == PASSAGES * len(parts)
        for document, found in store.iter_results(run.id):
            assert [result.index for result in found] == list(range(len(parts))), document.id
            assert all(is_whole(result) for result in found)


def is_whole(result: PassageResult) -> bool:
    return len(result.entities) == 3 and all(len(entity.votes) == 3 for entity in result.entities)
