"""The mean over corpora of a paired difference: the quorum against its best member.

    python -m benchmarks.over_corpora evals/data/results/el4ner.jsonl.zst

Reads a log of the ``el4ner`` suite (or what ``quorum eval baseline`` made of
one). On each corpus the best member is chosen by hindsight, which favours the
member. Documents are resampled in pairs, by cluster, within each corpus; the
corpora are as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from evals.log import read_run
from evals.pairs import END_TO_END, counts_of

SETTINGS = {"steps.verify": "off", "vote": "calibrated"}
"""What the default profile has; what a cell does not say is the suite's own."""
DEFAULTS = {"steps.classify": True, "demonstrations.retriever": "span", "demonstrations.k": 5}


def f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Micro-F1 of counts summed over documents; shape (..., 3) to (...)."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    whole = 2 * tp + fp + fn
    found: NDArray[np.float64] = np.where(whole > 0, 2 * tp / np.maximum(whole, 1), 1.0)
    return found


def difference(
    a: NDArray[np.int64], b: NDArray[np.int64], clusters: Sequence[str], draws: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.float64]]:
    """F1 of a less that of b, and its bootstrap draws, documents resampled by cluster.

    Args:
        a: Counts, shape (documents, 3): tp, fp, fn.
        b: Those of the other, of the same documents.
        clusters: The cluster of each document.
        draws: Resamples.
        rng: Where they are drawn from.
    """
    names, at = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((2, len(names), 3), dtype=np.int64)
    for side, counts in enumerate((a, b)):
        np.add.at(sums[side], at, counts)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    drawn = f1(weights @ sums[0]) - f1(weights @ sums[1])
    return float(f1(a.sum(0)) - f1(b.sum(0))), drawn


def main(argv: Sequence[str] | None = None) -> None:
    """Print the difference on each corpus and their mean with its interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="a log of the el4ner suite")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    corpora: dict[str, dict[str, Any]] = {}
    for cell in read_run(options.log).cells:
        header = cell.header
        wanted = {**DEFAULTS, **SETTINGS}
        if header.kind == END_TO_END and all(header.settings.get(k, DEFAULTS.get(k)) == v for k, v in wanted.items()):
            corpora.setdefault(header.data.name, {})["+".join(header.settings["members"])] = cell
    drawn, found = [], {}
    for corpus, cells in corpora.items():
        counts = {members: counts_of(cell) for members, cell in cells.items()}
        quorum = max(counts, key=lambda members: members.count("+"))
        best = max((m for m in counts if m != quorum), key=lambda m: float(f1(counts[m].matrix.sum(0))))
        value, draws = difference(
            counts[quorum].matrix, counts[best].matrix, counts[quorum].clusters, options.draws, rng
        )  # fmt: skip
        drawn.append(draws)
        found[corpus] = {"best": best, "difference": round(value, 4), "documents": len(counts[quorum].documents)}
    mean = np.mean([row["difference"] for row in found.values()])
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    print(json.dumps({"corpora": found, "mean": round(float(mean), 4), "low": round(low, 4), "high": round(high, 4)}))


if __name__ == "__main__":
    main()
