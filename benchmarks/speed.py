"""Sentences a second of the default profile and of ``--fast``, turn by turn on one server.

    python benchmarks/speed.py [--sentences 96] [--rounds 3] [--profiles default,fast] [--json]

Reads ``DATA/conll2003/{dev,train}.jsonl[.gz]``: sentences of the development
split, demonstrations (5 a passage by default) from train. Whole passes through
the graph with several batches in flight, as a run does it; starting the server,
indexing and a few sentences to warm up are not counted. Before each pass the
server's prefix cache is emptied, and no answer is taken from the response
cache. The median over rounds counts. ``asked`` is the profile in which all
members are asked everything, as before ``[steps] written``. With
``--server-pid`` the CPU seconds of the server are told as well: on a busy
machine they say more than the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.config import MEMBER_STEPS, DemonstrationsConfig, ProjectConfig, RunConfig
from agent.engines.cache import CachedEngine, MemoryCache
from agent.engines.protocol import Accounting, Completion, Engine, Request
from agent.extraction.quorum import Quorum
from agent.opening import open_engines, source_over
from benchmarks.throughput import empty_prefix_cache, pipeline, say
from tools.annotation import Document, Passage
from tools.demonstrations import Demonstration, DemonstrationIndex, SentenceTransformerEmbedder
from tools.finetuning.corpora import corpus_labels, read_gold

CORPUS = "conll2003"
WARM = 8
PROFILES = ("default", "fast", "asked")


def profile(name: str, config: ProjectConfig) -> ProjectConfig:
    """The configuration of a profile."""
    if name == "fast":
        return config.fast()
    if name == "asked":
        steps = config.steps.model_copy(update={"written": False, "verify": "selective"})
        members = tuple(m.model_copy(update={"steps": MEMBER_STEPS}) for m in config.members)
        return config.model_copy(update={"steps": steps, "members": members})
    return config


def cpu_seconds(pid: int | None) -> float:
    """CPU seconds that a server and its children have used; 0 without one."""
    if pid is None:
        return 0.0
    import psutil

    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


class Counter:
    """An engine that adds up what its requests cost."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.accounting = Accounting()

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    async def complete(self, requests: list[Request]) -> list[Completion]:
        """Pass on, and count."""
        answers = await self.engine.complete(requests)
        for request, answer in zip(requests, answers, strict=True):
            self.accounting.add(request.tag, answer)
        return answers


def read(data: Path, sentences: int, pool: int, seed: int) -> tuple[list[Passage], list[Demonstration]]:
    """Passages of the development split, the first few to warm up with, and demonstrations."""
    rng = random.Random(seed)
    chosen = rng.sample(read_gold(data, CORPUS, "dev"), sentences + WARM)
    train = [one for one in read_gold(data, CORPUS, "train") if one.spans]
    documents = [Document(f"dev-{n}", one.text) for n, one in enumerate(chosen)]
    passages = [Passage(d.id, 0, 0, d.text, document_hash=d.hash) for d in documents]
    shown = rng.sample(train, min(pool, len(train)))
    return passages, [Demonstration(f"train-{n}", f"train-{n}", one.text, one.spans) for n, one in enumerate(shown)]


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of all profiles."""
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # only with it can the prefix cache be emptied
    labels = corpus_labels(CORPUS)
    config = ProjectConfig.default(
        demonstrations=DemonstrationsConfig(k=options.k),
        run=RunConfig(batch=options.batch, in_flight=options.in_flight),
    )
    passages, gold = read(options.data, options.sentences, options.pool, options.seed)
    warm, todo = passages[:WARM], passages[WARM:]
    rates: dict[str, list[float]] = {name: [] for name in options.profiles}
    cost: dict[str, dict[str, float]] = {}
    used: dict[str, list[float]] = {name: [] for name in options.profiles}
    with tempfile.TemporaryDirectory(prefix="quorum-speed-") as folder:
        say("indexing the demonstrations")
        with DemonstrationIndex(Path(folder) / "chroma", SentenceTransformerEmbedder()) as index:
            index.add(gold)
            async with open_engines(config, models_at=options.url, report=say) as engines:
                server = engines[config.members[0].model].engine  # type: ignore[attr-defined]  # below the response cache
                url = options.url or str(server.engine.url)

                async def turn(name: str, part: list[Passage]) -> tuple[float, Accounting]:
                    chosen = profile(name, config)
                    counter = Counter(server)
                    engine: Engine = CachedEngine(counter, MemoryCache())  # type: ignore[arg-type]
                    source = source_over(index, chosen, server.count_tokens)
                    quorum = Quorum(chosen, labels, {m.model: engine for m in chosen.members}, source)
                    empty_prefix_cache(url)
                    return await pipeline(quorum, part, options.batch, options.in_flight), counter.accounting

                for name in options.profiles:
                    await turn(name, warm)
                for number in range(options.rounds):
                    for name in options.profiles:
                        before = cpu_seconds(options.server_pid)
                        seconds, accounting = await turn(name, todo)
                        used[name].append((cpu_seconds(options.server_pid) - before) / len(todo))
                        rates[name].append(len(todo) / seconds)
                        cost[name] = per_sentence(accounting, len(todo))
                        busy = f", {used[name][-1]:.3f} CPU s a sentence" if options.server_pid else ""
                        say(f"round {number + 1}: {name} {rates[name][-1]:.2f} sentences/s{busy}")
    return {
        "sentences": len(todo),
        "demonstrations": options.k,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "profiles": {
            name: {
                "sentences_per_second": round(statistics.median(runs), 2),
                "runs": [round(rate, 2) for rate in runs],
                **cost[name],
                **({"cpu_seconds": round(statistics.median(used[name]), 3)} if options.server_pid else {}),
            }
            for name, runs in rates.items()
        },
    }


def per_sentence(accounting: Accounting, sentences: int) -> dict[str, float]:
    """Requests and tokens a sentence; ``computed`` is what the prefix cache did not have."""
    total = accounting.total
    numbers = {
        "requests": total.requests,
        "prompt_tokens": total.prompt_tokens,
        "computed_tokens": total.prompt_tokens - total.cached_tokens,
        "output_tokens": total.output_tokens,
    }
    return {name: round(value / sentences, 1) for name, value in numbers.items()}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("QUORUM_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: QUORUM_DATA")
    parser.add_argument("--sentences", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profiles", default="default,fast", help=f"of {', '.join(PROFILES)}")
    parser.add_argument("--k", type=int, default=5, help="demonstrations a passage")
    parser.add_argument("--pool", type=int, default=1000, help="training sentences to index")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--url", help="a running server, started with VLLM_SERVER_DEV_MODE=1")
    parser.add_argument("--server-pid", type=int, help="its process on this machine, to tell its CPU seconds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="24 sentences, one round, to see that it works")
    options = parser.parse_args()
    options.profiles = options.profiles.split(",")
    if unknown := sorted(set(options.profiles) - set(PROFILES)):
        parser.error(f"no profile {unknown[0]!r}: one of {', '.join(PROFILES)}")
    if options.data is None:
        say("speed: skipped, it needs a folder of corpora (--data or QUORUM_DATA)")
        return
    if options.quick:
        options.sentences, options.rounds = 24, 1
    found = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['sentences']} sentences, {found['demonstrations']} demonstrations, {found['cores']} core(s)")
    for name, one in found["profiles"].items():
        print(
            f"{name:8s} {one['sentences_per_second']:6.2f} sentences/s (runs {', '.join(map(str, one['runs']))}); "
            f"a sentence: {one['requests']} requests, {one['prompt_tokens']} prompt tokens, "
            f"{one['computed_tokens']} of them computed, {one['output_tokens']} written"
            + (f"; {one['cpu_seconds']} CPU seconds of the server" if "cpu_seconds" in one else "")
        )


if __name__ == "__main__":
    main()
