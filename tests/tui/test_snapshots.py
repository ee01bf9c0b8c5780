"""The screens as pictures, at 80x24 and 120x40, in the standard and the high-contrast theme."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.conftest import Bench

SIZES = ((80, 24), (120, 40))
THEMES = ("standard", "contrast")
SCREENS: dict[str, tuple[str, ...]] = {
    "label": (),
    "decided": ("space", "tab", "space", "shift+tab", "x"),
    "selecting": ("ctrl+right", "ctrl+right", "v", "ctrl+right"),
    "help": ("question_mark",),
    "why": ("W",),
    "queue": ("space", "Q"),
    "search": ("slash",),
    "guidelines": ("G",),
    "types": ("number_sign",),
    "above": ("percent_sign",),
    "identical": ("tab", "tab", "space", "K", "asterisk"),
    "jump": ("F",),
    "note": ("exclamation_mark", "o", "d", "d"),
    "palette": ("ctrl+p",),
    "filter": ("Q", "slash", "n", "o", "t"),
    "found": ("slash", "L", "o", "n", "d", "o", "n", "enter"),
    "queue-help": ("Q", "question_mark"),
    "finished": ("ctrl+a", "minus", "minus", "minus", "minus"),
    "wrong": ("n", "8"),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("screen", SCREENS)
def test_screen(
    bench: Bench, snap_compare: Callable[..., bool], screen: str, theme: str, size: tuple[int, int]
) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await pilot.pause()
        await pilot.press(*SCREENS[screen])
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        for line in pilot.app.screen.query(Input):
            line.cursor_blink = False
        await pilot.pause()

    assert snap_compare(bench.app(theme), terminal_size=size, run_before=before)


def test_the_light_theme(bench: Bench, snap_compare: Callable[..., bool]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await pilot.press("space", "v")
        await pilot.pause()

    assert snap_compare(bench.app("light"), terminal_size=(120, 40), run_before=before)


@pytest.mark.parametrize("theme", THEMES)
def test_a_terminal_that_is_too_small(bench: Bench, snap_compare: Callable[..., bool], theme: str) -> None:
    assert snap_compare(bench.app(theme), terminal_size=(36, 9), run_before=None)
