"""The review screens: every key does its work, a decision is kept with its reason, nobody's version is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input

from agent.campaign import labelling
from agent.campaign.agreement import QUORUM, agreement, versions
from tests.campaign.world import LABELS, make_project
from tests.tui_screens.campaign_made import copied, press, run, settled, stored, truth
from tools.annotation import Document, Span
from tools.store import Store, Version
from tui.commands.review import make_screen
from tui.screens.label_dialogs import Ask, Page, Pick
from tui.screens.review import ReviewScreen
from tui.screens.review_document import ReviewDocument
from tui.screens.review_edit import ReviewEdit
from tui.views.review import listed, mix_of, reviewer_for
from tui.widgets.document import DocumentView
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList

Check = Callable[[Any], object]


def text(screen: Any, part: str) -> str:
    return str(screen.query_one(part, Lines).plain)


def shows(kind: type) -> Check:
    return lambda s: isinstance(s.app.screen, kind)


def row(number: int) -> Check:
    return lambda s: s.query_one(VirtualList).cursor == number


MOVES: dict[str, tuple[tuple[str, ...], Check]] = {
    "theme": ((), lambda s: s.palette.name == "light"),
    "help": ((), shows(Page)),
    "palette": ((), shows(Pick)),
    "leave": ((), lambda s: s.app._exit),
    "up": (("end", "up"), lambda s: s.query_one(VirtualList).cursor < s.query_one(VirtualList).count - 1),
    "down": ((), row(1)),
    "page_up": (("end",), lambda s: s.query_one(VirtualList).cursor < s.query_one(VirtualList).count - 1),
    "page_down": ((), lambda s: s.query_one(VirtualList).cursor > 0),
    "first": (("end",), row(0)),
    "last": ((), lambda s: s.query_one(VirtualList).cursor == s.query_one(VirtualList).count - 1),
}
LIST: dict[str, tuple[tuple[str, ...], Check]] = {
    **MOVES,
    "open": ((), shows(ReviewDocument)),
    "models": ((), lambda s: s.level != "people" and "quorum" in text(s, "#which")),
    "pair": ((), lambda s: s.pair == 1 and "(2 of" in text(s, "#agreement")),
    "pair_before": ((), lambda s: s.pair == len(s.agreement.pairs) - 1),
    "look": ((), lambda s: s.says == "looked again"),
    "back": ((), lambda s: s.app._exit),
}


def kept(*wanted: bool | None) -> Check:
    return lambda s: s.mix.keep[: len(wanted)] == wanted


# Of a document with "Ada Lovelace" (ada: person; bo: Ada as person), London (ada: place; bo: person), Bo (both).
ONE: dict[str, tuple[tuple[str, ...], Check]] = {
    **MOVES,
    "edit": ((), shows(ReviewEdit)),
    "toggle": ((), kept(True, None, None, None)),
    "drop": ((), kept(False, None, None, None)),
    "take": ((), lambda s: s.mix.undecided == (2, 3) and sorted(s.mix.keep[:2]) == [False, True]),
    "whole": ((), shows(Pick)),
    "undo": (("space",), kept(None, None, None, None)),
    "record": (("1", "1"), shows(Ask)),
    "next_open": ((), row(1)),
    "previous_open": (("end",), lambda s: s.query_one(VirtualList).cursor == 2),
    "skip": ((), lambda s: s.document.id == "other"),
    "beside": ((), lambda s: "2 bo" in text(s, "#head1")),
    "beside_before": (("right",), lambda s: "1 ada" in text(s, "#head1")),
    "models": ((), lambda s: s.level == "quorum"),
    "agreed": ((), lambda s: s.query_one(VirtualList).count == 5),
    "history": ((), lambda s: "nothing was decided" in s.says),
    "back": ((), shows(ReviewScreen)),
}
TEXT = "Ada Lovelace saw London with Bo."


def two_versions(folder: Path) -> Any:
    """Two people, two documents, nothing of models."""
    config = make_project(folder / "two", [Document("letter", TEXT), Document("other", "Bo was in Oslo.")])
    with Store.open(config.store_path) as store:
        bo = Span(29, 31, "person")
        store.set_gold("letter", [Span(0, 12, "person"), Span(17, 23, "place"), bo], "ada")
        store.set_gold("letter", [Span(0, 3, "person"), Span(17, 23, "person"), bo], "bo")
        store.set_gold("other", [Span(0, 2, "person")], "ada")
        store.set_gold("other", [Span(0, 2, "person"), Span(10, 14, "place")], "bo")
    return config


def test_every_command_has_an_expectation() -> None:
    for kind, expected in ((ReviewScreen, LIST), (ReviewDocument, ONE)):
        assert set(expected) == {command.id for command in kind.commands()}
        keys = [key for command in kind.commands() for key in command.keys]
        assert len(keys) == len(set(keys)), "no key stands for two commands"


async def back_to(pilot: Pilot[int], screen: Any) -> None:
    while pilot.app.screen is not screen and len(pilot.app.screen_stack) > 2:
        await pilot.press("escape")
        await pilot.pause()
    while screen.palette.name != "standard":
        pilot.app.next_palette()  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ReviewScreen.commands(), ids=lambda command: command.id)
def test_every_key_of_the_list(tmp_path: Path, command: Any) -> None:
    config = copied(tmp_path)
    before, check = LIST[command.id]

    async def work(pilot: Pilot[int], screen: ReviewScreen) -> None:
        for key in command.keys:
            screen.level, screen.pair, screen.says = "people", 0, ""
            screen._list()
            screen.query_one(VirtualList).go(0)
            await press(pilot, *before)
            await press(pilot, key)
            assert check(screen), (key, screen.says)
            await settled(pilot)
            await back_to(pilot, screen)

    run(lambda: make_screen(config, "rev"), work)


@pytest.mark.parametrize("command", ReviewDocument.commands(), ids=lambda command: command.id)
def test_every_key_of_a_document(tmp_path: Path, command: Any) -> None:
    config = two_versions(tmp_path)
    before, check = ONE[command.id]

    async def work(pilot: Pilot[int], listed: ReviewScreen) -> None:
        for key in command.keys:
            await press(pilot, "enter")
            await settled(pilot)
            screen = pilot.app.screen
            assert isinstance(screen, ReviewDocument) and screen.document and screen.document.id == "letter"
            await press(pilot, *before)
            await press(pilot, key)
            if command.id == "take" and int(key) > 2:
                assert "there are 2 versions" in screen.says and kept(None, None, None, None)(screen)
            else:
                assert check(screen), (key, screen.says, screen.mix)
            if listed.app._exit:
                return
            await back_to(pilot, listed)

    run(lambda: make_screen(config, "rev"), work)


def test_documents_that_differ_come_first(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        found = listed(store, "people")
        assert found and all(set(one.names) == {"ada", "oracle"} for one in found)
        assert [one.differing for one in found] == sorted((one.differing for one in found), reverse=True)
        assert found[0].differing and any(not one.differing for one in found)
        more = listed(store, "quorum")
        assert any(QUORUM in one.names for one in more) and len(more) > len(found)


def test_the_agreement_shown_is_the_one_computed(tmp_path: Path) -> None:
    config = copied(tmp_path)

    async def work(pilot: Pilot[int], screen: ReviewScreen) -> None:
        found = agreement(screen.store)
        pair = found.pairs[0]
        assert {pair.one, pair.other} == {"ada", "oracle"}
        shown = text(screen, "#agreement")
        assert "ada and oracle" in shown
        for label, interval in pair.f1.by_label.items():
            line = next(line for line in shown.splitlines() if line.strip().startswith(label))
            assert f"{interval.point:.3f}" in line and f"{interval.low:.3f}-{interval.high:.3f}" in line
            alpha = pair.alpha.by_label[label]
            assert alpha is not None and f"{alpha:.3f}" in line
        assert found.people is not None and f"people {found.people.all:.2f}" in shown

    run(lambda: make_screen(config, "rev"), work)


def test_a_mix_is_recorded_with_its_reason_and_becomes_the_gold(tmp_path: Path) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], listed: ReviewScreen) -> None:
        await press(pilot, "enter")
        screen = pilot.app.screen
        assert isinstance(screen, ReviewDocument)
        await press(pilot, "1")  # Ada Lovelace as ada has it; on to London
        await press(pilot, "2")  # London as bo has it
        assert not screen.mix.undecided
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, Ask)
        await press(pilot, "enter")
        assert "wants its reason" in screen.says
        assert not screen.store.resolutions()
        await press(pilot, "enter")
        pilot.app.screen.query_one(Input).value = "[bold]full names[/bold]"
        await press(pilot, "enter")
        assert screen.document is not None and screen.document.id == "other", "and on to the next that waits"
        assert "3 spans recorded by rev" in screen.says
        await press(pilot, "escape")
        await settled(pilot)
        assert "\u2713 decided" in listed.query_one(VirtualList).plain
        await press(pilot, "end", "enter")
        await press(pilot, "h")
        assert "[bold]full names[/bold]" in pilot.app.screen.query_one(VirtualList).plain

    run(lambda: make_screen(config, "rev"), work)
    with stored(config) as store:
        (one,) = store.resolutions()
        assert one.reason == "[bold]full names[/bold]"
        assert one.decision == (Span(0, 12, "person"), Span(17, 23, "person"), Span(29, 31, "person"))
        assert [version.annotator for version in one.versions] == ["ada", "bo"]
        gold = store.gold("letter")
        assert gold is not None and gold.spans == one.decision and gold.source == "review"
        assert len(versions(store, "letter")) == 2, "both versions are still there"


def test_a_reviewer_who_labelled_it_does_not_lose_their_version(tmp_path: Path) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], _: ReviewScreen) -> None:
        await press(pilot, "enter", "2", "2", "enter")
        pilot.app.screen.query_one(Input).value = "bo is right"
        await press(pilot, "enter")

    run(lambda: make_screen(config, "ada"), work)
    with stored(config) as store:
        (one,) = store.resolutions()
        assert one.reviewer == "ada:review"
        kept_one = store.gold("letter", "ada")
        assert kept_one is not None and Span(0, 12, "person") in kept_one.spans
        assert reviewer_for(store, "letter", "ada") == "ada:review" and reviewer_for(store, "letter", "rev") == "rev"


def test_a_reviewer_marks_retypes_and_moves_ends(tmp_path: Path) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], _: ReviewScreen) -> None:
        await press(pilot, "enter")
        screen = pilot.app.screen
        assert isinstance(screen, ReviewDocument)
        await press(pilot, "e")
        edit = pilot.app.screen
        assert isinstance(edit, ReviewEdit)
        assert "by bo" in text(edit, "#focus"), "what waits says whose it is"
        view = edit.query_one(DocumentView)
        assert view.plain.splitlines()[0].strip() == TEXT
        edit.editor = edit.editor.moved(TEXT.index("saw"))
        await press(pilot, "v", "right", "right")
        place = edit.keymap.key_of_type("place")
        await press(pilot, place)  # "saw", which nobody has
        assert "mark: place" in edit.says
        edit.editor = edit.editor.to_target(1)
        await press(pilot, "less_than_sign")
        await press(pilot, "u")
        assert "taken back" in edit.says
        edit.editor = edit.editor.moved(TEXT.index("Bo"))
        await press(pilot, place)  # another type for what both have
        edit.editor = edit.editor.moved(0)
        await press(pilot, "space")
        await press(pilot, "N" if "N" in edit.keymap.commands else "Q")
        assert "is for labelling" in edit.says or "no meaning" in edit.says
        await press(pilot, "enter")
        assert pilot.app.screen is screen
        kept = set(screen.mix.decision)
        assert {Span(13, 16, "place"), Span(29, 31, "place")} <= kept and Span(29, 31, "person") not in kept
        assert not screen.store.resolutions(), "nothing is recorded yet"
        before = screen.mix
        await press(pilot, "u")
        assert Span(13, 16, "place") not in screen.mix.decision, "one choice, taken back at once"
        screen.mix = before
        await press(pilot, "enter", "enter")
        pilot.app.screen.query_one(Input).value = "saw is a place here"
        await press(pilot, "enter")

    run(lambda: make_screen(config, "rev"), work)
    with stored(config) as store:
        (one,) = store.resolutions()
        assert one.reason == "saw is a place here" and Span(13, 16, "place") in one.decision
        assert Span(13, 16, "place") in (store.gold("letter") or one).spans  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["escape", "enter"])
def test_going_back_from_a_draft_without_a_change_chooses_nothing(tmp_path: Path, key: str) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], _: ReviewScreen) -> None:
        await press(pilot, "enter")
        screen = pilot.app.screen
        before = screen.mix  # type: ignore[attr-defined]
        await press(pilot, "v")
        await press(pilot, "question_mark")
        assert "skip" not in "".join(t for line in pilot.app.screen._content for t, _ in line)  # type: ignore[attr-defined]
        await press(pilot, "escape", "L", "right", key)
        assert pilot.app.screen is screen and screen.mix is before and screen.mix.undecided  # type: ignore[attr-defined]

    run(lambda: make_screen(config, "rev"), work)


def test_the_digits_can_be_other_keys(tmp_path: Path) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], _: ReviewScreen) -> None:
        pilot.app.keys = {"on": {"review_document": {"take": ["y", "z"]}}}  # type: ignore[attr-defined]
        await press(pilot, "enter", "z")
        assert "here as bo has it" in pilot.app.screen.says  # type: ignore[attr-defined]
        await press(pilot, "1")
        assert "1 has no meaning here" in pilot.app.screen.says  # type: ignore[attr-defined]

    run(lambda: make_screen(config, "rev"), work)


@given(st.data())
def test_spans_of_the_reviewers_own_join_the_choice(data: Any) -> None:
    one, two = data.draw(spans), data.draw(spans)
    mix = mix_of([Version("a", one), Version("b", two)])
    own, dropped = data.draw(spans), data.draw(spans)
    dropped = tuple(span for span in dropped if span not in own)
    new = mix.edited(own, dropped)
    assert set(new.decision) == set(own), "what is kept is what was marked"
    old = dict(zip((c.span for c in mix.choices), mix.keep, strict=True))
    for choice, kept_now in zip(new.choices, new.keep, strict=True):
        if choice.span in old and choice.span not in own and choice.span not in dropped:
            assert kept_now is (None if old[choice.span] is None else False)
    assert new.edited((), ()).decision == ()
    assert {c.span for c in mix.choices} <= {c.span for c in new.choices}, "no version's span is lost"


def test_undecided_spans_are_dropped_only_when_asked_twice(tmp_path: Path) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], _: ReviewScreen) -> None:
        await press(pilot, "enter")
        screen = pilot.app.screen
        assert isinstance(screen, ReviewDocument)
        await press(pilot, "enter")
        assert pilot.app.screen is screen and "4 spans wait" in screen.says
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, Ask)
        await press(pilot, "escape")
        assert "nothing was recorded" in screen.says

    run(lambda: make_screen(config, "rev"), work)


def test_versions_lie_side_by_side(tmp_path: Path) -> None:
    config = two_versions(tmp_path)

    async def work(pilot: Pilot[int], _: ReviewScreen) -> None:
        await press(pilot, "enter")
        await settled(pilot)
        screen = pilot.app.screen
        panes = [screen.query_one(f"#text{n}", DocumentView).plain for n in range(3)]
        assert [text(screen, f"#head{n}").strip() for n in range(3)] == ["decision so far", "1 ada", "2 bo"]
        assert "\u2517person" in panes[1].splitlines()[1] and panes[1].splitlines()[1].startswith("  \u2517person")
        assert panes[2].splitlines()[1].startswith("  \u2517p")
        assert "\u2570" in panes[0], "what waits is dashed"
        await press(pilot, "1", "2")
        await settled(pilot)
        assert "\u2570" not in screen.query_one("#text0", DocumentView).plain

    run(lambda: make_screen(config, "rev"), work, (120, 40))


def test_nothing_to_review(tmp_path: Path) -> None:
    config = make_project(tmp_path / "bare")

    async def work(pilot: Pilot[int], screen: ReviewScreen) -> None:
        assert "no document has two versions" in text(screen, "#title")
        for key in ("enter", "m", "p", "P", "r"):
            await press(pilot, key)
        await settled(pilot)
        assert pilot.app.screen is screen

    run(lambda: make_screen(config, "rev"), work)


def test_text_is_neither_markup_nor_commands_for_the_terminal(tmp_path: Path) -> None:
    config = make_project(tmp_path / "odd", [Document("[red]x", "[b]Ada[/b] \x1b[2J met 東京 in Oslo")])
    with Store.open(config.store_path) as store:
        store.set_gold("[red]x", [Span(3, 6, "person")], "[i]a[/i]")
        store.set_gold("[red]x", [Span(0, 10, "person"), Span(20, 22, "place")], "b\x1b[31m")

    async def work(pilot: Pilot[int], listed: ReviewScreen) -> None:
        assert "[i]a[/i]" in listed.query_one(VirtualList).plain
        await press(pilot, "enter")
        await settled(pilot)
        for screen in (listed, pilot.app.screen):
            for widget in (*screen.query(VirtualList), *screen.query(DocumentView), *screen.query(Lines)):
                strips = [widget.render_line(y) for y in range(widget.size.height)]
                assert not any("\x1b" in segment.text for strip in strips for segment in strip)

    run(lambda: make_screen(config, "rev"), work)


spans = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 8), st.sampled_from(LABELS.names)).map(
        lambda s: Span(s[0], s[0] + s[1], s[2])
    ),
    max_size=8,
    unique=True,
).map(lambda found: tuple(sorted(found)))


@given(spans, spans, spans)
def test_taking_a_version_everywhere_gives_that_version(one: Any, two: Any, model: Any) -> None:
    mix = mix_of([Version("a", one), Version("b", two), Version(QUORUM, model)])
    assert mix.people == ("a", "b")
    assert set(mix.decision) == set(one) & set(two)
    assert {mix.choices[n].span for n in mix.undecided} == set(one) ^ set(two)
    for name, wanted in (("a", one), ("b", two), (QUORUM, model)):
        assert set(mix.taken(name).decision) == set(wanted)
        step = mix
        for group in {choice.group for choice in mix.choices}:
            step = step.taken(name, group)
        assert set(step.decision) == set(wanted), "place by place is the same as at once"
    again = mix_of([Version("a", one), Version("b", two)], mix.decision)
    assert again.decision == mix.decision and not again.undecided


@given(spans, spans)
def test_places_do_not_touch_one_another(one: Any, two: Any) -> None:
    mix = mix_of([Version("a", one), Version("b", two)])
    for first in mix.choices:
        for second in mix.choices:
            if first.span.start < second.span.end and second.span.start < first.span.end:
                assert first.group == second.group


def test_what_was_chosen_stays_when_other_versions_are_shown() -> None:
    here, there = Span(0, 3, "person"), Span(5, 9, "place")
    every = [Version("a", (here,)), Version("b", ()), Version(QUORUM, (there,))]
    mix = mix_of(every).turned(1, kept=True).turned(0, kept=False)
    fewer = mix_of(every[:2], before=mix)
    assert fewer.decision == (there,) and not fewer.undecided


def test_answers_of_the_campaign_are_what_is_reviewed(tmp_path: Path) -> None:
    config = copied(tmp_path)
    with stored(config) as store:
        name = next(item.document_id for item in store.items(1) if item.open)
        labelling.answer(store, name, truth(name), "bo")
        labelling.answer(store, name, (), "cy")
        assert name in {one.document_id for one in listed(store, "people")}
