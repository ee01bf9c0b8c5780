"""The Textual application around the screens: themes, keys, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.theme import Theme

from tui.keymap import ScreenKeys, screen_keys
from tui.theme import PALETTES, Palette


class QuorumApp(App[int], inherit_bindings=False):
    """What all screens share.

    Args:
        palette: The name of the colours to begin with.
        keys: The ``[keys]`` table; wrong ones are told before an application is made.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "quorum"
    # Everything is on disk at any moment, so leaving needs no question. Before any line that is typed in, which would
    # take the key for itself and do nothing with it.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave_now", "Leave", show=False, system=True, priority=True)
    ]
    CSS = """
    Screen { layers: base; background: $background; }
    ModalScreen { align: center middle; background: $background 60%; }
    """

    def __init__(self, palette: str = "standard", keys: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.keys: Mapping[str, Any] = keys or {}
        for one in PALETTES.values():
            self.register_theme(_theme(one))
        self.palette = PALETTES[palette]
        self.first: Callable[[], Screen[None]] | None = None
        self.theme = f"quorum-{palette}"

    def on_mount(self) -> None:
        """Show the first screen."""
        if self.first is not None:
            self.push_screen(self.first())

    def keys_on(self, screen: str) -> ScreenKeys:
        """The keys of a screen, by its name in ``tui.keytable.SCREENS``."""
        return screen_keys(screen, self.keys)

    @property
    def beneath(self) -> Screen[Any]:
        """The screen that lies under all windows."""
        return next((one for one in reversed(self.screen_stack) if not isinstance(one, ModalScreen)), self.screen)

    def action_leave_now(self) -> None:
        """Leave, unless the screen holds something that nobody has kept yet."""
        holds = getattr(self.beneath, "holds_back", None)
        if holds is None or not holds():
            self.exit(0)

    def leave(self) -> None:
        """Give up all windows, and leave the screen beneath them as its own key does."""
        beneath = self.beneath
        while self.screen is not beneath:
            self.pop_screen()
        leaving = getattr(beneath, "leave", None)
        if leaving is None:
            self.exit(0)
        else:
            leaving()

    @property
    def leave_keys(self) -> tuple[str, ...]:
        """The keys that leave while one types: those of the screen beneath that write nothing."""
        found = getattr(self.beneath, "leave_keys", ())
        return tuple(key for key in found if len(key) > 1 and key != "space") or ("ctrl+q",)

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
