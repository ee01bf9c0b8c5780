"""The one table of bindings: footer, help, palette, documentation and tests are made from it.

A command has an id, a group, one line of help and its keys in each preset. A
project or a person can give it other keys in a ``[keys]`` table:

    [keys]
    preset = "vim"
    accept = ["y", "space"]
    skip = "ctrl+n"

Types take the keys that no command uses: their own ``hotkey`` first, then a
letter of their name, then digits, then two-key chords behind a prefix.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.annotation.labels import LabelSet
from tools.errors import ConfigError

PRESETS = ("default", "vim", "prodigy")
USER_FILE = "keys.toml"
TABLE = "keys"


@dataclass(frozen=True, slots=True)
class Command:
    """Something the labelling screen can do.

    Attributes:
        id: Its name in the ``[keys]`` table.
        group: The heading it stands under in the help.
        help: What it does, in one line.
        keys: Its keys in the default preset, most natural first.
        vim: Its keys in the vim preset; None takes the default's.
        prodigy: Its keys in the prodigy preset; None takes the default's.
    """

    id: str
    group: str
    help: str
    keys: tuple[str, ...]
    vim: tuple[str, ...] | None = None
    prodigy: tuple[str, ...] | None = None

    def keys_in(self, preset: str) -> tuple[str, ...]:
        """Its keys in a preset."""
        own = {"vim": self.vim, "prodigy": self.prodigy}.get(preset)
        return self.keys if own is None else own


_MOVE, _SELECT, _DECIDE, _SHAPE, _GO, _LOOK = (
    "Move",
    "Select",
    "Decide",
    "Change a span",
    "Documents",
    "Look and ask",
)

COMMANDS: tuple[Command, ...] = (
    Command("next_suggestion", _MOVE, "To the next suggestion, or mark when none waits", ("tab",), ("tab", "n")),
    Command("previous_suggestion", _MOVE, "To the suggestion before", ("shift+tab",), ("shift+tab", "N")),
    Command("next_mark", _MOVE, "To the next mark of your own", ("J",), ("]",)),
    Command("previous_mark", _MOVE, "To the mark before", ("K",), ("[",)),
    Command("left", _MOVE, "One character back", ("left",), ("left", "h")),
    Command("right", _MOVE, "One character on", ("right",), ("right", "l")),
    Command("up", _MOVE, "One row up", ("up",), ("up", "k")),
    Command("down", _MOVE, "One row down", ("down",), ("down", "j")),
    Command("word_right", _MOVE, "To the next word", ("ctrl+right",), ("ctrl+right", "w")),
    Command("word_left", _MOVE, "To the word before", ("ctrl+left",), ("ctrl+left", "b")),
    Command("word_end", _MOVE, "To the end of the word", ("ctrl+e",), ("e",)),
    Command("sentence_right", _MOVE, "To the next sentence", ("ctrl+down",), ("ctrl+down", ")")),
    Command("sentence_left", _MOVE, "To the beginning of the sentence", ("ctrl+up",), ("ctrl+up", "(")),
    Command("row_start", _MOVE, "To the beginning of the row", ("home",), ("home", "0")),
    Command("row_end", _MOVE, "To the end of the row", ("end",), ("end", "$")),
    Command("page_down", _MOVE, "One screen on", ("pagedown",), ("pagedown", "ctrl+f")),
    Command("page_up", _MOVE, "One screen back", ("pageup",), ("pageup", "ctrl+b")),
    Command("document_start", _MOVE, "To the beginning of the document", ("ctrl+home",), ("ctrl+home", "g")),
    Command("document_end", _MOVE, "To the end of the document", ("ctrl+end",), ("ctrl+end", "G")),
    Command("select", _SELECT, "Begin a selection here, or give it up", ("v",)),
    Command("swap_end", _SELECT, "Work on the other end of the selection, or of the span", ("O",), ("o",)),
    Command("extend_left", _SELECT, "Select one character back", ("shift+left",)),
    Command("extend_right", _SELECT, "Select one character on", ("shift+right",)),
    Command("extend_up", _SELECT, "Select one row up", ("shift+up",)),
    Command("extend_down", _SELECT, "Select one row down", ("shift+down",)),
    Command("extend_word_right", _SELECT, "Select to the end of the word", ("ctrl+shift+right", "E")),
    Command("extend_word_left", _SELECT, "Select to the beginning of the word", ("ctrl+shift+left", "B")),
    Command("cancel", _SELECT, "Give up the selection, a chord or a search", ("escape",)),
    Command("accept", _DECIDE, "Accept the suggestion as it is", ("space", "a"), ("a", "space"), ("y",)),
    Command("reject", _DECIDE, "Reject the suggestion, or delete the mark", ("x", "delete", "backspace"), None, ("x",)),
    Command("accept_all", _DECIDE, "Accept every suggestion that waits", ("A",), None, ("A",)),
    Command("accept_above", _DECIDE, "Accept all above a confidence; says the expected errors first", ("%",)),
    Command("done", _DECIDE, "The document is done; what still waits is turned down", ("enter",)),
    Command("all_and_done", _DECIDE, "Accept all that waits, and the document is done", ("ctrl+a",), None, ("a",)),
    Command("nothing", _DECIDE, "Reviewed, and there is nothing to mark", ("-",)),
    Command("flag", _DECIDE, "Set the document aside with a note", ("!",)),
    Command("repeat", _DECIDE, "Give the type given last again", (".",)),
    Command("identical", _DECIDE, "Mark all identical mentions, after a look at them", ("*",)),
    Command("choose_type", _DECIDE, "Choose the type from a list, by typing", ("#",)),
    Command("undo", _DECIDE, "Take back what you did last, in any document", ("u", "ctrl+z"), None, ("u", "backspace")),
    Command("redo", _DECIDE, "Do it again", ("U", "ctrl+y"), ("ctrl+r", "U")),
    Command("grow", _SHAPE, "Longer by a character", (">",)),
    Command("shrink", _SHAPE, "Shorter by a character", ("<",)),
    Command("grow_word", _SHAPE, "Longer by a word", (")",), ("}",)),
    Command("shrink_word", _SHAPE, "Shorter by a word", ("(",), ("{",)),
    Command("move_left", _SHAPE, "The whole span one character back", ("alt+left", ",")),
    Command("move_right", _SHAPE, "The whole span one character on", ("alt+right", "'")),
    Command("split", _SHAPE, "Cut the span in two before the cursor", ("|", "S")),
    Command("merge", _SHAPE, "Join the span with the next of its type", ("+",)),
    Command("skip", _GO, "Leave the document for later", ("ctrl+n",), ("ctrl+n", "s"), ("space",)),
    Command("back", _GO, "Back to the document before", ("ctrl+o", "ctrl+pageup")),
    Command("forward", _GO, "Forth again after going back", ("ctrl+l", "ctrl+pagedown")),
    Command("queue", _GO, "All documents: browse, filter, open", ("Q", "f2")),
    Command("why", _LOOK, "Why is this suggested? Votes, examples, prompts", ("W", "f4")),
    Command("search", _LOOK, "Search, in the document and in the pool", ("/",)),
    Command("search_next", _LOOK, "To the next place found", ("f3",)),
    Command("guidelines", _LOOK, "Guidelines and types: read and edit", ("G", "f5"), ("f5",)),
    Command("low", _LOOK, "Show or hide what the quorum itself turned down", ("L",)),
    Command("panel", _LOOK, "Show or hide types and guidelines beside the text", ("P",)),
    Command("theme", _LOOK, "The next colour theme (standard, light, high contrast)", ("T",)),
    Command("help", _LOOK, "All keys", ("?", "f1")),
    Command("palette", _LOOK, "Find a command by its name", ("ctrl+p", ":"), (":", "ctrl+p")),
    Command("quit", _LOOK, "Leave; everything is kept already", ("ctrl+q",), ("ctrl+q", "q")),
)  # fmt: skip
CHORD = ";"
_BY_ID = {command.id: command for command in COMMANDS}
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
_POOL = string.ascii_lowercase + string.digits[1:] + string.digits[0] + string.ascii_uppercase


@dataclass(frozen=True)
class Keymap:
    """Which key does what.

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


def shown(key: str) -> str:
    """A key as a person reads it: ``Shift-Tab``, ``Ctrl-Z``, ``a``."""
    if key in _SHOWN:
        return _SHOWN[key]
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    name = _SHOWN.get(last, last.upper() if modifiers or len(last) > 1 else last)
    return "-".join([*(m.capitalize() for m in modifiers), name])


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
    own = {name: _wanted(name, value, where) for name, value in table.items()}
    taken: dict[str, str] = {}
    for name, wanted in own.items():
        for key in wanted:
            if key in taken:
                clash = f"{taken[key]} and {name} both want the key {shown(key)}"
                raise ConfigError(f"{where}: {clash}", "give each a key of its own")
            taken[key] = name
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


def _wanted(name: str, value: Any, where: str) -> tuple[str, ...]:
    if name not in _BY_ID:
        close = [known for known in _BY_ID if name.split("_")[0] in known]
        raise ConfigError(
            f"{where}: there is no command {name!r}", f"perhaps {', '.join(close or ['help'])}; key ? lists all"
        )
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(key, str) for key in listed):
        raise ConfigError(
            f"{where}: {name} = {value!r} is no key", 'write a key like "a" or "ctrl+n", or a list of them'
        )
    return tuple(normal(key, f"{where}: {name}") for key in listed)


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
    ordered = [m for m in ("ctrl", "alt", "shift") if m in modifiers]
    full = "+".join([*ordered, name])
    return _NAMES.get(full, full)


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
