"""``quorum eval report``: runs as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import note, printable
from tui.commands.eval_compare import ResamplesOption
from tui.commands.eval_run import DEFAULT_INTO, IntoOption


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs: ids, logs, or latest.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page (RUN.html).", dir_okay=False)
    ] = None,
    against: Annotated[
        str, typer.Option("--against", metavar="CELL", help="Hold all cells against this one of the first run.")
    ] = "",
    alpha: Annotated[
        float, typer.Option("--alpha", help="How often any difference may be claimed in vain.", min=0.0001, max=0.5)
    ] = 0.05,
    resamples: ResamplesOption = 10_000,
    into: IntoOption = DEFAULT_INTO,
) -> None:
    """Write runs as one HTML page: a summary, tables, plots, and the documents to browse.

    One run's cells are held against its first (or --against); with several
    runs, every later one against the first, cell by cell.
    """
    from evals.finished import find_run
    from evals.log import read_run
    from evals.report import build_report
    from evals.tables import write_whole
    from tui.report.eval_page import render_eval_page
    from tui.report.steps import steps

    read = [read_run(find_run(into, name)) for name in runs]
    target = output or Path(f"{read[0].header.run}.html")
    with steps() as tick:
        found = build_report(read, against=against, alpha=alpha, resamples=resamples, tick=tick)
    write_whole(target, render_eval_page(found).encode())
    for text in found.notes:
        note(f"note: {printable(text)}")
    size = target.stat().st_size / 1024
    print(printable(str(target)))
    note(f"{found.cells} cells, {size:,.0f} KiB")
