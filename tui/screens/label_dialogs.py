"""Small windows over the labelling screen: ask for a line, pick from a list, read a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from tui.theme import Palette
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp

Result = TypeVar("Result")


def palette_of(screen: Screen[Any]) -> Palette:
    """The colours in use."""
    return cast("QuorumApp", screen.app).palette


class Window(ModalScreen[Result]):
    """A window over a screen; the keys that leave the program leave it from here, too."""

    def on_key(self, event: events.Key) -> None:
        """Leave."""
        app = cast("QuorumApp", self.app)
        if event.key in app.leave_keys:
            event.stop()
            event.prevent_default()
            app.leave()


class Ask(Window[str | None]):
    """Ask for one line; None when it was given up with Escape.

    Args:
        title: What is asked.
        value: What stands there already.
        says: Told each change, gives a line to show beneath; None for no such line.
    """

    CSS = """
    Ask { align: center bottom; }
    Ask Vertical { height: auto; width: 100%; background: $surface; }
    Ask Lines { height: 1; }
    Ask Input { border: none; height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, title: str, value: str = "", says: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._heading, self._value, self._says = title, value, says

    def compose(self) -> ComposeResult:
        """A title, the line, and what it means."""
        with Vertical():
            yield Lines(id="asked")
            yield Input(self._value)
            if self._says is not None:
                yield Lines(id="says")

    def on_mount(self) -> None:
        """Paint."""
        palette = palette_of(self)
        title: list[Piece] = [
            (f" {self._heading}", palette.key()),
            ("   Enter takes it, Esc gives it up", palette.strip()),
        ]
        self.query_one("#asked", Lines).write([title], palette.strip())
        self._say(self._value)

    def _say(self, value: str) -> None:
        if self._says is not None:
            palette = palette_of(self)
            self.query_one("#says", Lines).write([[(f" {self._says(value)}", palette.strip())]], palette.strip())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what it would mean."""
        self._say(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it."""
        self.dismiss(event.value)

    def on_key(self, event: events.Key) -> None:
        """Escape gives it up."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)


class Pick(Window[int | None]):
    """Pick one of many by typing a part of it; None when it was given up.

    Args:
        title: What is picked.
        options: The texts; a person sees them as they are.
        details: Something to show behind each, such as its key.
    """

    CSS = """
    Pick Vertical { width: 70; max-width: 95%; height: 20; max-height: 90%; }
    Pick Vertical { background: $background; border: round $primary; }
    Pick Lines { height: 1; }
    Pick Input { border: none; height: 1; padding: 0 1; }
    Pick VirtualList { height: 1fr; }
    """

    def __init__(self, title: str, options: Sequence[str], details: Sequence[str] = ()) -> None:
        super().__init__()
        self._heading, self._options = title, options
        self._details = details or [""] * len(options)
        self._left = list(range(len(options)))

    def compose(self) -> ComposeResult:
        """A title, a line to type in, the list."""
        with Vertical():
            yield Lines(id="title")
            yield Input(placeholder="type a part of the name")
            yield VirtualList(self._rows, len(self._left), palette_of(self))

    def on_mount(self) -> None:
        """Paint."""
        palette = palette_of(self)
        line: list[Piece] = [(f" {self._heading}", palette.key()), ("   Enter takes it, Esc leaves", palette.strip())]
        self.query_one("#title", Lines).write([line], palette.strip())
        self.query_one(Input).focus()

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = palette_of(self)
        width = 44
        rows: list[list[Piece]] = []
        for number in self._left[first:last]:
            name = self._options[number]
            pad = " " * max(1, width - len(name))
            rows.append([(name + pad, palette.plain()), (self._details[number], palette.faded() + Style(bold=True))])
        return rows

    def on_input_changed(self, event: Input.Changed) -> None:
        """Only what holds all that was typed; what begins with it first."""
        words = event.value.casefold().split()
        found = [n for n, name in enumerate(self._options) if all(word in name.casefold() for word in words)]
        self._left = sorted(found, key=lambda n: not self._options[n].casefold().startswith(event.value.casefold()))
        listed = self.query_one(VirtualList)
        listed.cursor = 0
        listed.renew(len(self._left))

    def on_input_submitted(self) -> None:
        """Take the one under the cursor."""
        if self._left:
            self.dismiss(self._left[self.query_one(VirtualList).cursor])

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """Take it."""
        if type(event) is VirtualList.Chosen:
            self.dismiss(self._left[event.row])

    def on_key(self, event: events.Key) -> None:
        """Escape leaves; arrows move the list while the line keeps the focus."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)
        elif event.key in ("up", "down", "pageup", "pagedown") and self.query_one(VirtualList).step(event.key):
            event.stop()


class Page(Window[None]):
    """A page of lines to read; any of the keys given, or Escape, closes it.

    Args:
        title: Its heading.
        lines: Styled lines, longest first cut at the window's edge.
        closing: Keys that close it besides Escape.
    """

    CSS = """
    Page Vertical { width: 100; max-width: 96%; height: 90%; background: $background; border: round $primary; }
    Page Lines { height: 1; }
    Page VirtualList { height: 1fr; }
    """

    def __init__(self, title: str, lines: Sequence[Sequence[Piece]], closing: Sequence[str] = ()) -> None:
        super().__init__()
        self._heading, self._content, self._closed_by = title, lines, {"escape", "q", "enter", *closing}

    def compose(self) -> ComposeResult:
        """A title and the lines."""
        with Vertical():
            yield Lines(id="title")
            yield VirtualList(lambda a, b: self._content[a:b], len(self._content), palette_of(self))

    def on_mount(self) -> None:
        """Paint."""
        palette = palette_of(self)
        line: list[Piece] = [(f" {self._heading}", palette.key()), ("   Esc closes", palette.strip())]
        self.query_one("#title", Lines).write([line], palette.strip())

    def on_key(self, event: events.Key) -> None:
        """Close; all other keys move."""
        key = event.character if event.is_printable and event.character else event.key
        if key in self._closed_by:
            event.stop()
            self.dismiss(None)

    def on_virtual_list_chosen(self) -> None:
        """Enter on a line closes, too."""
        self.dismiss(None)
