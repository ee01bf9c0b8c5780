"""The labelling screen: what it shows and what it keeps."""

from __future__ import annotations

import sqlite3

from textual.pilot import Pilot

from tests.tui.conftest import ADA, Bench, shown
from tools.annotation import Span
from tools.store import Decision, DocumentState, Store, fsck
from tui.labelling.queue import ListQueue, StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen
from tui.widgets.document import DocumentView


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


def test_after_undoing_the_last_document_it_counts_as_left_again(bench: Bench) -> None:
    bench.session = Session(bench.store, "ada", ListQueue(bench.store, "ada", ["weather"]))

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("minus")
        await pilot.pause()
        assert "list: 0 of 1 left" in shown(screen, "#title")
        await pilot.press("u")
        await pilot.pause()
        assert "list: 1 of 1 left" in shown(screen, "#title")
        await pilot.press("U")
        await pilot.pause()
        assert "list: 0 of 1 left" in shown(screen, "#title")

    bench.run(work)
