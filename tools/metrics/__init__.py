"""How well predicted spans agree with gold ones, how sure that is, and what it cost.

Usable without the agent: nothing here imports a model library.
"""

from tools.metrics.calibration import Bin, Brier, Calibration, calibration, calibration_error
from tools.metrics.f1 import Score, ScoreTable, roll_up, score, score_by
from tools.metrics.intervals import Interval, Resamples, bootstrap, cluster_rows, resampled_totals, wilson
from tools.metrics.matching import SCHEMES, Counts, Scheme, count_by_label, count_matches, count_schemes
from tools.metrics.slices import CHARACTERS, SEEN_ORDER, WORDS, TrainingMentions, by_length, spaced
from tools.metrics.taxonomy import Charge, ErrorKind, Taxonomy, charge, taxonomy
from tools.metrics.usage import Cost, Grounding, Outcomes, grounding, outcomes

__all__ = [
    "CHARACTERS",
    "SCHEMES",
    "SEEN_ORDER",
    "WORDS",
    "Bin",
    "Brier",
    "Calibration",
    "Charge",
    "Cost",
    "Counts",
    "ErrorKind",
    "Grounding",
    "Interval",
    "Outcomes",
    "Resamples",
    "Scheme",
    "Score",
    "ScoreTable",
    "Taxonomy",
    "TrainingMentions",
    "bootstrap",
    "by_length",
    "calibration",
    "calibration_error",
    "charge",
    "cluster_rows",
    "count_by_label",
    "count_matches",
    "count_schemes",
    "grounding",
    "outcomes",
    "resampled_totals",
    "roll_up",
    "score",
    "score_by",
    "spaced",
    "taxonomy",
    "wilson",
]
