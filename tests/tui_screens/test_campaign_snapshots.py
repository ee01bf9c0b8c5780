"""The campaign and the review screens as pictures, at 80x24 and 120x40, in the standard and the high-contrast theme."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui_screens.campaign_made import copied, press, settled
from tui.app import QuorumApp
from tui.commands import campaign, review

SIZES = ((80, 24), (120, 40))
THEMES = ("standard", "contrast")
SCREENS: dict[str, tuple[str, tuple[str, ...]]] = {
    "campaign": ("campaign", ()),
    "campaign-before": ("campaign", ("left", "down")),
    "campaign-why": ("campaign", ("W",)),
    "campaign-rounds": ("campaign", ("R",)),
    "campaign-types": ("campaign", ("t",)),
    "campaign-outlook": ("campaign", ("o",)),
    "campaign-help": ("campaign", ("?",)),
    "review": ("review", ()),
    "review-document": ("review", ("enter",)),
    "review-chosen": ("review", ("m", "enter", "1", "d")),
    "review-reason": ("review", ("enter", "a", "enter", "enter")),
    "review-help": ("review", ("enter", "?")),
    "review-edit": ("review", ("enter", "e")),
    "review-edit-help": ("review", ("enter", "e", "?")),
    "review-whose": ("review", ("enter", "a")),
    "palette": ("campaign", ("ctrl+p",)),
}


def made(folder: Path, kind: str) -> Callable[[], Any]:
    config = copied(folder)
    if kind == "campaign":
        return lambda: campaign.make_screen(config, "me", models=False)
    return lambda: review.make_screen(config, "rev")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("screen", SCREENS)
def test_screen(
    tmp_path: Path, snap_compare: Callable[..., bool], screen: str, theme: str, size: tuple[int, int]
) -> None:
    kind, keys = SCREENS[screen]
    app = QuorumApp(theme)
    app.first = made(tmp_path, kind)

    async def before(pilot: Pilot[int]) -> None:
        await settled(pilot)
        await press(pilot, *keys)
        for line in pilot.app.screen.query(Input):
            line.cursor_blink = False
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("kind", ["campaign", "review"])
def test_the_light_theme(tmp_path: Path, snap_compare: Callable[..., bool], kind: str) -> None:
    app = QuorumApp("light")
    app.first = made(tmp_path, kind)

    async def before(pilot: Pilot[int]) -> None:
        await settled(pilot)
        await press(pilot, *(("enter",) if kind == "review" else ()))
        await settled(pilot)

    assert snap_compare(app, terminal_size=(120, 40), run_before=before)
