"""Fits the confidence that ships, and asks what verification and a threshold are worth, on development splits.

    python benchmarks/calibration.py --data DIR [--limit 60] [--out agent/extraction/calibration.json]

Corpora whose training split the starter has seen; their development split it
has not. One pass verifies every candidate; what ``off`` and ``selective`` would
have seen is had by taking verdicts away. For each mode, everything cross-fitted
over sentences: the expected calibration error (10 bins) of the plain vote and of
the fitted confidence, and strict micro-F1 over thresholds. The last lines
compare the modes at their best thresholds by a paired bootstrap over sentences.
A second pass does the same for the quick profile (``--fast``), whose confidence
is made of the probability with which one member wrote a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.extraction.confidence import FAST, MODES, SHIPPED, Calibrator, cross_fit, features, fit
from agent.extraction.decide import flatten
from agent.extraction.state import Candidate
from benchmarks.steps import as_under, options_for, run_works
from evals.statistics import compare
from tools.annotation import Span
from tools.metrics import calibration_error
from tools.metrics.intervals import ratio

CORPORA = ("wikigold", "wnut17", "bc5cdr", "re3d")
THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(1, 20))
Sentences = dict[str, list[Candidate]]


def counts(kept: list[Candidate], gold: set[Span]) -> tuple[int, int, int]:
    """(tp, fp, fn) of one sentence."""
    predicted = {c.span for c in flatten(kept)}
    both = len(predicted & gold)
    return both, len(predicted) - both, len(gold) - both


def f1(rows: np.ndarray) -> float:
    """Micro-F1 of (sentences, 3) counts."""
    return float(ratio(rows.sum(axis=0), "f1"))


@dataclass(frozen=True)
class Pass:
    """What one pass over the development splits came to, by sentence.

    Attributes:
        sentences: Candidates with a type.
        gold: The entities.
        members: How many answered.
    """

    sentences: Sentences
    gold: Mapping[str, set[Span]]
    members: int

    def judged(self, mode: str) -> tuple[Sentences, Calibrator]:
        """Candidates with cross-fitted confidence under a mode, and the coefficients fitted on all of them."""
        under = {name: [as_under(mode, c) for c in one] for name, one in self.sentences.items()}
        examples = {
            name: [(features(c, self.members), c.span in self.gold[name]) for c in one] for name, one in under.items()
        }
        fitted = cross_fit(examples)
        confident = {
            name: [replace(c, confidence=fitted[name].confidence(c, self.members)) for c in one]
            for name, one in under.items()
        }
        everything = [e for one in examples.values() for e in one]
        said = mode if mode == FAST else f"verify {mode}"
        return confident, fit(everything, f"dev of {', '.join(CORPORA)}: {len(everything)} candidates, {said}")


def passed(data: Path, limit: int, model: str | None, *, fast: bool) -> Pass:
    """Take the development splits through the default members, everything verified, or through the quick profile."""
    sentences: Sentences = {}
    gold: dict[str, set[Span]] = {}
    members = 0
    for corpus in CORPORA:
        way = {"fast": True} if fast else {"verify": "on"}
        chosen = options_for(data, corpus, split="dev", limit=limit, model=model, **way)
        works, true, members = asyncio.run(run_works(chosen))
        for work in works:
            name = f"{corpus}/{work.passage.document_id}"
            sentences[name] = [c for c in work.candidates if c.span.label]
            gold[name] = set(true[work.passage.document_id])
    return Pass(sentences, gold, members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("QUORUM_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: QUORUM_DATA")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--model", help="URL of a running server to use instead of starting one")
    parser.add_argument("--out", type=Path, help=f"where to write, for example {SHIPPED.name}")
    parser.add_argument("--quick", action="store_true", help="10 sentences a corpus")
    parser.add_argument(
        "--only",
        choices=["default", FAST],
        help="fit only the default profile or only the quick one; --out keeps what it has of the other",
    )
    options = parser.parse_args()
    if options.data is None:
        print("calibration: skipped, it needs a folder of corpora (--data or QUORUM_DATA)", file=sys.stderr)
        return
    limit = 10 if options.quick else options.limit
    fitted: dict[str, Calibrator] = {}
    if options.only != FAST:
        fitted |= report(passed(options.data, limit, options.model, fast=False), MODES)
    if options.only != "default":
        fitted |= report(passed(options.data, limit, options.model, fast=True), (FAST,))
    for one in fitted.values():
        print(one)
    if options.out:
        known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        table = known | {mode: asdict(one) for mode, one in fitted.items()}
        options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def report(found: Pass, modes: Sequence[str]) -> dict[str, Calibrator]:
    """Print the figures of some modes of a pass; the coefficients of each."""
    names = sorted(found.sentences)
    right = [c.span in found.gold[name] for name in names for c in found.sentences[name]]
    print(f"{len(right)} candidates of {len(names)} sentences, {sum(right)} right")
    plain = [c.probability for name in names for c in found.sentences[name]]
    print(f"plain vote: expected calibration error {calibration_error(plain, right):.3f}")
    fitted: dict[str, Calibrator] = {}
    best: dict[str, np.ndarray] = {}
    for mode in modes:
        confident, fitted[mode] = found.judged(mode)
        said = [c.confidence for name in names for c in confident[name]]
        by_threshold = {
            t: np.array([counts([c for c in confident[n] if c.confidence >= t], found.gold[n]) for n in names])
            for t in THRESHOLDS
        }
        top = max(THRESHOLDS, key=lambda t: f1(by_threshold[t]))
        best[mode] = by_threshold[top]
        shown = " ".join(f"{t:g}:{f1(by_threshold[t]):.3f}" for t in THRESHOLDS if t <= 0.7)
        title = mode if mode == FAST else f"verify {mode}"
        print(f"{title}: calibration error {calibration_error(said, right):.3f}, best threshold {top:g}; F1 {shown}")
    for mode in modes[1:]:
        difference = compare(best[modes[0]], best[mode], rng=np.random.default_rng(13))
        print(f"verify {mode} against {modes[0]}, paired: {difference}")
    return fitted


if __name__ == "__main__":
    main()
