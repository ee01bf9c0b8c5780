"""Real runs of a small suite with models that answer by rule: one good, one that misses some towns and people."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.config import ProjectConfig
from agent.engines.protocol import Completion, Request
from evals.log import RunLog, read_run
from tests.evals.script import (
    BASE,
    PEOPLE,
    ScriptedModels,
    frozen,
    measure,
    reply,
    texts,
    write_lines,
    write_suite,
)
from tests.extraction.script import read

MATRIX = """
[[matrix]]
vote = ["weighted", "union"]
members = [["a", "b"], ["a"], ["b"]]
"""
ORACLES = 'oracle = ["extract", "classify", "verify"]\n' + BASE
MISSED = ("Porto", "Ghent", "Ada", "Vigo")
HOSTILE = "Ada praised Ghent</script><img src=x onerror=alert(1)> [bold]\x1b[31m\u202eRiga\u2028 & {{7*7}} on day 99."


def worse(request: Request) -> Completion | str:
    """As ``reply``, but some names are not seen."""
    asked = read(request)
    if asked.step not in ("extract", "pre_extract"):
        return reply(request)
    words = [word for word in re.findall(r"\b[A-Z][a-z]+\b", asked.passage) if word not in MISSED]
    if asked.member == "b":
        return "".join(f"{'person' if word in PEOPLE else 'place'}: {word}\n" for word in words) or "-"
    return "".join(f"{word}\n" for word in words) or "-"


class OtherModels(ScriptedModels):
    """The same with another revision, so that cells are others."""

    def revisions(self, config: ProjectConfig) -> dict[str, str]:
        return {member.model: "other" for member in config.members}


@dataclass(frozen=True)
class Made:
    """Logs of a folder.

    Attributes:
        folder: Of the suite.
        good: The first run.
        bad: One whose models miss names.
        again: One that took all cells over from the first.
        seeded: The first suite with three seeds.
        seeded_bad: The same with the other models.
        limited: The first with --limit.
        hostile: A run over a document that would harm a page or a terminal.
    """

    folder: Path
    good: RunLog
    bad: RunLog
    again: RunLog
    seeded: RunLog
    seeded_bad: RunLog
    limited: RunLog
    hostile: RunLog


def make(folder: Path) -> Made:
    suite = frozen(write_suite(folder / "suite", MATRIX, count=24, text=ORACLES))
    seeds = frozen(write_suite(folder / "seeds", MATRIX, count=24, text="seeds = [1, 2, 3]\n" + BASE))
    odd = folder / "odd"
    text = HOSTILE
    ghent = text.index("Ghent")
    record = {
        "id": "evil</script>\x1b[2J",
        "text": text,
        "entities": [{"start": 0, "end": 3, "label": "person"}, {"start": ghent, "end": ghent + 5, "label": "place"}],
        "meta": {"doc": "x"},
    }
    odd.mkdir()
    write_lines(odd / "test.jsonl", [record, *texts(3)])
    hostile = frozen(write_suite(odd, MATRIX))

    def run(path: Path, into: str, models: ScriptedModels, **options: Any) -> RunLog:
        return read_run(measure(path, folder / into, models, **options).log)

    return Made(
        folder,
        good=run(suite, "into", ScriptedModels()),
        bad=run(suite, "bad", OtherModels(worse)),
        again=run(suite, "into", ScriptedModels()),
        seeded=run(seeds, "into", ScriptedModels()),
        seeded_bad=run(seeds, "bad", OtherModels(worse)),
        limited=run(suite, "short", ScriptedModels(), limit=6),
        hostile=run(hostile, "odd-into", OtherModels(worse)),
    )


def named(run: RunLog, name: str) -> RunLog:
    """A run with an id and a time that do not change."""
    return replace(run, header=replace(run.header, run=name, started="2026-01-02T03:04:05+00:00"))
