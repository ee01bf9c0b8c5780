"""``quorum review``: the review screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import (
    HERE,
    ProjectOption,
    check_theme,
    key_table,
    load_project,
    need_terminal,
    run_screen,
    user_name,
)

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tui.screens.review import ReviewScreen


def review(
    project: ProjectOption = HERE,
    annotator: Annotated[str, typer.Option("--annotator", "-a", help="Who decides.", show_default="you")] = "",
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
) -> None:
    """Decide where annotators differ: their versions and the models' side by side, span by span, with a reason.

    The decision becomes the gold that counts; the versions stay as they are.
    """
    config = load_project(project)
    check_theme(theme)
    need_terminal("the review screen", "quorum agreement --json tells who agrees with whom")
    keys = key_table(config)
    screen = make_screen(config, annotator or user_name())
    run_screen(lambda: screen, theme, keys)


def make_screen(config: ProjectConfig, reviewer: str) -> ReviewScreen:
    """The screen of a project.

    Args:
        config: The project's settings.
        reviewer: Who decides.

    Raises:
        LabelSetError: The label file is wrong.
        StoreError: The store is damaged, or a newer release made it.
    """
    from tui.commands.label import open_for_labelling
    from tui.screens.review import ReviewScreen

    labels = config.label_set()
    return ReviewScreen(open_for_labelling(config), config.project.name, config.root, labels, reviewer)
