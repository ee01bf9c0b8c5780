"""Stores in temporary folders, and results to put into them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult, Vote
from tools.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "project" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


@pytest.fixture
def result() -> Callable[..., PassageResult]:
    def make(document_id: str, index: int = 0, kind: OutcomeKind = OutcomeKind.OK, spans: int = 3) -> PassageResult:
        votes = tuple(Vote(name, name != "c", "place", 0.1 + 0.2) for name in "abc")
        entities = tuple(Entity(Span(n, n + 2, "place"), 0.875, votes, 0.1, index) for n in range(spans))
        rejected = (Entity(Span(1, 3, ""), 0.125, votes[:1], None, index),) if spans else ()
        reason = "" if kind is OutcomeKind.OK else f"because of {kind}"
        return PassageResult(document_id, index, Outcome(kind, reason), entities, rejected, ("nowhere",), ("e1", "e2"))

    return make


@pytest.fixture
def documents() -> Callable[[int], list[Document]]:
    return lambda count: [Document(f"d{n}", f"text number {n} of {count}", {"n": n}) for n in range(count)]


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python code in another process, with the product importable."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
