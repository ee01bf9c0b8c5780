"""A score report as a file for other programs: CSV, Parquet, Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evals.scoring.report import ScoreReport, score_json, shown_errors
from evals.tables import Column, check_ending, markdown_table, write_rows

__all__ = ["calibration_text", "check_ending", "describe", "export", "flat_rows", "interval_text", "markdown"]

COLUMNS = (
    "section", "name", "precision", "recall", "f1", "f1_low", "f1_high", "precision_low", "precision_high",
    "recall_low", "recall_high", "gold", "predicted", "tp", "fp", "fn",
)  # fmt: skip


def flat_rows(report: ScoreReport) -> list[dict[str, Any]]:
    """A row a score and a row a kind of error; what a row has no value for is None."""
    rows = []
    for section, scores in report.sections().items():
        for name, one in scores.items():
            found = score_json(one)
            within = found.pop("intervals")
            for figure, (low, high) in within.items():
                found[f"{figure}_low"], found[f"{figure}_high"] = low, high
            rows.append({**dict.fromkeys(COLUMNS), "section": section, "name": name, **found})
    for kind, _, gold, guess in report.errors.rows():
        row = {"section": "error", "name": str(kind), "gold": gold, "predicted": guess}
        rows.append({**dict.fromkeys(COLUMNS), **row})
    return rows


def export(report: ScoreReport, path: Path) -> None:
    """Write a report, by rename, in the form that the file's ending names.

    Args:
        report: What is to be written.
        path: Ends in ``.csv``, ``.parquet`` or ``.md``.

    Raises:
        OutputError: The ending is another, or the file cannot be written.
    """
    texts, whole = ("section", "name"), ("gold", "predicted")
    kinds: dict[str, Column] = {
        name: "text" if name in texts else "whole" if name in whole else "number" for name in COLUMNS
    }
    check_ending(path)
    write_rows(path, kinds, flat_rows(report), lambda: markdown(report))


def markdown(report: ScoreReport) -> str:
    """The report as Markdown tables."""
    lines = [f"{describe(report)}", ""]
    for section, scores in report.sections().items():
        lines += markdown_table((section, "P", "R", "F1", f"{report.level:.0%} interval of F1", "gold", "predicted"), [
            (name, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", interval_text(one.f1_interval),
             f"{one.counts.support:,}", f"{one.counts.predicted:,}")
            for name, one in scores.items()
        ])  # fmt: skip
    lines += markdown_table(
        ("error", "cases", "gold spans", "predicted spans"),
        [(str(kind), f"{n:,}", f"{g:,}", f"{p:,}") for kind, n, g, p in shown_errors(report.errors)],
    )
    if (found := report.calibration) is not None:
        lines += [f"{calibration_text(found)}", ""]
        lines += markdown_table(
            ("confidence", "predicted spans", "mean", "right", "95% interval"),
            [
                (f"{at.low:.1f}-{at.high:.1f}", f"{at.count:,}", f"{at.confidence:.3f}", f"{at.accuracy.point:.3f}",
                 f"{at.accuracy.low:.3f}-{at.accuracy.high:.3f}")
                for at in found.curve
            ],
        )  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def describe(report: ScoreReport) -> str:
    """One line: how much was scored, and what was drawn for the intervals."""
    table = report.table
    drawn = (
        f"{_many(table.units, 'cluster')} by {report.cluster!r}" if report.cluster else _many(table.units, "document")
    )
    missing = f", {report.missing:,} without prediction counted as empty" if report.missing else ""
    return (
        f"{_many(report.documents, 'document')}{missing}; {_many(table.micro.counts.support, 'gold span')},"
        f" {table.micro.counts.predicted:,} predicted; intervals at {report.level:.0%} from {report.resamples:,}"
        f" draws of {drawn}"
    )


def _many(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def calibration_text(found: Any) -> str:
    """One line on a calibration."""
    brier = found.brier
    return (
        f"calibration of {found.count:,} confidences: ECE {found.ece:.3f} (equal mass {found.ece_mass:.3f}),"
        f" Brier {brier.score:.3f} = reliability {brier.reliability:.3f} - resolution {brier.resolution:.3f}"
        f" + uncertainty {brier.uncertainty:.3f} + within bins {brier.within:+.3f}"
    )


def interval_text(within: Any) -> str:
    """``0.812-0.845``; empty without an interval."""
    return "" if within is None else f"{within.low:.3f}-{within.high:.3f}"
