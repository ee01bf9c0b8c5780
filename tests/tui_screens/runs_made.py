"""Runs that were really made, with times that do not change from one test to the next."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from agent.runs.sidecar import store_beside
from tests.runs.corpus import ScriptedCrew, job, run, write_corpus
from tests.runs.scripted import Scripted
from tools.annotation import Passage

BEGAN = 1_750_000_000.0  # 2025-06-15 15:06:40 UTC
PART_SECONDS = 5.0
FAILING = ("doc-7", "doc-40")


def poison(passage: Passage) -> None:
    if passage.document_id in FAILING:
        raise ValueError("the [bold red]grammar[/] did not\x1b[31m compile")


def finished(folder: Path, count: int = 100) -> Path:
    """A run that is done, but for two dead letters; its store."""
    source, output = write_corpus(folder / "in.jsonl", count), folder / "out.jsonl"
    run(job(source, output, notes={"source": str(source)}), ScriptedCrew(Scripted(poison)))
    return at_fixed_times(store_beside(output))


def at_fixed_times(store: Path) -> Path:
    """Rewrite when things happened, so that rates and dates are the same every time."""
    with closing(sqlite3.connect(store)) as db, db:  # closed, so that the file alone holds all of it
        db.execute("UPDATE parts SET recorded = ? + (part + 1) * ?", (BEGAN, PART_SECONDS))
        (last,) = db.execute("SELECT max(recorded) FROM parts").fetchone()
        db.execute(
            "UPDATE runs SET started = ?, finished = CASE WHEN finished IS NULL THEN NULL ELSE ? END", (BEGAN, last)
        )
    return store


def cut_back(store: Path, parts: int, state: str = "stopped") -> Path:
    """As if the run had ended after so many parts."""
    with closing(sqlite3.connect(store)) as db, db:  # closed, so that the file alone holds all of it
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM parts WHERE part >= ?", (parts,))
        db.execute(
            "UPDATE runs SET state = ?, finished = CASE WHEN ? = 'running' THEN NULL ELSE finished END", (state, state)
        )
    return store
