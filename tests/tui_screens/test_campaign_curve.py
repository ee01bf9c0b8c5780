"""The learning curve in cells: it fits, it shows every round, and its axis tells the truth."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.campaign.curve import Point
from tui.views.curve import AXIS, BAND, CURVE, MARK, TARGET, Curve, Mark, chart, legend
from tui.views.reasons import reason_details, reason_line


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    count = draw(st.integers(1, 8))
    labels = sorted(draw(st.lists(st.integers(1, 5000), min_size=count, max_size=count, unique=True)))
    marks = []
    for at in labels:
        low, f1, high = sorted(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3)))
        marks.append(Mark(at, f1, low, high, draw(st.booleans())))
    target = draw(st.none() | st.floats(0, 1))
    return Curve(tuple(marks), draw(st.integers(0, 10_000)), target)


@given(curves(), st.integers(20, 120), st.integers(5, 30))
def test_every_row_has_the_width(curve: Curve, width: int, height: int) -> None:
    rows = chart(curve, width, height)
    assert len(rows) == height
    assert {sum(len(text) for text, _ in row) for row in rows} == {width}
    kinds = {kind for row in rows for _, kind in row}
    assert kinds & {MARK, "old"}


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 8), st.integers(40, 100))
def test_the_band_is_drawn_where_there_are_points(rounds: int, width: int) -> None:
    points = tuple(
        Point(6 * n, {f"d{k}": (n + k % 3, 2, max(0, 6 - n)) for k in range(10)}) for n in range(1, rounds + 1)
    )
    marks = tuple(Mark(point.labels, 0.5 + 0.03 * n, 0.4, 0.7) for n, point in enumerate(points))
    curve = Curve(marks, 12 * rounds, 0.55, points, 1)
    rows = chart(curve, width, 12)
    kinds = {kind for row in rows for _, kind in row}
    assert {BAND, CURVE} & kinds and TARGET in kinds and AXIS in kinds
    assert "8 in 10" in legend(curve) and "target" in legend(curve)
    assert chart(curve, width, 12) == rows, "the same draws each time"


def test_marks_stand_where_their_figures_are() -> None:
    curve = Curve((Mark(50, 0.5, 0.5, 0.5), Mark(100, 1.0, 1.0, 1.0)), 100)
    rows = ["".join(text for text, _ in row) for row in chart(curve, 57, 13)]
    assert rows[0].startswith("1.00 \u2524") and rows[0].endswith("\u25cf"), "the best at the top right"
    assert rows[10].startswith("0.50 \u2524") and rows[10][6 + 25] == "\u25cf", "half of the labels in the middle"
    assert rows[-1].rstrip().endswith("100 labels") and " 50 " in rows[-1]
    assert legend(curve) == "\u25cf F1  \u2502 95 %"


def test_reasons_bear_records_of_any_release() -> None:
    assert reason_line({}) == ""
    assert reason_line({"stage": "diversity", "rank": 2, "meaning": "far", "score": 0.5, "later": 1}) == "far (0.5)"
    assert reason_line({"stage": "diversity", "meaning": "far (0.61)", "score": 0.39, "nearest": "d7"}) == (
        "far (0.61); most like d7"
    )
    assert reason_line({"meaning": "x", "score": None, "rank": 1}) == "x"
    said = dict(reason_details({"strategy": "audit", "seconds": 3.25, "nearest": None, "facts": {"population": 30}}))
    assert said == {"strategy": "audit", "expected seconds": "3.25", "population": "30"}
