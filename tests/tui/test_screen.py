"""The labelling screen: what it shows, what it keeps, and how it bears what goes wrong."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.tui.conftest import ADA, Bench, fill
from tools.annotation import Document, Span
from tools.annotation.labelfile import read_label_set
from tools.errors import StoreError
from tools.store import Decision, DocumentState, Store, fsck
from tui.labelling.queue import ListQueue, StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen
from tui.screens.queue import QueueScreen
from tui.screens.search import SearchScreen
from tui.widgets.document import DocumentView
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList


def shown(screen: LabelScreen, part: str = "#document") -> str:
    return screen.query_one(part, DocumentView if part == "#document" else Lines).plain


def test_brackets_tell_spans_apart_without_colour(bench: Bench) -> None:
    seen: list[str] = []

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        seen.append(shown(screen))
        await pilot.press("space", "space", "space", "space")
        await pilot.pause()
        seen.append(shown(screen))

    bench.run(work)
    assert seen[0].splitlines()[:3] == [
        "  Ada Lovelace wrote to Charles Babbage from London, and the Bank of England",
        "  ╰person 93%╯          ╰person 88%╌╌╌╯      ╰loca╯          ╰organization╌╯",
        "                                                                     ╰locat╯",
    ]
    assert seen[1].splitlines()[1] == "  ┗person━━━━┛          ┗person━━━━━━━┛      ┗loca┛          ┗organization━┛"
    assert seen[1].splitlines()[2].strip() == "╰locat╯", "still a suggestion: its bracket is dashed and round"


def test_text_is_neither_markup_nor_commands_for_the_terminal(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        screen.session.open("mixed")
        screen.renew()
        await pilot.pause()
        text = shown(screen)
        assert "[bold]now[/bold] ␛[31mred." in text
        assert "says Omar→in London" in text
        strips = [screen.query_one(DocumentView).render_line(y) for y in range(10)]
        assert not any("\x1b" in segment.text or segment.control for strip in strips for segment in strip)
        assert {strip.cell_length for strip in strips} == {80}

    bench.run(work)


def test_brackets_stand_beneath_wide_and_joined_characters(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        screen.session.open("mixed")
        text = screen.session.editor.text
        for mention in ("京都", "👨‍👩‍👧", "Köln"):
            at = text.index(mention)
            screen.session.editor = screen.session.editor.moved(at).selecting().moved(at + len(mention) - 1)
            screen.run_type("location")
        await pilot.pause()
        rows = shown(screen).splitlines()
        assert rows[0].startswith("  東京都 and 👨‍👩‍👧 met Zoë in Köln.")
        assert rows[1].startswith("    ┗lo┛     l┛            ┗lo┛"), "columns are cells, not code points"

    bench.run(work)


def test_what_is_confirmed_is_in_the_store_before_the_screen_says_so(bench: Bench) -> None:
    class Spy(Session):
        def decide(self, *args: object, **named: object) -> None:
            super().decide(*args, **named)  # type: ignore[arg-type]
            with sqlite3.connect(f"file:{self.store.path}?mode=ro", uri=True) as other:
                counts.append(other.execute("SELECT count(*) FROM gold").fetchone()[0])

    counts: list[int] = []
    bench.session = Spy(bench.store, "ada", bench.session.queue)

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("space")
        assert counts == [1] and "✓ accepted" in screen.says
        await pilot.press("p", "u")
        assert bench.store.path.with_name("store.db").exists()

    bench.run(work)


def test_undo_survives_a_restart_and_goes_where_it_was_done(bench: Bench) -> None:
    bench.press("space", "space", "x", "enter", "minus")
    again = bench.again()
    try:
        before = again.store.decision("letters", "ada").decision
        assert before.state is DocumentState.DONE and len(before.marks) == 2
        screen = again.press("u", "u", "u", "u")
        assert screen.session.document is not None and screen.session.document.id == "letters"
        assert [s.text_in(ADA) for s in again.store.decision("letters", "ada").decision.spans] == ["Ada Lovelace"]
        again = again.again()
        again.press("U", "U", "U", "U")
        assert again.store.decision("letters", "ada").decision == before
        assert again.store.decision("weather", "ada").decision == Decision(DocumentState.DONE)
        assert fsck(again.store) == []
    finally:
        again.store.close()


def test_done_with_nothing_marked_asks_once_more(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("enter")
        assert "again says there is nothing here" in screen.says
        await pilot.press("right", "enter")
        assert screen.session.document is not None and screen.session.document.id == "letters", "another key forgets it"
        await pilot.press("enter")
        assert screen.session.document.id == "weather"
        assert len(bench.store.decision("letters", "ada").decision.rejected) == 5
        await pilot.press("enter")
        assert screen.says == "nothing is marked: Enter again says there is nothing here", "no suggestions either"
        assert not bench.store.decision("weather", "ada").decision.finished
        await pilot.press("enter")
        assert bench.store.decision("weather", "ada").decision.finished

    bench.run(work)


def test_all_above_a_confidence_says_the_expected_errors_first(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("percent_sign")
        await pilot.pause()
        says = pilot.app.screen.query_one("#says", Lines)
        assert says.plain.strip() == "accepts 2 of 5; about 0.1 of them are expected to be wrong"
        pilot.app.screen.query_one(Input).value = "70"
        await pilot.pause()
        assert says.plain.strip() == "accepts 4 of 5; about 0.5 of them are expected to be wrong"
        pilot.app.screen.query_one(Input).value = "much"
        await pilot.pause()
        assert says.plain.strip() == "a number from 0 to 100"
        pilot.app.screen.query_one(Input).value = "70"
        await pilot.press("enter")
        await pilot.pause()
        assert len(bench.store.decision("letters", "ada").decision.marks) == 4
        await pilot.press("u")
        assert not bench.store.decision("letters", "ada").decision.marks, "one action, taken back as one"

    bench.run(work)


def test_identical_mentions_in_the_document_and_in_the_pool(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("tab", "tab", "space", "K", "asterisk")
        await pilot.pause()
        assert "1 more in this document" in pilot.app.screen.query_one("#title", Lines).plain
        await pilot.press("tab")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "3 more in 3 documents" in pilot.app.screen.query_one("#title", Lines).plain
        await pilot.press("down", "space", "enter")
        await pilot.pause()
        assert "marked 2 in 2 documents" in screen.says
        spans = {n: bench.store.decision(n, "ada").decision.spans for n in ("letters", "mixed", "last")}
        assert [len(found) for found in spans.values()] == [2, 0, 1]
        await pilot.press("u")
        assert "2 documents" in screen.says
        assert [len(bench.store.decision(n, "ada").decision.spans) for n in spans] == [1, 0, 0]

    bench.run(work)


def test_a_flag_keeps_its_note_and_the_queue_passes_by(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("exclamation_mark")
        await pilot.pause()
        await pilot.press(*"odd", "enter")
        await pilot.pause()
        held = bench.store.decision("letters", "ada").decision
        assert (held.state, held.note, held.rejected) == (DocumentState.FLAGGED, "odd", ())
        assert screen.session.document is not None and screen.session.document.id == "weather"
        await pilot.press("ctrl+o")
        assert "note: odd" in shown(screen, "#says")

    bench.run(work)


def test_skipped_documents_come_back_at_the_end(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        order = []
        for _ in range(6):
            assert screen.session.document is not None
            order.append(screen.session.document.id)
            await pilot.press("ctrl+n")
        assert order[:4] == ["letters", "weather", "mixed", "last"]
        assert set(order[4:]) <= {"letters", "weather"}

    bench.run(work)


def test_a_named_list_comes_in_its_order_and_ends(bench: Bench) -> None:
    bench.session = Session(bench.store, "ada", ListQueue(bench.store, "ada", ["last", "weather"]))

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        assert "list: 2 of 2 left" in shown(screen, "#title")
        await pilot.press("minus", "minus")
        assert "all 2 documents of this queue are done" in screen.says
        assert screen.session.queue.left() == 0

    bench.run(work)


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


def test_the_same_document_in_two_windows(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        with Store.open(bench.store.path, shared=True) as other:
            there = Session(other, "ada", StoreQueue(other, "ada"))
            there.open("letters")
            there.finish()
        await pilot.press("space")
        assert screen.failed and "changed elsewhere" in screen.says
        assert screen.session.editor.decision.state is DocumentState.DONE, "shown as it is now"
        await pilot.press("o")
        assert not screen.failed

    bench.run(work)


def test_two_people_at_once_on_one_store(bench: Bench) -> None:
    with Store.open(bench.store.path, shared=True) as other:
        two = Session(other, "grace", StoreQueue(other, "grace"))
        two.open("weather")
        done = two.editor.typed("person")
        assert done is not None
        two.decide("mark", done[1], done[2])
        bench.press("space", "enter")
        two.finish()
    assert bench.store.annotators("weather") == ["grace"]
    gold = bench.store.gold("letters")
    assert gold is not None and gold.annotator == "ada"


def test_other_peoples_gold_is_a_suggestion_unless_one_is_to_work_blind(bench: Bench) -> None:
    bench.store.set_gold("last", [Span(0, 6, "location")], "grace")
    open_session = Session(bench.store, "ada", StoreQueue(bench.store, "ada"))
    open_session.open("last")
    assert [(s.by, s.entity) for s in open_session.editor.open] == [("grace", None)]
    blind = Session(bench.store, "ada", StoreQueue(bench.store, "ada"), others=False)
    blind.open("last")
    assert blind.editor.open == ()


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


def test_the_queue_browser_filters_and_opens(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("space", "Q")
        await pilot.pause()
        browser = pilot.app.screen
        assert isinstance(browser, QueueScreen)
        listed = browser.query_one(VirtualList)
        assert "begun" in listed.plain.splitlines()[0] and listed.count == 4
        for line, count in (
            ("state:new", 3), ("type:organization", 1), ("below:50", 1), ("below:40", 0), ("disagree", 1), ("by:ada", 1),
            ("london", 3), ("London state:new", 2), ("", 4),
        ):  # fmt: skip
            await pilot.press("slash")
            browser.query_one(Input).value = line
            await pilot.press("enter")
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
            assert listed.count == count, line
        await pilot.press("slash")
        browser.query_one(Input).value = "state:old"
        await pilot.press("enter")
        assert "no state 'old'" in browser.query_one("#title", Lines).plain
        await pilot.press("escape", "end", "enter")
        await pilot.pause()
        assert screen.session.document is not None and screen.session.document.id == "last"

    bench.run(work)


def test_search_goes_through_the_document_and_the_pool(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("slash")
        await pilot.pause()
        found = pilot.app.screen
        assert isinstance(found, SearchScreen)
        found.query_one(Input).value = "LONDON"
        await pilot.press("enter")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "4 found" in found.query_one("#title", Lines).plain
        await pilot.press("end", "enter")
        await pilot.pause()
        assert screen.session.document is not None and screen.session.document.id == "last"
        assert screen.says == "1 of 1: LONDON"
        await pilot.press("f3", "escape")
        assert screen.hits == []

    bench.run(work)


def test_a_changed_description_is_in_file_store_and_prompt_and_asks_again(bench: Bench) -> None:
    bench.press("space", "enter")
    bench.session = Session(bench.store, "ada", StoreQueue(bench.store, "ada"))
    bench.project.labels_path.write_text("# my own words\n" + bench.project.labels_path.read_text())

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("G")
        await pilot.pause()
        page = pilot.app.screen
        page.query_one("#description", Input).value = "real and invented people"
        page.query_one("#examples", Input).value = "Ada Lovelace; Mr. Babbage; Ada Lovelace"
        page.query_one(TextArea).text = "Titles are not part of a name.\n"
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "✓ kept" in page.query_one("#title", Lines).plain
        await pilot.press("escape")
        await pilot.pause()
        assert "1 finished documents carry person" in pilot.app.screen.query_one("#asked", Lines).plain
        pilot.app.screen.query_one(Input).value = "y"
        await pilot.press("enter")
        await pilot.pause()
        assert "1 documents will be asked about again" in screen.says
        await pilot.press("u")

    version = bench.store.label_set_version()
    bench.run(work, size=(120, 40))
    labels = read_label_set(bench.project.labels_path)
    assert labels["person"].description == "real and invented people"
    assert labels["person"].examples == ("Ada Lovelace", "Mr. Babbage")
    assert bench.store.label_set() == labels and bench.store.label_set_version() == version + 1
    assert bench.project.labels_path.read_text().startswith("# my own words\n")
    assert bench.store.guidelines() == (1, "Titles are not part of a name.\n")
    assert bench.store.decision("letters", "ada").decision.state is DocumentState.DONE, "the undo at the end"


def test_unsaved_guidelines_are_not_dropped_at_one_key(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("G")
        await pilot.pause()
        page = pilot.app.screen
        page.query_one("#description", Input).value = "new"
        await pilot.press("escape")
        assert pilot.app.screen is page
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.screen is screen
        assert bench.project.labels["person"].description == "people by name"

    bench.run(work, size=(120, 40))


def test_why_shows_votes_examples_and_run(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("W")
        await pilot.pause()
        text = pilot.app.screen.query_one(VirtualList).plain
        for part in ("Ada Lovelace  as person", "93%", "verifier yes", "Votes of 3 members", "typed", "location, found it",
                     "did not list it", "last#0", "London again", "model starter, extract spans.v1", "configuration 0123456789ab"):  # fmt: skip
            assert part in text, part

    bench.run(work, size=(120, 40))


def test_why_after_another_type_was_given_shows_what_was_suggested(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("l", "K", "W")
        await pilot.pause()
        assert "Ada Lovelace  as person" in pilot.app.screen.query_one(VirtualList).plain

    bench.run(work, size=(120, 40))


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


def test_suggestions_that_arrive_do_not_move_the_cursor(bench: Bench) -> None:
    from tests.tui.conftest import entity
    from tools.annotation.prediction import Outcome, PassageResult

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        screen.session.open("last")
        await pilot.press("right", "right", "v", "right")
        run = bench.store.start_run({}, "h", "suggest")
        found = (entity("London again, and Ada Lovelace.", "Ada Lovelace", "person", 0.8),)
        bench.store.record_part(run, 4, "f", [PassageResult("last", 0, Outcome(), found)], {})
        screen.post_message(screen.HelperSaid({"ready": "last"}))
        await pilot.pause()
        assert "╰person 80%╯" in shown(screen)
        assert screen.session.editor.cursor == 3 and screen.session.editor.selection == (2, 4)
        assert screen.session.wants_suggestions() == ["weather", "mixed"], "letters and last are answered"

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
