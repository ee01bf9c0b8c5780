"""The screens a person can go to from any other, by the command palette."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.screen import Screen


@dataclass(frozen=True, slots=True)
class Place:
    """A screen.

    Attributes:
        name: What it is called, in its title, too.
        help: What it shows, in one line.
        make: Makes it for a project's folder; may raise a ``QuorumError``.
    """

    name: str
    help: str
    make: Callable[[Path], Screen[Any]]


def _run(root: Path) -> Screen[Any]:
    from agent.config import ProjectConfig
    from tui.screens.runs import RunScreen
    from tui.views.runs import RunReader

    return RunScreen(RunReader(ProjectConfig.load(root).store_path, root), root)


def _demonstrations(root: Path) -> Screen[Any]:
    from agent.config import ProjectConfig
    from tui.screens.demonstrations import DemonstrationsScreen
    from tui.views.demonstrations import Shelf

    return DemonstrationsScreen(Shelf(ProjectConfig.load(root)))


def _settings(root: Path) -> Screen[Any]:
    from tui.screens.settings import SettingsScreen

    return SettingsScreen(root)


def _campaign(root: Path) -> Screen[Any]:
    from agent.config import ProjectConfig
    from tui.commands.campaign import make_screen
    from tui.commands.common import user_name

    return make_screen(ProjectConfig.load(root), user_name())


def _review(root: Path) -> Screen[Any]:
    from agent.config import ProjectConfig
    from tui.commands.common import user_name
    from tui.commands.review import make_screen

    return make_screen(ProjectConfig.load(root), user_name())


PLACES: tuple[Place, ...] = (
    Place("campaign", "the curve, the types, cost, the open batch; label from there", _campaign),
    Place("review", "where annotators and models differ, side by side", _review),
    Place("unattended run", "progress, outcomes, members, dead letters, the servers' log", _run),
    Place("demonstrations", "what the models are shown, and what would be found for a text", _demonstrations),
    Place("settings", "every setting, where it comes from, and what is wrong with it", _settings),
)
