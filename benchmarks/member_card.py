"""The figures of a model card: strict F1 with intervals on corpora, and how far confidence can be trusted.

    python -m benchmarks.member_card --source starter:broad --data DIR --limit 300 --out figures.json

Every corpus goes through the whole graph in the default three ways of asking,
once with demonstrations from its training split and, where the member has not
been trained on it, once with none. What was trained on is read off its recipe
and ``members.toml``. Reliability is of the confidence that ships, over all labelled
candidates of the corpora never trained on. Intervals are 95 %, bootstrapped
over sentences. A killed run goes on when started again: each pass is kept in
``OUT.parts``. ``python -m tools.finetuning.cards NAME --figures OUT`` writes the card.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.config import StepsConfig
from agent.extraction.quorum import Quorum
from agent.extraction.state import Work
from agent.models.registry import resolve
from agent.models.shipped import FILE, PREFIX, adapters_folder, blended
from benchmarks.resume import Parts, servers, write_json
from benchmarks.steps import Gold, as_json, options_for, run_quorum, stages
from tools.finetuning.cardfacts import trained_on
from tools.finetuning.corpora import read_gold
from tools.metrics import Resamples, calibration, score

CORPORA = (
    *("wikigold", "wnut17", "bc5cdr", "re3d"),
    *("conll2003", "crossner_politics", "crossner_science", "mit_movie_eng", "genia"),
)
BINS = 10
FORMAT = 1
Judged = list[list[tuple[float, bool]]]
"""For each sentence the confidence of its candidates, and whether each is right."""


def trained_corpora(source: str) -> set[str]:
    """The corpora that a member, or any part of the blend, was trained on, by recipe and ``members.toml``."""
    folder = adapters_folder()
    if not (folder / FILE).is_file():
        return set()
    names = [source.removeprefix(PREFIX)] if source.startswith(PREFIX) else list(blended())
    return {corpus for name in names for corpus in trained_on(folder, name)}


def is_flat(data: Path, corpus: str, split: str) -> bool:
    """Whether no two mentions of a corpus overlap."""
    for gold in read_gold(data, corpus, split):
        if any(after.start < before.end for before, after in pairwise(sorted(gold.spans))):
            return False
    return True


def judged(works: Sequence[Work], gold: Gold, quorum: Quorum) -> Judged:
    """The shipped confidence of every labelled candidate, a list a sentence."""
    many = len(quorum.members)
    return [
        [
            (quorum.calibrator.confidence(c, many), c.span in gold[work.passage.document_id])
            for c in work.candidates
            if c.span.label
        ]
        for work in works
    ]


async def run_pass(options: argparse.Namespace) -> dict[str, Any]:
    """One corpus, measured: scores of each way of asking and of the quorum, and confidence."""
    works, gold, quorum, seconds = await run_quorum(options)
    mode = options.verify
    rows = stages(works, quorum, quorum.config.run.threshold, options.flat, (mode,))
    rows["quorum"] = rows.pop(f"verify {mode}")
    return {
        "sentences": len(gold),
        "seconds": round(seconds, 1),
        "rows": {row: as_json(score(gold, spans, rng=options.seed).micro) for row, spans in rows.items()},
        "judged": judged(works, gold, quorum),
    }


def reliability(sentences: Judged, seed: int = 13) -> dict[str, Any]:
    """Expected calibration error and Brier score with intervals, and the reliability table.

    Args:
        sentences: Of all corpora together.
        seed: Of the bootstrap over sentences.
    """
    flat = [one for sentence in sentences for one in sentence]
    found = calibration([p for p, _ in flat], [right for _, right in flat], bins=BINS)
    sums = np.array([_sums(sentence) for sentence in sentences])
    within = {
        name: Resamples(sums, np.random.default_rng(seed)).interval(figure)
        for name, figure in (("ece", _ece), ("brier", _brier))
    }
    return {
        "candidates": found.count,
        "right": sum(right for _, right in flat),
        "sentences": len(sentences),
        **{name: {"value": one.point, "low": one.low, "high": one.high} for name, one in within.items()},
        "bins": [
            {
                "low": b.low,
                "high": b.high,
                "count": b.count,
                "confidence": b.confidence,
                "accuracy": {"value": b.accuracy.point, "low": b.accuracy.low, "high": b.accuracy.high},
            }
            for b in found.curve
        ],
    }


def _sums(sentence: Sequence[tuple[float, bool]]) -> NDArray[np.float64]:
    """What adds up over sentences: candidates, confidence and truth a bin, and the squared error."""
    sums = np.zeros(3 * BINS + 1)
    for p, right in sentence:
        place = min(BINS - 1, int(p * BINS))
        sums[place] += 1
        sums[BINS + place] += p
        sums[2 * BINS + place] += right
        sums[-1] += (p - right) ** 2
    return sums


def _ece(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    many, p, right = (sums[..., i * BINS : (i + 1) * BINS] for i in range(3))
    total = np.maximum(1, many.sum(axis=-1))
    return np.asarray(np.abs(p - right).sum(axis=-1) / total)


def _brier(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sums[..., -1] / np.maximum(1, sums[..., :BINS].sum(axis=-1)))


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All passes, kept one by one, and what they come to."""
    trained = trained_corpora(options.source)
    ref = resolve(options.source)
    parts = Parts(Path(f"{options.out}.parts"))
    corpora: list[dict[str, Any]] = []
    held_out: dict[int, Judged] = {}
    passes = [
        (corpus, k) for corpus in options.corpora for k in ((options.k,) if corpus in trained else (options.k, 0))
    ]
    async with servers() as running:
        for number, (corpus, k) in enumerate(passes, 1):
            chosen = pass_options(options, corpus, k)
            left_out = ("data", "json", "quick", "batch", "model")
            what = {key: value for key, value in vars(chosen).items() if key not in left_out}
            what |= {"format": FORMAT, "revision": ref.revision}
            found = parts.get(what)
            if found is None:
                print(f"{number} of {len(passes)}: {corpus} {options.split}, {k} demonstrations", file=sys.stderr)
                await running.need(ref)
                found = await run_pass(chosen)
                parts.put(what, found)
            if corpus not in trained:
                held_out.setdefault(k, []).extend([(p, right) for p, right in one] for one in found["judged"])
            own = {key: found[key] for key in ("sentences", "seconds", "rows")}
            corpora.append({"corpus": corpus, "split": options.split, "k": k, "trained_on": corpus in trained, **own})
    return {
        "format": FORMAT,
        "source": options.source,
        "revision": ref.revision,
        "command": command_line(options),
        "limit": options.limit,
        "seed": options.seed,
        "corpora": corpora,
        "reliability": [{"k": k, **reliability(sentences)} for k, sentences in held_out.items() if any(sentences)],
    }


def pass_options(options: argparse.Namespace, corpus: str, k: int) -> argparse.Namespace:
    """What ``benchmarks.steps`` takes for one corpus."""
    return options_for(
        options.data,
        corpus,
        split=options.split,
        limit=options.limit,
        k=k,
        verify=StepsConfig().verify,
        flat=is_flat(options.data, corpus, options.split),
        seed=options.seed,
        source=options.source,
        # Some corpora have no training split; what is shown then comes from the development split.
        pool_split="train" if list((options.data / corpus).glob("train.jsonl*")) else "dev",
        calibrate=True,
    )


def command_line(options: argparse.Namespace) -> str:
    """The command that gives these figures, without this machine's folders."""
    words = f"python -m benchmarks.member_card --source {options.source} --data DIR --limit {options.limit}"
    if tuple(options.corpora) != CORPORA:
        words += f" --corpora {' '.join(options.corpora)}"
    return f"{words} --out figures.json"


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("QUORUM_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: QUORUM_DATA")
    parser.add_argument("--source", default="starter", help="starter, starter:NAME, or any model's source")
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA))
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=300, help="sentences of each corpus")
    parser.add_argument(
        "--k", type=int, default=5, help="demonstrations; what was not trained on is also asked without"
    )
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--quick", action="store_true", help="10 sentences of two corpora")
    return parser


def main() -> None:
    """Measure from the command line."""
    options = parser().parse_args()
    if options.data is None:
        print("member_card: skipped, it needs a folder of corpora (--data or QUORUM_DATA)", file=sys.stderr)
        return
    if options.quick:
        options.corpora, options.limit = ["wikigold", "crossner_politics"], 10
    options.out = options.out or Path(f"figures-{options.source.replace(':', '-').replace('/', '-')}.json")
    figures = asyncio.run(measure(options))
    write_json(options.out, figures)
    for one in figures["corpora"]:
        row = one["rows"]["quorum"]
        seen = "trained on" if one["trained_on"] else "held out"
        print(
            f"{one['corpus']:18s} k={one['k']} {seen:10s} F1 {row['f1']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            f" of {one['sentences']} sentences"
        )
    for one in figures["reliability"]:
        print(f"confidence, k={one['k']}: {json.dumps({key: one[key] for key in one if key != 'bins'})}")


if __name__ == "__main__":
    main()
