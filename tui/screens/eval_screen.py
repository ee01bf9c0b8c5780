"""What the viewer's screens have in common: a title, a list, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual import events
from textual.screen import Screen
from textual.widgets import Input

from tui.screens.label_dialogs import Page
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.theme import Palette

_KEYS = (
    ("Enter", "open the cell, the document, the prompt"),
    ("Esc or q", "back; on the first screen, leave"),
    ("j k arrows", "move; PgUp PgDn Home End as everywhere"),
    ("e", "documents: next class of errors; E the one before"),
    ("s", "documents: next step that errors are charged to"),
    ("c", "documents: all, changed since the baseline, better, worse"),
    ("/", "documents: search in texts and ids"),
    ("x", "documents: no filter"),
    ("n p", "document: the next, the one before, of those that pass the filter"),
    ("b", "document: what the baseline decided, too"),
    ("t", "next colours"),
)


# Textual reads a screen's CSS from its own class, not from its parents', and applies it to that class alone.
EVAL_CSS = """
Lines { height: 1; }
#title { height: 2; }
VirtualList { height: 1fr; }
Input { border: none; height: 1; padding: 0 1; background: $surface; }
"""


class EvalScreen(Screen[None]):
    """A title, a list, the keys."""

    KEYS: Sequence[tuple[str, str]] = ()

    @property
    def palette(self) -> Palette:
        """The colours in use."""
        return cast("QuorumApp", self.app).palette

    @property
    def listed(self) -> VirtualList:
        """The list."""
        return self.query_one(VirtualList)

    def head(self, title: str, says: str) -> None:
        """Write the two lines above and the keys below."""
        palette = self.palette
        first: list[Piece] = [(f" {title}", palette.key())]
        self.query_one("#title", Lines).write([first, [(f" {says}", palette.strip())]], palette.strip())
        keys: list[Piece] = []
        for key, what in self.KEYS:
            keys += [(f" {key}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

    def pressed(self, key: str) -> bool:
        """A key of this screen's own; False where it is none."""
        return False

    def on_key(self, event: events.Key) -> None:
        """Back, help, and each screen's own keys."""
        if isinstance(self.focused, Input):
            if event.key in ("escape", "down"):
                event.stop()
                self.listed.focus()
            return
        key = event.character if event.is_printable and event.character else event.key
        if key in ("escape", "q"):
            event.stop()
            self.leave()
        elif key in ("?", "f1"):
            event.stop()
            plain, bold = self.palette.plain(), self.palette.plain() + Style(bold=True)
            self.app.push_screen(Page("Keys", [[(f"  {k:<12}", bold), (what, plain)] for k, what in _KEYS], ("?",)))
        elif self.pressed(key):
            event.stop()

    def leave(self) -> None:
        """Go back."""
        self.dismiss(None)
