"""Real runs, a real index, and the real screens on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from tui.app import QuorumApp

Work = Callable[[Pilot[int], Any], Awaitable[None]]


def app_of(make: Callable[[], Screen[Any]], palette: str = "standard") -> QuorumApp:
    app = QuorumApp(palette)
    app.first = make
    return app


def drive(
    make: Callable[[], Screen[Any]], work: Work, size: tuple[int, int] = (80, 24), palette: str = "standard"
) -> QuorumApp:
    """Let a screen run, headless, and do something with it."""
    app = app_of(make, palette)

    async def inside() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(app)
            await work(pilot, app.screen)

    asyncio.run(inside())
    return app


async def settled(app: App[Any]) -> None:
    """Until what works behind the screen is done."""
    for _ in range(100):  # on a busy machine the screen itself may take a moment
        if len(app.screen_stack) > 1 and app.screen.is_mounted:
            break
        await asyncio.sleep(0.02)
    for _ in range(3):
        await app.workers.wait_for_complete()
        await asyncio.sleep(0.02)
    for line in app.screen.query(Input):
        line.cursor_blink = False


def shown(app: App[Any]) -> str:
    """All text on the screen, as a person sees it."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


@pytest.fixture
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that happen to run on this machine are none of the tests' business."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("QUORUM_HOME", str(tmp_path_factory.mktemp("home")))
