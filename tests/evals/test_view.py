"""The viewer in the terminal: cells, documents, details, prompts; its keys and its pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from evals.log import ENDING, read_run
from evals.view import Viewed
from tests.evals.test_compare import told
from tests.evals.two_runs import Made, named
from tui.app import QuorumApp
from tui.screens.eval_detail import marked
from tui.screens.eval_documents import DocumentScreen, DocumentsScreen
from tui.screens.eval_view import CellsScreen
from tui.screens.label_dialogs import Page
from tui.theme import PALETTES
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList

SIZES = ((80, 24), (130, 36))
CELL = "own vote=weighted members=a"


def app_of(viewed: Viewed, palette: str = "standard") -> QuorumApp:
    app = QuorumApp(palette)
    app.first = lambda: CellsScreen(viewed)
    return app


def shown(pilot: Pilot[int]) -> str:
    screen = pilot.app.screen
    parts = [one.plain for one in screen.query(Lines)] + [one.plain for one in screen.query(VirtualList)]
    return "\n".join(parts)


async def settle(pilot: Pilot[int]) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def play(viewed: Viewed, work: Callable[[Pilot[int]], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    async def inside() -> None:
        async with app_of(viewed).run_test(size=size) as pilot:
            await settle(pilot)
            await work(pilot)

    asyncio.run(inside())


def both(made: Made) -> Viewed:
    return Viewed(named(made.bad, "small-2"), named(made.good, "small-1"))


@pytest.mark.parametrize("size", SIZES)
def test_cells_stand_with_their_verdicts(made: Made, size: tuple[int, int]) -> None:
    async def work(pilot: Pilot[int]) -> None:
        text = shown(pilot)
        assert "small-2  9 cells" in text and "worse" in text and "cannot tell" in text
        assert "own: vote=weighted, members=a+b" in text
        assert "oracle extract" in text
        # Title, heads and keys keep their lines: the list does not cover them.
        assert pilot.app.screen.query_one(VirtualList).region.y == 3
        assert pilot.app.screen.query_one("#keys", Lines).region.y == size[1] - 1

    play(both(made), work, size)


def test_filters_leave_what_they_say(made: Made) -> None:
    viewed = both(made)
    entry = next(e for e in viewed.entries if e.cell.header.name == CELL)
    found = viewed.cases(entry)
    wrong = sum(bool(case.faults) for case in found)

    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("down", "enter")
        await settle(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, DocumentsScreen)
        assert 0 < wrong < 24 and screen.listed.count == wrong
        await pilot.press("x")
        assert screen.listed.count == 24
        await pilot.press("e", "e")
        assert screen.listed.count == 24 - wrong and screen.wanted.kind == "none"
        await pilot.press("E", "E", "s")
        assert screen.wanted.step == "extract" and screen.listed.count == wrong
        await pilot.press("s")
        assert screen.wanted.step == "classify" and screen.listed.count == 0
        await pilot.press("x", "c", "c")
        assert screen.wanted.change == "better" and screen.listed.count == 0
        await pilot.press("c")
        assert screen.listed.count == wrong
        await pilot.press("x", "slash", *"day 7 ", "enter")
        assert screen.listed.count == 1 and "doc-7" in screen.listed.plain
        await pilot.press("q")
        assert isinstance(pilot.app.screen, CellsScreen)

    play(viewed, work)


@pytest.mark.parametrize("size", SIZES)
def test_a_document_is_explained_down_to_its_prompt(made: Made, size: tuple[int, int]) -> None:
    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("down", "enter")
        await settle(pilot)
        await pilot.press("slash", *"doc-12", "enter", "enter")
        await settle(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, DocumentScreen)
        text = shown(pilot)
        assert "[Ada]person missed" in " ".join(text.split()) and "charged to extract" in text
        assert "Asked and answered" in text and "worse against the baseline" in text
        assert "baseline\n" not in text
        await pilot.press("b")
        assert "[Ada]person ✓" in " ".join(shown(pilot).split())
        await pilot.press("end", "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Page)
        text = shown(pilot)
        assert "system" in text and "Ada toured Ghent" in text and "answer" in text
        await pilot.press("escape", "n")
        await settle(pilot)
        assert pilot.app.screen_stack[-1] is screen

    play(both(made), work, size)


def test_next_and_before_stay_within_the_filter(made: Made) -> None:
    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("down", "enter")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, DocumentScreen)
        seen = [screen.case.id]
        for _ in range(30):
            await pilot.press("n")
            seen.append(screen.case.id)
        assert len(set(seen)) == len(screen._cases) and all(case.faults for case in screen._cases)
        await pilot.press("p")
        assert screen.case.id == list(dict.fromkeys(seen))[-2]

    play(both(made), work)


def test_a_step_scored_alone_shows_its_questions(made: Made) -> None:
    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("end", "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Page)
        assert "truth yes" in shown(pilot) and "(gold)" in shown(pilot)

    play(both(made), work)


@pytest.mark.parametrize("size", SIZES)
def test_hostile_text_is_only_text(made: Made, size: tuple[int, int]) -> None:
    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("x", "slash", *"evil", "enter")
        assert "\x1b" not in shown(pilot) and "evil</script>␛" in shown(pilot)
        await pilot.press("enter")
        await settle(pilot)
        text = shown(pilot)
        assert "\x1b" not in text and "\u202e" not in text and "\u2028" not in text
        assert "[bold]" in text and "␛[31m" in text and "onerror=alert(1)" in text

    play(Viewed(made.hostile), work, size)


def test_a_baseline_alone_shows_offsets(made: Made, tmp_path: Path) -> None:
    from evals.baseline import write_baseline

    write_baseline(made.bad.path, tmp_path / f"b{ENDING}")

    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        text = shown(pilot)
        assert "The text was not kept" in text and "place" in text and "Errors" in text

    play(Viewed(read_run(tmp_path / f"b{ENDING}")), work)


def test_a_log_that_is_gone_is_said(made: Made, tmp_path: Path) -> None:
    copy = tmp_path / f"gone{ENDING}"
    copy.write_bytes(made.good.path.read_bytes())
    viewed = Viewed(read_run(copy))
    copy.unlink()

    async def work(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        assert "No such file" in shown(pilot)

    play(viewed, work)


@pytest.mark.parametrize("width", [10, 24, 80])
def test_marked_text_loses_nothing(width: int) -> None:
    text = "Ada and 👨‍👩‍👧 left the\nBank of England, 東京都."
    england = text.index("England")
    bank = text.index("Bank")
    marks = [
        ((0, 3, "person"), "right", 0.9),
        ((bank, england + 7, "org"), "missed", None),
        ((england, england + 7, "place"), "extra", 0.4),
    ]
    lines = marked(text, marks, ["person", "org", "place"], PALETTES["standard"], width)
    whole = "".join("".join(words for words, _ in line) for line in lines)
    assert "".join(whole.split()) == "".join(
        text.replace("Ada", "[Ada]person ✓ 0.90")
        .replace("Bank of England", "[Bank of [England]place + 0.40]org missed")
        .split()
    )


def test_mistakes_are_one_line_and_a_hint(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = str(made.bad.path)
    cases = {
        ("view", "nowhere", "--into", str(tmp_path)): "there is no run 'nowhere'",
        ("view", bad, "--theme", "loud"): "there is no theme 'loud'",
        ("view", bad, "--baseline", str(made.limited.path)): "are of other documents",
        ("view", bad, "--against", "loud"): "has no cell 'loud'",
        ("view", bad): "the viewer needs a terminal",
    }
    for arguments, says in cases.items():
        status, out, err = told(capsys, *arguments)
        assert status == 2 and out == "" and says in err, err
        assert len(err.strip().splitlines()) == 2 and err.splitlines()[1].startswith("hint: "), err


KEYS: dict[str, tuple[str, ...]] = {
    "cells": (),
    "documents": ("down", "enter", "c"),
    "document": ("down", "enter", "slash", *"doc-12", "enter", "enter", "b"),
    "keys": ("question_mark",),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", KEYS)
def test_screen(made: Made, snap_compare: Callable[..., bool], screen: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await settle(pilot)
        for key in KEYS[screen]:
            await pilot.press(key)
            await settle(pilot)
        for line in pilot.app.screen.query(Input):
            line.cursor_blink = False
        await pilot.pause()

    assert snap_compare(app_of(both(made)), terminal_size=size, run_before=before)
