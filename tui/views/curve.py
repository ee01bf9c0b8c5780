"""A learning curve in the cells of a terminal: rounds with their intervals, the fitted curve with its band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.campaign.curve import Point

AXIS, BAND, CURVE, INTERVAL, MARK, OLD, TARGET = "axis", "band", "curve", "interval", "mark", "old", "target"
_LEFT = 5
Chunk = tuple[str, str]
_Key = tuple[tuple[int, tuple[tuple[str, tuple[int, int, int]], ...]], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A round on the curve.

    Attributes:
        labels: How many documents were labelled.
        f1: F1 on the audit documents.
        low: Lower end of its interval.
        high: Upper end.
        same: Whether it may be compared with the latest round; drawn hollow where not.
    """

    labels: int
    f1: float
    low: float
    high: float
    same: bool = True


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn.

    Attributes:
        marks: The rounds, by rising labels; at least one.
        end: Labels at the right end.
        target: An F1 to reach; None without.
        points: What the curve is fitted to; empty where nothing can be told.
        seed: Of the band's draws.
    """

    marks: tuple[Mark, ...]
    end: int
    target: float | None = None
    points: tuple[Point, ...] = ()
    seed: int = 0


def chart(curve: Curve, width: int, height: int) -> list[list[Chunk]]:
    """Draw a curve.

    Args:
        curve: What to draw.
        width: Cells a row, at least 20.
        height: Rows, the axis and its numbers included, at least 5.

    Returns:
        ``height`` rows of texts, each with what it is (``axis``, ``band``, ...); every row has ``width`` cells.
    """
    columns, rows = max(10, width - _LEFT - 1), max(3, height - 2)
    right = max(curve.end, curve.marks[-1].labels, 1)
    band = _bands(curve, columns, right)
    low, high = _range(curve, band)
    grid: list[list[tuple[str, str]]] = [[(" ", AXIS)] * columns for _ in range(rows)]

    def row(f1: float) -> int:
        return min(rows - 1, max(0, round((high - f1) / (high - low) * (rows - 1))))

    def column(labels: float) -> int:
        return min(columns - 1, max(0, round(labels / right * (columns - 1))))

    for place, (lower, middle, upper) in band.items():
        for one in range(row(upper), row(lower) + 1):
            grid[one][place] = ("\u2591", BAND)
        grid[row(middle)][place] = ("\u2500", CURVE)
    if curve.target is not None and low <= curve.target <= high:
        at = row(curve.target)
        grid[at] = [("\u254c", TARGET) if cell[1] in (AXIS, BAND) else cell for cell in grid[at]]
    for mark in curve.marks:
        place = column(mark.labels)
        for one in range(row(mark.high), row(mark.low) + 1):
            grid[one][place] = ("\u2502", INTERVAL)
        grid[row(mark.high)][place] = ("\u252c", INTERVAL)
        grid[row(mark.low)][place] = ("\u2534", INTERVAL)
        grid[row(mark.f1)][place] = ("\u25cf", MARK) if mark.same else ("\u25cb", OLD)
    ticks = {row(value): value for value in _ticks(low, high, rows)}
    lines = []
    for number, cells in enumerate(grid):
        said = f"{ticks[number]:.2f}" if number in ticks else ""
        lines.append([(f"{said:>{_LEFT - 1}} " + ("\u2524" if said else "\u2502"), AXIS), *_joined(cells)])
    lines.append([(" " * _LEFT + "\u2514" + "\u2500" * columns, AXIS)])
    lines.append([(" " * (_LEFT + 1) + _numbers(curve, columns, right, column), AXIS)])
    return lines


def legend(curve: Curve) -> str:
    """What the signs mean, as far as they are drawn."""
    said = ["\u25cf F1", "\u2502 95 %"]
    if not all(mark.same for mark in curve.marks):
        said.append("\u25cb other settings")
    if curve.points:
        said.append("\u2591 8 in 10")
    if curve.target is not None:
        said.append("\u254c target")
    return "  ".join(said)


def _bands(curve: Curve, columns: int, right: int) -> dict[int, tuple[float, float, float]]:
    if not curve.points:
        return {}
    first = min(mark.labels for mark in curve.marks)
    places = [n for n in range(columns) if n / max(1, columns - 1) * right >= first]
    return dict(zip(places, _drawn(curve, columns, right, tuple(places)), strict=True))


@lru_cache(maxsize=8)
def _band_of(seed: int, key: _Key, at: tuple[float, ...]) -> tuple[tuple[float, float, float], ...]:
    import numpy as np

    from agent.campaign.curve import Point, band

    points = [Point(labels, dict(counts)) for labels, counts in key]
    found = band(points, at, rng=np.random.default_rng([seed, len(points)]))
    return tuple((float(low), float(middle), float(high)) for low, middle, high in found.T)


def _drawn(curve: Curve, columns: int, right: int, places: tuple[int, ...]) -> tuple[tuple[float, float, float], ...]:
    key = tuple((point.labels, tuple(point.counts.items())) for point in curve.points)
    return _band_of(curve.seed, key, tuple(max(1.0, n / max(1, columns - 1) * right) for n in places))


def _range(curve: Curve, band: dict[int, tuple[float, float, float]]) -> tuple[float, float]:
    """The ends of the axis: tenths around all that is drawn."""
    ends = [*(m.low for m in curve.marks), *(m.high for m in curve.marks), *(x for b in band.values() for x in b)]
    ends += [] if curve.target is None else [curve.target]
    low, high = max(0.0, int(min(ends) * 10) / 10), min(1.0, -(-max(ends) * 10 // 1) / 10)
    return (low, high) if high - low > 0.09 else (max(0.0, high - 0.1), high if high > 0.05 else 0.1)


def _ticks(low: float, high: float, rows: int) -> list[float]:
    """Round numbers on the axis, at least two rows apart."""
    for step in (0.02, 0.05, 0.1, 0.2, 0.5):
        if (high - low) / step * 2 <= rows - 1 or step == 0.5:
            break
    first = -int(-low / step + 1e-9)
    values = [round(number * step, 2) for number in range(first, int(high / step + 1e-9) + 1)]
    return [value for value in values if low - 1e-9 <= value <= high + 1e-9]


def _joined(cells: list[tuple[str, str]]) -> list[Chunk]:
    return [("".join(char for char, _ in group), kind) for kind, group in groupby(cells, key=lambda cell: cell[1])]


def _numbers(curve: Curve, columns: int, right: int, column: object) -> str:
    """Numbers of labels beneath the axis: the end, then the latest rounds, as far as they do not touch."""
    assert callable(column)
    line = [" "] * columns
    wanted = [right, *(mark.labels for mark in reversed(curve.marks))]
    for labels in dict.fromkeys(wanted):
        text = f"{labels:,}" + (" labels" if labels == right and columns > 30 else "")
        start = min(columns - len(text), max(0, column(labels) - len(f"{labels:,}") // 2))
        if all(char == " " for char in line[max(0, start - 1) : start + len(text) + 1]):
            line[start : start + len(text)] = text
    return "".join(line)
