"""``quorum campaign``: the campaign screen."""

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
    from tui.screens.campaign import CampaignScreen


def campaign(
    project: ProjectOption = HERE,
    annotator: Annotated[str, typer.Option("--annotator", "-a", help="Who labels.", show_default="you")] = "",
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
    models: Annotated[
        bool, typer.Option("--models/--no-models", help="Ask the project's models for suggestions while labelling.")
    ] = True,
) -> None:
    """Show a campaign: what was labelled, how good the models are, what more labels would bring, what comes next.

    The batch that waits is labelled from here with one key. The screen follows
    what happens elsewhere, such as quorum run in another window.
    """
    config = load_project(project)
    check_theme(theme)
    need_terminal("the campaign screen", "quorum status --json says how a campaign stands")
    keys = key_table(config)
    screen = make_screen(config, annotator or user_name(), models=models)
    run_screen(lambda: screen, theme, keys)


def make_screen(config: ProjectConfig, annotator: str, *, models: bool = True) -> CampaignScreen:
    """The screen of a project's latest campaign.

    Args:
        config: The project's settings.
        annotator: Who labels.
        models: Whether the labelling screen asks the models for suggestions.

    Raises:
        StoreError: The store is damaged, or a newer release made it.
    """
    from tui.commands.label import open_for_labelling
    from tui.screens.campaign import CampaignScreen
    from tui.screens.campaign_desk import Desk

    store = open_for_labelling(config)
    return CampaignScreen(store, config.project.name, config.root, Desk(config, store, annotator, models=models))
