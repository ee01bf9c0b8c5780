"""A run that goes on after a server of ours has died; with a real server, killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.runs.again import MOST, SOON, again_after_deaths
from tests.runs.kill_real import ROOT, corpus
from tools.errors import QuorumLost


class Calls:
    """Calls that end as they are told: with a death, without one, or well."""

    def __init__(self, *ends: str, lasting: float = 1.0) -> None:
        self.ends, self.lasting = list(ends), lasting
        self.more: list[bool] = []
        self.said: list[str] = []
        self.deaths = 0
        self.now = 0.0

    async def call(self, more: bool) -> str:
        self.more.append(more)
        self.now += self.lasting
        end = self.ends.pop(0)
        if end == "well":
            return "done"
        self.deaths += end == "death"
        raise QuorumLost("0 of 1 members answer", "see there")

    def run(self) -> str:
        return asyncio.run(
            again_after_deaths(self.call, lambda: self.deaths, self.said.append, pause=0.0, clock=lambda: self.now)
        )


def test_it_goes_on_after_a_death() -> None:
    calls = Calls("death", "well")
    assert calls.run() == "done"
    assert calls.more == [False, True]
    assert calls.said == ["0 of 1 members answer; starting the server again and going on"]


def test_without_a_death_nothing_is_tried_again() -> None:
    calls = Calls("death", "silence", "well")
    with pytest.raises(QuorumLost):
        calls.run()
    assert calls.more == [False, True]


def test_servers_that_die_at_once_are_given_up() -> None:
    calls = Calls(*["death"] * 9)
    with pytest.raises(QuorumLost):
        calls.run()
    assert len(calls.more) == MOST


def test_deaths_hours_apart_do_not_add_up() -> None:
    calls = Calls(*["death"] * 9, "well", lasting=SOON + 1)
    assert calls.run() == "done"
    assert len(calls.more) == 10


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_real_server_killed_in_the_middle_is_started_again(tmp_path: Path, own_home: Path) -> None:
    source, output = corpus(tmp_path / "in.jsonl", 64), tmp_path / "out.jsonl"
    notes = own_home / "state" / "servers"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "QUORUM_RUN__BATCH": "4"}
    command = [sys.executable, "-m", "tui.main", "extract", "-i", str(source), "-o", str(output), "--json"]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(
            [*command, "--labels", "person,organization,location"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        pid = _server_once_at_work(run, notes, tmp_path / "said")
        os.killpg(pid, signal.SIGKILL)
        out, _ = run.communicate(timeout=300)
    lines = (tmp_path / "said").read_text()
    assert run.returncode == 0, lines
    assert "starting the server again and going on" in lines
    summary = json.loads(out)
    assert summary["documents"] == 64 and summary["skipped"] > 0, lines
    # What was on its way when the server died may stand recorded as failed, for `quorum retry`.
    assert summary["dead_letters"] <= 4, lines
    with output.open() as stream:
        assert len({json.loads(line)["id"] for line in stream}) == 64
    assert not list(notes.glob("*.json")), "the second server has ended with its run"


def _server_once_at_work(run: subprocess.Popen[str], notes: Path, said: Path) -> int:
    """The pid of the run's server, when the first documents are done."""
    until = time.monotonic() + 200
    while time.monotonic() < until and run.poll() is None:
        noted = list(notes.glob("*.json"))
        at_work = [line for line in said.read_text().splitlines() if " of 64 documents" in line]
        if noted and any(not line.startswith("0 of") for line in at_work):
            return int(json.loads(noted[0].read_text())["pid"])
        time.sleep(0.2)
    raise AssertionError(said.read_text())
