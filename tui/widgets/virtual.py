"""A list that asks for the lines it shows and for no others: a million rows open like ten."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.theme import Palette
from tui.widgets.lines import Piece, line_of

# Commands of a table of keys that move a list, and the keys that it knows them by.
STEPS = {
    "up": "up", "down": "down", "page_up": "pageup", "page_down": "pagedown", "first": "home", "last": "end",
}  # fmt: skip
Row = Callable[[int, int], Sequence[Sequence[Piece]]]


class VirtualList(Widget, can_focus=True):
    """Rows by number, a cursor, and the keys to move it.

    Args:
        rows: Gives the rows from one number to another (exclusive), each a line.
        count: How many there are.
        id: As every widget's.

    Attributes:
        own_keys: Whether it moves by keys itself; a screen whose table has them moves it by :meth:`step`.
    """

    class Chosen(Message):
        """Enter was pressed on a row.

        Attributes:
            row: Its number.
        """

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    class Moved(Chosen):
        """The cursor moved to a row."""

    def __init__(self, rows: Row, count: int, palette: Palette, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows, self.count, self._palette = rows, count, palette
        self.cursor = 0
        self.own_keys = True
        self._top = 0
        self._strips: list[Strip] = []

    def on_mount(self) -> None:
        """First paint."""
        self.renew()

    def on_resize(self) -> None:
        """Cut anew."""
        self.renew()

    def renew(self, count: int | None = None) -> None:
        """Ask for the rows again, e.g. because there are more of them now."""
        if count is not None:
            self.count = count
        width, height = self.size
        if not width or not height:
            return
        self.cursor = max(0, min(self.cursor, self.count - 1))
        self._top = max(0, min(self._top, self.cursor, self.count - height))
        self._top = max(self._top, self.cursor - height + 1)
        ground = self._palette.plain()
        rows = self._rows(self._top, min(self.count, self._top + height)) if self.count else ()
        strips = []
        for number, pieces in enumerate(rows, self._top):
            here = number == self.cursor
            sign = ("\u25b6 " if here else "  ", self._palette.bold() if here else ground)
            strip = line_of((sign, *pieces), width, ground)
            strips.append(strip.apply_style(self._palette.current()) if here else strip)
        self._strips = strips + [Strip.blank(width, ground)] * (height - len(strips))
        self.refresh()

    def go(self, row: int) -> None:
        """Put the cursor on a row."""
        row = max(0, min(row, self.count - 1))
        if row != self.cursor:
            self.cursor = row
            self.renew()
            self.post_message(self.Moved(row))

    def step(self, key: str) -> bool:
        """Move by a key; False where the key is not one of the list's."""
        page = max(1, self.size.height - 1)
        steps = {"up": -1, "down": 1, "pageup": -page, "pagedown": page, "k": -1, "j": 1}
        if key in steps:
            self.go(self.cursor + steps[key])
        elif key in ("home", "ctrl+home"):
            self.go(0)
        elif key in ("end", "ctrl+end"):
            self.go(self.count - 1)
        elif key == "enter" and self.count:
            self.post_message(self.Chosen(self.cursor))
        else:
            return False
        return True

    def on_key(self, event: events.Key) -> None:
        """Move, or choose."""
        if self.own_keys and self.step(event.key):
            event.stop()

    def on_click(self, event: events.Click) -> None:
        """To the row that was clicked on; a second click chooses it."""
        row = self._top + event.y
        if row < self.count:
            if row == self.cursor:
                self.post_message(self.Chosen(row))
            self.go(row)

    def on_mouse_scroll_down(self) -> None:
        """Three rows down."""
        self.go(self.cursor + 3)

    def on_mouse_scroll_up(self) -> None:
        """Three rows up."""
        self.go(self.cursor - 3)

    def render_line(self, y: int) -> Strip:
        """The line at a height."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    @property
    def plain(self) -> str:
        """What is shown, as text."""
        return "\n".join(strip.text.rstrip() for strip in self._strips)
