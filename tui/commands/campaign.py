"""``quorum campaign``: the campaign screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import HERE, ProjectOption, load_project, user_name

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
    from tools.errors import InputError
    from tui.theme import PALETTES

    config = load_project(project)
    if theme not in PALETTES:
        raise InputError(f"there is no theme {theme!r}", f"one of {', '.join(PALETTES)}")
    if not sys.stdin.isatty() or not sys.stderr.isatty():  # Textual draws on stderr
        raise InputError("the campaign screen needs a terminal", "quorum status --json says how a campaign stands")
    from tui.app import QuorumApp

    screen = make_screen(config, annotator or user_name(), models=models)
    app = QuorumApp(theme)
    app.first = lambda: screen
    status = app.run()
    if status or app.return_code:
        raise typer.Exit(app.return_code or status or 0)


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
