"""``quorum eval run``: measure every cell of a suite that has not been measured yet."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.common import JsonOption, counted, make_state_folder, note, print_json, print_table, printable

if TYPE_CHECKING:
    from evals.estimate import Estimate
    from evals.run import RunResult

DEFAULT_INTO = Path(".quorum") / "evals"
IntoOption = Annotated[
    Path, typer.Option("--into", metavar="DIR", help="Where logs and kept answers are.", file_okay=False)
]
DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", help="A folder with a folder a corpus; default: QUORUM_DATA."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the suite: demonstrations.k=3, data=conll2003."),
]


def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of one of ours, or a .toml file.")],
    overrides: SetOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The most documents a data set.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was stopped.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, whatever it costs.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what earlier runs have measured.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="DATA,...", help="Of the suite's data sets these now, the others another time."),
    ] = None,
    part: Annotated[
        str, typer.Option("--part", metavar="I/N", help="The i-th of n parts now; the first tells most.")
    ] = "",
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", metavar="M", min=0.01, help="Begin nothing new after so long; the rest is left."),
    ] = None,
    data_root: DataRootOption = None,
    into: IntoOption = DEFAULT_INTO,
    as_json: JsonOption = False,
) -> None:
    """Measure every cell of a suite that has not been measured yet.

    What earlier runs have finished is taken over; answers that models gave
    before are not asked again. Killed anywhere, --resume goes on. With --only,
    --part or --max-minutes a call measures a slice and leaves the rest planned;
    the next one goes on by itself. Exit status: 0 done, or the slice is done;
    2 something to mend, 3 too few members answer.
    """
    from agent.runs.again import again_after_deaths
    from evals.models import OwnModels
    from evals.run import RunOptions, run_suite
    from evals.slices import Slice, parse_part
    from evals.suite import load_suite
    from tui.report.progress import progress_on

    loaded = load_suite(suite, overrides or ())
    if into == DEFAULT_INTO:
        make_state_folder(into.parent)
    names = tuple(name.strip() for given in only or () for name in given.split(",") if name.strip())
    chosen = Slice(names, parse_part(part) if part else None, max_minutes)
    options = RunOptions(into, data_root, limit, resume, fresh, chosen)
    with progress_on() as observer:

        def confirm(estimate: Estimate) -> bool:
            return yes or _ask(estimate, observer)

        models, began = OwnModels(), time.monotonic()

        def once(more: bool) -> Awaitable[RunResult]:
            spent = (time.monotonic() - began) / 60
            left = None if max_minutes is None else max(0.01, max_minutes - spent)
            going_on = replace(options, resume=True, slice=replace(chosen, max_minutes=left)) if more else options
            agreed = (lambda estimate: True) if more else confirm  # what was agreed to is not asked again
            return run_suite(loaded, going_on, confirm=agreed, observer=observer, models=models)

        try:
            result = asyncio.run(again_after_deaths(once, lambda: len(models.deaths), observer.note))
        except KeyboardInterrupt:
            observer.note("stopped; what is finished is kept, go on with the same command and --resume")
            raise
    if as_json:
        print_json(as_data(result))
    else:
        _tell(result)


def _ask(estimate: Estimate, observer: Any) -> bool:
    from tui.report.progress import duration

    observer.note(f"this is about {duration(estimate.seconds)}, above the suite's limit")
    if not sys.stdin.isatty():
        return False
    return typer.confirm("go on?", err=True)


def as_data(result: RunResult) -> dict[str, Any]:
    """A run as JSON values."""
    return {
        "run": result.run,
        "log": str(result.log),
        "measured": result.measured,
        "shared": result.shared,
        "unavailable": result.unavailable,
        "planned": result.planned,
        "left": result.left,
        "seconds": result.seconds,
        "estimate": result.estimate.to_json(),
        "cells": [
            {
                "id": planned.header.id,
                "name": planned.header.name,
                "kind": planned.header.kind,
                "data": planned.header.data.name,
                "seed": planned.header.seed,
                "settings": planned.header.settings,
                "state": end.state,
                "reason": end.reason,
                "figures": end.figures,
                "cost": end.cost,
            }
            for planned, end in result.cells
        ],
    }


def _tell(result: RunResult) -> None:
    from tui.report.progress import duration

    rows: list[list[object]] = []
    others: list[list[object]] = []
    base = next((dict(planned.header.settings) for planned, _ in result.cells), {})
    several = len({planned.header.seed for planned, _ in result.cells}) > 1
    for planned, end in result.cells:
        f, kind = end.figures, planned.header.kind
        seed = f" seed {planned.header.seed}" if several else ""
        name = f"{planned.header.data.name}{seed}: {_differing(planned.header.settings, base)}"
        if end.state != "done":
            rows.append([name, end.reason, "", "", "", ""])
        elif kind == "end_to_end":
            interval = f"{f['f1_low']:.3f} to {f['f1_high']:.3f}" if "f1_low" in f else ""
            tokens = f"{end.cost.get('tokens_per_document', 0):,.0f}"
            rows.append([name, f"{f['f1']:.3f}", interval, f"{f['precision']:.3f}", f"{f['recall']:.3f}", tokens])
        else:
            step = kind.removeprefix("oracle_")
            others.append([f"{planned.header.data.name}{seed}: {step}", _step(kind, f)])
    if base:
        note("base: " + ", ".join(f"{name} {_value(value)}" for name, value in base.items()))
    print_table(["cell", "F1", "95 %", "precision", "recall", "tokens/doc"], rows, right=(1, 2, 3, 4, 5))
    if others:
        print_table(["step alone, given the truth", "figures"], others)
    alone = f", {counted(len(others), 'step')} scored alone among them" if others else ""
    note(
        f"{counted(result.measured, 'cell')} measured, {result.shared} taken over"
        + (f", {result.unavailable} not available" if result.unavailable else "")
        + f"{alone}, in {duration(result.seconds)}"
    )
    if result.left:
        why = "time is up" if result.halted else "this slice is done"
        note(
            f"{why}: {len(result.cells)} of {result.planned} cells are there, {result.left} are left; go on with the"
            " same command and --resume, or with another slice"
        )
    note(f"log: {printable(str(result.log))}")


def _differing(settings: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """How a cell differs from the suite's first one."""
    words = [f"{name.split('.')[-1]} {_value(value)}" for name, value in settings.items() if value != base.get(name)]
    return ", ".join(words) or "base"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _step(kind: str, f: dict[str, float]) -> str:
    if kind == "oracle_extract":
        members = ", ".join(f"{n.split('/')[1]} {v:.3f}" for n, v in f.items() if n.startswith("recall/"))
        return f"recall of places {f['recall']:.3f} ({members}); precision {f['precision']:.3f}"
    if kind == "oracle_classify":
        members = ", ".join(f"{n.split('/')[1]} {v:.3f}" for n, v in f.items() if n.startswith("accuracy/"))
        return f"typing accuracy {f['accuracy']:.3f} ({members}); said none {f['said_none']:.3f}"
    downs = ", ".join(f"{n.split('/')[1]} {v:.3f}" for n, v in f.items() if n.startswith("turned_down/"))
    return f"precision {f['precision']:.3f}, recall {f['recall']:.3f} of yes; turned down: {downs}"
