"""A campaign of a scripted oracle with an open batch and second opinions, made once and copied for each test."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from agent.campaign import labelling
from agent.config import ProjectConfig
from tests.campaign.world import make_project, opened, oracle, simulate
from tools.annotation import Span
from tools.store import Campaign, Store
from tui.app import QuorumApp

ROUNDS = 5


@lru_cache(maxsize=1)
def _template() -> TemporaryDirectory[str]:
    """Four rounds that an oracle answered, the fifth open; ada gave second opinions, some of them wrong."""
    kept = TemporaryDirectory()
    config = make_project(Path(kept.name) / "p")
    simulate(config, budget=24, overlap=0.4, audit=0.5, target_f1=0.99)
    with opened(config, budget=36, overlap=0.4, audit=0.5, target_f1=0.99, min_gain=0.001) as session:
        session.advance()
    with Store.open(config.store_path) as store:
        ada = oracle("ada", 0.5)
        given = [item for item in labelling.lease(store, "ada", 100) if item.answers]
        for item in given:
            labelling.answer(store, item.document_id, ada.answer(store.document(item.document_id)), "ada", seconds=6.0)
        store.release("ada")
        campaign = latest(store)
        for one in store.rounds(campaign.id):  # how long it took differs from run to run
            if one.report:
                report = {**one.report, "seconds": 2.5 * one.number}
                store.update_round(campaign.id, one.number, one.state, report=report)
    return kept


def latest(store: Store) -> Campaign:
    """The campaign that there is."""
    campaign = store.campaign()
    assert campaign is not None
    return campaign


def copied(folder: Path) -> ProjectConfig:
    """A project of one's own."""
    shutil.copytree(Path(_template().name) / "p", folder / "news")
    return ProjectConfig.load(folder / "news", environment={})


def stored(config: ProjectConfig) -> Store:
    """The project's store beside the screen's."""
    return Store.open(config.store_path, shared=True)


def waiting(config: ProjectConfig) -> list[str]:
    """What nobody has dealt with."""
    with Store.open(config.store_path, read_only=True) as store:
        batch = labelling.open_batch(store)
        return [item.document_id for item in batch.waiting] if batch else []


def truth(document_id: str) -> tuple[Span, ...]:
    """A document's gold."""
    return oracle().gold[document_id]


def run(
    make: Callable[[], Screen[Any]],
    work: Callable[[Pilot[int], Any], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    palette: str = "standard",
) -> None:
    """Let a screen run, headless, and do something with it."""

    async def inside() -> None:
        app = QuorumApp(palette)
        app.first = make
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await work(pilot, app.screen)

    asyncio.run(inside())


async def settled(pilot: Pilot[int]) -> None:
    """Wait until threads have answered and all is painted."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys as the table writes them."""
    from textual.keys import _character_to_key

    await pilot.press(*(_character_to_key(key) if len(key) == 1 else key for key in keys))
    await pilot.pause()
