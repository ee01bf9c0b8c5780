"""From a key to a command on the screens where one marks: the keymap, chords, letters to jump by, what is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual import events

from tools.errors import QuorumError
from tui.keytable import COMMANDS
from tui.labelling.hints import Hint, hints_for
from tui.screens import label_bars as bars
from tui.screens.label_base import CommandBase

_IDS = {command.id for command in COMMANDS}
_MODIFIERS = ("shift", "ctrl", "alt", "caps_lock")
_ROWS = ("up", "down", "page_up", "page_down", "extend_up", "extend_down")


class Keyed(CommandBase):
    """Hands each key to the command or the type it stands for."""

    says = ""
    failed = False
    chord = None
    sure = ""  # the command that wants its key a second time
    hints: Mapping[str, Hint] = {}
    hinted = ""  # what was typed of a hint

    def on_key(self, event: events.Key) -> None:
        """Do what the key stands for."""
        key = event.character if event.is_printable and event.character and event.character != " " else event.key
        if self.press(key):
            event.stop()
            event.prevent_default()

    def press(self, key: str) -> bool:
        """Do what a key stands for; False where it stands for nothing."""
        if self.hints and key not in _MODIFIERS:
            self._hint(key)
        elif self.chord is not None and key != "escape" and key not in _MODIFIERS:
            self._chord(key)
        elif key in self.keymap.commands:
            self.run_command(self.keymap.commands[key])
        elif key in self.keymap.types:
            self.run_type(self.keymap.types[key])
        elif self.keymap.prefix and key == self.keymap.prefix:
            self.chord = ""
            self.say(f"{key} and then: the second key of a type (Esc gives it up)")
            self.renew()
        elif len(key) == 1:
            self.say(f"{key} has no meaning here; {self.key('help')} lists all keys")
            self.renew()
        else:
            return False
        return True

    def _chord(self, key: str) -> None:
        keys = (self.chord or "") + key
        if keys in self.keymap.chords:
            self.chord = None
            self.run_type(self.keymap.chords[keys])
            return
        if any(known.startswith(keys) for known in self.keymap.chords):
            self.chord = keys
            self.say(f"{self.keymap.prefix}{keys} and then?")
        else:
            self.chord = None
            self.say(f"no type has the keys {self.keymap.prefix}{keys}")
        self.renew()

    def run_type(self, label: str) -> None:
        """A type was chosen."""
        self._guarded(lambda: self.give(label), "type")

    def run_command(self, command: str) -> None:
        """A command was chosen, by its key or by its name."""
        if command not in _IDS:
            raise ValueError(f"no command {command}")
        if not self.can(command):
            self.say(f"{command.replace('_', ' ')} is for labelling; {self.key('help')} lists what there is here")
            self.renew()
            return
        self._guarded(getattr(self, f"do_{command}"), command)

    def can(self, command: str) -> bool:
        """Whether the screen has a command."""
        return hasattr(type(self), f"do_{command}")

    def _guarded(self, work: Callable[[], None], command: str) -> None:
        sure, self.sure = self.sure, ""
        self.confirmed = sure == command
        self.says, self.failed = "", False
        view = self.view
        if command not in _ROWS:
            view.forget_column()
        try:
            work()
        except QuorumError as error:
            self.fail(error)
        self.renew()

    def guarded(self, work: Callable[[], None]) -> None:
        """Do something that may fail, and show what came of it."""
        self._guarded(work, "")

    # -- letters to jump by ------------------------------------------------------------------------------------------

    def do_jump(self) -> None:  # noqa: D102  (the table of keys says it)
        start, end = self.view.seen
        self.hints, self.hinted = hints_for(self.editor, start, end), ""
        self.say("type the letters of the place to go to; any other key gives it up" if self.hints else "nothing here")

    @property
    def hints_left(self) -> dict[int, str]:
        """Where letters are to be shown, and what is still to be typed of them."""
        typed = len(self.hinted)
        return {hint.at: letters[typed:] for letters, hint in self.hints.items() if letters.startswith(self.hinted)}

    def _hint(self, key: str) -> None:
        typed = self.hinted + key
        hint = self.hints.get(typed)
        if hint is not None:
            self.hints, self.hinted = {}, ""
            self._guarded(lambda: self._land(hint), "jump")
        elif len(key) == 1 and any(letters.startswith(typed) for letters in self.hints):
            self.hinted = typed
            self.renew()
        else:
            self.hints, self.hinted = {}, ""
            self.say("" if key == "escape" else f"no place has the letters {typed}")
            self.renew()

    def _land(self, hint: Hint) -> None:
        if hint.target is not None and self.editor.anchor is None:
            self.editor = self.editor.focused(hint.target)
        else:
            self.editor = self.editor.moved(hint.at)

    # -- what is said ------------------------------------------------------------------------------------------------

    def key(self, command: str) -> str:
        """The first key of a command as a person reads it."""
        return bars.first_key(self.keymap, command)

    def say(self, text: str) -> None:
        """A message for the person, until the next key."""
        self.says, self.failed = text, False

    def fail(self, error: QuorumError) -> None:
        """What went wrong, until the next key."""
        self.says, self.failed = f"{error.message}. {error.hint}".rstrip(". ") + ".", True

    @property
    def leave_keys(self) -> tuple[str, ...]:
        """The keys that leave."""
        return self.keymap.keys_of("quit")

    def leave(self) -> None:
        """Leave, as by its key."""
        self.run_command("quit")
