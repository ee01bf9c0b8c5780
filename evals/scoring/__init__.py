"""Scoring the predictions of any tool: files in, a table with intervals out."""

from evals.scoring.export import check_ending, export, flat_rows, markdown
from evals.scoring.pairing import Paired, pair
from evals.scoring.reading import Marked, Reading, read_marked
from evals.scoring.report import ScoreReport, make_report, score_json

__all__ = [
    "Marked",
    "Paired",
    "Reading",
    "ScoreReport",
    "check_ending",
    "export",
    "flat_rows",
    "make_report",
    "markdown",
    "pair",
    "read_marked",
    "score_json",
]
