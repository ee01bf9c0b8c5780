"""All keys, from the one table."""

from __future__ import annotations

from collections.abc import Callable

from rich.style import Style

from tui.keymap import COMMANDS, Keymap, shown
from tui.screens.label_dialogs import Page
from tui.theme import Palette
from tui.widgets.lines import Piece


def help_lines(keymap: Keymap, palette: Palette, own: Callable[[str], bool] = bool) -> list[list[Piece]]:
    """The help's lines: every command that the screen has, with its keys here, then the types."""
    bold = palette.plain() + Style(bold=True)
    key = Style(color=palette.accent, bgcolor=palette.ground, bold=True)
    lines: list[list[Piece]] = []
    group = ""
    for command in filter(lambda one: own(one.id), COMMANDS):
        if command.group != group:
            group = command.group
            lines += [[("", palette.plain())], [(group, bold)]]
        keys = "  ".join(map(shown, keymap.keys_of(command.id))) or "no key"
        lines.append([(f"  {keys:<24} ", key), (command.help, palette.plain())])
    lines += [[("", palette.plain())], [("Types: mark the selection or the word, or give the span this type", bold)]]
    for name in dict.fromkeys([*keymap.types.values(), *keymap.chords.values()]):
        lines.append([(f"  {keymap.key_of_type(name):<24} ", key), (name, palette.plain())])
    lines += [[(f"  {note}", palette.plain())] for note in keymap.notes]
    lines.append([("", palette.plain())])
    lines.append(
        [
            ("Preset ", palette.plain()),
            (keymap.preset, bold),
            ("; [keys] in quorum.toml changes keys.", palette.plain()),
        ]
    )
    return lines[1:]


def help_page(keymap: Keymap, palette: Palette, own: Callable[[str], bool] = bool) -> Page:
    """The help as a window."""
    return Page("Keys", help_lines(keymap, palette, own), closing=keymap.keys_of("help"))
