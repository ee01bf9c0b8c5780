"""The demonstrations screen on a real index in Chroma: every key, what each retriever gives, and how it looks."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from agent.config import ProjectConfig, RunConfig
from tests.demonstrations.conftest import HashEmbedder
from tests.tui_screens.conftest import app_of, drive, settled, shown
from tools.annotation import Document, Span
from tools.demonstrations import Demonstration, DemonstrationIndex, Query, retriever
from tools.demonstrations.gold import demonstrations_of
from tui.keymap import Command
from tui.screens.demonstrations import DemonstrationsScreen
from tui.screens.label_dialogs import Page, Pick
from tui.views.demonstrations import ORDER, Shelf, agreement, mentions_of

pytestmark = pytest.mark.usefixtures("own_state")
SIZES = ((80, 24), (120, 40))
THEMES = ("standard", "contrast")
ASKED = "Ada met Bo in Lagos"
Check = Callable[[DemonstrationsScreen], object]
PEOPLE, PLACES = ("Ada", "Bo", "Chidi", "Dana", "Efe"), ("Lagos", "Accra", "Kano", "Oslo")


def documents() -> list[tuple[Document, list[Span]]]:
    found = []
    for number in range(40):
        who, where = PEOPLE[number % 5], PLACES[number % 4]
        text = f"{who} went to {where} on day {number} and wrote [b]home[/b] about it."
        at = text.index(where)
        spans = [Span(0, len(who), "person"), Span(at, at + len(where), "location")]
        found.append((Document(f"letter-{number}", text), spans))
    found.append((Document("odd", "東京都 was \x1b[31mred that day, said nobody."), []))
    return found


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    config = ProjectConfig.default(root=folder, environment={})
    shown = [item for document, spans in documents() for item in demonstrations_of(document, spans)]
    with DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=False) as made:
        made.add(shown)
    return folder


@pytest.fixture
def make(index: Path) -> Callable[..., DemonstrationsScreen]:
    config = ProjectConfig.default(root=index, environment={}, run=RunConfig(seed=7))

    def screen(text: str = "") -> DemonstrationsScreen:
        return DemonstrationsScreen(Shelf(config, HashEmbedder(), clock=lambda: 0.0), text)

    return screen


def listed(screen: DemonstrationsScreen) -> int:
    assert screen.listed is not None
    return screen.listed.cursor


def rows(screen: DemonstrationsScreen) -> dict[str, list[str]]:
    return {column.name: [row.demonstration.id for row in column.rows] for column in screen.columns}


# Command: what is pressed before it, and what must hold after it. Each begins with something found.
EXPECTED: dict[str, tuple[tuple[str, ...], Check]] = {
    "search": ((), lambda s: isinstance(s.focused, Input)),
    "open": ((), lambda s: isinstance(s.app.screen, Page) and "split train" in shown(s.app)),
    "like": ((), lambda s: s.text.endswith("about it.") and s._from.startswith("letter") and len(s.columns) == 4),
    "switch": ((), lambda s: s.showing == "all"),
    "left": ((), lambda s: ORDER[s.chosen] == "sentence"),
    "right": (("left", "left"), lambda s: ORDER[s.chosen] == "sentence"),
    "more": ((), lambda s: s.k == 6 and all(len(column.rows) == 6 for column in s.columns)),
    "fewer": ((), lambda s: s.k == 4 and all(len(column.rows) == 4 for column in s.columns)),
    "again": ((), lambda s: s._seed == 8 and len(s.columns) == 4),
    "reopen": ((), lambda s: s.count == 41),
    "up": (("down",), lambda s: listed(s) == 0),
    "down": ((), lambda s: listed(s) == 1),
    "page_up": (("end",), lambda s: listed(s) == 0),
    "page_down": ((), lambda s: listed(s) == 4),
    "first": (("down",), lambda s: listed(s) == 0),
    "last": ((), lambda s: listed(s) == 4),
    "theme": ((), lambda s: s.palette.name == "light"),
    "help": ((), lambda s: isinstance(s.app.screen, Page) and "The retriever to the left" in shown(s.app)),
    "palette": ((), lambda s: isinstance(s.app.screen, Pick) and "search" in shown(s.app)),
    "back": ((), lambda s: s.app._exit),
    "leave": ((), lambda s: s.app._exit),
}


@pytest.mark.parametrize("command", DemonstrationsScreen.commands(), ids=lambda command: command.id)
def test_every_key(make: Callable[..., DemonstrationsScreen], command: Command) -> None:
    before, holds = EXPECTED[command.id]
    for key in command.keys:

        async def work(pilot: Pilot[int], screen: DemonstrationsScreen, key: str = key) -> None:
            await pilot.press(*before, key)
            if command.id not in ("back", "leave"):
                await settled(pilot.app)
            await pilot.pause()
            assert holds(screen), f"{key} did not do {command.id}"

        drive(lambda: make(ASKED), work)


def test_no_key_stands_for_two_commands() -> None:
    keys = [key for command in DemonstrationsScreen.commands() for key in command.keys]
    assert len(keys) == len(set(keys))


def test_what_is_shown_is_what_the_retrievers_give(make: Callable[..., DemonstrationsScreen], index: Path) -> None:
    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        await pilot.press("slash", *("space" if char == " " else char for char in ASKED), "enter")
        await settled(pilot.app)
        found = rows(screen)
        query = Query("", ASKED, mentions_of(ASKED))
        config = ProjectConfig.default(root=index, environment={})
        with DemonstrationIndex(config.chroma_path, HashEmbedder(), read_only=True) as opened:
            for name in ORDER[1:]:
                wanted = retriever(name, opened).retrieve([query], 5, rng=random.Random(0))[0]
                assert found[name] == [row.demonstration.id for row in wanted]
                assert f"{wanted[0].score:.2f}" in shown(pilot.app)
        assert len(found["random"]) == 5
        assert "span compares Ada, Bo, Lagos" in shown(pilot.app)

    drive(make, work, (120, 40))


def test_the_list_asks_for_the_rows_it_shows_only(make: Callable[..., DemonstrationsScreen]) -> None:
    screen = make()
    asked: list[tuple[int, int]] = []
    real = screen.shelf.rows

    def rows_of(first: int, last: int) -> list[Demonstration]:
        asked.append((first, last))
        return real(first, last)

    screen.shelf.rows = rows_of  # type: ignore[method-assign]

    async def work(pilot: Pilot[int], shown_screen: DemonstrationsScreen) -> None:
        assert shown_screen.count == 41
        await pilot.press("end")
        await pilot.pause()
        assert listed(shown_screen) == 40
        assert max(b - a for a, b in asked) <= 24

    drive(lambda: screen, work)


def test_the_screen_takes_keys_while_a_model_loads(index: Path) -> None:
    class Slow(HashEmbedder):
        gate = threading.Event()

        def encode(self, texts: Any) -> Any:
            assert self.gate.wait(20)
            return super().encode(texts)

    config = ProjectConfig.default(root=index, environment={})
    slow = Slow()

    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        screen.search(ASKED)
        for _ in range(100):
            await pilot.pause(0.02)
            if len(screen.columns) == 2:
                break
        assert [column.name for column in screen.columns] == ["random", "bm25"]
        assert "asking sentence" in shown(pilot.app)
        await pilot.press("down", "left", "left")
        assert listed(screen) == 1
        assert ORDER[screen.chosen] == "bm25"
        slow.gate.set()
        await settled(pilot.app)
        assert len(screen.columns) == 4

    drive(lambda: DemonstrationsScreen(Shelf(config, slow)), work)


def test_its_own_document_is_left_out(make: Callable[..., DemonstrationsScreen]) -> None:
    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        own = screen.here
        assert own is not None
        await pilot.press("w")
        await settled(pilot.app)
        assert all(own.id not in ids for ids in rows(screen).values())

    drive(make, work)


def test_without_an_index_it_says_what_to_do(tmp_path: Path) -> None:
    config = ProjectConfig.default(root=tmp_path, environment={})

    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        assert "there is no demonstration index" in shown(pilot.app)
        assert "nothing here" in shown(pilot.app)
        await pilot.press("enter", "w", "tab", "left", "down")
        await pilot.press("slash", "a", "enter")
        await settled(pilot.app)

    drive(lambda: DemonstrationsScreen(Shelf(config, HashEmbedder())), work, (130, 24))


def test_a_damaged_index_is_told(index: Path, tmp_path: Path) -> None:
    shutil.copytree(index / ".quorum", tmp_path / ".quorum")
    next((tmp_path / ".quorum" / "chroma").glob("generation-*/chroma.sqlite3")).write_bytes(b"no")
    config = ProjectConfig.default(root=tmp_path, environment={})

    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        assert "damaged" in shown(pilot.app)

    drive(lambda: DemonstrationsScreen(Shelf(config, HashEmbedder())), work, (200, 24))


def test_closing_removes_the_readers_copy(make: Callable[..., DemonstrationsScreen], index: Path) -> None:
    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        assert list((index / ".quorum" / "chroma" / "readers").iterdir())
        await pilot.press("f5")
        await settled(pilot.app)

    drive(make, work)
    assert not list((index / ".quorum" / "chroma" / "readers").iterdir())


def test_a_text_is_never_markup_or_an_escape(make: Callable[..., DemonstrationsScreen]) -> None:
    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        seen = ""
        for _ in range(3):
            seen += shown(pilot.app)
            await pilot.press("pagedown")
            await pilot.pause()
        assert "[b]home[/b]" in seen
        assert "東京都" in seen.replace("\u200b", "")
        assert "\x1b" not in seen

    drive(make, work, (120, 24))


def test_agreement_counts_each_retriever_once(make: Callable[..., DemonstrationsScreen]) -> None:
    async def work(pilot: Pilot[int], screen: DemonstrationsScreen) -> None:
        counted = agreement(screen.columns)
        for name, many in counted.items():
            assert many == sum(name in ids for ids in rows(screen).values())

    drive(lambda: make(ASKED), work)


SNAPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "all": ("", ("down",)),
    "found": (ASKED, ("down", "left")),
    "open": (ASKED, ("enter",)),
    "help": ("", ("question_mark",)),
}
CASES = [
    pytest.param(name, theme, size, id=f"{name}-{theme}-{size[0]}x{size[1]}")
    for name in SNAPS
    for theme in THEMES
    for size in SIZES
]


@pytest.mark.parametrize(("name", "theme", "size"), CASES)
def test_picture(
    make: Callable[..., DemonstrationsScreen],
    snap_compare: Callable[..., bool],
    name: str,
    theme: str,
    size: tuple[int, int],
) -> None:
    text, keys = SNAPS[name]

    async def before(pilot: Pilot[int]) -> None:
        await pilot.pause()
        await settled(pilot.app)
        await pilot.press(*keys)
        await settled(pilot.app)
        await pilot.pause()

    assert snap_compare(app_of(lambda: make(text), theme), terminal_size=size, run_before=before)
