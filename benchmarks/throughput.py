"""The whole pipeline against the bare engine given the same prompts, in one run.

    python benchmarks/throughput.py [--sentences 128] [--rounds 3] [--url http://127.0.0.1:8000/v1]

The pipeline (pre-extraction, Chroma retrieval, extract, classify, verify,
decide, through the graph with several batches in flight) runs over sample
sentences. Then the very same requests are sent to the same server by a loop
that does nothing else, with the same number in flight and in the same order.
The server's prefix cache is emptied before each. Ratios are pipeline over bare
engine, measured turn by turn; the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.config import ProjectConfig, RunConfig
from agent.engines.cache import CachedEngine, MemoryCache
from agent.engines.protocol import Completion, Engine, Request
from agent.extraction.quorum import Quorum
from agent.opening import open_quorum
from tools.annotation import Passage, Span
from tools.annotation.labelfile import read_label_set
from tools.demonstrations import Demonstration

EXAMPLES = Path(__file__).parents[1] / "examples" / "news"


class Recorder:
    """Passes requests on and remembers them, with the time spent waiting for the engine by tag."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sent: list[Request] = []
        self.recording = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Remember, and pass on."""
        if self.recording:
            self.sent += requests
        return await self.engine.complete(requests)


def read(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (EXAMPLES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def demonstrations() -> list[Demonstration]:
    return [
        Demonstration(
            str(r["id"]),
            str(r["id"]),
            str(r["text"]),
            tuple(Span(e["start"], e["end"], e["label"]) for e in r["entities"]),  # type: ignore[attr-defined]
        )
        for r in read("demonstrations")
    ]


def passages(count: int) -> list[Passage]:
    """Sample sentences, made distinct so that no answer is given twice."""
    texts = [str(r["text"]) for r in read("test")]
    return [
        Passage(f"s{i}", 0, 0, f"{texts[i % len(texts)]} ({i})" if i >= len(texts) else texts[i]) for i in range(count)
    ]


def say(what: str) -> None:
    print(what, file=sys.stderr)


async def pipeline(quorum: Quorum, todo: Sequence[Passage], batch: int, in_flight: int) -> float:
    gate = asyncio.Semaphore(in_flight)

    async def one(part: Sequence[Passage]) -> None:
        async with gate:
            await quorum.extract(part)

    begun = time.perf_counter()
    await asyncio.gather(*(one(todo[i : i + batch]) for i in range(0, len(todo), batch)))
    return time.perf_counter() - begun


async def bare(engine: Engine, requests: Sequence[Request]) -> float:
    begun = time.perf_counter()
    await engine.complete(requests)
    return time.perf_counter() - begun


def empty_prefix_cache(url: str) -> None:
    request = urllib.request.Request(url.removesuffix("/v1") + "/reset_prefix_cache", method="POST")
    urllib.request.urlopen(request, timeout=30).read()


async def measure(options: argparse.Namespace) -> dict[str, object]:
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # only with it can the prefix cache be emptied
    labels = read_label_set(EXAMPLES / "labels.toml")
    config = ProjectConfig.default(run=RunConfig(batch=options.batch, in_flight=options.in_flight))
    todo = passages(options.sentences)
    ratios, rates = [], []
    async with open_quorum(
        config,
        labels,
        demonstrations=demonstrations(),
        models_at=options.url,
        report=lambda s: print(s, file=sys.stderr),
    ) as quorum:
        server = quorum.members[0].engine.engine  # type: ignore[attr-defined]  # below the response cache
        recorder = Recorder(server)
        source = quorum.source

        def fresh() -> Quorum:
            """The quorum with an empty response cache."""
            engine = CachedEngine(recorder, MemoryCache())  # type: ignore[arg-type]
            return Quorum(config, labels, dict.fromkeys({m.model for m in config.members}, engine), source)

        url = options.url or str(server.engine.url)  # type: ignore[attr-defined]
        recorder.recording = True
        await pipeline(fresh(), todo, options.batch, options.in_flight)
        recorder.recording = False
        for turn in range(options.rounds):
            empty_prefix_cache(url)
            whole = await pipeline(fresh(), todo, options.batch, options.in_flight)
            empty_prefix_cache(url)
            alone = await bare(server, recorder.sent)
            ratios.append(alone / whole)
            rates.append(len(todo) / whole)
            print(f"round {turn + 1}: pipeline {whole:.1f} s, bare engine {alone:.1f} s", file=sys.stderr)
    return {
        "sentences": len(todo),
        "requests": len(recorder.sent),
        "sentences_per_second": round(statistics.median(rates), 2),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--url", help="a running server, started with VLLM_SERVER_DEV_MODE=1")
    parser.add_argument("--quick", action="store_true", help="a tenth of it, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.sentences, options.rounds = 24, 1
    print(json.dumps(asyncio.run(measure(options))))


if __name__ == "__main__":
    main()
