"""What a report of evaluations says: tables, sentences, plots and the documents to browse. The page is made in tui."""

from evals.report.build import build_report
from evals.report.parts import EvalReport, Figure, Section, Table
from evals.report.results import results_markdown

__all__ = ["EvalReport", "Figure", "Section", "Table", "build_report", "results_markdown"]
