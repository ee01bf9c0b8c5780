"""Fits the confidence that ships: votes and verdicts of the starter against gold of development splits.

    python benchmarks/calibration.py --data DIR [--limit 60] [--out agent/extraction/calibration.json]

Corpora whose training split the starter has seen; their development split it
has not. Reports the expected calibration error (10 bins) of the plain vote and
of the fitted confidence, the latter by cross-fitting over sentences.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.extraction.confidence import FEATURES, SHIPPED, Calibrator, cross_fit, fit
from benchmarks.steps import examples_of, options_for, run_works

CORPORA = ("wikigold", "wnut17", "bc5cdr", "re3d")


def probability(calibrator: Calibrator, values: tuple[float, ...]) -> float:
    score = calibrator.intercept + sum(getattr(calibrator, name) * x for name, x in zip(FEATURES, values, strict=True))
    return float(1 / (1 + np.exp(-score)))


def calibration_error(probabilities: list[float], right: list[bool], bins: int = 10) -> float:
    """The mean distance between confidence and accuracy, weighted by bin (0 to 1)."""
    p, y = np.array(probabilities), np.array(right, dtype=float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(p[place == b].mean() - y[place == b].mean()) * (place == b).mean() for b in set(place)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("QUORUM_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: QUORUM_DATA")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--out", type=Path, help=f"where to write, for example {SHIPPED.name}")
    parser.add_argument("--quick", action="store_true", help="10 sentences a corpus")
    options = parser.parse_args()
    if options.data is None:
        print("calibration: skipped, it needs a folder of corpora (--data or QUORUM_DATA)", file=sys.stderr)
        return
    by_sentence = {}
    for corpus in CORPORA:
        chosen = options_for(options.data, corpus, split="dev", limit=10 if options.quick else options.limit)
        works, gold, members = asyncio.run(run_works(chosen))
        for work in works:
            by_sentence[f"{corpus}/{work.passage.document_id}"] = examples_of(work, gold, members)
    examples = [e for one in by_sentence.values() for e in one]
    right = [good for _, good in examples]
    plain = calibration_error([probability(Calibrator(), x) for x, _ in examples], right)
    fitted = cross_fit(by_sentence)
    crossed = calibration_error(
        [probability(fitted[name], x) for name, one in by_sentence.items() for x, _ in one], right
    )
    print(f"{len(examples)} candidates of {len(by_sentence)} sentences, {sum(right)} right")
    print(f"expected calibration error: plain vote {plain:.3f}, fitted (cross-fitted) {crossed:.3f}")
    final = fit(examples, f"dev of {', '.join(CORPORA)}: {len(examples)} candidates")
    print(final)
    if options.out:
        final.save(options.out)


if __name__ == "__main__":
    main()
