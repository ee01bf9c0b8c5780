"""The settings check: every key with its value and where that comes from, and every problem on demand."""

from __future__ import annotations

from pathlib import Path

from rich.style import Style
from textual.app import ComposeResult
from textual.worker import get_current_worker

from tui.commands.doctor import Check
from tui.screens.looking import LookScreen
from tui.views.settings import Setting, Sheet, problems, read_sheet, worst
from tui.widgets.lines import Lines, Piece, wrapped
from tui.widgets.virtual import VirtualList

_SIGNS = {"ok": "\u2713 ok", "info": "\u00b7 note", "warning": "! warning", "failure": "\u2717 wrong"}
_FROM = {"file": "file", "environment": "env", "default": "default"}


class SettingsScreen(LookScreen):
    """Settings, and what is wrong with them.

    Args:
        root: The project's folder.
    """

    NAME = "settings"
    TABLE = "settings"
    FOOTER = (
        ("check", "check"), ("switch", "settings/problems"), ("only", "only set"), ("open", "open"),
        ("reload", "reread"),
    )  # fmt: skip
    CSS = """
    SettingsScreen #detail { height: 5; }
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self.sheet: Sheet = read_sheet(root)
        self.checks: list[Check] = []
        self.showing = "settings"
        self.only = False
        self.checking = False
        self.checked = False

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._root

    @property
    def listed(self) -> VirtualList | None:
        """The list."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """Title, column heads, the list, the one under the cursor."""
        yield Lines(id="title")
        yield Lines(id="heads")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="detail")
        yield Lines(id="keys")
        yield Lines(id="small")

    # -- what is listed -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> list[Setting]:
        """The settings that are listed."""
        return [one for one in self.sheet.settings if one.changed or not self.only]

    @property
    def found(self) -> list[Check]:
        """The findings that are listed."""
        return [one for one in self.checks if one.level in ("warning", "failure") or not self.only]

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        if self.showing == "settings":
            return [self._setting(one) for one in self.settings[first:last]]
        return [self._check(one) for one in self.found[first:last]]

    @property
    def _wide(self) -> tuple[int, int]:
        width = self.size.width - 2
        return (30, width - 30 - 26) if width < 100 else (38, width - 38 - 32)

    def _setting(self, one: Setting) -> list[Piece]:
        palette = self.palette
        key, value = self._wide
        style = palette.bold() if one.changed else palette.plain()
        shown = one.value or "(unset)"
        if len(shown) >= value:
            shown = shown[: value - 2] + "\u2026"
        where = f"{_FROM[one.source]} {one.where}".strip()
        return [
            (f"{one.key[: key - 1]:<{key}}", style),
            (f"{shown:<{value}}", style),
            (where, palette.key_on_ground() if one.changed else palette.faded()),
        ]

    def _check(self, one: Check) -> list[Piece]:
        palette = self.palette
        bad = one.level in ("warning", "failure")
        return [
            (f"{_SIGNS[one.level]:<10}", palette.warning() if bad else palette.plain()),
            (f" {one.topic:<15}{one.name[:20]:<21}", palette.bold()),
            (one.detail, palette.plain() if bad else palette.faded()),
        ]

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Title, heads, list, detail."""
        palette = self.palette
        counts = self.sheet.counts
        where = f"{counts['file']} set in the file, {counts['environment']} by the environment   {self.sheet.path}"
        if self.sheet.problem is not None and self.showing == "settings" and not self.says:
            self.fail(self.sheet.problem)
        self.head(where, self._next())
        faded = palette.faded()
        if self.showing == "settings":
            key, value = self._wide
            heads: list[Piece] = [(f"  {'key':<{key}}{'value':<{value}}comes from", faded)]
        else:
            heads = [(f"  {'':<10} {'topic':<15}{'what':<21}found", faded)]
        self.query_one("#heads", Lines).write([heads], palette.plain())
        listed = self.query_one(VirtualList)
        listed.renew(len(self.settings if self.showing == "settings" else self.found))
        self._detail()

    def _next(self) -> str:
        if self.checking:
            return f"looking \u2026 {len(self.checks)} things so far"
        if not self.checked:
            return f"{self.key('check')} looks for problems: files, keys, members, this machine"
        counts = worst(self.checks)
        if counts["failure"] or counts["warning"]:
            return f"{counts['failure']} wrong, {counts['warning']} to look at; {self.key('only')} lists only these"
        return f"all is well: {len(self.checks)} things were looked at"

    def _about(self, width: int) -> list[list[Piece]]:
        """All about the one under the cursor, wrapped."""
        palette = self.palette
        plain, faded, key = palette.plain(), palette.faded(), palette.key_on_ground()
        at = self.query_one(VirtualList).cursor
        lines: list[list[Piece]] = []

        def add(text: str, style: Style) -> None:
            lines.extend(wrapped(text, width, style))

        if self.showing == "settings" and at < len(self.settings):
            one = self.settings[at]
            come = {
                "file": f"from {self.sheet.path}, {one.where}",
                "environment": f"from the environment variable {one.where}",
                "default": "by default",
            }
            add(" ".join(one.description.replace("``", "").split()), plain)
            add(f"{one.key} = {one.value or '(unset)'}, {come[one.source]}", key)
            if one.changed:
                add(f"the default is {one.default or '(unset)'}", faded)
            add(
                f"outside the file: QUORUM_{one.key.upper().replace('.', '__')}=..." if "[" not in one.key else "",
                faded,
            )
        elif self.showing == "problems" and at < len(self.found):
            check = self.found[at]
            add(f"{check.detail}", plain)
            if check.advice:
                add(f"what to do: {check.advice}", key)
        return lines

    def _detail(self) -> None:
        palette = self.palette
        at = self.query_one(VirtualList).cursor
        named = ""
        if self.showing == "settings" and at < len(self.settings):
            named = self.settings[at].key
        elif self.showing == "problems":
            named = f"{self.found[at].topic}: {self.found[at].name}" if at < len(self.found) else self._nothing()
        body = [[(" ", palette.plain()), *line] for line in self._about(max(20, self.size.width - 2))]
        self.query_one("#detail", Lines).write([self.bar((f" {named}", palette.key())), *body], palette.plain())

    def _nothing(self) -> str:
        return (
            "looking \u2026"
            if self.checking
            else "nothing is wrong"
            if self.checked
            else f"{self.key('check')} looks for problems"
        )

    # -- commands -----------------------------------------------------------------------------------------------

    def on_virtual_list_moved(self) -> None:
        """Show the one under the cursor."""
        self.renew()

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """A second click opens."""
        if type(event) is VirtualList.Chosen:
            self.run_command("open")

    def do_check(self) -> None:
        """Look for problems, in a thread."""
        self._show("problems")
        if not self.checking:
            self.checks, self.checking = [], True
            self.run_worker(self._look, thread=True)

    def _look(self) -> None:
        worker = get_current_worker()
        for check in problems(self.sheet):
            if worker.is_cancelled:
                return
            self.app.call_from_thread(self._add, check)
        self.app.call_from_thread(self._looked)

    def _add(self, check: Check) -> None:
        self.checks.append(check)
        self.renew()

    def _looked(self) -> None:
        self.checking, self.checked = False, True
        self.renew()

    def _show(self, what: str) -> None:
        self.showing = what
        self.query_one(VirtualList).cursor = 0

    def do_switch(self) -> None:
        """The other list."""
        self._show("problems" if self.showing == "settings" else "settings")

    def do_only(self) -> None:
        """All, or what matters."""
        self.only = not self.only
        self.query_one(VirtualList).cursor = 0
        what = "what somebody set" if self.showing == "settings" else "what is wrong"
        self.say(f"only {what} is listed" if self.only else "all are listed")

    def do_next_set(self) -> None:
        """On to the next that matters, round to the first."""
        listed = self.query_one(VirtualList)
        if self.showing == "settings":
            marks = [number for number, one in enumerate(self.settings) if one.changed]
        else:
            marks = [number for number, one in enumerate(self.found) if one.level in ("warning", "failure")]
        if not marks:
            self.say("there is none")
            return
        listed.go(next((number for number in marks if number > listed.cursor), marks[0]))

    def do_open(self) -> None:
        """All about it."""
        lines = self._about(self.page_width)
        if lines:
            self.show_page("Setting" if self.showing == "settings" else "Finding", lines)

    def do_reload(self) -> None:
        """Read the file again."""
        self.sheet = read_sheet(self._root)
        self.checked = False
        self.checks = [] if not self.checking else self.checks
        self.say("read again")
