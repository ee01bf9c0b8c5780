"""A made-up corpus, the scripted crew, and runs of both; also a program of its own, to be killed.

Run as ``python -m tests.runs.corpus INPUT OUTPUT [seconds a batch]``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.config import ProjectConfig, RunConfig
from agent.models.health import Death
from agent.runs.progress import Observer, Snapshot
from agent.runs.session import Job, extract
from agent.runs.sidecar import store_beside
from agent.runs.summary import RunSummary
from tests.runs.scripted import Scripted
from tools.annotation import LabelSet
from tools.errors import QuorumError
from tools.store import Store

LABELS = LabelSet.of("name", "place")


class ScriptedCrew:
    """A crew whose one member finds capitalised words."""

    def __init__(self, extractor: Scripted | None = None, revision: str = "1", demonstrations: str = "") -> None:
        self.extractor = extractor or Scripted()
        self.revision = revision
        self.shown = demonstrations
        self.opened = 0
        self.deaths: list[Death] = []

    def revisions(self) -> Mapping[str, str]:
        return {"starter": self.revision}

    def demonstrations(self) -> str:
        return self.shown

    @asynccontextmanager
    async def open(self, store: Store, observer: Observer) -> AsyncIterator[Scripted]:
        self.opened += 1
        yield self.extractor


class Stopper:
    """Sends a signal to this process when so many documents are done."""

    def __init__(self, after: int, signum: signal.Signals = signal.SIGTERM) -> None:
        self.after, self.signum, self.sent = after, signum, False

    def update(self, snapshot: Snapshot) -> None:
        if snapshot.documents >= self.after and not self.sent:
            self.sent = True
            os.kill(os.getpid(), self.signum)

    def note(self, text: str) -> None:
        pass


def text(number: int) -> str:
    """A document; some are empty, some of several passages."""
    if number % 17 == 5:
        return "" if number % 2 else " \n "
    sentence = f"Ada{'b' * (number % 5)} met Bo in Lagos on day {number}. "
    return sentence * (40 if number % 29 == 3 else 1 + number % 3)


def write_corpus(path: Path, count: int, first: int = 0) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        for number in range(first, first + count):
            stream.write(json.dumps({"id": f"doc-{number}", "text": text(number)}) + "\n")
    return path


def config(batch: int = 8, in_flight: int = 3) -> ProjectConfig:
    return ProjectConfig.default(environment={}, run=RunConfig(batch=batch, in_flight=in_flight))


def job(source: Path, output: Path, **more: Any) -> Job:
    return replace(Job(str(source), output, store_beside(output), config(), LABELS), **more)


def run(work: Job, crew: ScriptedCrew | None = None, observer: Observer | None = None) -> RunSummary:
    return asyncio.run(extract(work, crew or ScriptedCrew(), observer))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    wait = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    try:
        print(json.dumps(run(job(Path(sys.argv[1]), Path(sys.argv[2])), ScriptedCrew(Scripted(wait=wait))).to_json()))
    except QuorumError as error:
        print(f"{error.message} | {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
