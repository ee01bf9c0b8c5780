"""The plots of a report, each as static SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.compare import Row
from evals.points import signed
from evals.report.svg import Scale, around, colour, cut, el, legend, mark, number, svg, x_axis, y_axis
from evals.statistics import Verdict
from tools.metrics import Calibration

WIDTH = 760
_VERDICTS = {Verdict.BETTER: 2, Verdict.WORSE: 5, Verdict.CANNOT_TELL: 7}


@dataclass(frozen=True, slots=True)
class Point:
    """A figure with its interval, at a place.

    Attributes:
        x: Where: what was varied, or what it cost.
        y: The figure, 0 to 1.
        low: Lower end of its interval.
        high: Upper end.
        name: For who points at it.
    """

    x: float
    y: float
    low: float
    high: float
    name: str


def forest(rows: Sequence[tuple[str, Row]], base: str) -> str:
    """Differences with their intervals, one below the other; what lies wholly beside 0 is no luck.

    Args:
        rows: What to call a comparison, and the comparison.
        base: What all are held against.
    """
    left, right, top, step = 275, WIDTH - 100, 26, 24
    bottom = top + step * len(rows)
    ends = [v * 100 for _, row in rows for v in (row.low, row.high, row.difference)]
    low, high = around([*ends, 0.0])
    scale = Scale(low, high, left, right)
    parts = x_axis(scale, bottom, top - 8, f"points of F1 more or less than {base}", name=lambda v: f"{number(v)}")
    parts.append(el("line", x1=scale(0), x2=scale(0), y1=top - 8, y2=bottom, class_="zero"))
    for place, (name, row) in enumerate(rows):
        y = top + step * place + step / 2
        series = _VERDICTS[row.verdict]
        a, b, x = (scale(v * 100) for v in (row.low, row.high, row.difference))
        said = f"{name}: {signed(row.difference)} ({signed(row.low)} to {signed(row.high)}), {row.verdict}"
        parts.append(el("text", cut(name, 38), x=left - 10, y=y + 4, text_anchor="end", class_="tick"))
        parts.append(el("line", x1=a, x2=b, y1=y, y2=y, style=f"stroke:{colour(series)};stroke-width:2.5"))
        parts += [
            el("line", x1=v, x2=v, y1=y - 4, y2=y + 4, style=f"stroke:{colour(series)};stroke-width:2") for v in (a, b)
        ]
        parts.append(_verdict_mark(row.verdict, x, y, said))
        parts.append(el("text", str(row.verdict), x=right + 12, y=y + 4, class_="tick start"))
    return svg(WIDTH, bottom + 46, parts, label=f"Differences of {len(rows)} settings from {base}, with intervals")


def _verdict_mark(verdict: Verdict, x: float, y: float, title: str) -> str:
    # Triangles point where the difference goes; the word stands beside.
    series = {Verdict.BETTER: 2, Verdict.WORSE: 5, Verdict.CANNOT_TELL: 7}[verdict]
    return mark(series, x, y, title, 4.5)


def curve(lines: Sequence[tuple[str, Sequence[Point]]], axis: str) -> str:
    """Figures over what was varied, with bands.

    Args:
        lines: Name and points, those in order.
        axis: What was varied.
    """
    names = [name for name, _ in lines]
    side = len(lines) > 1
    left, right, top, bottom = 56, WIDTH - (270 if side else 30), 36, 320
    every = [point for _, points in lines for point in points]
    xs = sorted({point.x for point in every})
    logarithmic = xs[0] > 0 and xs[-1] / xs[0] >= 16
    across = Scale(xs[0], xs[-1], left + 12, right - 12, logarithmic)
    up = Scale(*around([v * 100 for p in every for v in (p.low, p.high)], least=0, most=100), bottom, top)
    parts = [*x_axis(across, bottom, top, axis, at=_apart(xs, across)), *y_axis(up, left, right, "F1")]
    for series, (_, points) in enumerate(lines):
        there = [f"{across(p.x):.1f},{up(p.low * 100):.1f}" for p in points]
        back = [f"{across(p.x):.1f},{up(p.high * 100):.1f}" for p in reversed(points)]
        parts.append(el("polygon", points=" ".join(there + back), style=f"fill:{colour(series)};opacity:.15"))
    for series, (_, points) in enumerate(lines):
        line = " ".join(f"{across(p.x):.1f},{up(p.y * 100):.1f}" for p in points)
        parts.append(el("polyline", points=line, style=f"fill:none;stroke:{colour(series)};stroke-width:2"))
        parts += [mark(series, across(p.x), up(p.y * 100), p.name) for p in points]
    parts += legend(names, right + 24, top + 10) if side else []
    return svg(WIDTH, bottom + 46, parts, label=f"F1 over {axis}, {len(lines)} lines with bands")


def _apart(values: Sequence[float], scale: Scale) -> list[float]:
    """Values whose names would not run into one another."""
    kept: list[float] = []
    for value in values:
        if not kept or scale(value) - scale(kept[-1]) >= 34:
            kept.append(value)
    return kept


def cost(points: Sequence[Point], best: Sequence[bool], names: Sequence[str]) -> str:
    """What a figure costs; the line joins what nothing cheaper reaches.

    Args:
        points: Tokens a document, and the figure.
        best: Which of them nothing cheaper reaches.
        names: Short names for the joined points.
    """
    left, right, top, bottom = 56, WIDTH - 30, 36, 330
    across = Scale(*around([p.x for p in points], least=0), left, right)
    up = Scale(*around([v * 100 for p in points for v in (p.low, p.high)], least=0, most=100), bottom, top)
    parts = [*x_axis(across, bottom, top, "tokens a document (read and written)"), *y_axis(up, left, right, "F1")]
    front = sorted((p for p, on in zip(points, best, strict=True) if on), key=lambda p: p.x)
    line = " ".join(f"{across(p.x):.1f},{up(p.y * 100):.1f}" for p in front)
    parts.append(el("polyline", points=line, class_="front"))
    for p in points:
        x = across(p.x)
        parts.append(el("line", x1=x, x2=x, y1=up(p.low * 100), y2=up(p.high * 100), class_="whisker"))
    placed: list[tuple[float, float]] = []
    for p, on, name in sorted(zip(points, best, names, strict=True), key=lambda item: -item[0].y):
        x, y = across(p.x), up(p.y * 100)
        parts.append(mark(0 if on else 7, x, y, p.name, 5.5 if on else 4))
        at_end = x > (left + right) / 2
        if on and all(abs(y - b) > 15 or abs(x - a) > 210 for a, b in placed):
            placed.append((x, y))
            parts.append(
                el("text", cut(name, 40), x=x - 9 if at_end else x + 9, y=y - 7, class_="tick strong",
                   text_anchor="end" if at_end else "start")
            )  # fmt: skip
    return svg(WIDTH, bottom + 46, parts, label=f"F1 of {len(points)} settings over the tokens they take")


def reliability(sides: Sequence[tuple[str, Calibration]]) -> str:
    """How often predictions of a confidence are right; on the diagonal they can be taken at their word."""
    left, right, top, bottom = 56, 396, 36, 356
    across, up = Scale(0, 1, left, right), Scale(0, 1, bottom, top)
    parts = [*x_axis(across, bottom, top, "confidence"), *y_axis(up, left, right, "share that is right")]
    parts.append(el("line", x1=across(0), y1=up(0), x2=across(1), y2=up(1), class_="zero"))
    names = []
    for series, (name, found) in enumerate(sides):
        names.append(f"ECE {found.ece:.3f}, n {found.count:,}: {name}")
        line = " ".join(f"{across(b.confidence):.1f},{up(b.accuracy.point):.1f}" for b in found.curve)
        parts.append(el("polyline", points=line, style=f"fill:none;stroke:{colour(series)};stroke-width:2"))
        for b in found.curve:
            x = across(b.confidence)
            said = f"{name}: {b.accuracy.point:.0%} of {b.count} right at confidence {b.confidence:.2f}"
            parts.append(
                el("line", x1=x, x2=x, y1=up(b.accuracy.low), y2=up(b.accuracy.high),
                   style=f"stroke:{colour(series)};opacity:.55")
            )  # fmt: skip
            parts.append(mark(series, x, up(b.accuracy.point), said, 4))
    parts += legend(names, right + 28, top + 14)
    return svg(WIDTH, bottom + 46, parts, label="Reliability: " + "; ".join(names))


def confusion(table: dict[tuple[str, str], int], labels: Sequence[str]) -> str:
    """Gold types against predicted ones, with what was missed and what was made up; shaded by share of the row."""
    rows, columns = [*labels, ""], [*labels, ""]
    side = max(34, min(64, 420 // max(1, len(columns))))
    left, top = 130, 104
    parts = [
        el("text", "gold", x=left - 10, y=top - 10, text_anchor="end", class_="axis"),
        el("text", "predicted", x=left, y=14, class_="axis"),
    ]
    for place, name in enumerate(columns):
        x = left + place * side + side / 2
        parts.append(
            el("text", cut(name or "missed", 14), x=x + 4, y=top - 8, class_="tick start",
               transform=f"rotate(-40 {x + 4:.0f} {top - 8})")
        )  # fmt: skip
    for down, gold in enumerate(rows):
        y = top + down * side
        parts.append(
            el("text", cut(gold or "not in gold", 17), x=left - 10, y=y + side / 2 + 4, text_anchor="end",
               class_="tick")
        )  # fmt: skip
        whole = sum(table.get((gold, guess), 0) for guess in columns) or 1
        for place, guess in enumerate(columns):
            if not gold and not guess:
                continue
            x, count = left + place * side, table.get((gold, guess), 0)
            share = count / whole
            shade = f"fill:{colour(2 if gold == guess else 5)};opacity:{0.08 + 0.72 * share:.2f}" if count else ""
            said = f"gold {gold or 'nothing'}, predicted {guess or 'nothing'}: {count:,} ({share:.0%})"
            parts.append(
                f'<g><title>{_safe(said)}</title>'
                + el("rect", x=x, y=y, width=side - 2, height=side - 2, rx=3, class_="cell", style=shade)
                + (el("text", f"{count:,}", x=x + side / 2 - 1, y=y + side / 2 + 4, text_anchor="middle",
                      class_="tick strong") if count else "")
                + "</g>"
            )  # fmt: skip
    size = top + side * len(rows) + 8
    return svg(max(WIDTH // 2, left + side * len(columns) + 60), size, parts, label="Confusion of types")


def _safe(text: str) -> str:
    from html import escape

    from tools.annotation.visible import visible

    return escape(visible(text))
