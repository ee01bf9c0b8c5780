"""Colours: a palette that colour-blind people can tell apart, on dark, on light, and in high contrast.

The eight colours are those of Okabe and Ito (2008), lightened on dark ground and
darkened on light ground until each has a contrast of at least 4.5 to 1 (the Web
Content Accessibility Guidelines' AA for text). Colour never says anything alone:
brackets, letters and line styles beneath the text say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rich.style import Style

_DARK = ("#56b4e9", "#e69f00", "#2fc79a", "#f0e442", "#d59bc0", "#ff8a4c", "#8fb4ff", "#c8c8c8")
_LIGHT = ("#00618f", "#8a5a00", "#00694c", "#6b6200", "#8f3f6f", "#a84300", "#2246b8", "#444444")
_HIGH = ("#ffffff",)

REVERSE = Style(reverse=True)


@dataclass(frozen=True)
class Palette:
    """The styles of one theme.

    Attributes:
        name: Its name.
        dark: Whether the ground is dark.
        ground: Background of the screen.
        ink: Plain text.
        faint: Less important text; still at least 4.5 to 1.
        bar: Background of header and footer.
        accent: Keys, titles.
        warn: What went wrong.
        chosen: Background of the selection.
        hit: Background of what a search found.
        types: Colours of the entity types, used in turn.
    """

    name: str
    dark: bool
    ground: str
    ink: str
    faint: str
    bar: str
    accent: str
    warn: str
    chosen: str
    hit: str
    types: tuple[str, ...]

    @cached_property
    def _styles(self) -> dict[str, Style]:
        # Making a style costs more than painting a line; all that are used often are made once.
        return {
            "plain": Style(color=self.ink, bgcolor=self.ground),
            "faded": Style(color=self.faint, bgcolor=self.ground),
            "bold": Style(color=self.ink, bgcolor=self.ground, bold=True),
            "strip": Style(color=self.ink, bgcolor=self.bar),
            "key": Style(color=self.accent, bgcolor=self.bar, bold=True),
            "key_plain": Style(color=self.accent, bgcolor=self.ground, bold=True),
            "warning": Style(color=self.ground, bgcolor=self.warn, bold=True),
            "chosen": Style(bgcolor=self.chosen, underline=True),
            "hit": Style(bgcolor=self.hit, underline=True),
            "hint": Style(color=self.ground, bgcolor=self.accent, bold=True),
            "here": Style(bgcolor=self.chosen, bold=True),
        }

    @cached_property
    def _types(self) -> dict[tuple[int, bool], Style]:
        return {
            (number, own): Style(color=color, bgcolor=self.ground, bold=own, italic=not own)
            for number, color in enumerate(self.types)
            for own in (False, True)
        }

    def plain(self) -> Style:
        """Text that nothing was said about."""
        return self._styles["plain"]

    def bold(self) -> Style:
        """A heading."""
        return self._styles["bold"]

    def faded(self) -> Style:
        """Text of less weight."""
        return self._styles["faded"]

    def strip(self) -> Style:
        """Header and footer."""
        return self._styles["strip"]

    def key(self) -> Style:
        """A key in the footer."""
        return self._styles["key"]

    def key_on_ground(self) -> Style:
        """A key beside the text."""
        return self._styles["key_plain"]

    def warning(self) -> Style:
        """A message about something that went wrong."""
        return self._styles["warning"]

    def selected(self) -> Style:
        """What a selection adds to a style."""
        return self._styles["chosen"]

    def found(self) -> Style:
        """What a search adds to a style."""
        return self._styles["hit"]

    def hint(self) -> Style:
        """Letters to type, laid over the text."""
        return self._styles["hint"]

    def current(self) -> Style:
        """What the row under a list's cursor adds to a style."""
        return self._styles["here"]

    def of_type(self, number: int, *, own: bool) -> Style:
        """A span of the type with a number; marks are bold, suggestions in italics."""
        return self._types[number % len(self.types), own]


PALETTES: dict[str, Palette] = {
    "standard": Palette(
        "standard", True, "#14171c", "#e6e6e6", "#a3a9b3", "#262c36", "#7fc8f8", "#ffb454", "#3a4a63", "#5a4a12", _DARK
    ),
    "light": Palette(
        "light", False, "#fdfdfb", "#1a1a1a", "#5c5c5c", "#e4e7ec", "#00518a", "#a33c00", "#c3d7f2", "#ffe9a8", _LIGHT
    ),
    "contrast": Palette(
        "contrast", True, "#000000", "#ffffff", "#ffffff", "#000000", "#ffff00", "#ffff00", "#0000c0", "#005000", _HIGH
    ),
}
