"""The screen of an unattended run: how far it is, how it goes, who answers, what failed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.style import Style
from textual.app import ComposeResult
from textual.worker import get_current_worker

from agent.models.health import last_lines
from agent.models.launch import ServerStatus
from tools.annotation.prediction import OutcomeKind
from tools.errors import QuorumError
from tools.store import Run
from tools.store.records import DeadLetter
from tui.report.progress import duration
from tui.screens.label_dialogs import Pick
from tui.screens.looking import LookScreen
from tui.views.runs import MOST_LETTERS, MemberView, RunReader, RunView, spark
from tui.widgets.lines import Lines, Piece, wrapped
from tui.widgets.virtual import VirtualList

SECONDS = 1.0
SERVER_SECONDS = 5.0
LOG_LINES = 200
_TALL = 34
_SIGNS = {"answers": "\u2713", "silent": "\u2717", "waiting": "\u00b7"}
_STATES = {"ready": "\u2713", "starting": "\u2026", "dead": "\u2717"}


class RunScreen(LookScreen):
    """Watches a run that goes on elsewhere, or shows the last one.

    Args:
        reader: Reads the run from its store; closed with the screen.
        project: The project's folder; None for a run without one.
    """

    NAME = "unattended run"
    TABLE = "run"
    FOOTER = (("switch", "letters/log"), ("open", "open"), ("runs", "other run"), ("palette", "go to"))
    CSS = """
    RunScreen #facts { height: 5; }
    RunScreen #members { height: auto; max-height: 12; }
    RunScreen #tail { height: 12; display: none; }
    RunScreen.tall #tail { display: block; }
    """

    def __init__(self, reader: RunReader, project: Path | None = None) -> None:
        super().__init__()
        self.reader, self._project = reader, project
        self.view: RunView | None = None
        self.servers: tuple[ServerStatus, ...] | None = None  # not asked yet
        self.log_lines: tuple[str, ...] = ()
        self.found: list[DeadLetter] = []
        self.showing = "letters"
        self._listed_for = (0, -1)
        self._problem = ""
        self._looking = False

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._project

    @property
    def listed(self) -> VirtualList | None:
        """Dead letters, or the log."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """Title, figures, members, and below them dead letters or the log."""
        yield Lines(id="title")
        yield Lines(id="facts")
        yield Lines(id="members")
        yield Lines(id="tabs")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="tail")
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Look at once and then every second, in a thread; never two looks at a time."""
        self.look()
        self.set_interval(SECONDS, self.look)
        self.ask_servers()
        self.set_interval(SERVER_SECONDS, self.ask_servers)

    def on_unmount(self) -> None:
        """Close the store."""
        self.reader.close()

    # -- looking ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read what was recorded since the last look."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look, thread=True, group="look")

    def _look(self) -> None:
        view, problem, letters = None, "", None
        try:
            view = self.reader.look()
            if view is not None and (view.run.id, view.dead_letters) != self._listed_for:
                letters = self.reader.letters(view.run.id)
        except QuorumError as error:  # the store may be made just now, or begun again; the next look will tell
            problem = ". ".join(
                part for part in (error.message.removeprefix(f"{self.reader.path}: "), error.hint) if part
            )
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._seen, view, problem, letters)

    def _seen(self, view: RunView | None, problem: str, letters: list[DeadLetter] | None) -> None:
        self._looking = False
        self._problem = problem
        if not problem:
            self.view = view
        if letters is not None and view is not None:
            self.found, self._listed_for = letters, (view.run.id, view.dead_letters)
        self.renew()

    def ask_servers(self) -> None:
        """Ask the servers that Quorum started how they are, in a thread."""
        self.run_worker(self._ask, thread=True, group="servers", exclusive=True)

    def _ask(self) -> None:
        from agent.models import serve

        try:
            found = tuple(serve.status(seconds=1.0))
        except QuorumError:  # the notes lie in a folder that cannot be read: then nothing is known of servers
            found = ()
        lines: list[str] = []
        for server in found:
            said = last_lines(server.record.log, LOG_LINES // len(found))
            lines += [f"{server.record.name}: {line}" if len(found) > 1 else line for line in said]
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._answered, found, tuple(lines))

    def _answered(self, servers: tuple[ServerStatus, ...], lines: tuple[str, ...]) -> None:
        # The end of the log stays in sight unless a person has moved away from it.
        listed = self.query_one(VirtualList)
        at_end = self.showing != "log" or listed.cursor >= len(self.log_lines) - 1
        self.servers, self.log_lines = servers, lines
        if self.showing == "log" and at_end:
            listed.cursor = max(0, len(lines) - 1)
        self.renew()

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Figures, members, the list."""
        view, palette = self.view, self.palette
        if view is None:
            where = str(self.reader.path)
            said = self._problem or "no run yet; this screen waits for one: quorum extract --input FILE --output OUT"
            self.failed = bool(self._problem) or self.failed
            self.head(where, said)
            self.query_one("#facts", Lines).write([], palette.plain())
            self._members(())
        else:
            target = view.output if len(view.output) < 40 else "\u2026" + view.output[-39:]
            self.head(f"{view.run.id}  {view.state.upper()}  {target}", self._problem or view.next)
            self.query_one("#facts", Lines).write(self._facts(view), palette.plain())
            self._members(view.members)
        self._tabs()
        self.set_class(self.size.height >= _TALL and self.showing == "letters", "tall")
        if self.has_class("tall"):
            lines: list[list[Piece]] = [[(" the log's end  ", palette.key()), (self._log_files(), palette.strip())]]
            lines += [[(f" {line}", palette.plain())] for line in self.log_lines[-11:]]
            self.query_one("#tail", Lines).write(lines, palette.plain())
        rows = len(self.found) if self.showing == "letters" else len(self.log_lines)
        self.query_one(VirtualList).renew(rows)

    def _facts(self, view: RunView) -> list[list[Piece]]:
        palette = self.palette
        plain, bold, faded = palette.plain(), palette.bold(), palette.faded()
        width = self.size.width
        share = view.documents / view.total if view.total else None
        done = f"{view.documents:,}" + (f" of {view.total:,}" if view.total is not None else "") + " documents"
        if share is not None:
            done += f"  {share:.0%}" if share in (0, 1) else f"  {min(share, 0.999):.1%}"
        left = f"  {duration(view.eta)} left" if view.eta is not None else ""
        if share is None:
            # An empty bar would say that nothing is done.
            first: list[Piece] = [(f" {done}", bold), (", of nobody knows how many", faded)]
        else:
            room = max(8, width - len(done) - len(left) - 5)
            filled = round(room * share)
            first = [
                (" ", plain),
                ("\u2588" * filled, palette.key_on_ground()),
                ("\u2591" * (room - filled), faded),
                (f"  {done}{left}", bold),
            ]
        begun = datetime.fromtimestamp(view.run.started).astimezone().strftime("%m-%d %H:%M")
        second: list[Piece] = [
            (f" {_pace(view.documents_per_second)}  {view.tokens_per_second:,.0f} tokens/s", bold),
            (" lately", faded),
            (f"   {_pace(view.average)}", plain),
            (" over all", faded),
        ]
        third: list[Piece] = [
            (f" begun {begun}, {duration(view.elapsed)}", plain),
            (f"   {view.passages:,} passages, {view.predictions:,} spans", plain),
        ]
        if view.going and view.idle is not None:
            third.append((f"   last part {duration(view.idle)} ago", faded))
        fourth: list[Piece] = [(" ", plain)]
        for kind in OutcomeKind:
            count = view.outcomes.get(kind.value, 0)
            if count or kind in (OutcomeKind.OK, OutcomeKind.FAILED):
                of = f" ({count / view.passages:.1%})" if view.passages and count else ""
                warn = kind is OutcomeKind.FAILED and count
                fourth.append((f"{kind.value} {count:,}{of}", palette.warning() if warn else plain))
                fourth.append(("   ", plain))
        bars = spark(view.series, max(8, width - 24))
        fifth: list[Piece] = [(" documents over time ", faded), (bars, palette.key_on_ground())]
        return [first, second, third, fourth, fifth if bars else []]

    def _members(self, members: Sequence[MemberView]) -> None:
        palette = self.palette
        plain, bold, faded = palette.plain(), palette.bold(), palette.faded()
        most = 4 if self.size.height < 30 else 7
        lines: list[list[Piece]] = []
        if members:
            lines.append(
                [(f" {'member':<14}{'model':<14}{'':<10}{'asked':>9}{'failed':>8}{'cached':>9}{'s each':>8}", faded)]
            )
        for member in members[:most]:
            style = bold if member.state == "answers" else palette.warning() if member.state == "silent" else plain
            each = f"{member.latency:.2f}" if member.latency is not None else ""
            lines.append(
                [
                    (f" {member.name[:13]:<14}{member.model[:13]:<14}", plain),
                    (f"{_SIGNS[member.state]} {member.state:<8}", style),
                    (f"{member.requests:>9,}{member.failures:>8,}{member.from_cache:>9,}{each:>8}", plain),
                ]
            )
        if len(members) > most:
            lines.append([(f" and {len(members) - most} more members", faded)])
        for server in (self.servers or ())[:3]:
            sign = _STATES.get(server.state, "\u2717")
            style = plain if server.state in ("ready", "starting") else palette.warning()
            where = f"{server.record.url}  {server.record.device}"
            used = f"  used by {', '.join(map(str, server.users))}" if server.users else ""
            lines.append(
                [
                    (f" server {server.record.name[:24]}  ", plain),
                    (f"{sign} {server.state}", style),
                    (f"  {where}{used}", faded),
                ]
            )
        if not self.servers:
            said = "no server of Quorum's is running on this machine" if self.servers is not None else ""
            lines.append([(f" {said}", faded)])
        shown = self.query_one("#members", Lines)
        if shown.styles.height is None or shown.styles.height.value != len(lines):
            shown.styles.height = len(lines)
        shown.write(lines, plain)

    def _tabs(self) -> None:
        palette = self.palette
        chosen, other = palette.key() + Style(reverse=True), palette.strip()
        count = f"{len(self.found):,}" + ("+" if len(self.found) >= MOST_LETTERS else "")
        letters = f" dead letters ({count}) "
        self.query_one("#tabs", Lines).write(
            [
                [
                    (" ", other),
                    (letters, chosen if self.showing == "letters" else other),
                    ("  ", other),
                    (" log ", chosen if self.showing == "log" else other),
                    ("  " + self._about(), other),
                ]
            ],
            palette.strip(),
        )

    def _log_files(self) -> str:
        if not self.servers:
            asked = self.servers is not None
            return "no server, so no log; models may run inside the run's own process" if asked else ""
        return ", ".join(Path(server.record.log).name for server in self.servers)

    def _about(self) -> str:
        if self.showing == "log":
            return self._log_files()
        return "" if self.found else "no passage has failed"

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = self.palette
        if self.showing == "log":
            return [[(line, palette.plain())] for line in self.log_lines[first:last]]
        return [
            [
                (f"{letter.document_id[:22]:<23}", palette.bold()),
                (f"passage {letter.index:<4}", palette.faded()),
                (letter.reason, palette.plain()),
            ]
            for letter in self.found[first:last]
        ]

    # -- commands -----------------------------------------------------------------------------------------------

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """A second click opens."""
        if type(event) is VirtualList.Chosen:
            self.run_command("open")

    def do_open(self) -> None:
        """A dead letter with its document."""
        at = self.query_one(VirtualList).cursor
        if self.showing == "log" and self.log_lines:
            plain = self.palette.plain()
            line = self.log_lines[min(at, len(self.log_lines) - 1)]
            self.show_page("A line of the log", wrapped(line, self.page_width, plain))
            return
        if self.showing != "letters" or not self.found:
            self.say(f"nothing to open here: {self.key('open')} opens a dead letter, or a line of the log")
            return
        letter = self.found[min(at, len(self.found) - 1)]
        text = self.reader.text(letter)
        palette = self.palette
        width = self.page_width
        lines: list[list[Piece]] = []
        for label, value in (
            ("document", letter.document_id),
            ("passage", f"number {letter.index} of it, in part {letter.part}"),
            ("reason", letter.reason or "none was given"),
        ):
            for number, line in enumerate(textwrap.wrap(value, width - 11) or [""]):
                lines.append([(f"{label if not number else '':<10} ", palette.faded()), (line, palette.bold())])
        lines.append([("", palette.plain())])
        for paragraph in text.splitlines() or [""]:
            lines += wrapped(paragraph, width, palette.plain())
        self.show_page("Dead letter", lines)

    def _show(self, what: str) -> None:
        self.showing = what
        self.query_one(VirtualList).cursor = max(0, len(self.log_lines) - 1) if what == "log" else 0

    def do_switch(self) -> None:
        """The other list."""
        self._show("log" if self.showing == "letters" else "letters")

    def do_letters(self) -> None:
        """Dead letters."""
        self._show("letters")

    def do_log(self) -> None:
        """The log."""
        self._show("log")

    def do_refresh(self) -> None:
        """Look now."""
        self.look()
        self.ask_servers()
        self.say("looked again")

    def do_runs(self) -> None:
        """Choose among the runs."""
        runs = self.reader.runs()
        if not runs:
            self.say("there is no run yet")
            return
        names = ["the latest, whichever it is", *map(_named, runs)]
        self.app.push_screen(Pick("Run", names, ["", *(run.state.value for run in runs)]), partial(self._take, runs))

    def _take(self, runs: Sequence[Run], number: int | None) -> None:
        if number is not None:
            self.reader.wanted = None if number == 0 else runs[number - 1].id
            self.reader.forget()
            self.found, self._listed_for = [], (0, -1)
            self.look()


def _pace(rate: float) -> str:
    """Documents a second, or a minute where a second brings less than one."""
    return f"{rate:,.1f} documents/s" if rate >= 1 or not rate else f"{rate * 60:,.1f} documents/min"


def _named(run: Run) -> str:
    begun = datetime.fromtimestamp(run.started).astimezone().strftime("%m-%d %H:%M")
    return f"{run.id}  {begun}  {Path(str(run.config.get('output', ''))).name}"
