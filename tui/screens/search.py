"""Search: words in this document and in the pool, or passages of like meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import get_current_worker

from tools.errors import QuorumError
from tools.store import Store
from tools.store.browsing import Filter
from tui.labelling.search import around
from tui.labelling.session import Session
from tui.screens.label_look import places
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.labelling.project import Project
    from tui.theme import Palette

_MOST = 2000


class SearchScreen(Screen[tuple[str, str] | None]):
    """Asks what to look for and lists where it is; gives a document's id and the text to show in it.

    Args:
        project: Where its files are.
        session: The annotator's work.
    """

    CSS = """
    SearchScreen Lines { height: 1; }
    SearchScreen VirtualList { height: 1fr; }
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
    def _palette(self) -> Palette:
        return cast("QuorumApp", self.app).palette

    def compose(self) -> ComposeResult:
        """A title, the line to type in, what was found, the keys."""
        yield Lines(id="title")
        yield Input(placeholder="what to look for")
        yield VirtualList(self._rows, 0, self._palette)
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Ready to type."""
        self.query_one(Input).focus()
        self._head()

    def _head(self) -> None:
        palette = self._palette
        how = "search by meaning" if self._meaning else "search for words"
        line: list[Piece] = [(f" {how} ", palette.key()), (f" {self._says}", palette.strip())]
        self.query_one("#title", Lines).write([line], palette.strip())
        other = "words" if self._meaning else "by meaning"
        keys: list[Piece] = []
        for key, what in (("Enter", "search, or open"), ("\u2193", "to the list"), ("Ctrl-T", other), ("Esc", "back")):
            keys += [(f" {key}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = self._palette
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

    def on_key(self, event: events.Key) -> None:
        """Move between line and list; change the way of searching; go back."""
        typing = self.query_one(Input).has_focus
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "ctrl+t":
            self._meaning = not self._meaning
            self._says = "type, then Enter"
            self._head()
        elif event.key in ("down", "tab") and typing:
            self.query_one(VirtualList).focus()
        elif event.character == "/" and not typing:
            self.query_one(Input).focus()
        else:
            return
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        self._needle = event.value.strip()
        if not self._needle:
            return
        self._found = []
        self.query_one(VirtualList).renew(0)
        self._says = "searching \u2026"
        self._head()
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
            self._head()

    def _replace(self, rows: list[tuple[str, str]], says: str) -> None:
        if self.is_mounted:
            self._found, self._says = rows, says
            self.query_one(VirtualList).renew(len(rows))
            self._head()

    def _end(self, problem: str) -> None:
        if self.is_mounted:
            some = f"{len(self._found):,} found" + (", more are not listed" if len(self._found) >= _MOST else "")
            self._says = problem or some
            if self._found and not problem:
                self.query_one(VirtualList).focus()
            self._head()

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """Open it there."""
        if type(event) is VirtualList.Chosen:
            self.dismiss((self._found[event.row][0], "" if self._meaning else self._needle))
