"""What the screens for looking share: a title, keys from one table, help and a palette made from it, the way back."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.screen import Screen
from textual.widgets import Input, TextArea

from tools.errors import QuorumError
from tui.keymap import SCREENS, Command, ScreenKeys, shown
from tui.screens.label_dialogs import Page, Pick
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import STEPS, VirtualList

if TYPE_CHECKING:
    from pathlib import Path

    from tui.app import QuorumApp
    from tui.theme import Palette

SMALLEST = (60, 16)
_WHILE_TYPING = ("leave", "help", "palette")


class LookScreen(Screen[Any]):
    """A screen to look at things: its commands stand in the table of keys, and each is a method ``do_ID``.

    A subclass has the widgets ``#title`` (two lines), ``#keys`` and ``#small``,
    and draws itself in :meth:`paint`.
    """

    TABLE: ClassVar[str] = ""  # its name in the table of keys
    TYPING: ClassVar[tuple[str, ...]] = ()  # commands that also work in a line that is typed in
    FOOTER: ClassVar[tuple[tuple[str, str], ...]] = ()
    NAME: ClassVar[str] = ""
    AUTO_FOCUS = ""  # keys are the screen's until a person begins to type
    DEFAULT_CSS = """
    LookScreen Lines { height: 1; width: 100%; }
    LookScreen #title { height: 2; }
    LookScreen VirtualList { height: 1fr; }
    LookScreen #small { display: none; height: 1fr; }
    LookScreen.small > * { display: none; }
    LookScreen.small > #small { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.says = ""
        self.failed = False
        self._keys: ScreenKeys | None = None

    @classmethod
    def commands(cls) -> tuple[Command, ...]:
        """All commands of the screen with their default keys, those that every screen has at the end."""
        return SCREENS[cls.TABLE]

    @property
    def keys(self) -> ScreenKeys:
        """The keys that the commands have here."""
        if self._keys is None:
            self._keys = self.quorum_app.keys_on(self.TABLE)
        return self._keys

    def key(self, command: str) -> str:
        """The first key of a command as a person reads it."""
        return self.keys.key(command)

    @property
    def leave_keys(self) -> tuple[str, ...]:
        """The keys that leave the program."""
        return self.keys.keys_of("leave")

    def leave(self) -> None:
        """Leave, as by its key."""
        self.run_command("leave")

    @property
    def quorum_app(self) -> QuorumApp:
        """The application, by its own type."""
        return cast("QuorumApp", self.app)

    @property
    def palette(self) -> Palette:
        """The colours in use."""
        return self.quorum_app.palette

    @property
    def first(self) -> bool:
        """Whether the program began with this screen; beneath it lies only the application's own, empty one."""
        return self not in self.app.screen_stack[2:]

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Write all that is shown; called whenever something changed."""
        raise NotImplementedError

    def renew(self) -> None:
        """Paint, or say that there is no room."""
        if not self.is_mounted:
            return
        width, height = self.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        self.set_class(small, "small")
        if small:
            text = f"This terminal is {width}x{height}; {self.NAME} needs {SMALLEST[0]}x{SMALLEST[1]}. Make it larger."
            plain = self.palette.plain()
            lines = [[(line, plain)] for line in textwrap.wrap(text, max(8, width))]
            self.query_one("#small", Lines).write(lines, plain)
            return
        self.paint()

    def head(self, where: str, says: str) -> None:
        """The two lines above, where one is and what comes next, and the keys below."""
        palette = self.palette
        second: list[Piece] = [(f" {self.says or says}", palette.warning() if self.failed else palette.strip())]
        title: list[Piece] = [(f" {self.NAME}", palette.key()), (f"  {where}", palette.strip())]
        self.query_one("#title", Lines).write([title, second], palette.strip())
        last = (("help", "keys"), ("back", "leave" if self.first else "back"))
        texts = {
            name: (self._footer_key(name), what) for name, what in (*self.FOOTER, *last) if self.keys.keys_of(name)
        }
        room = self.size.width
        fitting = []
        for name in (*dict(last), *dict(self.FOOTER)):  # help and the way back are there in any case
            if name not in texts:
                continue
            room -= sum(map(len, texts[name])) + 3
            if room >= 0:
                fitting.append(name)
        keys: list[Piece] = []
        for name, (key, what) in texts.items():
            if name in fitting:
                keys += [(f" {key}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

    def _footer_key(self, command: str) -> str:
        """A command's key for the footer; the first and the last of many."""
        keys = self.keys.keys_of(command)
        return shown(keys[0]) if len(keys) < 4 else f"{shown(keys[0])}-{shown(keys[-1])}"

    @property
    def page_width(self) -> int:
        """Cells that a line of a page over this screen may have."""
        return max(20, min(96, round(self.size.width * 0.96) - 6))

    def show_page(self, title: str, lines: Sequence[Sequence[Piece]], command: str = "") -> None:
        """A page to read; the keys of the command that opened it close it, too."""
        self.app.push_screen(Page(title, lines, self.keys.keys_of(command)))

    def bar(self, *pieces: Piece) -> list[Piece]:
        """A line that parts one half of the screen from the other, as wide as it."""
        taken = sum(cell_len(text) for text, _ in pieces)
        return [*pieces, (" " * max(0, self.size.width - taken), self.palette.strip())]

    def say(self, text: str) -> None:
        """A message, until the next key."""
        self.says, self.failed = text, False

    def fail(self, error: QuorumError) -> None:
        """What went wrong, until the next key."""
        self.says, self.failed = ". ".join(part.rstrip(".") for part in (error.message, error.hint) if part), True

    def on_mount(self) -> None:
        """First paint."""
        for listed in self.query(VirtualList):
            listed.own_keys = False  # they stand in the table
        self.begin()
        self.renew()

    def begin(self) -> None:
        """Start what works behind the screen."""

    def on_resize(self) -> None:
        """Fit to the terminal."""
        self.renew()
        self.call_after_refresh(self.renew)

    def on_screen_resume(self) -> None:
        """Back from another screen, maybe in other colours."""
        self.call_after_refresh(self.renew)

    # -- keys ---------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Do what the key stands for."""
        typing = isinstance(self.focused, Input | TextArea)
        key = event.character if event.is_printable and event.character and event.character != " " else event.key
        command = self.keys.by_key.get(key)
        if typing:
            if command in (*_WHILE_TYPING, *self.TYPING) and len(key) > 1:
                event.stop()
                event.prevent_default()
                self.run_command(command)
            elif isinstance(self.focused, Input) and event.key in ("escape", "down", "tab"):
                event.stop()
                self.done_typing()
        elif command is not None:
            event.stop()
            event.prevent_default()
            self.run_command(command)
        elif len(key) == 1:
            self.say(f"{key} has no meaning here; {self.key('help')} lists all keys")
            self.renew()

    def run_command(self, name: str) -> None:
        """A command was chosen, by its key or by its name."""
        self.says, self.failed = "", False
        try:
            getattr(self, f"do_{name}")()
        except QuorumError as error:
            self.fail(error)
        self.renew()

    def done_typing(self) -> None:
        """The line that was typed in is left."""
        self.set_focus(None)

    @property
    def listed(self) -> VirtualList | None:
        """The list that the arrows move; None where there is none now."""
        return None

    def _step(self, name: str) -> None:
        if self.listed is not None:
            self.listed.step(STEPS[name])

    def do_up(self) -> None:
        """Move the list's cursor."""
        self._step("up")

    def do_down(self) -> None:
        """Move the list's cursor."""
        self._step("down")

    def do_page_up(self) -> None:
        """Move the list's cursor."""
        self._step("page_up")

    def do_page_down(self) -> None:
        """Move the list's cursor."""
        self._step("page_down")

    def do_first(self) -> None:
        """Move the list's cursor."""
        self._step("first")

    def do_last(self) -> None:
        """Move the list's cursor."""
        self._step("last")

    def do_theme(self) -> None:
        """Change the colours."""
        palette = self.quorum_app.next_palette()
        for listed in self.query(VirtualList):
            listed._palette = palette
            listed.renew()
        self.say(f"colours: {palette.name}")

    def do_help(self) -> None:
        """All keys, from the table."""
        plain, bold = self.palette.plain(), self.palette.plain() + Style(bold=True)
        key = self.palette.key_on_ground()
        lines: list[Sequence[Piece]] = []
        groups: dict[str, list[Command]] = {}
        for command in self.keys.commands:
            groups.setdefault(command.group, []).append(command)
        for group, members in groups.items():
            lines += [[("", plain)], [(group, bold)]]
            for command in members:
                keys = "  ".join(map(shown, command.keys)) or "no key"
                lines.append([(f"  {keys:<16} ", key), (command.help, plain)])
        lines += [[("", plain)], [(f"[keys.on.{self.TABLE}] in quorum.toml changes keys.", plain)]]
        self.show_page(f"Keys: {self.NAME}", lines[1:], "help")

    def do_palette(self) -> None:
        """Commands by name, and the other screens."""
        from tui.screens.elsewhere import PLACES

        listed = [command for command in self.keys.commands if command.id not in ("palette", *STEPS)]
        names = [f"{command.id.replace('_', ' ')}: {command.help}" for command in listed]
        root = self.root
        places = [place for place in PLACES if root is not None and place.name != self.NAME]
        names += [f"go to {place.name}: {place.help}" for place in places]
        details = ["  ".join(map(shown, command.keys)) for command in listed] + [""] * len(places)

        def take(number: int | None) -> None:
            if number is None:
                return
            if number < len(listed):
                self.run_command(listed[number].id)
            elif root is not None:
                try:
                    self.app.push_screen(places[number - len(listed)].make(root))
                except QuorumError as error:
                    self.fail(error)
                    self.renew()

        self.app.push_screen(Pick("Command", names, details), take)

    @property
    def root(self) -> Path | None:
        """The project's folder; None without a project."""
        return None

    def do_back(self) -> None:
        """Go back, or leave."""
        if self.first:
            self.app.exit(0)
        else:
            self.dismiss(None)

    def do_leave(self) -> None:
        """Leave."""
        self.app.exit(0)
