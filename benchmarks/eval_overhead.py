"""What an evaluation costs beyond the extraction it measures.

    python -m benchmarks.eval_overhead [--documents 1000] [--real 24] [--json]

Both sides send the same documents through the same graph with the same
members; the evaluation also traces every request, writes the log, reads four
cells off the pass and scores them. With a scripted engine (no model at all) the
difference is the evaluation's own cost a document, in milliseconds of CPU. With
``--real N`` the starter extracts N of our own sentences, and the difference is
set against what that takes: the share that is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.config import ProjectConfig
from agent.engines.cache import CachedEngine, MemoryCache, ResponseCache
from agent.engines.protocol import Completion, Engine, Request, TokenAlternatives
from agent.engines.scripted import ScriptedEngine
from agent.extraction.quorum import Quorum
from evals.data import freeze
from evals.run import RunOptions, run_suite
from evals.suite import load_suite
from tools.annotation import Document, LabelSet
from tools.annotation.chunking import chunk
from tools.annotation.labelfile import read_label_set

SUITE = """name = "overhead"
summary = "What an evaluation costs beyond the extraction."

[[data]]
name = "made"
path = "test.jsonl"
labels = "labels.toml"

[settings.demonstrations]
k = 0

[[matrix]]
"steps.verify" = ["selective", "off"]
vote = ["calibrated", "plain"]
"""
EXAMPLES = Path(__file__).parents[1] / "examples" / "news"
_WORD = re.compile(r"\b[A-Z][a-z]+\b")


def reply(request: Request) -> Completion | str:
    """Capitalised words are mentions; every type is a little unsure."""
    step = request.tag.split("/")[0]
    if step in ("extract", "pre_extract"):
        text = request.messages[-1][1].rsplit("Text: ", 1)[-1].split("\n")[0]
        words = _WORD.findall(text)[:6]
        typed = request.constraint is not None and "code:" in request.constraint.value
        return "".join(f"person: {word}\n" if typed else f"{word}\n" for word in words) or "-"
    options = request.constraint.choices if request.constraint else ()
    share = [0.6, *([0.4 / max(1, len(options) - 1)] * (len(options) - 1))]
    top = tuple((option, math.log(p)) for option, p in zip(options, share, strict=True))
    return Completion(options[0], logprobs=(TokenAlternatives(*top[0], top),), prompt_tokens=300, output_tokens=1)


class Scripted:
    """All members on a scripted engine."""

    def revisions(self, config: ProjectConfig) -> dict[str, str]:
        """They are all the same."""
        return {member.model: "scripted" for member in config.members}

    @asynccontextmanager
    async def open(self, config: ProjectConfig, cache: ResponseCache, watch: Any) -> AsyncIterator[dict[str, Engine]]:
        """Nothing has to be started."""
        engine = CachedEngine(ScriptedEngine(reply), cache)
        yield {member.model: engine for member in config.members}


def documents(count: int) -> list[dict[str, Any]]:
    """Our own sentences, as often as needed, each time a little different, with their gold."""
    rows = [json.loads(line) for line in (EXAMPLES / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    made = []
    for n in range(count):
        row = rows[n % len(rows)]
        again = "" if n < len(rows) else f" This was report {n}."
        made.append({"id": f"d{n}", "text": row["text"] + again, "entities": row["entities"]})
    return made


async def bare(
    engines: dict[str, Engine], config: ProjectConfig, labels: LabelSet, rows: Sequence[dict[str, Any]]
) -> None:
    """The same documents through the graph, and nothing else."""
    quorum = Quorum(config, labels, engines)
    passages = [
        passage
        for row in rows
        for passage in chunk(
            Document(row["id"], row["text"]), quorum.count_tokens, max_tokens=config.passages.max_tokens
        )
    ]
    size, gate = config.run.batch, asyncio.Semaphore(config.run.in_flight)

    async def part(first: int) -> None:
        async with gate:
            await quorum.extract(passages[first : first + size])

    await asyncio.gather(*(part(first) for first in range(0, len(passages), size)))


def clocks() -> tuple[float, float]:
    """Wall and CPU seconds of this process."""
    return time.perf_counter(), time.process_time()


def measure(count: int, folder: Path, rounds: int) -> dict[str, float]:
    """CPU and wall a document with a scripted engine: extraction alone, and the evaluation."""
    rows = documents(count)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "labels.toml").write_bytes((EXAMPLES / "labels.toml").read_bytes())
    suite = folder / "overhead.toml"
    suite.write_text(SUITE, encoding="utf-8")
    loaded = load_suite(suite)
    manifest = loaded.manifest_path(loaded.suite.data[0])
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text(freeze(loaded, loaded.suite.data[0], None, None, 13).to_text(), encoding="utf-8")
    labels = read_label_set(folder / "labels.toml")
    best = {name: math.inf for name in ("bare_cpu", "bare_wall", "eval_cpu", "eval_wall")}
    for number in range(rounds):
        engine: Engine = CachedEngine(ScriptedEngine(reply), MemoryCache())
        wall, cpu = clocks()
        asyncio.run(bare({m.model: engine for m in loaded.config.members}, loaded.config, labels, rows))
        after = clocks()
        best["bare_wall"] = min(best["bare_wall"], after[0] - wall)
        best["bare_cpu"] = min(best["bare_cpu"], after[1] - cpu)
        wall, cpu = clocks()
        asyncio.run(run_suite(loaded, RunOptions(folder / f"into-{number}"), models=Scripted()))
        after = clocks()
        best["eval_wall"] = min(best["eval_wall"], after[0] - wall)
        best["eval_cpu"] = min(best["eval_cpu"], after[1] - cpu)
    per = {f"{name}_ms": 1000 * value / count for name, value in best.items()}
    return {**per, "own_cpu_ms": per["eval_cpu_ms"] - per["bare_cpu_ms"], "documents": float(count)}


async def real_seconds(count: int) -> float:
    """Wall seconds a document of the bare extraction with the starter, models loaded."""
    from agent.opening import open_engines

    rows = documents(count + 4)
    config = ProjectConfig.default(environment={})
    labels = read_label_set(EXAMPLES / "labels.toml")
    async with open_engines(config) as engines:
        await bare(engines, config, labels, rows[:4])
        begun = time.perf_counter()
        await bare(engines, config, labels, rows[4:])
        return (time.perf_counter() - begun) / count


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--real", type=int, default=0, help="sentences for the starter; 0: scripted only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quorum-overhead-") as folder:
        found = measure(options.documents, Path(folder), options.rounds)
    if options.real:
        found["real_ms"] = 1000 * asyncio.run(real_seconds(options.real))
        found["overhead"] = found["own_cpu_ms"] / found["real_ms"]
    if options.json:
        print(json.dumps(found))
        return
    print(f"extraction alone, scripted engine: {found['bare_cpu_ms']:.2f} ms CPU a document")
    print(f"evaluation of four cells:          {found['eval_cpu_ms']:.2f} ms CPU a document")
    print(f"the evaluation's own:              {found['own_cpu_ms']:.2f} ms CPU a document")
    print(f"5 % of an extraction up to:        {50 / found['own_cpu_ms']:.1f} documents a second")
    if "real_ms" in found:
        print(
            f"extraction with the starter:       {found['real_ms']:.0f} ms a document; overhead {found['overhead']:.2%}"
        )


if __name__ == "__main__":
    main()
