"""All figures of runs as a table for other programs: a row a cell and figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.log import RunLog
from evals.points import points
from evals.tables import Column, markdown_table, write_rows

COLUMNS: dict[str, Column] = {
    "run": "text", "suite": "text", "cell": "text", "id": "text", "kind": "text", "data": "text", "documents": "whole",
    "seed": "whole", "settings": "text", "state": "text", "figure": "text", "value": "number",
}  # fmt: skip
_HEADS = ("run", "cell", "state", "F1", "95 % interval", "precision", "recall", "tokens/doc")


def export_runs(runs: Sequence[RunLog], path: Path) -> None:
    """Write ``.csv`` or ``.parquet`` with every figure and cost, or ``.md`` with the main ones.

    Costs are named ``cost/NAME``. A planned cell that is not there has one row, without a figure.

    Raises:
        OutputError: The ending is another, or the file cannot be written.
    """
    write_rows(path, COLUMNS, _rows(runs), lambda: "\n".join(markdown_table(_HEADS, _table(runs), texts=3)))


def _rows(runs: Sequence[RunLog]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for run in runs:
        for cell in run.cells:
            head, end = cell.header, cell.end
            base = {
                "run": run.header.run, "suite": run.header.suite, "cell": head.name, "id": head.id, "kind": head.kind,
                "data": head.data.name, "documents": end.documents, "seed": head.seed,
                "settings": json.dumps(head.settings, sort_keys=True, default=str), "state": end.state,
            }  # fmt: skip
            values = {**end.figures, **{f"cost/{name}": value for name, value in end.cost.items()}}
            rows += [{**base, "figure": name, "value": value} for name, value in values.items()] or [
                {**base, "figure": None, "value": None}
            ]
        missing = set(run.unfinished)
        rows += [
            {
                "run": run.header.run, "suite": run.header.suite, "cell": plan.name, "id": plan.id, "kind": plan.kind,
                "data": plan.data, "documents": None, "seed": plan.seed,
                "settings": json.dumps(plan.settings, sort_keys=True, default=str), "state": "not run",
                "figure": None, "value": None,
            }
            for plan in run.header.plan if plan.id in missing
        ]  # fmt: skip
    return rows


def _table(runs: Sequence[RunLog]) -> list[tuple[str, ...]]:
    rows = []
    for run in runs:
        for cell in run.cells:
            f = cell.end.figures
            spans = f"{points(f['f1_low'])} to {points(f['f1_high'])}" if "f1_low" in f else ""
            figures = [points(f[name]) if name in f else "" for name in ("f1", "precision", "recall")]
            tokens = cell.end.cost.get("tokens_per_document", 0.0)
            rows.append(
                (run.header.run, cell.header.name, cell.end.state, figures[0], spans, *figures[1:], f"{tokens:,.0f}")
            )
        missing = set(run.unfinished)
        rows += [(run.header.run, p.name, "not run", *[""] * 5) for p in run.header.plan if p.id in missing]
    return rows
