"""Statistics of runs: intervals, paired comparisons, corrections, seeds.

Importable without the agent: counts of documents in, words with intervals out.
"""

from evals.statistics.comparison import (
    Comparison,
    Verdict,
    compare,
    compare_all,
    detectable_difference,
    difference_of,
    holm,
    verdict_of,
)
from evals.statistics.randomisation import randomisation_p
from evals.statistics.seeds import SeededComparison, SeedSplit, compare_seeds, split_seeds
from tools.metrics.intervals import Interval, Resamples, bootstrap, cluster_rows, wilson

__all__ = [
    "Comparison",
    "Interval",
    "Resamples",
    "SeedSplit",
    "SeededComparison",
    "Verdict",
    "bootstrap",
    "cluster_rows",
    "compare",
    "compare_all",
    "compare_seeds",
    "detectable_difference",
    "difference_of",
    "holm",
    "randomisation_p",
    "split_seeds",
    "verdict_of",
    "wilson",
]
