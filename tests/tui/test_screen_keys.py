"""One table of keys for every screen: remapped, shown in footer and help, refused where wrong, pressed one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.conftest import Bench
from tests.tui.test_keys import textual_key
from tools.errors import ConfigError
from tui.app import QuorumApp
from tui.keymap import SCREENS, check_keys, joined_keys, screen_keys, screens_markdown
from tui.keytable import COMMON
from tui.screens.label import LabelScreen
from tui.screens.label_dialogs import Page, Pick
from tui.screens.looking import LookScreen
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList

Check = Callable[[Any], object]


def classes() -> dict[str, type[LookScreen]]:
    from tui.screens import campaign, demonstrations, guidelines, queue, review, review_document, runs, search, settings

    found = (
        campaign.CampaignScreen, demonstrations.DemonstrationsScreen, guidelines.GuidelinesScreen, queue.QueueScreen,
        review.ReviewScreen, review_document.ReviewDocument, runs.RunScreen, search.SearchScreen, settings.SettingsScreen,
    )  # fmt: skip
    return {kind.TABLE: kind for kind in found}


def test_every_screen_has_a_table_and_every_command_a_method() -> None:
    from tui.screens.label_identical import Identical

    assert set(classes()) | {"identical"} == set(SCREENS)
    for name, kind in classes().items():
        assert all(callable(getattr(kind, f"do_{command.id}", None)) for command in SCREENS[name]), name
        assert {command for command, _ in kind.FOOTER} <= {command.id for command in SCREENS[name]}
        assert set(kind.TYPING) <= {command.id for command in SCREENS[name]}
    assert all(hasattr(Identical, f"do_{name}") for name in ("leave_out", "mark", "pool", "back", "help"))


@pytest.mark.parametrize("screen", SCREENS)
def test_no_key_stands_for_two_commands(screen: str) -> None:
    keys = [key for command in SCREENS[screen] for key in command.keys]
    assert len(keys) == len(set(keys)) and all(command.keys for command in SCREENS[screen])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"on": {"campain": {}}}, "there is no screen 'campain'"),
        ({"on": 3}, "on = 3 is no table"),
        ({"on": {"campaign": "l"}}, "on.campaign = 'l' is no table"),
        ({"on": {"campaign": {"labl": "l"}}}, "[keys.on.campaign]: there is no command 'labl'"),
        ({"on": {"campaign": {"label": "hyper+x"}}}, "is no key"),
        ({"on": {"campaign": {"label": "o", "open": ["o"]}}}, "label and open both want the key o"),
        ({"on": {"run": {"open": ["?", "f1"]}}}, "no key is left for help"),
        ({"on": {"run": {"leave": []}}}, "no key is left for leave"),
        ({"accept": "ctrl+c"}, "Ctrl-C leaves the program"),
    ],
)
def test_a_wrong_table_is_told_in_a_line(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_keys(table, "quorum.toml [keys]")
    assert says in error.value.message and error.value.message.startswith("quorum.toml [keys") and error.value.hint


def test_what_is_common_holds_everywhere_where_it_is_free() -> None:
    table = {"help": ["f12", "o"], "quit": "ctrl+x", "accept": "y", "up": "i"}
    for name, commands in SCREENS.items():
        keys = screen_keys(name, table)
        assert keys.by_key["f12"] == "help" and keys.by_key["ctrl+x"] == "leave" and keys.by_key["i"] == "up"
        assert "y" not in keys.by_key or name == "identical"
        own = next((one.id for one in commands if "o" in one.keys and one.id not in COMMON), "help")
        assert keys.by_key["o"] == own, "a screen's own command keeps its key"
    assert screen_keys("run", {**table, "on": {"run": {"help": "h"}}}).keys_of("help") == ("h",)


def test_a_project_counts_before_a_person_screen_by_screen() -> None:
    user = {"preset": "vim", "on": {"run": {"open": "o", "log": "L"}, "queue": {"filter": "f"}}}
    both = joined_keys(user, {"accept": "y", "on": {"run": {"open": "p"}}})
    assert both == {
        "preset": "vim",
        "accept": "y",
        "on": {"run": {"open": "p", "log": "L"}, "queue": {"filter": "f"}},
    }
    assert joined_keys(user, {}) == user and joined_keys({}, user) == user


@given(
    st.dictionaries(
        st.sampled_from([one.id for one in SCREENS["campaign"]]),
        st.lists(st.sampled_from("abcdefg?qlk") | st.sampled_from(["f1", "enter", "ctrl+q"]), unique=True, max_size=2),
        max_size=5,
    )
)
def test_any_table_is_refused_or_leads_where_it_says(own: dict[str, list[str]]) -> None:
    given_keys = [key for held in own.values() for key in held]
    clash = len(given_keys) > len(set(given_keys))
    locked_out = any(
        not (held if (held := own.get(one.id)) is not None else set(one.keys) - set(given_keys))
        for one in SCREENS["campaign"]
        if one.id in ("help", "leave")
    )
    if clash or locked_out:
        with pytest.raises(ConfigError, match=r"both want the key|no key is left"):
            screen_keys("campaign", {"on": {"campaign": own}})
        return
    keys = screen_keys("campaign", {"on": {"campaign": own}})
    for name, held in own.items():
        assert keys.keys_of(name) == tuple(held)
        assert all(keys.by_key[key] == name for key in held)


def test_remapped_keys_do_it_and_stand_in_footer_help_and_hints(bench: Bench) -> None:
    bench.project.keys = {"on": {"queue": {"filter": "f", "open": ["o", "enter"]}}, "help": ["f12", "f"]}
    app = bench.app()
    assert isinstance(app, QuorumApp)

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("Q")
        await pilot.pause()
        browser = pilot.app.screen
        keys = browser.query_one("#keys", Lines).plain
        assert " o open " in keys and " f filter " in keys and " F12 keys " in keys
        assert "o opens one, f lists only what fits" in browser.query_one("#title", Lines).plain
        await pilot.press("slash")
        assert browser.focused is None and "/ has no meaning here; F12 lists all keys" in browser.says  # type: ignore[attr-defined]
        await pilot.press("f12")
        await pilot.pause()
        lines = pilot.app.screen.query_one(VirtualList).plain
        assert "f                Filter by type" in lines and "[keys.on.queue]" in "".join(
            text
            for line in pilot.app.screen._content
            for text, _ in line  # type: ignore[attr-defined]
        )
        await pilot.press("f12", "f")
        await pilot.pause()
        assert isinstance(browser.focused, Input)
        await pilot.press("escape", "down", "o")
        await pilot.pause()
        assert pilot.app.screen is screen and screen.session.document is not None
        assert screen.session.document.id == "weather"

    bench.run(work)


def at(row: int) -> Check:
    return lambda s: s.query_one(VirtualList).cursor == row


def shows(kind: type) -> Check:
    return lambda s: isinstance(s.app.screen, kind)


def back(s: Any) -> bool:
    return isinstance(s.app.screen, LabelScreen)


MOVES: dict[str, tuple[tuple[str, ...], Check]] = {
    "up": (("end",), lambda s: s.query_one(VirtualList).cursor == s.query_one(VirtualList).count - 2),
    "down": ((), at(1)),
    "page_up": (("end",), at(0)),
    "page_down": ((), lambda s: s.query_one(VirtualList).cursor == s.query_one(VirtualList).count - 1),
    "first": (("end",), at(0)),
    "last": ((), lambda s: s.query_one(VirtualList).cursor == s.query_one(VirtualList).count - 1),
    "theme": ((), lambda s: s.app.palette.name == "light"),
    "help": ((), shows(Page)),
    "palette": ((), shows(Pick)),
    "back": ((), back),
    "leave": ((), lambda s: s.app._exit),
}
FOUND = ("slash", "L", "o", "n", "d", "o", "n", "enter")
EXPECTED: dict[str, tuple[tuple[str, ...], dict[str, tuple[tuple[str, ...], Check]]]] = {
    "queue": (
        ("Q",),
        {
            **MOVES,
            "open": (("down",), lambda s: back(s) and s.app.screen.session.document.id == "weather"),
            "filter": ((), lambda s: isinstance(s.focused, Input)),
            "all": (("/", "x", "enter"), lambda s: s._found is None),
        },
    ),
    "search": (
        FOUND,
        {
            **MOVES,
            "open": (("down",), lambda s: back(s) and s.app.screen.says.endswith("Lond") is False),
            "search": ((), lambda s: isinstance(s.focused, Input)),
            "meaning": ((), lambda s: s._meaning),
        },
    ),
    "guidelines": (
        ("G",),
        {
            **MOVES,
            "keep": (("tab", "x"), lambda s: s.says == "\u2713 kept"),
            "next_field": ((), lambda s: s.focused is not None and s.focused.id == "description"),
            "previous_field": ((), lambda s: s.focused is not None and s.focused.id == "guidelines"),
        },
    ),
}


async def settle(pilot: Pilot[int]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize(("name", "command"), [(n, c.id) for n in EXPECTED for c in SCREENS[n]])
def test_every_key_of_the_screens_over_labelling(bench: Bench, name: str, command: str) -> None:
    opening, expected = EXPECTED[name]
    assert set(expected) == {one.id for one in SCREENS[name]}
    before, check = expected[command]

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        for key in next(one.keys for one in SCREENS[name] if one.id == command):
            screen.session.open("letters")
            await pilot.press(*opening)
            await settle(pilot)
            page = pilot.app.screen
            page.query_one(VirtualList).go(0)
            await pilot.press(*before)
            await settle(pilot)
            await pilot.press(textual_key(key))
            await settle(pilot)
            assert check(page), (key, page.says)  # type: ignore[attr-defined]
            if pilot.app._exit:
                return
            while pilot.app.screen is not screen:
                await pilot.press("escape")
                await pilot.pause()
            while pilot.app.palette.name != "standard":  # type: ignore[attr-defined]
                pilot.app.next_palette()  # type: ignore[attr-defined]

    bench.run(work)


IDENTICAL: dict[str, tuple[tuple[str, ...], Check]] = {
    "leave_out": ((), lambda s: s.left_out == {0}),
    "mark": ((), back),
    "pool": ((), lambda s: s.pool and len(s.found) == 3),
    "up": (("tab", "end"), at(1)),
    "down": (("tab",), at(1)),
    "page_up": (("tab", "end"), at(0)),
    "page_down": (("tab",), at(2)),
    "first": (("tab", "end"), at(0)),
    "last": (("tab",), at(2)),
    "help": ((), shows(Page)),
    "back": ((), back),
    "leave": ((), lambda s: s.app._exit),
}


@pytest.mark.parametrize("command", IDENTICAL)
def test_every_key_of_the_window_of_identical_mentions(bench: Bench, command: str) -> None:
    before, check = IDENTICAL[command]

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        for key in next(one.keys for one in SCREENS["identical"] if one.id == command):
            await pilot.press("tab", "tab", "space", "K", "asterisk")
            await settle(pilot)
            page = pilot.app.screen
            for one in before:
                await pilot.press(one)
                await settle(pilot)
            await pilot.press(textual_key(key))
            await settle(pilot)
            assert check(page), key
            if pilot.app._exit:
                return
            while pilot.app.screen is not screen:
                await pilot.press("escape")
                await pilot.pause()
            while screen.session.store.undo("ada"):
                pass
            screen.session.open("letters")

    bench.run(work)


def test_the_documentation_has_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "screens.md"
    if not page.is_file():
        pytest.skip("installed without its documentation")
    assert screens_markdown() in page.read_text(encoding="utf-8")
