"""A small data set, suites over it, and models that answer by rule; also run as a process that is killed."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.config import ProjectConfig
from agent.engines.cache import CachedEngine, ResponseCache
from agent.engines.protocol import Completion, Engine, Request, TokenAlternatives
from agent.engines.scripted import ScriptedEngine
from agent.models.health import Death
from agent.runs.progress import Observer
from evals.run import RunOptions, RunResult, run_suite
from evals.suite import LoadedSuite, load_suite
from tests.extraction.script import read

LABELS = """[[labels]]
name = "person"
description = "people by name"
aliases = ["PER"]

[[labels]]
name = "place"
description = "towns and rivers"
"""
PEOPLE = ("Ada", "Bruno", "Carla", "Dmitri", "Elif", "Femi")
PLACES = ("Ghent", "Porto", "Riga", "Tartu", "Turin", "Vigo")


def texts(count: int, offset: int = 0) -> list[dict[str, Any]]:
    """Sentences with a person and a place each, all different."""
    verbs = ("left", "praised", "painted", "mapped", "missed", "toured", "described")
    made = []
    for n in range(offset, offset + count):
        who, where, did = PEOPLE[n % 6], PLACES[(n // 2) % 6], verbs[n % 7]
        text = f"{who} {did} {where} on day {n} while the number {n * 37} tram stood still at gate {n * 11}."
        spans = [(0, len(who), "person"), (len(who) + len(did) + 2, len(who) + len(did) + 2 + len(where), "place")]
        made.append(
            {
                "id": f"doc-{n}",
                "text": text,
                "entities": [{"start": a, "end": b, "label": label} for a, b, label in spans],
                "meta": {"doc": f"article-{n // 3}"},
            }
        )
    return made


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


BASE = """name = "small"
summary = "Our own."

[[data]]
name = "own"
path = "test.jsonl"
labels = "labels.toml"
{data}

[[settings.members]]
name = "a"
model = "m"

[[settings.members]]
name = "b"
model = "m"
extract = "typed.v1"
classify = "asked.v1"

[settings.steps]
calibrate = false
verify = "off"

[settings.run]
batch = 4
quorum = 1

[settings.demonstrations]
k = 0
"""


def write_suite(folder: Path, matrix: str = "", *, data: str = "", count: int = 12, text: str = "") -> Path:
    """A suite with its data and manifest in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.toml").write_text(LABELS, encoding="utf-8")
    if not (folder / "test.jsonl").exists():
        write_lines(folder / "test.jsonl", texts(count))
    path = folder / "small.toml"
    path.write_text((text or BASE).replace("{data}", data) + matrix, encoding="utf-8")
    return path


def frozen(path: Path, root: Path | None = None) -> Path:
    """The suite with its manifests written."""
    from evals.data import freeze

    loaded = load_suite(path)
    for spec in loaded.suite.data:
        target = loaded.manifest_path(spec)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(freeze(loaded, spec, root, None, 13).to_text(), encoding="utf-8")
    return path


def weigh(**given: float) -> Completion:
    top = tuple((code, math.log(max(p, 1e-6))) for code, p in given.items())
    best = max(top, key=lambda row: row[1])
    return Completion(best[0], logprobs=(TokenAlternatives(best[0], best[1], top),), prompt_tokens=40, output_tokens=1)


def reply(request: Request) -> Completion | str:
    """Finds capitalised words; member b is unsure, misses Riga and believes that Turin is a person."""
    asked = read(request)
    words = re.findall(r"\b[A-Z][a-z]+\b", asked.passage)
    if asked.step in ("extract", "pre_extract"):
        if asked.member == "b":
            found = [word for word in words if word != "Riga"]
            return "".join(f"{'person' if w in (*PEOPLE, 'Turin') else 'place'}: {w}\n" for w in found) or "-"
        return "".join(f"{word}\n" for word in words) or "-"
    if asked.step == "classify":
        person = asked.mention in PEOPLE or (asked.member == "b" and asked.mention == "Turin")
        sure = 0.9 if asked.member == "a" else 0.7
        return weigh(person=sure if person else 0.02, place=0.02 if person else sure, none=0.98 - sure)
    return weigh(yes=0.2, no=0.8) if asked.mention == "Porto" else weigh(yes=0.9, no=0.1)


class ScriptedModels:
    """All members on one engine that answers by ``reply``.

    Args:
        latency: Seconds a call takes.
        asked: A file to which every request that reaches the engine is noted.
        faults: What goes wrong.
    """

    def __init__(
        self, answer: Any = reply, latency: float = 0.0, asked: Path | None = None, faults: Any = None
    ) -> None:
        self.requests: list[Request] = []
        self.deaths: list[Death] = []
        self._asked = asked

        def noted(request: Request) -> Completion | str:
            self.requests.append(request)
            if self._asked is not None:
                with self._asked.open("a", encoding="utf-8") as file:
                    file.write(request.key("m") + "\n")
            return answer(request)  # type: ignore[no-any-return]

        self._engine = ScriptedEngine(noted, latency=latency, faults=faults)

    def revisions(self, config: ProjectConfig) -> dict[str, str]:
        return {member.model: "scripted" for member in config.members}

    @asynccontextmanager
    async def open(
        self, config: ProjectConfig, cache: ResponseCache, watch: Observer
    ) -> AsyncIterator[dict[str, Engine]]:
        engine = CachedEngine(self._engine, cache)
        yield {member.model: engine for member in config.members}


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.documents = 0

    def update(self, snapshot: Any) -> None:
        self.documents = snapshot.documents

    def note(self, text: str) -> None:
        self.notes.append(text)


def measure(
    suite: Path | LoadedSuite,
    into: Path,
    models: ScriptedModels | None = None,
    observer: Heard | None = None,
    confirm: Any = lambda estimate: True,
    **options: Any,
) -> RunResult:
    """Run a suite with scripted models."""
    loaded = suite if isinstance(suite, LoadedSuite) else load_suite(suite)
    return asyncio.run(
        run_suite(
            loaded,
            RunOptions(into, **options),
            confirm=confirm,
            observer=observer,
            models=models or ScriptedModels(),
        )
    )


def figures(result: RunResult) -> dict[str, dict[str, float]]:
    return {planned.header.name: end.figures for planned, end in result.cells}


if __name__ == "__main__":
    _suite, _into, _asked, _latency, _resume = sys.argv[1:]
    measure(
        Path(_suite),
        Path(_into),
        ScriptedModels(latency=float(_latency), asked=Path(_asked)),
        resume=_resume == "resume",
    )
