"""``quorum eval gate``: fail where a run has lost more than it may."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tui.commands.common import JsonOption, note, print_json, printable
from tui.commands.eval_compare import OnlyOption, ResamplesOption, SeedOption
from tui.commands.eval_run import DEFAULT_INTO, IntoOption


def gate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that is judged: id, log, or latest.")],
    baseline: Annotated[
        str,
        typer.Option("--baseline", metavar="RUN", help="Held against: an id, a log, a baseline, or one that ships."),
    ],
    max_drop: Annotated[
        float, typer.Option("--max-drop", help="The largest drop allowed, in points of F1.", min=0, max=100)
    ] = 0.5,
    alpha: Annotated[float, typer.Option("--alpha", help="How often it may fail in vain.", min=0.0001, max=0.4)] = 0.05,
    prove: Annotated[
        bool, typer.Option("--prove", help="Pass only where a larger drop is ruled out (non-inferiority).")
    ] = False,
    only: OnlyOption = "",
    resamples: ResamplesOption = 10_000,
    seed: SeedOption = 13,
    into: IntoOption = DEFAULT_INTO,
    as_json: JsonOption = False,
) -> None:
    """Fail where a run has lost more than it may, against a baseline of the same documents.

    The summary on stdout is Markdown. Exit status: 0 passed, 1 a cell dropped
    or is missing, 2 something to mend (other data, no such run).
    """
    from evals.finished import find_run
    from evals.gate import find_baseline, markdown
    from evals.gate import gate as judge
    from evals.log import read_run
    from tui.report.steps import steps

    judged = read_run(find_run(into, run))
    base = read_run(find_baseline(into, baseline))
    with steps() as tick:
        report = judge(
            judged, base, max_drop=max_drop, alpha=alpha, prove=prove, only=only, resamples=resamples, seed=seed,
            tick=tick,
        )  # fmt: skip
    if as_json:
        print_json(report.to_json())
        for text in report.notes:
            note(f"note: {printable(text)}")
    else:
        for line in markdown(report).splitlines():
            sys.stdout.write(printable(line) + "\n")
    if not report.passed:
        raise typer.Exit(1)
