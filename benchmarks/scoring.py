"""How fast scoring and comparing are, and whether intervals and tests keep what they promise.

    python benchmarks/scoring.py [--quick] [--json] [--simulate TRIALS]

Scores made-up predictions on 100,000 documents in every way that ``quorum eval
score`` does (four schemes, types, lengths, errors, 2,000-draw intervals), and
compares two runs on 10,000 documents by a paired bootstrap of 10,000 draws and a
randomisation test of as many. With ``--simulate`` it draws many samples from
worlds whose truth is known and counts how often intervals hold it, and how
often equally good systems are called different (docs/metrics.md has a table).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from evals.scoring.pairing import Paired
from evals.scoring.report import make_report
from evals.statistics import compare
from evals.statistics.simulation import World, claims, coverage, sample, seeded_claims
from tools.annotation import Span

TYPES = ("person", "place", "organization", "product")
TEXT = "x" * 200
WORLDS = {
    "20 documents": World(20),
    "50 documents": World(50),
    "100 documents": World(100),
    "400 documents": World(400),
    "400 sentences of 20 articles": World(400, cluster=20),
    "1,000 sentences of 100 articles": World(1000, cluster=10),
    "100 documents, F1 near 1": World(100, recall=0.97, noise=0.05, hardness=0.5),
}


def timed(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds on the clock and of the processor, which differ on a busy machine; and what came of it."""
    clock, processor = time.perf_counter(), time.process_time()
    found = call()
    spent = time.perf_counter() - clock, time.process_time() - processor
    return dict(zip(("seconds", "CPU seconds"), (round(one, 2) for one in spent), strict=True)), found


def corpus(documents: int, seed: int = 0) -> Paired:
    """Documents with none to six mentions, and predictions that make every kind of mistake."""
    rng = np.random.default_rng(seed)
    gold: dict[str, list[Span]] = {}
    predicted: dict[str, list[Span]] = {}
    for number in range(documents):
        right: list[Span] = []
        guess: list[Span] = []
        for place in range(int(rng.integers(0, 7))):
            start = 25 * place
            span = Span(start, start + int(rng.integers(4, 16)), TYPES[rng.integers(4)])
            right.append(span)
            luck = rng.random()
            if luck < 0.78:
                guess.append(span)
            elif luck < 0.84:
                guess.append(span.with_label(TYPES[rng.integers(4)]))
            elif luck < 0.90:
                guess.append(Span(start + 1, span.end + int(rng.integers(-1, 4)), span.label))
            elif luck < 0.92:
                guess += [Span(start, start + 2, span.label), Span(start + 2, span.end, span.label)]
            if rng.random() < 0.05:
                guess.append(Span(span.end + 1, span.end + 6, TYPES[rng.integers(4)]))
        gold[str(number)], predicted[str(number)] = right, guess
    return Paired(gold, predicted, dict.fromkeys(gold, TEXT), None, (), {})


def speed(documents: int, compared: int, draws: int) -> dict[str, Any]:
    """Seconds of scoring and of comparing."""
    paired = corpus(documents)
    spent, report = timed(lambda: make_report(paired))
    found: dict[str, Any] = {"scoring": {"documents": documents, **spent, "f1": round(report.table.micro.f1, 4)}}
    # Long documents are the hard case: hardly two have the same counts.
    for name, mentions in (("sentences", 1.8), ("long documents", 40.0)):
        a, b, _ = sample(World(compared, mentions=mentions, gain=0.1), np.random.default_rng(1))
        spent, one = timed(partial(compare, a, b, rng=np.random.default_rng(2), resamples=draws))
        found[f"comparing {name}"] = {
            "documents": compared,
            "draws": draws,
            **spent,
            "difference": str(one),
        }
    return found


def simulated(trials: int, seed: int = 20) -> dict[str, Any]:
    """Coverage of the intervals, size and power of the tests."""
    found: dict[str, Any] = {}
    for name, world in WORLDS.items():
        rng = np.random.default_rng(seed)
        print(f"simulating {name}", file=sys.stderr)
        row: dict[str, dict[str, float]] = {}
        for one in coverage(world, rng, trials=trials):
            row[one.method] = {"f1": one.f1.point, "difference": one.difference.point, "width": one.width}
        equal = claims(world, rng, trials=trials)
        row["claims where equal"] = {"interval": equal.interval.point, "randomisation": equal.randomisation.point}
        if world.cluster > 1:
            blind = claims(world, rng, trials=trials, as_clusters=False)
            row["claims where equal, without clusters"] = {
                "interval": blind.interval.point,
                "randomisation": blind.randomisation.point,
            }
        found[name] = row
    rng = np.random.default_rng(seed)
    for seeds, luck in ((3, 0.0), (3, 0.3), (5, 0.1), (5, 0.3)):
        share = seeded_claims(World(300), rng, trials=trials, seeds=seeds, luck=luck)
        found[f"{seeds} seeds, luck {luck}"] = {"claims where equal": {"interval": share.point}}
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the documents and draws")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--simulate", type=int, default=0, metavar="TRIALS", help="also count coverage, size and power")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    found = {"speed": speed(100_000 // share, 10_000 // share, 10_000 // share)}
    if options.simulate:
        found["simulated"] = simulated(options.simulate)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for part, rows in found.items():
        print(part)
        for name, row in rows.items():
            print(f"  {name:34s}", "  ".join(f"{key} {_plain(value)}" for key, value in row.items()))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {one:.3f}" for key, one in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
