"""What each member, the union, the vote and verification are worth on a public corpus.

    python -m benchmarks.steps --data DIR --corpus conll2003 --limit 1000 --k 5

Reads ``DIR/CORPUS/{train,test}.jsonl[.gz]``; demonstrations come from train
alone. Everything is taken from one pass through the extraction graph, so the
rows differ by the step and by nothing else. Strict micro-F1 with 95 %
intervals, bootstrapped over sentences.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.config import MEMBER_STEPS, DemonstrationsConfig, ModelConfig, ProjectConfig, RunConfig, StepsConfig
from agent.extraction.confidence import MODES, features, shipped
from agent.extraction.context import Context
from agent.extraction.quorum import Quorum
from agent.extraction.state import Candidate, Work
from agent.opening import open_quorum
from tools.annotation import Document, Passage, Span
from tools.demonstrations import Demonstration
from tools.finetuning.corpora import corpus_labels, read_gold

if TYPE_CHECKING:
    from evals.statistics import Comparison

Predicted = dict[str, list[Span]]
Gold = dict[str, list[Span]]


def as_under(mode: str, candidate: Candidate) -> Candidate:
    """A verified candidate as it is when verification is off, selective or on."""
    low, high = StepsConfig().verify_band
    asked = mode == "on" or (mode == "selective" and low <= candidate.probability <= high)
    return candidate if asked else replace(candidate, verdict=None)


def spans_of(candidates: Iterable[Candidate], flat: bool) -> list[Span]:
    """The candidates' spans; where they may not overlap, the more probable wins."""
    from agent.extraction.decide import flatten

    listed = list(candidates)
    return [c.span for c in (flatten(listed) if flat else listed)]


def stages(
    works: Sequence[Work], quorum: Quorum, threshold: float, flat: bool, modes: Sequence[str]
) -> dict[str, Predicted]:
    """What each stage alone would have answered, by document id.

    Every candidate was verified in a pass with ``--verify on``: what the other
    modes would have said comes from taking verdicts away, with the confidence
    fitted for that mode.
    """
    rows: dict[str, Predicted] = {}
    # One that casts no votes of its own is scored with the types that the others gave its spans.
    voting = {v.member for work in works for c in work.candidates for v in c.votes}

    def put(row: str, work: Work, candidates: Iterable[Candidate]) -> None:
        ranked = [replace(c, confidence=c.confidence or c.probability) for c in candidates]
        rows.setdefault(row, {})[work.passage.document_id] = spans_of(ranked, flat)

    for work in works:
        for member in quorum.members:
            own = []
            for c in work.candidates:
                vote = next((v for v in c.votes if v.member == member.name), None)
                if member.name in c.proposers and vote and vote.label:
                    own.append(replace(c, span=c.span.with_label(vote.label), confidence=vote.probability))
                elif member.name in c.proposers and member.name not in voting and c.probability >= 0.5:
                    own.append(c)
            put(f"member {member.name}", work, own)
        put("union", work, [c for c in work.candidates if c.span.label])
        put("vote", work, [c for c in work.candidates if c.probability >= 0.5])
        for mode in modes:
            own_fit = shipped(mode) if len(modes) > 1 else quorum.calibrator
            under = [as_under(mode, c) for c in work.candidates if c.span.label]
            joined = [replace(c, confidence=own_fit.confidence(c, len(quorum.members))) for c in under]
            put(f"verify {mode}", work, [c for c in joined if c.confidence >= threshold])
    return rows


def paired(gold: Gold, rows: dict[str, Predicted]) -> dict[str, Comparison]:
    """What the vote adds to the best member, and verification to the votes; Holm's correction over all."""
    from evals.statistics import compare_all
    from tools.metrics import score

    tables = {row: score(gold, predicted) for row, predicted in rows.items()}
    best = max((row for row in rows if row.startswith("member")), key=lambda row: tables[row].micro.f1)
    pairs = [(best, "vote"), (best, "verify off"), ("verify off", "verify selective"), ("verify off", "verify on")]
    return compare_all(
        {f"{b} against {a}": (tables[a].matrix, tables[b].matrix) for a, b in pairs if a in rows and b in rows},
        rng=np.random.default_rng(13),
    )


async def works_of(quorum: Quorum, passages: Sequence[Passage], batch: int, in_flight: int) -> list[Work]:
    """All passages through the graph, keeping what the last node saw."""
    gate = asyncio.Semaphore(in_flight)
    done = 0
    begun = time.monotonic()

    async def one(part: Sequence[Passage]) -> Sequence[Work]:
        nonlocal done
        async with gate:
            context: Context = quorum.context(part)
            final: Any = await quorum.graph.ainvoke({"works": tuple(Work(p, p.shown) for p in part)}, context=context)
            done += len(part)
            rate = done / (time.monotonic() - begun)
            print(f"\r{done}/{len(passages)} sentences, {rate:.2f}/s ", end="", file=sys.stderr, flush=True)
            return final["works"]  # type: ignore[no-any-return]

    parts = [passages[i : i + batch] for i in range(0, len(passages), batch)]
    found = await asyncio.gather(*(one(part) for part in parts))
    print(file=sys.stderr)
    return [work for part in found for work in part]


def options_for(data: Path, corpus: str, **given: Any) -> argparse.Namespace:
    """The options of one corpus, as the command line would give them."""
    options = parser().parse_args(["--data", str(data), "--corpus", corpus])
    return argparse.Namespace(**{**vars(options), "calibrate": False, **given})


async def run_works(options: argparse.Namespace) -> tuple[list[Work], Gold, int]:
    """One corpus through the graph: what the last node saw, the gold, and how many members there are."""
    works, gold, quorum, _ = await run_quorum(options)
    return works, gold, len(quorum.members)


def examples_of(work: Work, gold: Gold, members: int) -> list[tuple[tuple[float, ...], bool]]:
    """What a calibrator learns from: features of a passage's candidates, and whether each is right."""
    true = set(gold[work.passage.document_id])
    return [(features(c, members), c.span in true) for c in work.candidates if c.span.label]


async def run_quorum(options: argparse.Namespace) -> tuple[list[Work], Gold, Quorum, float]:
    """As :func:`run_works`, with the quorum itself, and the seconds that extraction took."""
    labels = corpus_labels(options.corpus)
    rng = random.Random(options.seed)
    test = read_gold(options.data, options.corpus, options.split)
    test = rng.sample(test, min(options.limit, len(test)))
    train = [g for g in read_gold(options.data, options.corpus, options.pool_split) if g.spans] if options.k else []
    train = rng.sample(train, min(options.pool, len(train)))
    config = ProjectConfig.default(
        # The default members all name this model.
        models={"starter": ModelConfig(source=options.source, adapter=options.adapter)},
        steps=StepsConfig(
            verify=options.verify, spans="flat" if options.flat else "nested", calibrate=options.calibrate
        ),
        demonstrations=DemonstrationsConfig(k=options.k, retriever=options.retriever),
        run=RunConfig(batch=options.batch),
    )
    if options.fast:
        config = config.fast()
    elif options.every_step:
        steps = config.steps.model_copy(update={"written": False})
        every = tuple(m.model_copy(update={"steps": MEMBER_STEPS}) for m in config.members)
        config = config.model_copy(update={"members": every, "steps": steps})
    if options.members:
        config = config.with_members(options.members.split(","))
    documents = [Document(f"{options.split}-{i}", g.text) for i, g in enumerate(test)]
    gold = {d.id: list(g.spans) for d, g in zip(documents, test, strict=True)}
    shown = [Demonstration(f"train-{i}", f"train-{i}", g.text, g.spans) for i, g in enumerate(train)]
    passages = [Passage(d.id, 0, 0, d.text, document_hash=d.hash) for d in documents]
    async with open_quorum(config, labels, demonstrations=shown, models_at=options.model) as quorum:
        begun = time.monotonic()
        works = await works_of(quorum, passages, options.batch, config.run.in_flight)
        return works, gold, quorum, time.monotonic() - begun


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run one corpus and score every stage."""
    from tools.metrics import score

    works, gold, quorum, seconds = asyncio.run(run_quorum(options))
    modes = MODES if options.verify == "on" and options.calibrate else (options.verify,)
    rows = stages(works, quorum, quorum.config.run.threshold, options.flat, modes)
    return {
        "corpus": options.corpus,
        "sentences": len(gold),
        "seconds": round(seconds, 1),
        "ungrounded": sum(len(w.ungrounded) for w in works),
        "rows": {row: score(gold, predicted, rng=options.seed).micro for row, predicted in rows.items()},
        "paired": paired(gold, rows),
    }


def as_json(micro: Any) -> dict[str, float]:
    """A score as numbers."""
    within = micro.f1_interval
    return {
        "precision": micro.precision,
        "recall": micro.recall,
        "f1": micro.f1,
        "low": within.low,
        "high": within.high,
        "support": micro.support,
    }


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("QUORUM_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: QUORUM_DATA")
    parser.add_argument("--corpus", default="conll2003")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=2000, help="training sentences to index")
    parser.add_argument("--pool-split", default="train", help="where they come from")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--retriever", default="span")
    parser.add_argument("--verify", default="selective", choices=["off", "selective", "on"])
    parser.add_argument("--flat", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--members")
    parser.add_argument(
        "--every-step", action="store_true", help="all members take all steps and are asked what they wrote already"
    )
    parser.add_argument("--fast", action="store_true", help="the quick profile: one member in one pass")
    parser.add_argument("--source", default="starter", help="what the members ask: starter, starter:NAME, a folder ...")
    parser.add_argument("--adapter", help="folder of a LoRA adapter for it")
    parser.add_argument("--model", help="URL of a running server to use instead of starting one")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument(
        "--uncalibrated", dest="calibrate", action="store_false", help="without the shipped coefficients"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="60 sentences")
    return parser


def main() -> None:
    """Measure from the command line."""
    options = parser().parse_args()
    if options.data is None:
        print("steps: skipped, it needs a folder of corpora (--data or QUORUM_DATA)", file=sys.stderr)
        return
    options.limit = 60 if options.quick else options.limit
    result = measure(options)
    if options.json:
        rows = {row: as_json(score) for row, score in result["rows"].items()}
        pairs = {name: str(comparison) for name, comparison in result["paired"].items()}
        print(json.dumps({**result, "rows": rows, "paired": pairs}))
        return
    counted = f"{result['sentences']} sentences in {result['seconds']} s, {result['ungrounded']} ungrounded"
    print(f"{result['corpus']}: {counted}")
    for row, micro in result["rows"].items():
        print(f"{row:16s} {micro}")
    for pair, comparison in result["paired"].items():
        print(f"{pair}: {comparison}")


if __name__ == "__main__":
    main()
