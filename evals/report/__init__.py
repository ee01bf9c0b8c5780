"""What a report of evaluations says: tables, sentences, plots and the documents to browse. The page is made in tui."""

from evals.report.build import EvalReport, Figure, Section, Table, build_report

__all__ = ["EvalReport", "Figure", "Section", "Table", "build_report"]
