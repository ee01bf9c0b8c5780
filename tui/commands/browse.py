"""``quorum demos browse``: the demonstrations on a screen."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.common import HERE, ProjectOption, check_theme, key_table, load_project, need_terminal, run_screen


def browse(
    text: Annotated[str, typer.Argument(help="A text to search for at once.", show_default=False)] = "",
    project: ProjectOption = HERE,
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
) -> None:
    """Browse the demonstrations, and see what each retriever would find for a text, side by side."""
    from tui.views.demonstrations import Shelf

    check_theme(theme)
    config = load_project(project)
    need_terminal("this screen", "quorum demos list and quorum demos search print the same")
    from tui.screens.demonstrations import DemonstrationsScreen

    run_screen(lambda: DemonstrationsScreen(Shelf(config), text), theme, key_table(config))
