"""Keys by name: one spelling for each, and how a person reads them."""

from __future__ import annotations

from tools.errors import ConfigError

_NAMES = {
    "space": "space", "enter": "enter", "return": "enter", "tab": "tab", "shift+tab": "shift+tab", "esc": "escape",
    "escape": "escape", "backspace": "backspace", "delete": "delete", "del": "delete", "home": "home", "end": "end",
    "pageup": "pageup", "pagedown": "pagedown", "left": "left", "right": "right", "up": "up", "down": "down",
    "insert": "insert", **{f"f{n}": f"f{n}" for n in range(1, 13)},
}  # fmt: skip
_SHOWN = {
    "space": "Space", "enter": "Enter", "tab": "Tab", "shift+tab": "Shift-Tab", "escape": "Esc",
    "backspace": "Backspace", "delete": "Del", "pageup": "PgUp", "pagedown": "PgDn", "left": "\u2190",
    "right": "\u2192", "up": "\u2191", "down": "\u2193", "home": "Home", "end": "End",
}  # fmt: skip


def shown(key: str) -> str:
    """A key as a person reads it: ``Shift-Tab``, ``Ctrl-Z``, ``a``."""
    if key in _SHOWN:
        return _SHOWN[key]
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    name = _SHOWN.get(last, last.upper() if modifiers or len(last) > 1 else last)
    return "-".join([*(m.capitalize() for m in modifiers), name])


def normal(key: str, where: str) -> str:
    """A key's one spelling.

    Raises:
        ConfigError: There is no such key.
    """
    if len(key) == 1 and key.isprintable() and key != " ":
        return key
    if key == " ":
        return "space"
    *modifiers, last = key.lower().split("+")
    name = _NAMES.get(last, last if len(last) == 1 and last.isalnum() else "")
    known = all(m in ("ctrl", "shift", "alt") for m in modifiers) and len(set(modifiers)) == len(modifiers)
    if not name or not known or (len(name) == 1 and "ctrl" not in modifiers and "alt" not in modifiers):
        raise ConfigError(
            f"{where}: {key!r} is no key", 'keys are like "a", "?", "space", "f5", "ctrl+n", "shift+left"'
        )
    if (name, modifiers) == ("c", ["ctrl"]):
        raise ConfigError(f"{where}: Ctrl-C leaves the program, whatever is shown", "choose another key")
    ordered = [m for m in ("ctrl", "alt", "shift") if m in modifiers]
    full = "+".join([*ordered, name])
    return _NAMES.get(full, full)
