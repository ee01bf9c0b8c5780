"""``quorum demos browse``: the demonstrations on a screen."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tui.commands.common import HERE, ProjectOption, load_project


def browse(
    text: Annotated[str, typer.Argument(help="A text to search for at once.", show_default=False)] = "",
    project: ProjectOption = HERE,
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
) -> None:
    """Browse the demonstrations, and see what each retriever would find for a text, side by side."""
    from tools.errors import InputError
    from tui.theme import PALETTES
    from tui.views.demonstrations import Shelf

    if theme not in PALETTES:
        raise InputError(f"there is no theme {theme!r}", f"one of {', '.join(PALETTES)}")
    config = load_project(project)
    if not sys.stdin.isatty() or not sys.stderr.isatty():  # Textual draws on stderr
        raise InputError("this screen needs a terminal", "quorum demos list and quorum demos search print the same")
    from tui.app import QuorumApp
    from tui.screens.demonstrations import DemonstrationsScreen

    app = QuorumApp(theme)
    app.first = lambda: DemonstrationsScreen(Shelf(config), text)
    status = app.run()
    if status or app.return_code:
        raise typer.Exit(app.return_code or status or 0)
