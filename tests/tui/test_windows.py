"""The windows and screens over the labelling screen."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.tui.conftest import Bench, shown
from tools.annotation.labelfile import read_label_set
from tools.store import DocumentState
from tui.labelling.queue import StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen
from tui.screens.queue import QueueScreen
from tui.screens.search import SearchScreen
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList


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
