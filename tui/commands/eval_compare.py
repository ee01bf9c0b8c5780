"""``quorum eval compare``: which cells of two runs, or of one, are better, worse, or cannot be told apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import JsonOption, note, print_json, print_table, printable
from tui.commands.eval_run import DEFAULT_INTO, IntoOption

if TYPE_CHECKING:
    from evals.compare import CompareReport

OnlyOption = Annotated[str, typer.Option("--only", metavar="TEXT", help="Cells whose name has this in it.")]
ResamplesOption = Annotated[int, typer.Option("--resamples", help="Draws of the bootstrap.", min=100, max=100_000)]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the draws.", min=0)]


def compare(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The first run (a): id, log, or latest.")],
    other: Annotated[str, typer.Argument(metavar="[RUN]", help="The second (b), which is judged.")] = "",
    against: Annotated[
        str,
        typer.Option("--against", metavar="CELL", help="Hold all cells against this one of the first run."),
    ] = "",
    figure: Annotated[str, typer.Option("--figure", help="f1, precision or recall.")] = "f1",
    only: OnlyOption = "",
    alpha: Annotated[
        float, typer.Option("--alpha", help="How often any difference may be claimed in vain.", min=0.0001, max=0.5)
    ] = 0.05,
    resamples: ResamplesOption = 10_000,
    seed: SeedOption = 13,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Also write the table: .csv, .parquet or .md.", dir_okay=False),
    ] = None,
    into: IntoOption = DEFAULT_INTO,
    as_json: JsonOption = False,
) -> None:
    """Say which cells are better, worse, or cannot be told apart.

    Two runs pair by data set, settings and seed; one run needs --against. Only
    cells of the same documents are compared. Figures are points of 100.
    """
    from evals.compare import FIGURES, compare_runs
    from evals.comparison_text import export
    from evals.finished import find_run
    from evals.log import read_run
    from evals.tables import check_ending
    from tools.errors import ConfigError
    from tui.report.steps import steps

    if figure not in FIGURES:
        raise ConfigError(f"there is no figure {figure!r}", f"use {', '.join(FIGURES)}")
    if not other and not against:
        raise ConfigError(
            "one run alone has nothing to be compared with", "name a second run, or a cell of this one with --against"
        )
    if export_to is not None:
        check_ending(export_to)
    a = read_run(find_run(into, run))
    b = read_run(find_run(into, other)) if other else a
    with steps() as tick:
        report = compare_runs(
            a, b, against=against, only=only, statistic=figure, alpha=alpha, resamples=resamples, seed=seed, tick=tick
        )
    if export_to is not None:
        export(report, export_to)
    for text in report.notes:
        note(f"note: {printable(text)}")
    if as_json:
        print_json(report.to_json())
    else:
        show(report)


def show(report: CompareReport) -> None:
    """Print a comparison: the sentence on stderr, the table on stdout."""
    from evals.comparison_text import HEADS, explain, headline, shown

    note(printable(headline(report)))
    print_table(HEADS, [shown(row) for row in report.rows], right=range(2, 7))
    for run, names in ((report.a, report.only_a), (report.b, report.only_b)):
        if names:
            few = "; ".join(names[:3])
            note(printable(f"only in {run}: {few}{f'; and {len(names) - 3} more' if len(names) > 3 else ''}"))
    note(explain(report))
