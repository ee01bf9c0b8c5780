"""``quorum eval list``: the suites, and the runs there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.common import JsonOption, note, print_json, print_table
from tui.commands.eval_run import DEFAULT_INTO, IntoOption

if TYPE_CHECKING:
    from evals.suite import LoadedSuite


def list_suites(
    suite: Annotated[str, typer.Argument(metavar="[SUITE]", help="Show the cells of this one.")] = "",
    runs: Annotated[bool, typer.Option("--runs", help="List the runs instead, newest first.")] = False,
    into: IntoOption = DEFAULT_INTO,
    as_json: JsonOption = False,
) -> None:
    """List the suites with their data, cells and cost; or the cells of one; or the runs."""
    if runs:
        _runs(into, as_json)
    elif suite:
        _cells(suite, as_json)
    else:
        _suites(into, as_json)


def _suites(into: Path, as_json: bool) -> None:
    from evals.suite import SUITES, load_suite
    from tools.errors import QuorumError

    rows: list[dict[str, Any]] = []
    for path in sorted(SUITES.glob("*.toml")):
        try:
            rows.append(_suite(load_suite(path.stem), into))
        except QuorumError as error:
            rows.append({"suite": path.stem, "fault": error.message})
    if as_json:
        print_json(rows)
        return
    table = [
        [row["suite"], row["fault"], "", "", ""]
        if "fault" in row
        else [row["suite"], ", ".join(row["data"]), _counted(row), f"{row['documents']:,}", row["cost"]]
        for row in rows
    ]
    print_table(["suite", "data", "cells", "documents", "cost"], table, right=(2, 3))
    note("cells: end to end + steps scored alone, which have no F1 to gate")
    note("the cells of one: quorum eval list SUITE; runs: quorum eval list --runs")


def _suite(loaded: LoadedSuite, into: Path) -> dict[str, Any]:
    from evals.matrix import expand

    cells = expand(loaded)
    sizes = {spec.name: _size(loaded, spec) for spec in loaded.suite.data}
    documents = sum(size for size in sizes.values() if size)
    return {
        "suite": loaded.suite.name,
        "summary": loaded.suite.summary,
        "data": list(sizes),
        "sizes": sizes,
        "cells": len(cells),
        "steps_alone": sum(cell.kind != "end_to_end" for cell in cells),
        "documents": documents,
        "cost": _cost(loaded, into),
        "limit_minutes": loaded.suite.cost.max_minutes,
    }


def _counted(row: dict[str, Any]) -> str:
    """``9 + 3``: cells end to end, and steps scored alone."""
    return f"{row['cells'] - row['steps_alone']} + {row['steps_alone']}" if row["steps_alone"] else str(row["cells"])


def _size(loaded: LoadedSuite, spec: Any) -> int | None:
    from evals.manifest import read_manifest
    from tools.errors import QuorumError

    try:
        frozen = len(read_manifest(loaded.manifest_path(spec), loaded.path, spec.name).documents)
    except QuorumError:
        return None
    return min(frozen, spec.sample or frozen)


def _cost(loaded: LoadedSuite, into: Path) -> str:
    """What it took when it was last run whole; nothing is guessed without a pilot."""
    from evals.finished import runs
    from tui.report.progress import duration

    for run in runs(into):
        if run.header.suite != loaded.suite.name or run.end is None or run.header.limit or run.end.shared:
            continue
        # Answers that were there already took no time: such a run says nothing about seconds.
        if run.cells and run.cells[0].end.cost.get("replayed", 1.0) < 0.1:
            most: dict[str, float] = {}
            for cell in run.cells:
                cost = cell.end.cost
                tokens = cost.get("prompt_tokens", 0.0) + cost.get("output_tokens", 0.0)
                most[cell.header.pass_id] = max(most.get(cell.header.pass_id, 0.0), tokens)
            return f"{sum(most.values()) / 1000:,.0f} thousand tokens, {duration(run.end.seconds)} when last run"
    return f"asks above {loaded.suite.cost.max_minutes:g} min; said before a run"


def _cells(suite: str, as_json: bool) -> None:
    from evals.matrix import expand
    from evals.suite import load_suite

    loaded = load_suite(suite)
    cells = expand(loaded)
    if as_json:
        print_json(
            [
                {"name": c.name, "kind": c.kind, "data": c.data.name, "seed": c.seed, "settings": dict(c.settings)}
                for c in cells
            ]
        )
        return
    note(f"{loaded.suite.name}: {loaded.suite.summary}")
    print_table(["cell"], [[cell.name] for cell in cells])


def _runs(into: Path, as_json: bool) -> None:
    from evals.finished import runs

    rows = [
        {
            "run": run.header.run,
            "suite": run.header.suite,
            "started": run.header.started,
            "cells": len(run.cells),
            "planned": len(run.header.cells),
            "state": "done" if run.end is not None else "not ended",
            "log": str(run.path),
        }
        for run in runs(into)
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["run", "started", "cells", "state", "log"],
        [[r["run"], r["started"], f"{r['cells']}/{r['planned']}", r["state"], r["log"]] for r in rows],
        right=(2,),
    )
