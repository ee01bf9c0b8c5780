"""Lines of styled text that are never read as markup, and repaint only where they changed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.labelling.layout import safe

Piece = tuple[str, Style]


def line_of(pieces: Iterable[Piece], width: int, ground: Style) -> Strip:
    """One line of exactly a width; what does not fit is cut, with a mark that says so.

    Args:
        pieces: Texts with their styles; controls in them are made visible.
        width: Cells.
        ground: The style of what is left empty.
    """
    strip = Strip([Segment(safe(text), style) for text, style in pieces if text])
    if strip.cell_length > width:
        strip = Strip([*strip.crop(0, max(0, width - 1)), Segment("\u2026", ground)])
    return strip.adjust_cell_length(width, ground)


def cut(text: str, width: int) -> str:
    """A text of exactly so many cells; what does not fit is cut, with a mark that says so."""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "\u2026"
    return set_cell_size(text, width)


def wrapped(text: str, width: int, style: Style, indent: str = "") -> list[list[Piece]]:
    """A text as lines of at most a width; one empty line for an empty text."""
    return [[(indent + line, style)] for line in textwrap.wrap(text, max(8, width - len(indent))) or [""]]


class Lines(Widget):
    """A few lines that somebody else writes: a title, a status, a footer, a panel.

    Args:
        id: As every widget's.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pieces: list[Sequence[Piece]] = []
        self._ground = Style()
        self._strips: list[Strip] = []

    def write(self, lines: Sequence[Sequence[Piece]], ground: Style) -> None:
        """Show these lines; only those that differ are painted again."""
        if lines != self._pieces or ground != self._ground:
            self._pieces, self._ground = list(lines), ground
            self._paint()

    def on_resize(self) -> None:
        """Cut anew."""
        self._paint()

    def _paint(self) -> None:
        width, height = self.size
        old = self._strips
        self._strips = [line_of(pieces, width, self._ground) for pieces in self._pieces[:height]]
        self._strips += [line_of((), width, self._ground)] * (height - len(self._strips))
        changed = [y for y in range(height) if y >= len(old) or old[y] != self._strips[y]]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """The line at a height."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self._ground)

    @property
    def plain(self) -> str:
        """What is shown, as text."""
        return "\n".join(strip.text.rstrip() for strip in self._strips)
