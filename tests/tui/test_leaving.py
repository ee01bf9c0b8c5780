"""Ctrl-C and Ctrl-Q leave from every window and every line that is typed in; nothing typed is dropped unasked."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.tui.conftest import Bench
from tui.keymap import ScreenKeys
from tui.screens.label import LabelScreen

WINDOWS: dict[str, tuple[str, ...]] = {
    "the document": (),
    "a note": ("exclamation_mark", "o", "d", "d"),
    "a confidence": ("percent_sign",),
    "a type": ("number_sign", "p"),
    "the palette": ("ctrl+p", "a"),
    "help": ("question_mark",),
    "why": ("W",),
    "identical": ("tab", "tab", "space", "K", "asterisk"),
    "the keys of identical": ("tab", "tab", "space", "K", "asterisk", "question_mark"),
    "all documents": ("Q",),
    "a filter": ("Q", "slash", "x"),
    "search": ("slash", "x"),
    "the list of search": ("slash", "down"),
    "guidelines": ("G",),
    "a field": ("G", "tab"),
    "letters to jump by": ("F",),
}  # fmt: skip


@pytest.mark.parametrize("key", ["ctrl+c", "ctrl+q"])
@pytest.mark.parametrize("window", WINDOWS)
def test_leaving_from(bench: Bench, window: str, key: str) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        for one in WINDOWS[window]:
            await pilot.press(one)
            await pilot.pause()
        await pilot.press(key)
        if window == "letters to jump by" and key == "ctrl+q":
            await pilot.press(key)  # any other key gives the letters up first
        assert pilot.app._exit, pilot.app.screen

    bench.run(work)


@pytest.mark.parametrize("key", ["ctrl+c", "ctrl+q", "escape"])
@pytest.mark.parametrize("field", ["#description", "#guidelines"])
def test_what_was_typed_in_the_guidelines_is_asked_about(bench: Bench, key: str, field: str) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("G")
        await pilot.pause()
        page = pilot.app.screen
        page.query_one(field, Input if field == "#description" else TextArea).focus()
        await pilot.press("x", key)
        await pilot.pause()
        assert pilot.app.screen is page and not pilot.app._exit
        assert "not kept: Ctrl-S keeps it" in page.says  # type: ignore[attr-defined]
        await pilot.press("y", key)
        assert pilot.app.screen is page and not pilot.app._exit, "typed on: asked again"
        await pilot.press(key)
        await pilot.pause()
        assert pilot.app._exit or pilot.app.screen is screen
        assert bench.store.guidelines() == (0, "")

    bench.run(work, size=(120, 40))


def test_leaving_goes_by_the_keys_of_the_screen_beneath(bench: Bench) -> None:
    bench.project.keys = {"quit": ["f10", "x"]}

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("exclamation_mark", "ctrl+q", "x")
        await pilot.pause()
        line = pilot.app.screen.query_one(Input)
        assert line.value == "x" and not pilot.app._exit, "a key that writes is written"
        await pilot.press("f10")
        assert pilot.app._exit

    bench.run(work)


def test_the_way_back_to_the_screen_one_came_from(bench: Bench) -> None:
    """Opened over another screen, labelling is left for that one, from its windows, too."""

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        other = LabelScreen(bench.project, bench.session)
        await pilot.app.push_screen(other)
        await pilot.press("exclamation_mark", "ctrl+q")
        await pilot.pause()
        assert pilot.app.screen is screen and not pilot.app._exit

    bench.run(work)


def test_ctrl_c_cannot_be_given_away() -> None:
    from tools.errors import ConfigError
    from tui.keymap import normal, screen_keys

    with pytest.raises(ConfigError, match="Ctrl-C leaves"):
        normal("ctrl+c", "keys: accept")
    assert isinstance(screen_keys("queue"), ScreenKeys)
