"""The queue browser: all documents, or those that a filter leaves, however many there are."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import get_current_worker

from tools.errors import QuorumError
from tools.store import Store
from tools.store.browsing import Filter, Listed
from tools.store.records import DocumentState
from tui.labelling.filters import SYNTAX, parse_filter
from tui.labelling.session import Session
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.labelling.project import Project
    from tui.theme import Palette

_SIGNS = {
    DocumentState.NEW: "\u00b7 new",
    DocumentState.IN_PROGRESS: "\u25d0 begun",
    DocumentState.DONE: "\u2713 done",
    DocumentState.FLAGGED: "\u2691 flag",
}


class QueueScreen(Screen[str | None]):
    """Lists documents; Enter opens one.

    Without a filter a row's number is the document's sequence number, so nothing
    has to be counted or read but the rows on the screen. A filter is worked
    through by a thread with a connection of its own; rows come as they are found.

    Args:
        project: For the names of types.
        session: The annotator's work.
    """

    CSS = """
    QueueScreen Lines { height: 1; }
    QueueScreen VirtualList { height: 1fr; }
    QueueScreen Input { border: none; height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, project: Project, session: Session) -> None:
        super().__init__()
        self._project, self._session = project, session
        self._first, self._last = session.store.document_span()
        self._found: array[int] | None = None  # None: everything
        self._searching = False
        self._says = ""

    @property
    def _palette(self) -> Palette:
        return cast("QuorumApp", self.app).palette

    def compose(self) -> ComposeResult:
        """A title, the filter, the list, the keys."""
        yield Lines(id="title")
        yield Input(placeholder=f"filter: {SYNTAX}")
        yield VirtualList(self._rows, self._last - self._first + 1, self._palette)
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Begin at the document that was shown."""
        listed = self.query_one(VirtualList)
        if self._session.document is not None:
            listed.cursor = self._session.store.sequence_number(self._session.document.id) - self._first
        listed.focus()
        self._head()

    def _head(self) -> None:
        palette = self._palette
        total = self._last - self._first + 1
        count = total if self._found is None else len(self._found)
        more = " so far" if self._searching else ""
        line: list[Piece] = [(" all documents ", palette.key())]
        fits = f"{count:,}{more} of {total:,} fit the filter" if self._found is not None else f"{total:,}"
        line.append((f" {fits}   {self._says}", palette.strip()))
        self.query_one("#title", Lines).write([line], palette.strip())
        keys: list[Piece] = []
        for key, what in (("Enter", "open"), ("/", "filter"), ("PgDn", "page"), ("Home End", "ends"), ("Esc", "back")):
            keys += [(f" {key}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

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
            self._says = error.message
            return []
        return [self._row(by_seq.get(number)) for number in numbers]

    def _row(self, one: Listed | None) -> list[Piece]:
        palette = self._palette
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

    def on_key(self, event: events.Key) -> None:
        """Filter, or go back."""
        typing = self.query_one(Input).has_focus
        if event.key == "escape":
            event.stop()
            if typing:
                self.query_one(VirtualList).focus()
            else:
                self.dismiss(None)
        elif event.character == "/" and not typing:
            event.stop()
            self.query_one(Input).focus()
        elif event.key == "down" and typing:
            event.stop()
            self.query_one(VirtualList).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Apply the filter."""
        latest = self._session.store.latest_run()
        try:
            wanted = parse_filter(event.value, self._project.labels.names, latest.id if latest else None)
        except QuorumError as error:
            self._says = f"{error.message}: {error.hint}"
            self._head()
            return
        self._says = ""
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
        listed.focus()
        self._head()

    def _search(self, wanted: Filter) -> None:
        worker = get_current_worker()
        try:
            with Store.open(self._session.store.path, read_only=True) as store:
                for page in store.matching(wanted):
                    if worker.is_cancelled:
                        return
                    self.app.call_from_thread(self._add, page)
        except QuorumError as error:
            self._says = error.message
        self.app.call_from_thread(self._end)

    def _add(self, page: list[int]) -> None:
        if self._found is not None and self.is_mounted:
            before = len(self._found)
            self._found.extend(page)
            listed = self.query_one(VirtualList)
            listed.count = len(self._found)
            if before < listed.size.height:
                listed.renew(len(self._found))
            self._head()

    def _end(self) -> None:
        self._searching = False
        if self.is_mounted:
            self._head()

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """Open it."""
        if type(event) is not VirtualList.Chosen:
            return
        seq = self._first + event.row if self._found is None else self._found[event.row]
        self.dismiss(self._session.store.document_id(seq))
