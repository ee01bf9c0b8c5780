"""Comparisons for people and other programs: words, tables, files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from evals.compare import CompareReport, Row
from evals.points import points, signed
from evals.statistics import Verdict
from evals.tables import Column, markdown_table, write_rows

COLUMNS: dict[str, Column] = {
    "cell": "text", "kind": "text", "figure": "text", "a": "number", "b": "number", "difference": "number",
    "low": "number", "high": "number", "detectable": "number", "p_value": "number", "verdict": "text",
    "alpha": "number", "seeds": "whole", "documents": "whole", "units": "whole", "same": "text",
    "a_cells": "text", "b_cells": "text",
}  # fmt: skip
HEADS = ("cell", "figure", "a", "b", "b - a", "interval", "detectable", "verdict")


def shown(row: Row) -> tuple[str, ...]:
    """A row's cells for a table of ``HEADS``; figures in points, 0 to 100."""
    if row.same:
        return row.name, row.figure, points(row.a), points(row.b), "0", "", "", "same cell"
    detectable = "" if row.detectable is None else points(row.detectable)
    within = f"{signed(row.low)} to {signed(row.high)}"
    return (
        row.name, row.figure, points(row.a), points(row.b), signed(row.difference), within, detectable,
        str(row.verdict),
    )  # fmt: skip


def headline(report: CompareReport) -> str:
    """One sentence: how many are better, worse, cannot be told apart."""
    tested = [row for row in report.rows if not row.same]
    same = len(report.rows) - len(tested)
    said = ", ".join(
        f"{count} {'cannot be told apart' if verdict is Verdict.CANNOT_TELL else verdict}"
        for verdict in Verdict
        if (count := sum(row.verdict is verdict for row in tested))
    )
    held = (
        f"{report.b} against {report.against!r} of {report.a}" if report.against else f"{report.b} against {report.a}"
    )
    if not tested:
        return f"{held}: all {same} cells are the same, taken over from one run into the other"
    taken = f"; {same} more are the same cell in both" if same else ""
    return f"{held}: of {len(tested)} comparisons {said}{taken}"


def markdown(report: CompareReport) -> str:
    """The report as Markdown."""
    lines = [headline(report), "", *markdown_table(HEADS, [shown(row) for row in report.rows], texts=2)]
    lines.append(explain(report))
    for title, names in ((f"Only in {report.a}", report.only_a), (f"Only in {report.b}", report.only_b)):
        if names:
            lines += ["", f"{title}: {'; '.join(names)}"]
    lines += ["", *(f"Note: {text}" for text in report.notes)] if report.notes else []
    return "\n".join(lines) + "\n"


def explain(report: CompareReport) -> str:
    """How the table is to be read."""
    return (
        f"Points of 100. Intervals are of the difference, from {report.resamples:,} paired draws of documents (clusters"
        f" where the data name them), corrected by Holm over all comparisons of a kind at {report.alpha:g}; "
        f'"detectable" is the smallest true difference that these data would have shown four times in five.'
    )


def export(report: CompareReport, path: Path) -> None:
    """Write the comparisons as ``.csv``, ``.parquet`` or ``.md``.

    Raises:
        OutputError: The ending is another, or the file cannot be written.
    """
    rows = []
    for row in report.rows:
        one = asdict(row)
        one["cell"] = one.pop("name")
        one["same"] = "yes" if row.same else "no"
        one["verdict"] = str(row.verdict)
        one["a_cells"], one["b_cells"] = " ".join(row.a_cells), " ".join(row.b_cells)
        rows.append(one)
    write_rows(path, COLUMNS, rows, lambda: markdown(report))
