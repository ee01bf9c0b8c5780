"""Search: words in this document and in the pool, or passages of like meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.app import ComposeResult
from textual.widgets import Input
from textual.worker import get_current_worker

from tools.errors import QuorumError
from tools.store import Store
from tools.store.browsing import Filter
from tui.labelling.search import around
from tui.labelling.session import Session
from tui.screens.label_look import places
from tui.screens.looking import LookScreen
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from pathlib import Path

    from tui.labelling.project import Project

_MOST = 2000


class SearchScreen(LookScreen):
    """Asks what to look for and lists where it is; gives a document's id and the text to show in it.

    Args:
        project: Where its files are.
        session: The annotator's work.
    """

    NAME = "search"
    TABLE = "search"
    TYPING = ("meaning", "back")
    FOOTER = (("open", "open"), ("search", "type"), ("meaning", "by meaning, or words"))
    CSS = """
    SearchScreen Input { border: none; height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, project: Project, session: Session) -> None:
        super().__init__()
        self._project, self._session = project, session
        self._found: list[tuple[str, str]] = []  # document id, what to show of it
        self._needle = ""
        self._meaning = False
        self._says = "type, then Enter"

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._project.root

    @property
    def listed(self) -> VirtualList | None:
        """What was found."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """A title, the line to type in, what was found, the keys."""
        yield Lines(id="title")
        yield Input(placeholder="what to look for")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Ready to type."""
        self.query_one(Input).focus()

    def paint(self) -> None:
        """How one searches, and what came of it."""
        self.head("by meaning" if self._meaning else "for words", self._says)

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = self.palette
        bold = palette.plain() + Style(bold=True, underline=True)
        rows: list[list[Piece]] = []
        for name, text in self._found[first:last]:
            row: list[Piece] = [(f"{name[:18]:<19}", palette.faded())]
            hit = next(iter(places(text, self._needle)), None) if not self._meaning else None
            if hit is None:
                row.append((text, palette.plain()))
            else:
                row += [
                    (text[: hit[0]], palette.plain()),
                    (text[hit[0] : hit[1]], bold),
                    (text[hit[1] :], palette.plain()),
                ]
            rows.append(row)
        return rows

    def done_typing(self) -> None:
        """To the list."""
        self.set_focus(None)

    def do_search(self) -> None:
        """To the line."""
        self.query_one(Input).focus()

    def do_meaning(self) -> None:
        """The other way of searching."""
        self._meaning = not self._meaning
        self._says = "type, then Enter"

    def do_open(self) -> None:
        """Open it there."""
        if not self._found:
            self.say("nothing was found that could be opened")
            return
        name = self._found[self.query_one(VirtualList).cursor][0]
        self.dismiss((name, "" if self._meaning else self._needle))

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """A second click opens."""
        if type(event) is VirtualList.Chosen:
            self.run_command("open")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        self._needle = event.value.strip()
        if not self._needle:
            return
        self._found = []
        self.query_one(VirtualList).renew(0)
        self._says = "searching \u2026"
        self.renew()
        self.workers.cancel_all()
        self.run_worker(self._like if self._meaning else self._search, thread=True, exclusive=True)

    def _search(self) -> None:
        """In this document first, then through the pool; a thread with a connection of its own."""
        worker, needle, document = get_current_worker(), self._needle, self._session.document
        if document is not None:
            here = [(document.id, around(document.text, at)) for at, _ in places(document.text, needle)[:50]]
            self.app.call_from_thread(self._add, here)
        try:
            with Store.open(self._session.store.path, read_only=True) as store:
                for page in store.matching(Filter(text=needle)):
                    if worker.is_cancelled or len(self._found) >= _MOST:
                        break
                    rows: list[tuple[str, str]] = []
                    for seq in page:
                        name = store.document_id(seq)
                        if name is not None and (document is None or name != document.id):
                            text = store.document(name).text
                            hit = next(iter(places(text, needle)), (0, 0))
                            rows.append((name, around(text, hit[0])))
                    self.app.call_from_thread(self._add, rows)
        except QuorumError as error:
            self.app.call_from_thread(self._end, error.message)
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._end, "")

    def _like(self) -> None:
        """By meaning, with the embedder of the demonstrations."""
        from tui.labelling.meaning import nearest

        worker = get_current_worker()
        try:
            for found, says in nearest(self._project, self._needle):
                if worker.is_cancelled:
                    return
                self.app.call_from_thread(self._replace, found, says)
        except QuorumError as error:
            self.app.call_from_thread(self._end, f"{error.message}. {error.hint}")

    def _add(self, rows: list[tuple[str, str]]) -> None:
        if self.is_mounted:
            self._found += rows
            self._says = f"{len(self._found):,} found \u2026"
            self.query_one(VirtualList).renew(len(self._found))
            self.renew()

    def _replace(self, rows: list[tuple[str, str]], says: str) -> None:
        if self.is_mounted:
            self._found, self._says = rows, says
            self.query_one(VirtualList).renew(len(rows))
            self.renew()

    def _end(self, problem: str) -> None:
        if self.is_mounted:
            some = f"{len(self._found):,} found" + (", more are not listed" if len(self._found) >= _MOST else "")
            self._says = problem or some
            if self._found and not problem:
                self.set_focus(None)
            self.renew()
