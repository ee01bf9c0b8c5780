"""How well predicted spans agree with gold ones, and how sure that is."""

from tools.metrics.f1 import Score, ScoreTable, score
from tools.metrics.intervals import Interval, bootstrap, resampled_totals, wilson
from tools.metrics.matching import Counts, count_by_label, count_matches

__all__ = [
    "Counts",
    "Interval",
    "Score",
    "ScoreTable",
    "bootstrap",
    "count_by_label",
    "count_matches",
    "resampled_totals",
    "score",
    "wilson",
]
