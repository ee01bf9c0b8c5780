"""A domain never trained on: with nothing, with some labelled sentences as demonstrations, and trained on them.

    python -m benchmarks.domains --corpus crossner_politics --data DIR --labelled 50 --limit 300 --out domains.json

Three figures a corpus, on the same test sentences: strict F1 with no
demonstration; with ``--labelled`` sentences of the training split as the
demonstrations to choose from; and the same after ``quorum train`` on these
sentences (``--train-minutes``, 0 leaves it out). Differences are paired, 95 %
intervals, Holm's correction over the three. A killed run goes on when started
again: finished parts are kept in ``OUT.parts``, a training goes on from its
checkpoint in ``OUT.work``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.config import StepsConfig
from agent.models.registry import resolve
from agent.training import train_on
from agent.trainingrun import TrainOptions
from benchmarks.member_card import is_flat
from benchmarks.resume import Parts, servers, write_json
from benchmarks.steps import as_json, options_for, run_quorum, stages
from evals.statistics import compare_all
from tools.annotation import Document
from tools.finetuning.corpora import corpus_labels, read_gold, read_lines
from tools.metrics import score

CORPORA = ("crossner_politics", "crossner_science", "mit_movie_eng")
NAMES = {
    "zero": "no demonstration",
    "shown": "{} sentences as demonstrations",
    "trained": "the same, and trained on them",
}
WAYS = tuple(NAMES)
FORMAT = 1


def labelled_part(data: Path, corpus: str, many: int, seed: int, folder: Path) -> Path:
    """A folder of corpora whose training split is the labelled sentences alone; the test split is the real one.

    Args:
        data: The folder of corpora.
        corpus: Its name.
        many: Sentences to draw from the training split; fewer where it has fewer.
        seed: Of the draw.
        folder: Where to put it; made anew.
    """
    records = list(read_lines(data, corpus, "train"))
    chosen = random.Random(f"labelled/{seed}").sample(records, min(many, len(records)))
    made = folder / corpus
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    (made / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in chosen), encoding="utf-8")
    for test in (data / corpus).glob("test.jsonl*"):
        (made / test.name).symlink_to(test.resolve())
    return folder


async def run_pass(options: argparse.Namespace) -> dict[str, Any]:
    """The test sentences once: F1 of the quorum and of the best way of asking, and counts for pairing."""
    works, gold, quorum, seconds = await run_quorum(options)
    mode = options.verify
    rows = stages(works, quorum, quorum.config.run.threshold, options.flat, (mode,))
    tables = {row: score(gold, spans, rng=options.seed) for row, spans in rows.items()}
    whole = tables[f"verify {mode}"]
    best = max((row for row in rows if row.startswith("member")), key=lambda row: tables[row].micro.f1)
    return {
        "sentences": len(gold),
        "seconds": round(seconds, 1),
        "quorum": as_json(whole.micro),
        "best": {"name": best.removeprefix("member "), **as_json(tables[best].micro)},
        "matrix": whole.matrix.tolist(),
    }


async def measure(options: argparse.Namespace, corpus: str) -> dict[str, Any]:
    """All ways for one corpus."""
    work = Path(f"{options.out}.work") / f"{corpus}-{options.labelled}-{options.seed}"
    parts = Parts(Path(f"{options.out}.parts"))
    ref = resolve(options.source)
    settings = {
        "split": "test",
        "limit": options.limit,
        "pool": options.labelled,
        "verify": StepsConfig().verify,
        "flat": is_flat(options.data, corpus, "test"),
        "seed": options.seed,
        "source": options.source,
    }
    data = labelled_part(options.data, corpus, options.labelled, options.seed, work / "data")

    def what(way: str) -> dict[str, Any]:
        own = {"k": options.k, "minutes": options.train_minutes if way == "trained" else 0} if way != "zero" else {}
        return {"format": FORMAT, "revision": ref.revision, "corpus": corpus, "way": way, **settings, **own}

    async with servers() as running:
        for way, k in (("zero", 0), ("shown", options.k)):
            if parts.get(what(way)) is None:
                print(f"{corpus}: {way}", file=sys.stderr)
                await running.need(ref)
                parts.put(what(way), await run_pass(options_for(data, corpus, **settings, k=k, calibrate=True)))
    # The first server has ended here: training wants the memory.
    if options.train_minutes and parts.get(what("trained")) is None:
        adapter = await asyncio.to_thread(trained, options, corpus, data, work / "adapter")
        own = await asyncio.to_thread(resolve, options.source, adapter=adapter)
        print(f"{corpus}: trained", file=sys.stderr)
        async with servers() as running:
            await running.need(own)
            chosen = options_for(data, corpus, **settings, k=options.k, calibrate=True, adapter=str(adapter))
            parts.put(what("trained"), await run_pass(chosen))
        if own.path is not None and own.path != own.base:
            # As large as the base, made for this figure alone, and made again in seconds.
            shutil.rmtree(own.path, ignore_errors=True)
    found = {way: known for way in WAYS if (known := parts.get(what(way))) is not None}
    if not options.train_minutes:
        found.pop("trained", None)
    return {"corpus": corpus, "labelled": options.labelled, "ways": found, "paired": paired(found, options.seed)}


def trained(options: argparse.Namespace, corpus: str, data: Path, out: Path) -> Path:
    """What ``quorum train`` makes of the labelled sentences; goes on where it was killed."""
    gold = read_gold(data, corpus, "train")
    settings = TrainOptions(
        minutes=options.train_minutes,
        seed=options.seed,
        demonstrations=options.k,
        allow_few=True,
        skip_bad=True,
        device=options.device,
    )
    documents = [(Document(f"train-{number}", one.text), one.spans) for number, one in enumerate(gold)]

    def watch(event: Any) -> None:
        if isinstance(event, str):
            print(f"{corpus}: {event}", file=sys.stderr)
        elif event.step % 10 == 0 or event.step == event.steps:
            print(f"{corpus}: step {event.step} of {event.steps}, {event.eta / 60:.0f} min left", file=sys.stderr)

    out.parent.mkdir(parents=True, exist_ok=True)
    return train_on(documents, corpus_labels(corpus), options.source, out.resolve(), settings, watch).adapter


def paired(ways: dict[str, dict[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
    """What the labelled sentences add, shown and trained on."""
    pairs = {
        f"{b} against {a}": (np.array(ways[a]["matrix"]), np.array(ways[b]["matrix"]))
        for a, b in (("zero", "shown"), ("zero", "trained"), ("shown", "trained"))
        if a in ways and b in ways
    }
    return {
        name: {
            "difference": one.difference.point,
            "low": one.difference.low,
            "high": one.difference.high,
            "verdict": str(one.verdict),
            "p": one.p_value,
        }
        for name, one in compare_all(pairs, rng=np.random.default_rng(seed)).items()
    }


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("QUORUM_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: QUORUM_DATA")
    parser.add_argument("--corpus", nargs="+", default=list(CORPORA))
    parser.add_argument("--source", default="starter", help="what the members ask: starter, starter:NAME, a folder ...")
    parser.add_argument("--labelled", type=int, default=50, help="sentences of the training split")
    parser.add_argument("--train-minutes", type=float, default=15.0, help="the most; 0: do not train")
    parser.add_argument("--device", default="auto", help="to train on: auto, cpu, cuda")
    parser.add_argument("--limit", type=int, default=300, help="test sentences")
    parser.add_argument("--k", type=int, default=5, help="demonstrations shown with a sentence")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--out", type=Path, default=Path("domains.json"), help="where the figures go, as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="6 sentences of one corpus, 6 seconds of training")
    return parser


def main() -> None:
    """Measure from the command line."""
    options = parser().parse_args()
    if options.data is None:
        print("domains: skipped, it needs a folder of corpora (--data or QUORUM_DATA)", file=sys.stderr)
        return
    if options.quick:
        options.corpus, options.limit, options.train_minutes = options.corpus[:1], 6, min(0.1, options.train_minutes)
    results = []
    for corpus in options.corpus:
        results.append(asyncio.run(measure(options, corpus)))
        write_json(options.out, {"format": FORMAT, "source": options.source, "corpora": results})
    if options.json:
        print(json.dumps([{**one, "ways": _without_counts(one["ways"])} for one in results], indent=1))
        return
    for one in results:
        for way, row in one["ways"].items():
            f1 = row["quorum"]
            best = row["best"]
            print(
                f"{one['corpus']:18s} {NAMES[way].format(one['labelled']):38s} F1 {f1['f1']:.3f} "
                f"[{f1['low']:.3f}, {f1['high']:.3f}], best way {best['name']} {best['f1']:.3f}"
            )
        for name, pair in one["paired"].items():
            print(
                f"{one['corpus']:18s} {name}: {pair['verdict']}, {pair['difference']:+.3f} "
                f"[{pair['low']:+.3f}, {pair['high']:+.3f}]"
            )


def _without_counts(ways: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {way: {key: value for key, value in row.items() if key != "matrix"} for way, row in ways.items()}


if __name__ == "__main__":
    main()
