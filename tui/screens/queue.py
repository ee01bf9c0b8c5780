"""The queue browser: all documents, or those that a filter leaves, however many there are."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from rich.style import Style
from textual.app import ComposeResult
from textual.widgets import Input
from textual.worker import get_current_worker

from tools.errors import QuorumError
from tools.store import Store
from tools.store.browsing import Filter, Listed
from tools.store.records import DocumentState
from tui.labelling.filters import SYNTAX, parse_filter
from tui.labelling.session import Session
from tui.screens.looking import LookScreen
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from pathlib import Path

    from tui.labelling.project import Project

_SIGNS = {
    DocumentState.NEW: "\u00b7 new",
    DocumentState.IN_PROGRESS: "\u25d0 begun",
    DocumentState.DONE: "\u2713 done",
    DocumentState.FLAGGED: "\u2691 flag",
}


class QueueScreen(LookScreen):
    """Lists documents; gives the id of the one that was opened.

    Without a filter a row's number is the document's sequence number, so nothing
    has to be counted or read but the rows on the screen. A filter is worked
    through by a thread with a connection of its own; rows come as they are found.

    Args:
        project: For the names of types.
        session: The annotator's work.
    """

    NAME = "all documents"
    TABLE = "queue"
    FOOTER = (("open", "open"), ("filter", "filter"), ("all", "no filter"), ("page_down", "page"), ("last", "end"))
    CSS = """
    QueueScreen Input { border: none; height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, project: Project, session: Session) -> None:
        super().__init__()
        self._project, self._session = project, session
        self._first, self._last = session.store.document_span()
        self._found: array[int] | None = None  # None: everything
        self._searching = False
        self._problem = ""

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._project.root

    @property
    def listed(self) -> VirtualList | None:
        """The documents."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """A title, the filter, the list, the keys."""
        yield Lines(id="title")
        yield Input(placeholder=f"filter: {SYNTAX}")
        yield VirtualList(self._rows, self._last - self._first + 1, self.palette)
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """At the document that was shown."""
        if self._session.document is not None:
            seq = self._session.store.sequence_number(self._session.document.id)
            self.query_one(VirtualList).cursor = seq - self._first

    def paint(self) -> None:
        """How many there are, and which fit."""
        total = self._last - self._first + 1
        where = f"{total:,}"
        if self._found is not None:
            more = " so far" if self._searching else ""
            where = f"{len(self._found):,}{more} of {total:,} fit the filter"
        self.failed = self.failed or bool(self._problem)
        self.head(where, self._problem or f"{self.key('open')} opens one, {self.key('filter')} lists only what fits")

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        store, begin = self._session.store, self._first
        try:
            if self._found is None:
                by_seq = {one.seq: one for one in store.listed(begin + first, begin + last - 1)}
                numbers = range(begin + first, begin + last)
            else:
                numbers = list(self._found[first:last])  # type: ignore[assignment]
                by_seq = {one.seq: one for n in numbers for one in store.listed(n, n)}
        except QuorumError as error:
            self._problem = error.message
            return []
        return [self._row(by_seq.get(number)) for number in numbers]

    def _row(self, one: Listed | None) -> list[Piece]:
        palette = self.palette
        if one is None:
            return [("", palette.plain())]
        marks = f"{one.marks:>3} " if one.marks else "    "
        who = one.annotator[:8] if one.annotator else ""
        return [
            (f"{one.seq:>9,} ", palette.faded()),
            (f"{_SIGNS[one.state]:<7} ", palette.plain() + Style(bold=one.state is not DocumentState.NEW)),
            (marks, palette.plain()),
            (f"{who:<9}", palette.faded()),
            (f"{one.id[:18]:<19}", palette.plain()),
            (" ".join(one.head.split()), palette.plain()),
        ]

    def done_typing(self) -> None:
        """Back to the list."""
        self.set_focus(None)

    def do_filter(self) -> None:
        """To the line."""
        self.query_one(Input).focus()

    def do_all(self) -> None:
        """Everything."""
        self.query_one(Input).value = ""
        self._filter("")

    def do_open(self) -> None:
        """Give the one under the cursor."""
        listed = self.query_one(VirtualList)
        if not listed.count:
            self.say("there is no document here")
            return
        seq = self._first + listed.cursor if self._found is None else self._found[listed.cursor]
        self.dismiss(self._session.store.document_id(seq))

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """A second click opens."""
        if type(event) is VirtualList.Chosen:
            self.run_command("open")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Apply the filter."""
        self._filter(event.value)

    def _filter(self, line: str) -> None:
        latest = self._session.store.latest_run()
        try:
            wanted = parse_filter(line, self._project.labels.names, latest.id if latest else None)
        except QuorumError as error:
            self._problem = f"{error.message}: {error.hint}"
            self.renew()
            return
        self._problem, self.says, self.failed = "", "", False
        listed = self.query_one(VirtualList)
        listed.cursor = 0
        self.workers.cancel_all()
        if wanted.empty:
            self._found, self._searching = None, False
            listed.renew(self._last - self._first + 1)
        else:
            self._found, self._searching = array("q"), True
            listed.renew(0)
            self.run_worker(lambda: self._search(wanted), thread=True, exclusive=True)
        self.set_focus(None)
        self.renew()

    def _search(self, wanted: Filter) -> None:
        worker = get_current_worker()
        try:
            with Store.open(self._session.store.path, read_only=True) as store:
                for page in store.matching(wanted):
                    if worker.is_cancelled:
                        return
                    self.app.call_from_thread(self._add, page)
        except QuorumError as error:
            self._problem = error.message
        self.app.call_from_thread(self._end)

    def _add(self, page: list[int]) -> None:
        if self._found is not None and self.is_mounted:
            before = len(self._found)
            self._found.extend(page)
            listed = self.query_one(VirtualList)
            listed.count = len(self._found)
            if before < listed.size.height:
                listed.renew(len(self._found))
            self.renew()

    def _end(self) -> None:
        self._searching = False
        if self.is_mounted:
            self.renew()
