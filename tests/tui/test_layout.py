from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tools.annotation import Span
from tui.labelling.editor import Target
from tui.labelling.lanes import Lanes, bracket
from tui.labelling.layout import Layout, glyph, safe

PIECES = ["Ada ", "x", " ", "é", "e\u0301", "東京", "👨‍👩‍👧", "🇩🇪", "العربية ", "\n", "\r\n", "\t", "\x1b[1m", "\u202e", "\ud800", "\u0301", "ก็", "lovelace"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@given(TEXTS, st.integers(2, 30))
def test_rows_hold_every_character_once_and_fit(text: str, width: int) -> None:
    layout = Layout(text, width)
    rows = [row for block in range(layout.blocks) for row in layout.rows(block)]
    at = 0
    for row in rows:
        assert not text[at : row.start].strip("\r\n\x85\u2028\u2029"), "only line breaks lie between rows"
        assert row.start <= row.end
        shown = row.text(row.start, row.end)
        assert cell_len(shown) == row.width or any(char in shown for char in "\u25cc\u200d")
        wide = max((glyph(c)[1] for c in regex.findall(r"\X", text[row.start : row.end])), default=0)
        assert row.width <= max(width + 1, wide), "one blank may stand beyond the margin"
        at = row.end
    assert not text[at:].strip("\r\n\x85\u2028\u2029")


@given(TEXTS, st.integers(2, 30))
def test_every_character_is_found_where_it_is_shown(text: str, width: int) -> None:
    layout = Layout(text, width)
    for match in regex.finditer(r"\X", text):
        row = layout.row(layout.locate(match.start()))
        if row.start <= match.start() < row.end:
            column = row.column(match.start())
            assert row.offset(column) == match.start()
            assert row.column_behind(match.end()) == column + glyph(match.group())[1]


@given(TEXTS)
def test_nothing_that_a_terminal_obeys_is_shown(text: str) -> None:
    for shown in (safe(text), *(glyph(c)[0] for c in regex.findall(r"\X", text))):
        assert all(char.isprintable() or char in "\u200c\u200d" for char in shown), shown
        assert "\u202e" not in shown and "\x1b" not in shown


def test_next_and_previous_rows_go_through_the_whole_text() -> None:
    layout = Layout("one two three\n\nfour " * 3, 8)
    seen = [(0, 0)]
    while (following := layout.after(seen[-1])) is not None:
        seen.append(following)
    back = [seen[-1]]
    while (before := layout.before(back[-1])) is not None:
        back.append(before)
    assert back[::-1] == seen and len(seen) > 6


@pytest.mark.parametrize("piece", ["word and ", "東京都", "x", "é ", "🙂"])
def test_a_long_line_is_laid_out_only_where_somebody_looks(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begun = time.perf_counter()
    layout = Layout(text, 76)
    layout.locate(len(text) - 3)
    assert time.perf_counter() - begun < 1.5
    assert layout.blocks > 300


SPANS = st.lists(st.builds(lambda a, n, own: Target(Span(a, a + n, "p"), own), st.integers(0, 50), st.integers(1, 20), st.booleans()), max_size=25, unique=True)  # fmt: skip


@given(SPANS, st.integers(0, 60), st.integers(1, 20))
def test_no_two_spans_share_a_cell_and_none_is_missed(targets: list[Target], start: int, size: int) -> None:
    lanes = Lanes([(target, "p", "p") for target in targets])
    every = lanes.between(0, 100)
    assert sorted(p.target.span for p in every) == sorted(t.span for t in targets)
    for one in every:
        for other in every:
            if one is not other and one.target.span.overlaps(other.target.span):
                assert one.lane != other.lane
    found = {p.target for p in lanes.between(start, start + size)}
    assert found == {t for t in targets if t.span.start < start + size and start < t.span.end}


@given(st.integers(1, 30), st.sampled_from(["person 93%", "東京 5%", "p", "a very long type name 100%"]), st.booleans(), st.booleans(), st.booleans())  # fmt: skip
def test_a_bracket_is_as_wide_as_its_span(width: int, title: str, own: bool, opens: bool, closes: bool) -> None:
    [placed] = Lanes([(Target(Span(0, 5, "x"), own), title, "k")]).between(0, 9)
    assert cell_len(bracket(width, placed, opens=opens, closes=closes)) == width
