"""The Textual application around the screens: themes, keys, and how it ends."""

from __future__ import annotations

import os

# Textual paints at most this often a second; a key should not wait for the next of sixty turns. Read at its import.
os.environ.setdefault("TEXTUAL_FPS", "250")

from collections.abc import Callable
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from tui.theme import PALETTES, Palette


class QuorumApp(App[int], inherit_bindings=False):
    """What all screens share.

    Args:
        palette: The name of the colours to begin with.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "quorum"
    # Everything is on disk at any moment, so leaving needs no question.
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", "Leave", show=False, system=True)]
    CSS = """
    Screen { layers: base; background: $background; }
    ModalScreen { align: center middle; background: $background 60%; }
    """

    def __init__(self, palette: str = "standard") -> None:
        super().__init__()
        for one in PALETTES.values():
            self.register_theme(_theme(one))
        self.palette = PALETTES[palette]
        self.first: Callable[[], Screen[None]] | None = None
        self.theme = f"quorum-{palette}"

    def on_mount(self) -> None:
        """Show the first screen."""
        if self.first is not None:
            self.push_screen(self.first())

    def next_palette(self) -> Palette:
        """Change to the next colours."""
        names = list(PALETTES)
        self.palette = PALETTES[names[(names.index(self.palette.name) + 1) % len(names)]]
        self.theme = f"quorum-{self.palette.name}"
        return self.palette


def _theme(palette: Palette) -> Theme:
    return Theme(
        name=f"quorum-{palette.name}",
        primary=palette.accent,
        secondary=palette.types[0],
        accent=palette.accent,
        warning=palette.warn,
        error=palette.warn,
        foreground=palette.ink,
        background=palette.ground,
        surface=palette.bar,
        panel=palette.bar,
        dark=palette.dark,
    )
