"""Which key does what: the table of ``tui/keytable.py`` with a project's and a person's own keys.

    [keys]
    preset = "vim"
    accept = ["y", "space"]
    skip = "ctrl+n"

    [keys.on.campaign]
    label = "enter"

Types take the keys that no command uses: their own ``hotkey`` first, then a
letter of their name, then digits, then two-key chords behind a prefix.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tools.annotation.labels import LabelSet
from tools.errors import ConfigError
from tui.keynames import normal, shown
from tui.keytable import COMMANDS, COMMON, SCREENS, Command

__all__ = [
    "COMMANDS", "PRESETS", "SCREENS", "Command", "Keymap", "ScreenKeys", "help_markdown", "joined_keys", "make_keymap",
    "normal", "read_user_keys", "screen_keys", "screens_markdown", "shown",
]  # fmt: skip

PRESETS = ("default", "vim", "prodigy")
USER_FILE = "keys.toml"
TABLE = "keys"
ON = "on"
CHORD = ";"
_BY_ID = {command.id: command for command in COMMANDS}
_POOL = string.ascii_lowercase + string.digits[1:] + string.digits[0] + string.ascii_uppercase


@dataclass(frozen=True)
class Keymap:
    """Which key does what on the labelling screen.

    Attributes:
        preset: The preset it began with.
        commands: Key to command id.
        types: Key to type name.
        chords: Key behind the prefix to type name; two keys where one does not suffice.
        prefix: The key that begins a chord; empty where no chord is needed.
        notes: What a person should know: hotkeys that were taken, types without a key.
    """

    preset: str
    commands: Mapping[str, str]
    types: Mapping[str, str]
    chords: Mapping[str, str]
    prefix: str = ""
    notes: tuple[str, ...] = ()

    def keys_of(self, command: str) -> tuple[str, ...]:
        """The keys of a command, most natural first."""
        return tuple(key for key, name in self.commands.items() if name == command)

    def key_of_type(self, label: str) -> str:
        """The key or chord of a type as a person reads it; empty where it has none."""
        for key, name in self.types.items():
            if name == label:
                return key
        return next((self.prefix + key for key, name in self.chords.items() if name == label), "")


def make_keymap(labels: LabelSet, keys: Mapping[str, Any] | None = None, where: str = "[keys]") -> Keymap:
    """The keymap of a label set and a ``[keys]`` table.

    Args:
        labels: The types that want keys.
        keys: ``preset``, and commands with a key or a list of keys.
        where: What to call the table in errors.

    Raises:
        ConfigError: A command, key or preset is unknown, or two commands want the same key.
    """
    table = dict(keys or {})
    preset = table.pop("preset", PRESETS[0])
    if preset not in PRESETS:
        raise ConfigError(f"{where}: there is no preset {preset!r}", f"one of {', '.join(PRESETS)}")
    _screens(table, where)
    table.pop(ON, None)
    own = {name: _wanted(name, value, where, _BY_ID) for name, value in table.items()}
    taken = _taken(own, where)
    commands: dict[str, str] = {}
    for command in COMMANDS:
        for key in own.get(command.id, ()) or (() if command.id in own else command.keys_in(preset)):
            # A key that was given away on purpose leaves the command that had it.
            if taken.get(key, command.id) == command.id and key not in commands:
                commands[key] = command.id
    for command in COMMANDS:
        if command.id in ("quit", "help") and command.id not in commands.values():
            raise ConfigError(f"{where}: no key is left for {command.id}", "give it one")
    return _with_types(preset, commands, labels)


@dataclass(frozen=True)
class ScreenKeys:
    """Which key does what on one of the other screens.

    Attributes:
        commands: The screen's commands, each with the keys it has here.
    """

    commands: tuple[Command, ...]

    @cached_property
    def by_key(self) -> Mapping[str, str]:
        """Key to command id."""
        return {key: command.id for command in self.commands for key in command.keys}

    def keys_of(self, command: str) -> tuple[str, ...]:
        """The keys of a command, most natural first; none where all were given away."""
        return next((one.keys for one in self.commands if one.id == command), ())

    def key(self, command: str) -> str:
        """The first key of a command as a person reads it."""
        return next(map(shown, self.keys_of(command)), "no key")


def screen_keys(screen: str, keys: Mapping[str, Any] | None = None, where: str = "[keys]") -> ScreenKeys:
    """The keys of a screen other than the labelling screen.

    What ``[keys.on.SCREEN]`` says comes first, then the screen's own defaults. What
    ``[keys]`` says about a command that every screen has (help, theme, up, down ...)
    counts here, too, as far as the screen's own commands leave its keys free.

    Args:
        screen: A name of ``SCREENS``.
        keys: The ``[keys]`` table.
        where: What to call the table in errors.

    Raises:
        ConfigError: A screen, command or key is unknown, two commands want the same
            key, or none is left for help or for leaving.
    """
    table = dict(keys or {})
    tables = _screens(table, where)
    commands = {command.id: command for command in SCREENS[screen]}
    here = f"{where.removesuffix(']')}.{ON}.{screen}]"
    own = {name: _wanted(name, value, here, commands) for name, value in tables.get(screen, {}).items()}
    taken = _taken(own, here)
    found = {name: own.get(name, tuple(key for key in one.keys if key not in taken)) for name, one in commands.items()}
    for name, general in COMMON.items():
        if name in commands and name not in own and general in table:
            others = {key for other, held in found.items() if other != name for key in held}
            free = [key for key in _wanted(general, table[general], where, _BY_ID) if key not in others]
            found[name] = tuple(free) or found[name]
    for name in ("help", "leave"):
        if not found[name]:
            raise ConfigError(f"{here}: no key is left for {name}", "give it one")
    return ScreenKeys(tuple(replace(one, keys=found[name]) for name, one in commands.items()))


def check_keys(keys: Mapping[str, Any], where: str = "[keys]") -> None:
    """Look through a whole ``[keys]`` table, for every screen.

    Raises:
        ConfigError: As :func:`make_keymap` and :func:`screen_keys`.
    """
    make_keymap(LabelSet.of("any"), keys, where)
    for screen in SCREENS:
        screen_keys(screen, keys, where)


def joined_keys(user: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """A person's own ``[keys]`` with a project's over them, screen by screen."""
    table = {**user, **project}
    ons = [dict(one[ON]) for one in (user, project) if isinstance(one.get(ON), Mapping)]
    if len(ons) == 2:
        table[ON] = {
            screen: {**(_mapping(ons[0].get(screen))), **(_mapping(ons[1].get(screen)))} for screen in ons[0] | ons[1]
        }
    return table


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _screens(table: Mapping[str, Any], where: str) -> Mapping[str, Mapping[str, Any]]:
    """The tables of single screens."""
    tables = table.get(ON, {})
    example = f"write [keys.{ON}.campaign] and below it a command with its keys"
    if not isinstance(tables, Mapping):
        raise ConfigError(f"{where}: {ON} = {tables!r} is no table", example)
    for name, one in tables.items():
        if name not in SCREENS:
            raise ConfigError(f"{where}: there is no screen {name!r}", f"one of {', '.join(SCREENS)}")
        if not isinstance(one, Mapping):
            raise ConfigError(f"{where}: {ON}.{name} = {one!r} is no table", example)
    return tables


def _taken(own: Mapping[str, tuple[str, ...]], where: str) -> dict[str, str]:
    """Which command was given which key on purpose."""
    taken: dict[str, str] = {}
    for name, wanted in own.items():
        for key in wanted:
            if taken.get(key, name) != name:
                clash = f"{taken[key]} and {name} both want the key {shown(key)}"
                raise ConfigError(f"{where}: {clash}", "give each a key of its own")
            taken[key] = name
    return taken


def _wanted(name: str, value: Any, where: str, known: Mapping[str, Command]) -> tuple[str, ...]:
    if name not in known:
        close = [one for one in known if name.split("_")[0] in one]
        raise ConfigError(
            f"{where}: there is no command {name!r}", f"perhaps {', '.join(close or ['help'])}; key ? lists all"
        )
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(key, str) for key in listed):
        raise ConfigError(
            f"{where}: {name} = {value!r} is no key", 'write a key like "a" or "ctrl+n", or a list of them'
        )
    return tuple(dict.fromkeys(normal(key, f"{where}: {name}") for key in listed))


def _with_types(preset: str, commands: dict[str, str], labels: LabelSet) -> Keymap:
    types: dict[str, str] = {}
    notes: list[str] = []
    free = [key for key in _POOL if key not in commands]
    left: list[str] = []
    for label in labels:
        if not label.hotkey:
            left.append(label.name)
        elif label.hotkey in commands or label.hotkey == CHORD or len(label.hotkey) != 1 or label.hotkey.isspace():
            why = f"is the key of {commands[label.hotkey]}" if label.hotkey in commands else "is no single key"
            notes.append(f"hotkey {label.hotkey!r} of {label.name} {why}; it got another")
            left.append(label.name)
        else:
            types[label.hotkey] = label.name
    free = [key for key in free if key not in types]
    order = [name for name in left]
    for pick in (_digits,) if preset == "prodigy" else (_initial, _letters, _capitals, _digits):
        for name in list(order):
            if key := next((k for k in pick(name) if k in free), ""):
                types[key] = name
                free.remove(key)
                order.remove(name)
    for name in list(order):
        if free:
            types[free.pop(0)] = name
            order.remove(name)
    chords = _chords(order)
    if len(chords) < len(order):
        notes.append(f"{len(order) - len(chords)} types have no key; choose them from the list")
    by_label = {name: key for key, name in types.items()}
    ordered = {by_label[label.name]: label.name for label in labels if label.name in by_label}
    return Keymap(preset, commands, ordered, chords, CHORD if chords else "", tuple(notes))


def _initial(name: str) -> Iterable[str]:
    return [word[0].lower() for word in name.replace("_", " ").replace("-", " ").split()[:1]]


def _letters(name: str) -> Iterable[str]:
    return [char.lower() for char in name if char.isascii() and char.isalnum()]


def _capitals(name: str) -> Iterable[str]:
    return [char.upper() for char in name[:1] if char.isascii() and char.isalpha()]


def _digits(name: str) -> Iterable[str]:
    return string.digits[1:] + string.digits[0]


def _chords(names: Sequence[str]) -> dict[str, str]:
    """Keys behind the prefix: one where that is enough for all, else two."""
    single = len(names) <= len(_POOL)
    options = list(_POOL) if single else [a + b for a in _POOL for b in _POOL]
    chords: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        plain = [char for char in name.lower() if char in _POOL]
        wanted = plain if single else [plain[0] + b for b in plain[1:] + list(_POOL)] if plain else []
        key = next((k for k in [*wanted, *options] if k not in used), "") if len(used) < len(options) else ""
        if key:
            used.add(key)
            chords[key] = name
    return chords


def read_user_keys(folder: Path) -> dict[str, Any]:
    """The ``[keys]`` table of a person's own ``keys.toml``; empty where there is none.

    Raises:
        ConfigError: The file cannot be read.
    """
    path = folder / USER_FILE
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get(TABLE, {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "it is TOML with a [keys] table") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: keys is no table", "write [keys]")
    return table


def help_markdown(preset: str) -> str:
    """The table of a preset for the documentation."""
    lines: list[str] = []
    group = ""
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            lines += ["", f"**{group}**", "", "| keys | command | |", "|---|---|---|"]
        keys = ", ".join(f"`{shown(key)}`".replace("|", "\\|") for key in command.keys_in(preset))
        lines.append(f"| {keys} | `{command.id}` | {command.help} |")
    return "\n".join(lines).strip() + "\n"


def screens_markdown() -> str:
    """The tables of the other screens for the documentation: what is the screen's own, and once what all share."""
    shared = {"leave", "help", "theme", "palette", "back", "up", "down", "page_up", "page_down", "first", "last"}
    parts = []
    for name, commands in (*SCREENS.items(), ("all of them", SCREENS["campaign"])):
        common = name not in SCREENS
        lines = [f"**{name if common else f'`{name}`'}**", "", "| keys | command | |", "|---|---|---|"]
        for command in commands:
            if (command.id in shared) is common:
                keys = ", ".join(f"`{shown(key)}`" for key in command.keys)
                lines.append(f"| {keys} | `{command.id}` | {command.help} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
