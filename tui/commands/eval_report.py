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
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write results in words and tables instead.", dir_okay=False),
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write all figures as .csv, .parquet or .md.", dir_okay=False),
    ] = None,
    against: Annotated[
        str, typer.Option("--against", metavar="CELL", help="Hold all cells against this one of the first run.")
    ] = "",
    alpha: Annotated[
        float, typer.Option("--alpha", help="How often any difference may be claimed in vain.", min=0.0001, max=0.5)
    ] = 0.05,
    resamples: ResamplesOption = 10_000,
    explain: Annotated[
        int,
        typer.Option("--explain", metavar="N", min=0, help="Votes and prompts of so many documents a data set."),
    ] = 100,
    into: IntoOption = DEFAULT_INTO,
) -> None:
    """Write runs as one HTML page: a summary, tables, plots, and the documents to browse.

    One run's cells are held against its first (or --against); with several
    runs, every later one against the first, cell by cell. With --markdown the
    questions of each run's suite are answered one by one, and what was planned
    and not run is named. With --markdown or --export the page is written only
    where -o names it.
    """
    from evals.finished import find_run
    from evals.log import read_run
    from evals.report import build_report, results_markdown
    from evals.report.exporting import export_runs
    from evals.tables import check_ending, write_whole
    from tui.report.eval_page import render_eval_page
    from tui.report.steps import steps

    if export_to is not None:
        check_ending(export_to)
    read = [read_run(find_run(into, name)) for name in runs]
    if export_to is not None:
        export_runs(read, export_to)
        print(printable(str(export_to)))
    if markdown is not None:
        with steps() as tick:
            text = results_markdown(read, alpha=alpha, resamples=resamples, tick=tick)
        write_whole(markdown, text.encode())
        print(printable(str(markdown)))
    if output is None and (markdown is not None or export_to is not None):
        return
    target = output or Path(f"{read[0].header.run}.html")
    with steps() as tick:
        found = build_report(read, against=against, alpha=alpha, resamples=resamples, explain=explain, tick=tick)
    write_whole(target, render_eval_page(found).encode())
    for text in found.notes:
        note(f"note: {printable(text)}")
    size = target.stat().st_size / 1024
    print(printable(str(target)))
    note(f"{found.cells} cells, {size:,.0f} KiB")
