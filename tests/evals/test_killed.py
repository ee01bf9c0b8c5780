"""Killed with SIGKILL at any moment, a run goes on: no finished cell and no kept answer twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from evals.errors import EvalLogError
from evals.finished import logs
from evals.log import blocks, read_run
from tests.evals.script import figures, frozen, measure, write_suite

ROOT = Path(__file__).resolve().parents[2]
MATRIX = """
[[matrix]]
vote = ["weighted", "plain"]
"steps.verify" = ["off", "on"]

[[matrix]]
members = [["a"], ["b"]]
"run.quorum" = [1]
"""
BATCH = 4
IN_FLIGHT = 4


def start(suite: Path, into: Path, asked: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    again = "resume" if resume else "new"
    command = [sys.executable, "-m", "tests.evals.script", str(suite), str(into), str(asked), "0.03", again]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_after_kill_nothing_is_done_twice(tmp_path: Path) -> None:
    suite = frozen(write_suite(tmp_path / "s", MATRIX, count=60))
    whole = measure(suite, tmp_path / "whole")
    into, asked = tmp_path / "into", tmp_path / "asked.txt"
    rng = random.Random(5)
    kills = inside = 0
    while True:
        begun = [log for log in logs(into) if _header(log)] if into.exists() else []
        before = asked.stat().st_size if asked.exists() else 0
        process = start(suite, into, asked, resume=bool(begun))
        deadline = time.monotonic() + 120
        # Once it asks, it is at work; starting up takes longer than any of it.
        while process.poll() is None and (asked.stat().st_size if asked.exists() else 0) == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if kills < 5:
            time.sleep(rng.uniform(0.0, 0.5))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        _, said = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said.decode()
        finished_now = [log for log in logs(into) if _header(log)]
        inside += bool(finished_now) and read_run(finished_now[-1]).end is None
    assert kills >= 2 and inside, "it must have been killed at work"
    [log] = [log for log in logs(into) if _header(log)]
    run = read_run(log)
    assert not run.unfinished and not run.torn and run.end is not None
    counted = Counter(block.id for block in blocks(log)[0] if block.kind == "cell")
    assert set(counted.values()) == {1}, "no finished cell is measured twice"
    assert {cell.header.name: cell.end.figures for cell in run.cells} == figures(whole)
    times = Counter(asked.read_text(encoding="utf-8").split())
    # What was in flight when it was killed had no answer yet: at most a call of each batch.
    again = sum(count - 1 for count in times.values())
    assert again <= kills * IN_FLIGHT * BATCH * 2 * 6, "only what was in flight is asked again"
    assert again < len(times) / 2


def _header(log: Path) -> bool:
    try:
        return bool(read_run(log).header)
    except EvalLogError:
        return False
