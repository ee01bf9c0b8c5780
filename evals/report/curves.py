"""Which settings make a curve: those that differ in one number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from evals.points import points
from evals.report.charts import Point
from evals.report.settings import Setting, short, shown

LEAST_POINTS = 3
MOST_LINES = 8


def value_of(value: Any) -> tuple[float, str] | None:
    """A number or a share such as ``"10%"``, with its unit; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value), ""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1]), "%"
        except ValueError:
            return None
    return None


def curves(settings: Sequence[Setting]) -> Iterator[tuple[str, list[tuple[str, list[Point]]]]]:
    """The learning curves among some settings of one data set.

    Args:
        settings: They may be of several runs.

    Yields:
        For every axis of numbers: its name, and lines of at least three points
        along which nothing else differs; the longest first, at most eight.
    """
    axes = dict.fromkeys(name for one in settings for name in one.cell.header.settings)
    for axis in axes:
        lines: dict[str, dict[float, Setting]] = {}
        units = set()
        for one in settings:
            own = one.cell.header.settings
            value = value_of(own.get(axis))
            if value is None:
                continue
            rest = {k: v for k, v in own.items() if k != axis} | {"run": one.run.header.run}
            lines.setdefault(json.dumps(rest, sort_keys=True, default=str), {})[value[0]] = one
            units.add(value[1])
        long = {key: line for key, line in lines.items() if len(line) >= LEAST_POINTS}
        if not long or len(units) != 1:
            continue
        kept = sorted(long.items(), key=lambda item: -len(item[1]))[:MOST_LINES]
        unit = units.pop()
        yield (
            short(axis) + (f" ({unit})" if unit else ""),
            [(name, _points(line, short(axis), unit)) for name, line in _named(kept)],
        )


def _named(lines: list[tuple[str, dict[float, Setting]]]) -> Iterator[tuple[str, dict[float, Setting]]]:
    """Lines called after what sets them apart."""
    rests = [json.loads(key) for key, _ in lines]
    apart = [name for name in dict.fromkeys(k for rest in rests for k in rest)
             if len({str(rest.get(name)) for rest in rests}) > 1]  # fmt: skip
    for rest, (_, line) in zip(rests, lines, strict=True):
        yield ", ".join(f"{short(name)}={shown(rest.get(name))}" for name in apart) or "F1", line


def _points(line: dict[float, Setting], axis: str, unit: str) -> list[Point]:
    return [
        Point(
            x,
            s.f1,
            s.low,
            s.high,
            f"{axis}={x:g}{unit}: F1 {points(s.f1)} ({points(s.low)} to {points(s.high)})",
        )
        for x, s in sorted(line.items())
    ]
