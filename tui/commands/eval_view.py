"""``quorum eval view``: look at a run in the terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tui.commands.eval_run import DEFAULT_INTO, IntoOption


def view(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its log, or latest.")] = "latest",
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="RUN", help="Tell changes against the cells of this run.")
    ] = "",
    against: Annotated[
        str, typer.Option("--against", metavar="CELL", help="Tell changes against this cell; the first by default.")
    ] = "",
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
    into: IntoOption = DEFAULT_INTO,
) -> None:
    """Look at a run in the terminal: cells, documents, and every question with its answer."""
    from evals.finished import find_run
    from evals.gate import find_baseline
    from evals.log import read_run
    from evals.view import Viewed
    from tools.errors import ConfigError, InputError
    from tui.report.steps import steps
    from tui.theme import PALETTES

    if theme not in PALETTES:
        raise ConfigError(f"there is no theme {theme!r}", f"one of {', '.join(PALETTES)}")
    shown = read_run(find_run(into, run))
    other = read_run(find_baseline(into, baseline)) if baseline else None
    with steps() as tick:
        viewed = Viewed(shown, other, against, tick)
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise InputError("the viewer needs a terminal", "quorum eval report RUN writes a page with the same")
    from tui.app import QuorumApp
    from tui.screens.eval_view import CellsScreen

    app = QuorumApp(theme)
    app.first = lambda: CellsScreen(viewed)
    status = app.run()
    if status or app.return_code:
        raise typer.Exit(app.return_code or status or 0)
