"""The labelling screen bears what goes wrong."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui.conftest import LABELS, Bench, fill, shown
from tools.annotation import Document, Span
from tools.errors import StoreError
from tools.store import Store, fsck
from tui.labelling.queue import StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen


def test_an_empty_pool_says_so(tmp_path: Path, bench: Bench) -> None:
    with Store.open(tmp_path / "empty.db") as store:
        bench.session = Session(store, "ada", StoreQueue(store, "ada"))
        bench.press("enter", "space", "x", "p", "tab", "minus", "u", "W", "asterisk", "ctrl+n", "ctrl+o", "v")
        bench.press("Q", "escape")

        async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
            assert "no documents yet: quorum import FILE" in screen.says

        bench.run(work)


def test_a_small_terminal_says_so_and_keeps_working(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        assert "needs 40x10" in shown(screen, "#small")
        await pilot.press("space")
        assert len(bench.store.decision("letters", "ada").decision.marks) == 1
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.1)
        assert "Ada Lovelace" in shown(screen)
        await pilot.resize_terminal(120, 30)
        await pilot.pause(0.1)
        assert "Guidelines" in shown(screen, "#panel")

    bench.run(work, size=(30, 8))


def test_a_full_disk_is_told_at_once_and_what_was_confirmed_stays(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("space")
        db = bench.store.database.connection
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        bench.store.database.query("SELECT 1")
        for _ in range(400):
            await pilot.press("greater_than_sign")
            if screen.failed:
                break
            await pilot.press("less_than_sign")
            if screen.failed:
                break
        assert screen.failed and "no room to write" in screen.says
        held = bench.store.decision("letters", "ada").decision
        assert screen.session.editor.decision == held and len(held.marks) >= 1
        db.execute("PRAGMA max_page_count = 1000000")
        await pilot.press("space")
        assert not screen.failed
        assert fsck(bench.store) == []

    bench.run(work)


def test_a_megabyte_on_one_line(tmp_path: Path, bench: Bench) -> None:
    text = "word and 東京 " * 90_000
    with Store.open(tmp_path / "big.db") as store:
        store.add_documents([Document("big", text)])
        bench.session = Session(store, "ada", StoreQueue(store, "ada"))

        async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
            slowest = 0.0
            for key in (
                "ctrl+end",
                "p",
                "ctrl+home",
                "down",
                "pagedown",
                "right",
                "v",
                "ctrl+right",
                "o",
                "u",
                "ctrl+down",
            ):
                begun = time.perf_counter()
                await pilot.press(key)
                slowest = max(slowest, time.perf_counter() - begun)
            assert slowest < 1.0, "benchmarks/tui_latency.py measures it exactly"
            assert "word and 東京" in shown(screen)

        bench.run(work)


def test_a_store_of_a_newer_release_is_refused_in_a_line(bench: Bench) -> None:
    path = bench.store.path
    bench.store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer release"):
        Store.open(path, shared=True, durable=True)


def test_models_that_cannot_be_had_do_not_stop_anybody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    bench.project.root.joinpath("quorum.toml").write_text(
        '[models.away]\nsource = "http://127.0.0.1:9/v1"\n[[members]]\nname = "one"\nmodel = "away"\n'
    )
    bench.project.ask_models = True

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("space")
        for _ in range(300):
            if "without suggestions" in screen.models:
                break
            await pilot.pause(0.1)
        assert "labelling without suggestions" in screen.models
        assert screen.models in shown(screen, "#says") or screen.says
        await pilot.press("space")
        assert len(bench.store.decision("letters", "ada").decision.marks) == 2

    bench.run(work)


def test_ten_thousand_documents_with_gaps_of_decisions(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        fill(store, {f"d{n}": f"text {n}" for n in range(3000)})
        for n in range(0, 1500):
            store.set_gold(f"d{n}", [], "import")
        queue = StoreQueue(store, "ada")
        begun = time.perf_counter()
        assert queue.next(None) == "d1500"
        assert queue.left() == 1500
        assert time.perf_counter() - begun < 0.5
        assert queue.next("d2999") == "d1500"
        assert queue.previous("d0") is None
        assert queue.peek("d1500", 3) == ["d1501", "d1502", "d1503"]


def test_the_chroma_folder_deleted_while_labelling(bench: Bench) -> None:
    """Labelling goes on, undo works, and the index is made again from the store with what was marked meanwhile."""
    from agent.campaign.indexing import StoreIndexer
    from tests.demonstrations.conftest import HashEmbedder

    chroma = bench.project.root / ".quorum" / "chroma"
    indexer = StoreIndexer(bench.store, LABELS, chroma, HashEmbedder)
    bench.store.set_gold("last", [Span(0, 6, "location")], "grace")
    assert indexer.sync() == 1 and chroma.is_dir()

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("space")
        shutil.rmtree(chroma)
        await pilot.press("space", "u", "U", "W", "escape", "enter")
        await pilot.pause()
        assert not screen.failed and "\u2713 letters: 2 marked" in screen.says
        assert not chroma.exists()

    bench.run(work)
    assert indexer.sync() > 1 and chroma.is_dir(), "with what was marked meanwhile"


def test_the_whole_state_folder_deleted_while_labelling_is_told(bench: Bench) -> None:
    """Where the store itself is gone nothing is confirmed that is not kept."""

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("space")
        for path in bench.store.path.parent.glob("store.db*"):
            path.unlink()
        await pilot.press("space")
        await pilot.pause()
        assert screen.failed and "was deleted or replaced while you labelled" in screen.says
        await pilot.press("u")
        assert screen.failed, "undo writes, too"

    bench.run(work)


def test_a_project_of_another_version_is_refused_in_a_line(bench: Bench) -> None:
    from tests.cli.run import process

    root = bench.project.root
    (root / "quorum.toml").write_text("[future]\nmode = 3\n", encoding="utf-8")
    status, out, err = process("label", "--project", root)
    assert (status, out) == (2, "") and "'future' is not a known key" in err and len(err.splitlines()) == 2
