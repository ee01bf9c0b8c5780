"""A project with suggestions, and the real screen on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tools.annotation import Document, Label, LabelSet, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.store import Store
from tui.app import QuorumApp
from tui.labelling.project import Project
from tui.labelling.queue import Queue, StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen
from tui.widgets.document import DocumentView
from tui.widgets.lines import Lines

LABELS = LabelSet(
    (
        Label("person", "people by name", ("Ada Lovelace",), ("the governor",)),
        Label("organization", "companies and other organised groups"),
        Label("location", "places that have a name"),
    )
)
ADA = "Ada Lovelace wrote to Charles Babbage from London, and the Bank of England read it. London was glad."
TEXTS = {
    "letters": ADA,
    "weather": "Nothing much happened here today. It rained.",
    "mixed": "東京都 and 👨‍👩‍👧 met Zoë in Köln.\nمرحبا بالعالم says Omar\tin London [bold]now[/bold] \x1b[31mred.",
    "last": "London again, and Ada Lovelace.",
}
SUGGESTED = (
    ("Ada Lovelace", "person", 0.93),
    ("Charles Babbage", "person", 0.88),
    ("London", "location", 0.97),
    ("Bank of England", "organization", 0.71),
    ("England", "location", 0.41),
)


def entity(text: str, mention: str, label: str, confidence: float) -> Entity:
    start = text.index(mention)
    votes = (Vote("list", True, label, 0.9), Vote("typed", True, "location", 0.6), Vote("bare", False, label, 0.7))
    return Entity(Span(start, start + len(mention), label), confidence, votes, 0.8, 0)


def fill(store: Store, texts: dict[str, str] = TEXTS) -> None:
    store.add_documents(Document(name, text) for name, text in texts.items())
    store.save_label_set(LABELS)
    if "letters" in texts:
        config = {"config": {"members": [{"name": "list", "model": "starter", "extract": "spans.v1"}]}}
        run = store.start_run(config, "0123456789abcdef")
        found = tuple(entity(ADA, *one) for one in SUGGESTED)
        low = (entity(ADA, "glad", "person", 0.05),)
        store.record_part(run, 0, "f", [PassageResult("letters", 0, Outcome(), found, low, (), ("last#0",))], {})
        store.finish_run(run)


@dataclass
class Bench:
    """A store, a session on it, and a way to let the screen run."""

    store: Store
    project: Project
    session: Session

    def again(self) -> Bench:
        """The same project as after a restart."""
        path = self.store.path
        self.store.close()
        store = Store.open(path, shared=True, durable=True)
        project = Project(self.project.name, self.project.root, self.project.labels, self.project.labels_path)
        return Bench(store, project, Session(store, "ada", StoreQueue(store, "ada")))

    def app(self, palette: str = "standard") -> QuorumApp:
        app = QuorumApp(palette, self.project.keys)
        app.first = lambda: LabelScreen(self.project, self.session)
        return app

    def run(
        self,
        work: Callable[[Pilot[int], LabelScreen], Awaitable[None]],
        size: tuple[int, int] = (80, 24),
        palette: str = "standard",
    ) -> None:
        """Let the screen run, headless, and do something with it."""

        async def inside() -> None:
            app = self.app(palette)
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                screen = app.screen
                assert isinstance(screen, LabelScreen)
                await work(pilot, screen)

        asyncio.run(inside())

    def press(self, *keys: str, size: tuple[int, int] = (80, 24)) -> LabelScreen:
        """Press keys and give the screen as it is at the end."""
        found: list[LabelScreen] = []

        async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
            await pilot.press(*keys)
            await pilot.pause()
            found.append(screen)

        self.run(work, size)
        return found[0]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    labels = tmp_path / "labels.toml"
    from agent.configtemplate import labels_toml

    labels.write_text(labels_toml(LABELS), encoding="utf-8")
    with Store.open(tmp_path / ".quorum" / "store.db", shared=True, durable=True) as store:
        fill(store)
        project = Project("letters of Ada", tmp_path, LABELS, labels)
        queue: Queue = StoreQueue(store, "ada")
        yield Bench(store, project, Session(store, "ada", queue))


def shown(screen: LabelScreen, part: str = "#document") -> str:
    """The text of a part of the screen."""
    return screen.query_one(part, DocumentView if part == "#document" else Lines).plain
