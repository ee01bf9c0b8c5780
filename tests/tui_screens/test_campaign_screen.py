"""The campaign screen: what it says is what the store holds, every key does its work, labelling and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from agent.campaign import labelling
from tests.campaign.world import make_project
from tests.tui_screens.campaign_made import ROUNDS, copied, latest, press, run, settled, stored, truth, waiting
from tools.annotation import Document
from tools.store import CampaignState, Item, Store
from tui.commands.campaign import make_screen
from tui.screens.campaign import CampaignScreen
from tui.screens.label import LabelScreen
from tui.screens.label_dialogs import Page, Pick
from tui.views.campaign import batch_of, campaign_view, duration, short
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList

Check = Callable[[CampaignScreen], object]


def text(screen: CampaignScreen, part: str) -> str:
    return screen.query_one(part, Lines).plain


def shows(kind: type, title: str = "") -> Check:
    return lambda s: isinstance(s.app.screen, kind) and title in str(getattr(s.app.screen, "_heading", ""))


def row(number: int) -> Check:
    return lambda s: s.query_one(VirtualList).cursor == number


# Command: keys before it, and what must hold after it; each begins on the first document of the open batch.
EXPECTED: dict[str, tuple[tuple[str, ...], Check]] = {
    "label": ((), shows(LabelScreen)),
    "open": (("down",), lambda s: shows(LabelScreen)(s) and opened_document(s) == s.asked[1].item.document_id),
    "why": ((), shows(Page, "Why doc-")),
    "earlier": ((), lambda s: s.number == ROUNDS - 1 and "batch of round 4 of 5" in text(s, "#which")),
    "later": (("left", "left"), lambda s: s.number == ROUNDS - 1),
    "rounds": ((), shows(Page, "Rounds")),
    "types": ((), shows(Page, "Types")),
    "outlook": ((), shows(Page, "What the figures say")),
    "look": ((), lambda s: s.says == "looked again"),
    "up": (("end",), row(4)),
    "down": ((), row(1)),
    "page_up": (("end",), lambda s: s.query_one(VirtualList).cursor < 5),
    "page_down": ((), lambda s: s.query_one(VirtualList).cursor > 0),
    "first": (("end",), row(0)),
    "last": ((), row(5)),
    "theme": ((), lambda s: s.palette.name == "light"),
    "help": ((), shows(Page, "Keys")),
    "palette": ((), shows(Pick)),
    "back": ((), lambda s: s.app._exit),
    "leave": ((), lambda s: s.app._exit),
}


def opened_document(screen: CampaignScreen) -> str:
    label = screen.app.screen
    assert isinstance(label, LabelScreen) and label.session.document is not None
    return label.session.document.id


def test_every_command_has_an_expectation() -> None:
    assert set(EXPECTED) == {command.id for command in CampaignScreen.commands()}
    keys = [key for command in CampaignScreen.commands() for key in command.keys]
    assert len(keys) == len(set(keys)), "no key stands for two commands"


@pytest.mark.parametrize("command", CampaignScreen.commands(), ids=lambda command: command.id)
def test_every_key_does_what_the_table_says(tmp_path: Path, command: Any) -> None:
    config = copied(tmp_path)
    before, check = EXPECTED[command.id]

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        for key in command.keys:
            screen._show_round(ROUNDS)
            screen.query_one(VirtualList).go(0)
            screen.says = ""
            await press(pilot, *before)
            await press(pilot, key)
            await pilot.pause()
            assert check(screen), (key, screen.says)
            while pilot.app.screen is not screen:
                await pilot.press("ctrl+q" if isinstance(pilot.app.screen, LabelScreen) else "escape")
                await pilot.pause()
            if screen.palette.name != "standard":
                pilot.app.next_palette()  # type: ignore[attr-defined]
                pilot.app.next_palette()  # type: ignore[attr-defined]

    run(lambda: make_screen(config, "me", models=False), work)


def test_it_says_what_the_store_holds(tmp_path: Path) -> None:
    config = copied(tmp_path)

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        store = screen.store
        report = store.rounds(1)[3].report
        low, high = report["f1_interval"]
        facts = " ".join(text(screen, "#facts").split())
        assert f"{report['f1']:.3f} ({low:.3f} to {high:.3f}) on {report['audit_documents']} audit documents" in facts
        assert report["outlook"]["sentence"] in facts
        assert "24 of 36 labelled" in facts and "6 wait" in facts
        assert "stops at 36 labels (12 to go), or when F1 surely is 0.99" in facts
        visits = [visit for visit in store.visits(1) if visit.seconds]
        spans = 0
        for visit in visits:
            gold = store.gold(visit.document_id, "ada")
            spans += len(gold.spans) if gold else 0
        assert len(visits) > 3
        assert f"{6.0 * len(visits) / spans:.1f} s a span, 6.0 s a document" in facts
        types = text(screen, "#types")
        for label, one in report["by_label"].items():
            line = next(line for line in types.splitlines() if line.startswith(label))
            assert str(one["support"]) in line
            assert one["f1_interval"] is not None and "-" in line
        rows = screen.query_one(VirtualList).plain
        assert [one.item for one in screen.asked] == list(store.items(1, ROUNDS))
        assert all(one.item.document_id in rows for one in screen.asked[:4]), "four rows fit at least"
        assert "waits" in rows and "drawn at random" in rows
        assert "next: 6 documents of round 5 to label; l labels them" in text(screen, "#title")

    run(lambda: make_screen(config, "me", models=False), work)


def test_the_curve_has_a_mark_a_round_and_its_legend(tmp_path: Path) -> None:
    config = copied(tmp_path)

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        drawn = text(screen, "#curve")
        assert drawn.count("\u25cf") == 4 + 1, "four rounds, and the legend"
        assert "labels" in drawn and "target" in drawn

    for size in ((80, 24), (120, 40)):
        run(lambda: make_screen(config, "me", models=False), work, size)


def test_labelling_from_here_is_blind_for_the_audit_leased_and_timed(tmp_path: Path) -> None:
    config = copied(tmp_path)
    names = waiting(config)

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        await press(pilot, "l")
        await pilot.pause()
        seen: dict[str, bool] = {}
        for _ in names:
            label = pilot.app.screen
            assert isinstance(label, LabelScreen) and label.session.document is not None
            name = label.session.document.id
            assert [lease.annotator for lease in screen.store.leases() if lease.document_id == name] == ["me"]
            seen[name] = bool(label.session.editor.suggestions)
            await press(pilot, "-")
            await pilot.pause()
        assert "round is done" in label.says and "quorum run" in label.says
        audits = {item.document_id: item.audit for item in screen.store.items(1, ROUNDS)}
        assert list(seen) == names, "in the campaign's order"
        assert not any(seen[name] for name, audit in audits.items() if audit)
        assert any(seen[name] for name, audit in audits.items() if not audit)
        await press(pilot, "ctrl+q")
        await pilot.pause()
        assert pilot.app.screen is screen
        assert "machine's turn" in text(screen, "#title")
        assert not screen.store.leases()

    run(lambda: make_screen(config, "me", models=False), work)
    with stored(config) as store:
        mine = {visit.document_id: visit for visit in store.visits(1) if visit.annotator == "me"}
        assert set(mine) == set(names)
        assert all(visit.seconds is not None and 0 <= visit.seconds < 60 for visit in mine.values())
    assert waiting(config) == []


def test_it_follows_what_happens_elsewhere(tmp_path: Path) -> None:
    config = copied(tmp_path)

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        first = screen.asked[0].item.document_id
        with stored(config) as other:
            labelling.lease(other, "bo", 1)
            screen._again()
            await pilot.pause()
            assert "in hand: bo" in screen.query_one(VirtualList).plain
            labelling.answer(other, first, truth(first), "bo")
        screen._again()
        await pilot.pause()
        assert "done: bo" in screen.query_one(VirtualList).plain
        assert not screen.look(), "nothing has changed since"

    run(lambda: make_screen(config, "me", models=False), work)


def test_without_a_campaign_it_says_how_to_begin(tmp_path: Path) -> None:
    config = make_project(tmp_path / "bare")

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        assert "no campaign yet" in text(screen, "#title")
        for key in ("l", "enter", "W", "left", "right", "R", "t", "o", "r"):
            await press(pilot, key)
        assert pilot.app.screen is screen

    run(lambda: make_screen(config, "me", models=False), work)


def test_a_stopped_campaign_and_one_that_waits_for_the_machine(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        for name in waiting(config):
            labelling.answer(store, name, truth(name), "bo")
        view = campaign_view(store)
        assert view is not None and "machine's turn" in view.next()
        campaign = latest(store)
        store.update_campaign(
            1, settings=campaign.settings, identity=campaign.identity, state=CampaignState.STOPPED, reason="budget"
        )

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        assert "stopped" in text(screen, "#title")
        assert "stopped after 30 labels: the budget is spent" in text(screen, "#facts")

    run(lambda: make_screen(config, "ada", models=False), work)


def test_a_small_terminal_is_told(tmp_path: Path) -> None:
    config = copied(tmp_path)

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        assert "40x12" in text(screen, "#small")
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert "labelled" in text(screen, "#facts")

    run(lambda: make_screen(config, "me", models=False), work, (40, 12))


def test_text_is_neither_markup_nor_commands_for_the_terminal(tmp_path: Path) -> None:
    config = make_project(tmp_path / "odd", [Document("[red]x\x1b[31m", "[bold]Ada[/bold] \x1b[2J met\r\nBo")])
    with Store.open(config.store_path) as store:
        number = store.start_campaign({"rule": {"budget": 5}}, {})
        reason = {"strategy": "[i]a[/i]", "stage": "\x1b]0;x\x07", "rank": 1, "meaning": "[link=x]y[/link]", "score": 1}
        store.open_round(number, 1, [Item("[red]x\x1b[31m", 1, 0, False, 1, reason)], {})

    async def work(pilot: Pilot[int], screen: CampaignScreen) -> None:
        assert "[red]x" in screen.query_one(VirtualList).plain
        await press(pilot, "W")
        page = pilot.app.screen.query_one(VirtualList).plain
        assert "[bold]Ada[/bold]" in page and "[i]a[/i]" in page
        for where in (screen, pilot.app.screen):
            for widget in where.query(VirtualList):
                strips = [widget.render_line(y) for y in range(widget.size.height)]
                assert not any("\x1b" in segment.text or "\x07" in segment.text for s in strips for segment in s)

    run(lambda: make_screen(config, "me", models=False), work)


def test_batches_name_who_did_what(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        rows = [row for number in range(1, ROUNDS) for row in batch_of(store, 1, number)]
        twice = [row for row in rows if row.item.answers == 2]
        assert twice and all(row.state.endswith("+1") for row in twice)
        assert all(row.why for row in rows)


def test_durations_and_numbers_are_short() -> None:
    assert [duration(x) for x in (0.2, 59.4, 60, 3661)] == ["0 s", "59 s", "1 m 00 s", "1 h 01 m"]
    assert [short(x) for x in (7, 950, 12_300, 4.1e6, 2e9)] == ["7", "950", "12.3 k", "4.1 M", "2.0 G"]
