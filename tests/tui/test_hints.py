"""Jumping by letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from tests.tui.conftest import ADA, Bench, shown
from tools.annotation import Span
from tui.labelling.editor import Target
from tui.labelling.hints import LETTERS, codes
from tui.screens.label import LabelScreen


@given(st.integers(0, len(LETTERS) ** 2))
def test_no_letters_are_the_beginning_of_others(count: int) -> None:
    found = codes(count)
    assert len(found) == len(set(found)) == count
    assert not any(a != b and b.startswith(a) for a in found for b in found)
    assert all(1 <= len(one) <= 2 for one in found)


def test_more_places_than_two_letters_tell_apart() -> None:
    with pytest.raises(ValueError, match="too many"):
        codes(len(LETTERS) ** 2 + 1)


def test_letters_stand_at_spans_and_words_and_lead_there(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        before = shown(screen)
        await pilot.press("F")
        await pilot.pause()
        row = shown(screen).splitlines()[0]
        assert row != before.splitlines()[0] and len(row) == len(before.splitlines()[0]), "the text does not move"
        spans = [hint.target for hint in screen.hints.values() if hint.target]
        assert {target.span.text_in(ADA) for target in spans} == {
            "Ada Lovelace", "Charles Babbage", "London", "Bank of England", "England",
        }  # fmt: skip
        assert all(len(letters) == 1 for letters, hint in screen.hints.items() if hint.target), "spans are nearest"
        letters = next(letters for letters, hint in screen.hints.items() if hint.at == ADA.index("England"))
        await pilot.press(*letters)
        await pilot.pause()
        assert screen.session.editor.target == Target(
            Span(ADA.index("England"), ADA.index("England") + 7, "location"), False
        )
        assert not screen.hints and shown(screen).splitlines()[0] == before.splitlines()[0]

    bench.run(work)


def test_a_word_can_be_reached_and_a_selection_goes_along(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        at = ADA.index("wrote")
        await pilot.press("v", "ctrl+g")
        letters = next(letters for letters, hint in screen.hints.items() if hint.at == at)
        await pilot.press(*letters)
        assert screen.session.editor.cursor == at
        assert screen.session.editor.selection == (0, at + 1)

    bench.run(work)


def test_two_letters_one_after_the_other(bench: Bench) -> None:
    long = " ".join(f"w{n}" for n in range(100))

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        from tools.annotation import Document
        from tools.store import Store

        with Store.open(bench.store.path, shared=True) as store:
            store.add_documents([Document("long", long)])
        screen.session.open("long")
        screen.renew()
        await pilot.press("F")
        letters, hint = next((a, b) for a, b in screen.hints.items() if len(a) == 2)
        await pilot.press(letters[0])
        assert set(screen.hints_left.values()) == {one[1] for one in screen.hints if one[0] == letters[0]}
        await pilot.press(letters[1])
        assert screen.session.editor.cursor == hint.at
        await pilot.press("F", "escape")
        assert not screen.hints and screen.session.editor.cursor == hint.at
        await pilot.press("F", "1")
        assert not screen.hints and "no place has the letters 1" in screen.says

    bench.run(work)


def test_wide_characters_keep_their_columns(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        screen.session.open("mixed")
        screen.renew()
        await pilot.press("F")
        await pilot.pause()
        strips = [screen.view.render_line(y) for y in range(6)]
        assert {strip.cell_length for strip in strips} == {80}
        plain = " ".join(strip.text for strip in strips)
        assert "\u200d" in plain, "a joined character is whole or covered, never cut"
        text = screen.session.editor.text
        assert {text.index("京"), text.index("met"), text.index("Köln")} <= {h.at for h in screen.hints.values()}

    bench.run(work)
