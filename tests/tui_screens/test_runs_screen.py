"""The screen of a run: every key of its table, what it shows, and how it looks."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from agent.models import serverstate
from agent.models.processes import identity_of
from agent.models.serverstate import ServerRecord
from tests.tui_screens.conftest import app_of, drive, settled, shown
from tests.tui_screens.runs_made import cut_back, finished
from tools.store import Store
from tui.screens.label_dialogs import Page, Pick
from tui.screens.runs import RunScreen
from tui.views.runs import RunReader, RunView

pytestmark = pytest.mark.usefixtures("own_state")
SIZES = ((80, 24), (120, 40))
THEMES = ("standard", "contrast")
Check = Callable[[RunScreen], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("run"))


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(made, "out.jsonl.run.db")
    shutil.copyfile(made.parent / "in.jsonl", "in.jsonl")
    return Path("out.jsonl.run.db")


async def looked(pilot: Pilot[int]) -> None:
    """Until the run was read and the servers were asked, however busy the machine is."""
    for _ in range(500):
        await pilot.pause(0.02)
        screen = pilot.app.screen
        if isinstance(screen, RunScreen) and screen.view is not None and screen.servers is not None:
            break
    await settled(pilot.app)
    await pilot.pause()


def listed(screen: RunScreen) -> int:
    assert screen.listed is not None
    return screen.listed.cursor


# Command: what is pressed before it, and what must hold after it.
EXPECTED: dict[str, tuple[tuple[str, ...], Check]] = {
    "open": ((), lambda s: isinstance(s.app.screen, Page) and "Ada" in shown(s.app)),
    "switch": ((), lambda s: s.showing == "log"),
    "letters": (("tab",), lambda s: s.showing == "letters"),
    "log": ((), lambda s: s.showing == "log"),
    "runs": ((), lambda s: isinstance(s.app.screen, Pick)),
    "refresh": ((), lambda s: s.says == "looked again"),
    "up": (("down",), lambda s: listed(s) == 0),
    "down": ((), lambda s: listed(s) == 1),
    "page_up": (("end",), lambda s: listed(s) == 0),
    "page_down": ((), lambda s: listed(s) == 1),
    "first": (("down",), lambda s: listed(s) == 0),
    "last": ((), lambda s: listed(s) == 1),
    "theme": ((), lambda s: s.palette.name == "light"),
    "help": ((), lambda s: isinstance(s.app.screen, Page) and "The dead letters" in shown(s.app)),
    "palette": ((), lambda s: isinstance(s.app.screen, Pick) and "refresh" in shown(s.app)),
    "back": ((), lambda s: not s.app.is_running or s.app._exit),
    "leave": ((), lambda s: not s.app.is_running or s.app._exit),
}


@pytest.mark.parametrize("command", RunScreen.commands(), ids=lambda command: command.id)
def test_every_key(store: Path, command: object) -> None:
    from tui.keymap import Command

    assert isinstance(command, Command)
    before, holds = EXPECTED[command.id]
    for key in command.keys:

        async def work(pilot: Pilot[int], screen: RunScreen, key: str = key) -> None:
            await pilot.press(*before, key)
            await pilot.pause()
            assert holds(screen), f"{key} did not do {command.id}"

        drive(lambda: RunScreen(RunReader(store)), work)


def test_no_key_stands_for_two_commands() -> None:
    keys = [key for command in RunScreen.commands() for key in command.keys]
    assert len(keys) == len(set(keys))


def test_a_text_is_never_markup_or_an_escape(store: Path) -> None:
    async def work(pilot: Pilot[int], screen: RunScreen) -> None:
        seen = shown(pilot.app)
        assert "[bold red]grammar[/]" in seen
        assert "\x1b" not in seen
        await pilot.press("enter")
        await pilot.pause()
        assert "[bold red]grammar[/]" in shown(pilot.app)
        assert "\x1b" not in shown(pilot.app)

    drive(lambda: RunScreen(RunReader(store)), work, (120, 40))


def test_a_key_without_meaning_says_where_help_is(store: Path) -> None:
    async def work(pilot: Pilot[int], screen: RunScreen) -> None:
        await pilot.press("z")
        await pilot.pause()
        assert "? lists all keys" in shown(pilot.app)

    drive(lambda: RunScreen(RunReader(store)), work)


def test_too_small_a_terminal_says_so_and_goes_on(store: Path) -> None:
    async def work(pilot: Pilot[int], screen: RunScreen) -> None:
        assert "Make it larger" in shown(pilot.app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        await settled(pilot.app)
        assert "100 of 100" in shown(pilot.app)

    drive(lambda: RunScreen(RunReader(store)), work, (40, 8))


def test_it_waits_for_a_run_that_is_not_there_yet(tmp_path: Path) -> None:
    async def work(pilot: Pilot[int], screen: RunScreen) -> None:
        assert "no store" in shown(pilot.app)
        with Store.open(tmp_path / "s.db") as fresh:
            screen.look()
            await settled(pilot.app)
            assert "no run yet" in shown(pilot.app)
            fresh.start_run({"output": "later.jsonl"}, "0")
            screen.look()
            await settled(pilot.app)
            assert "later.jsonl" in shown(pilot.app)
            assert "RUNNING" in shown(pilot.app)

    drive(lambda: RunScreen(RunReader(tmp_path / "s.db")), work)


def test_another_run_can_be_chosen(store: Path) -> None:
    with Store.open(store) as opened:
        opened.start_run({"output": "second.jsonl"}, "0")

    async def work(pilot: Pilot[int], screen: RunScreen) -> None:
        assert "second.jsonl" in shown(pilot.app)
        await pilot.press("r", "down", "down", "enter")
        await pilot.pause()
        await settled(pilot.app)
        assert "100 of 100" in shown(pilot.app)
        assert screen.reader.wanted == 1

    drive(lambda: RunScreen(RunReader(store)), work)


def test_servers_and_the_end_of_their_logs(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("\n".join(f"line {n}" for n in range(300)) + "\nRuntimeError: [red]out of memory[/]\n")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = ServerRecord(
            "starter-abc", "starter", "r", process.pid, identity_of(process.pid) or "", 9, ("x",), str(log), "cpu",
            2048, 8, 0.0, True, "", {},
        )  # fmt: skip
        serverstate.write(record)

        async def work(pilot: Pilot[int], screen: RunScreen) -> None:
            seen = shown(pilot.app)
            assert "server starter-abc" in seen
            assert "[red]out of memory[/]" in seen  # a tall terminal shows letters and log
            await pilot.press("l")
            await pilot.pause()
            assert listed(screen) == len(screen.log_lines) - 1  # at its end
            await pilot.press("enter")
            await pilot.pause()
            assert isinstance(pilot.app.screen, Page)
            await pilot.press("escape", "home")
            screen.ask_servers()
            await settled(pilot.app)
            assert listed(screen) == 0  # and where a person moved it, it stays

        drive(lambda: RunScreen(RunReader(store)), work, (120, 40))
    finally:
        process.kill()
        process.wait()


def test_it_is_painted_anew_by_itself_and_cheaply(store: Path) -> None:
    cut_back(store, 6, "running")

    async def work(pilot: Pilot[int], screen: RunScreen) -> None:
        looks = []
        real = screen.reader.look

        def look() -> RunView | None:
            looks.append(1)
            return real()

        screen.reader.look = look  # type: ignore[method-assign]
        before = os.times()
        await asyncio.sleep(3.2)
        after = os.times()
        assert 2 <= len(looks) <= 4
        assert (after.user + after.system) - (before.user + before.system) < 1.0

    drive(lambda: RunScreen(RunReader(store)), work)


SNAPS: dict[str, tuple[str, ...]] = {
    "run": (),
    "letter": ("enter",),
    "log": ("l",),
    "help": ("question_mark",),
    "palette": ("ctrl+p",),
}
CASES = [
    pytest.param(name, theme, size, id=f"{name}-{theme}-{size[0]}x{size[1]}")
    for name in SNAPS
    for theme in THEMES
    for size in SIZES
]


@pytest.mark.parametrize(("name", "theme", "size"), CASES)
def test_picture(store: Path, snap_compare: Callable[..., bool], name: str, theme: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await looked(pilot)
        await pilot.press(*SNAPS[name])
        await settled(pilot.app)
        await pilot.pause()

    app = app_of(lambda: RunScreen(RunReader(store)), theme)
    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("theme", [*THEMES, "light"])
def test_picture_of_a_run_that_goes_on(store: Path, snap_compare: Callable[..., bool], theme: str) -> None:
    cut_back(store, 8, "running")
    with Store.open(store):  # somebody writes it
        clock = lambda: 1_750_000_043.0  # noqa: E731

        async def before(pilot: Pilot[int]) -> None:
            await looked(pilot)
            await pilot.pause()

        app = app_of(lambda: RunScreen(RunReader(store, clock=clock)), theme)
        assert snap_compare(app, terminal_size=(80, 24), run_before=before)
