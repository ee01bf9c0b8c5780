"""The little SVG that plots need: elements, scales and axes. Colours are the page's CSS variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from tools.annotation.visible import visible

COLOURS = 8
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "down", "plus", "ring")


def el(name: str, text: str | None = None, /, **attributes: object) -> str:
    """One element; its text and attributes are made harmless.

    Args:
        name: Of the element.
        text: What stands in it.
        attributes: An underscore at the end is dropped, one within becomes a hyphen.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{given}/>" if text is None else f"<{name}{given}>{escape(visible(text))}</{name}>"


def _plain(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else visible(str(value))


def colour(number: int) -> str:
    """The CSS variable of a series."""
    return f"var(--c{number % COLOURS})"


def svg(width: int, height: int, parts: Sequence[str], *, label: str) -> str:
    """A whole picture.

    Args:
        width: Of its coordinates.
        height: The same.
        parts: Elements.
        label: What it shows, for those who do not see it.
    """
    return (
        f'<svg viewBox="0 0 {width} {height}" style="--w:{width}px" role="img" aria-label="{escape(visible(label))}"'
        f' xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to coordinates.

    Attributes:
        low: The least value.
        high: The greatest.
        start: Where the least lies.
        end: Where the greatest lies.
        logarithmic: Equal factors are equal distances; all values are above 0.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """A value's coordinate."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = log10(low), log10(high), log10(value)
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values to name."""
        if self.logarithmic:
            return [
                m * 10**power
                for power in range(floor(log10(self.low)), floor(log10(self.high)) + 1)
                for m in (1, 2, 5)
                if self.low <= m * 10**power <= self.high
            ]
        rough = (self.high - self.low) / most or 1.0
        power = 10 ** floor(log10(rough))
        step = next((power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough), rough)
        first = floor(self.low / step) * step
        found = [first + n * step for n in range(int((self.high - first) / step) + 2)]
        return [round(t, 10) for t in found if self.low - step / 1e6 <= t <= self.high + step / 1e6]


def around(values: Sequence[float], *, least: float | None = None, most: float | None = None) -> tuple[float, float]:
    """The least and greatest of some values with a little air, within bounds."""
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or 0.5
    low, high = low - air, high + air
    return (low if least is None else max(least, low)), (high if most is None else min(most, high))


def number(value: float) -> str:
    """A tick's name."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"


def x_axis(scale: Scale, y: float, top: float, title: str, *, name: Callable[[float], str] = number,
           at: Sequence[float] | None = None) -> list[str]:  # fmt: skip
    """Ticks with faint lines up to ``top``, and a title."""
    parts = []
    for tick in scale.ticks() if at is None else at:
        x = scale(tick)
        parts.append(el("line", x1=x, x2=x, y1=top, y2=y, class_="grid"))
        parts.append(el("text", name(tick), x=x, y=y + 16, text_anchor="middle", class_="tick"))
    middle = (scale.start + scale.end) / 2
    return [*parts, el("text", title, x=middle, y=y + 36, text_anchor="middle", class_="axis")]


def y_axis(scale: Scale, x: float, right: float, title: str, *, name: Callable[[float], str] = number) -> list[str]:
    """Ticks with faint lines to ``right``, and a title above."""
    parts = []
    for tick in scale.ticks(5):
        y = scale(tick)
        parts.append(el("line", x1=x, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(el("text", name(tick), x=x - 6, y=y + 4, text_anchor="end", class_="tick"))
    return [*parts, el("text", title, x=x - 34, y=scale.end - 10, class_="axis")]


def mark(series: int, x: float, y: float, title: str, size: float = 5.0) -> str:
    """A point in the colour and shape of its series, with a text for those who point at it."""
    shape = SHAPES[series % len(SHAPES)]
    paint = f"fill:{colour(series)};stroke:{colour(series)}"
    if shape in ("cross", "plus", "ring"):
        paint = f"fill:none;stroke:{colour(series)};stroke-width:2.5"
    s = size
    points = {
        "square": f"M{x - s:.1f} {y - s:.1f}h{2 * s}v{2 * s}h{-2 * s}z",
        "triangle": f"M{x:.1f} {y - s * 1.2:.1f}l{s * 1.2} {s * 2.1}h{-s * 2.4}z",
        "down": f"M{x:.1f} {y + s * 1.2:.1f}l{s * 1.2} {-s * 2.1}h{-s * 2.4}z",
        "diamond": f"M{x:.1f} {y - s * 1.4:.1f}l{s * 1.4} {s * 1.4}l{-s * 1.4} {s * 1.4}l{-s * 1.4} {-s * 1.4}z",
        "cross": f"M{x - s:.1f} {y - s:.1f}l{2 * s} {2 * s}m0 {-2 * s}l{-2 * s} {2 * s}",
        "plus": f"M{x - s * 1.2:.1f} {y:.1f}h{s * 2.4}M{x:.1f} {y - s * 1.2:.1f}v{s * 2.4}",
    }
    name = escape(visible(title))
    if shape in points:
        return f'<path d="{points[shape]}" style="{paint}"><title>{name}</title></path>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s}" style="{paint}"><title>{name}</title></circle>'


def legend(names: Sequence[str], x: float, y: float) -> list[str]:
    """Series with their marks, one below the other."""
    parts = []
    for series, name in enumerate(names):
        parts.append(mark(series, x, y + series * 20 - 4, name))
        parts.append(el("text", cut(name, 44), x=x + 14, y=y + series * 20, class_="tick start"))
    return parts


def cut(text: str, length: int) -> str:
    """A text of at most a length, with a sign where it was longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
