"""All identical mentions, looked at before they are marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from tools.annotation import Span
from tools.errors import QuorumError
from tui.keymap import ScreenKeys, shown
from tui.labelling.session import Occurrence, Session
from tui.screens.label_dialogs import Page, Window, palette_of
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import STEPS, VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp


class Identical(Window[list[Occurrence] | None]):
    """Shows where a mention stands; places can be left out before the rest is marked.

    Args:
        session: The annotator's work.
        span: The mention with its type.
    """

    CSS = """
    Identical Vertical { width: 110; max-width: 98%; height: 90%; background: $background; border: round $primary; }
    Identical Lines { height: 1; }
    Identical VirtualList { height: 1fr; }
    """

    def __init__(self, session: Session, span: Span) -> None:
        super().__init__()
        self._session, self._span = session, span
        self.pool = False
        self.found: list[Occurrence] = []
        self.left_out: set[int] = set()

    def compose(self) -> ComposeResult:
        """A title, the places, the keys."""
        with Vertical():
            yield Lines(id="title")
            yield VirtualList(self._rows, 0, palette_of(self))
            yield Lines(id="keys")

    def on_mount(self) -> None:
        """Look in this document."""
        self.query_one(VirtualList).own_keys = False
        self._look()

    def _look(self) -> None:
        self.left_out.clear()
        if not self.pool:
            self._show(self._session.identical(self._span, pool=False))
            return
        self._head("looking through the pool \u2026")
        self.run_worker(self._search, thread=True, exclusive=True)

    def _search(self) -> None:
        try:
            found = self._session.identical(self._span, pool=True)
        except QuorumError as error:
            self.app.call_from_thread(self._head, error.message)
            return
        self.app.call_from_thread(self._show, found)

    def _show(self, found: list[Occurrence]) -> None:
        self.found = found
        self.query_one(VirtualList).renew(len(found))
        self._head()

    def _head(self, says: str = "") -> None:
        palette = palette_of(self)
        text = self._span.text_in(self._session.editor.text)
        documents = len({one.document_id for one in self.found})
        count = len(self.found) - len(self.left_out)
        where = f"in {documents} {'document' if documents == 1 else 'documents'}" if self.pool else "in this document"
        says = says or f"{count} more {where}"
        head: list[Piece] = [(f" {self._span.label} \u201c{text}\u201d ", palette.key()), (says, palette.strip())]
        self.query_one("#title", Lines).write([head], palette.strip())
        other = "this document only" if self.pool else "the whole pool"
        keys: list[Piece] = []
        texts = (("leave_out", "leave out"), ("pool", other), ("mark", f"mark {count}"), ("back", "leave"))
        for command, what in texts:
            keys += [(f" {self._keys.key(command)}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

    @property
    def _keys(self) -> ScreenKeys:
        return cast("QuorumApp", self.app).keys_on("identical")

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = palette_of(self)
        plain, bold = palette.plain(), palette.plain() + Style(bold=True, underline=True)
        mention = self._span.text_in(self._session.editor.text)
        rows: list[list[Piece]] = []
        for number in range(first, min(last, len(self.found))):
            one = self.found[number]
            sign = "[ ] " if number in self.left_out else "[x] "
            rows.append([
                (sign, plain), (f"{one.document_id[:16]:<17}", palette.faded()), (f"{one.before:>30}", plain),
                (mention, bold), (one.after, plain),
            ])  # fmt: skip
        return rows

    def on_key(self, event: events.Key) -> None:
        """Do what the key stands for."""
        key = event.character if event.is_printable and event.character and event.character != " " else event.key
        command = self._keys.by_key.get(key, "")
        work = getattr(self, f"do_{command}", None)
        if work is None and command not in STEPS:
            return
        event.stop()
        event.prevent_default()
        if work is None:
            self.query_one(VirtualList).step(STEPS[command])
        else:
            work()

    def do_back(self) -> None:
        """Mark nothing."""
        self.dismiss(None)

    def do_pool(self) -> None:
        """Look elsewhere."""
        self.pool = not self.pool
        self._look()

    def do_leave_out(self) -> None:
        """Leave a place out, and go on."""
        listed = self.query_one(VirtualList)
        if self.found:
            self.left_out ^= {listed.cursor}
            listed.go(listed.cursor + 1)
            listed.renew()
            self._head()

    def do_mark(self) -> None:
        """Mark what is left."""
        self.dismiss([one for number, one in enumerate(self.found) if number not in self.left_out])

    def do_help(self) -> None:
        """The keys."""
        palette = palette_of(self)
        known = [one for one in self._keys.commands if one.id in STEPS or hasattr(self, f"do_{one.id}")]
        lines = [
            [(f"  {'  '.join(map(shown, one.keys)):<16} ", palette.key_on_ground()), (one.help, palette.plain())]
            for one in known
        ]
        self.app.push_screen(Page("Keys: identical mentions", lines, self._keys.keys_of("help")))

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """A second click leaves the place out."""
        if type(event) is VirtualList.Chosen:
            self.do_leave_out()
