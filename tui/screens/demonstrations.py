"""The demonstrations: what lies in Chroma, and what each retriever would show the models for a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.style import Style
from textual.app import ComposeResult
from textual.widgets import Input
from textual.worker import get_current_worker

from tools.errors import QuorumError
from tui.screens.looking import LookScreen
from tui.views.demonstrations import ORDER, Column, Shelf, agreement, mentions_of
from tui.widgets.lines import Lines, Piece, cut, wrapped
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tools.demonstrations import Demonstration, Retrieved

_MOST = 20


class DemonstrationsScreen(LookScreen):
    """Lists the index, and sets the retrievers' answers side by side.

    Args:
        shelf: The index; closed with the screen.
        text: Something to search for at once.
    """

    NAME = "demonstrations"
    TABLE = "demonstrations"
    FOOTER = (
        ("search", "search"),
        ("open", "open"),
        ("like", "for this one"),
        ("switch", "all/found"),
        ("palette", "go to"),
    )
    CSS = """
    DemonstrationsScreen Input { border: none; height: 1; padding: 0 1; background: $surface; }
    DemonstrationsScreen #detail { height: 5; }
    DemonstrationsScreen.tall #detail { height: 10; }
    """

    def __init__(self, shelf: Shelf, text: str = "") -> None:
        super().__init__()
        self.shelf = shelf
        self.text = text
        self.count, self.mentions = 0, 0
        self.columns: list[Column] = []
        self.chosen = ORDER.index(shelf.config.demonstrations.retriever)
        self.k = max(1, min(_MOST, shelf.config.demonstrations.k))
        self.showing = "all"
        self.busy = "the index is being opened"
        self._from = ""  # the document that the text stands in
        self._seed = shelf.config.run.seed
        self._asked = 0
        self._ready = False

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self.shelf.config.root

    @property
    def listed(self) -> VirtualList | None:
        """The list."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """Title, the text, column heads, the list, the one under the cursor."""
        yield Lines(id="title")
        yield Input(self.text, placeholder="a text: what would be shown to the models with it?")
        yield Lines(id="heads")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="detail")
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Open the index beside the screen."""
        self.set_focus(None)
        self._open()

    def on_unmount(self) -> None:
        """Close the index, and remove the copy that was read."""
        self.shelf.close()

    def _open(self) -> None:
        self.busy = "the index is being opened"
        self.run_worker(self._opened, thread=True, group="open", exclusive=True)

    def _opened(self) -> None:
        try:
            count, mentions = self.shelf.open()
        except QuorumError as error:
            self._tell(self._unopened, error)
            return
        if get_current_worker().is_cancelled:
            self.shelf.close()  # the screen is gone
        self._tell(self._show, count, mentions)

    def _tell(self, method: object, *values: object) -> None:
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(method, *values)  # type: ignore[arg-type]

    def _unopened(self, error: QuorumError) -> None:
        self.busy = ""
        self.fail(error)
        self.renew()

    def _show(self, count: int, mentions: int) -> None:
        self.count, self.mentions, self.busy, self._ready = count, mentions, "", True
        self.renew()
        if self.text:
            self.search(self.text)

    # -- searching ----------------------------------------------------------------------------------------------

    def search(self, text: str, document_id: str = "") -> None:
        """Ask all retrievers, in a thread; what each finds is shown as it comes."""
        self.text, self._from = " ".join(text.split()), document_id
        if not self.text or not self._ready:
            return
        self.columns, self.showing = [], "found"
        self.busy = "searching"
        self._asked += 1
        asked, k = self._asked, self.k
        self.query_one(VirtualList).cursor = 0

        def work() -> None:
            try:
                for column in self.shelf.search(self.text, k, document_id=document_id, seed=self._seed):
                    if asked != self._asked:
                        return
                    self._tell(self._found, asked, column)
            except QuorumError as error:
                self._tell(self._unopened, error)
                return
            self._tell(self._searched, asked)

        self.run_worker(work, thread=True, group="search")

    def _found(self, asked: int, column: Column) -> None:
        if asked == self._asked:
            self.columns.append(column)
            following = ORDER[len(self.columns)] if len(self.columns) < len(ORDER) else ""
            # bm25 falls back on sentence where too few words are shared, so that it may be the first to need the model.
            loading = following in ("bm25", "sentence")
            self.busy = (
                f"asking {following}" + (", whose model may have to load" if loading else "") if following else ""
            )
            self.renew()

    def _searched(self, asked: int) -> None:
        if asked == self._asked:
            self.busy = ""
            self.renew()

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Title, heads, list, detail."""
        palette = self.palette
        plain, faded = palette.plain(), palette.faded()
        self.set_class(self.size.height >= 34, "tall")
        own = self.shelf.config.demonstrations
        where = f"{self.count:,} with {self.mentions:,} mentions; the project shows {own.k} by {own.retriever}"
        if self.busy:
            says = f"{self.busy} \u2026"
        elif not self.count:
            says = "nothing yet: label some documents, or quorum import FILE --gold, then quorum demos rebuild"
        elif self.showing == "all":
            says = f"all demonstrations; {self.key('search')} asks what would be shown for a text"
        else:
            names = [span.text_in(self.text) for span in mentions_of(self.text)]
            says = f"span compares {', '.join(names)}" if names else "no word looks like a name: span falls back"
            says = f"*: in use, =2: found by two; {says}"
        self.head(where, says)
        heads: list[Piece] = [("  ", faded)]
        if self.showing == "all":
            heads.append((f"{'id':<19}{'types':<18}text", faded))
        else:
            done = {column.name: column for column in self.columns}
            for number, name in enumerate(ORDER):
                style = palette.bold() + Style(reverse=True) if number == self.chosen else palette.bold()
                mark = "*" if name == own.retriever else ""
                took = f" {done[name].seconds:.1f}s" if name in done and done[name].seconds >= 0.05 else ""
                back = f" \u2192{done[name].fell_back}" if name in done and done[name].fell_back else ""
                heads += [(f"{name}{mark}{back}{took}"[: self._wide - 1].ljust(self._wide - 1), style), (" ", plain)]
        self.query_one("#heads", Lines).write([heads], plain)
        listed = self.query_one(VirtualList)
        listed.renew(self.count if self.showing == "all" else max((len(c.rows) for c in self.columns), default=0))
        self._detail()

    @property
    def _wide(self) -> int:
        return (self.size.width - 3) // len(ORDER)

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = self.palette
        if self.showing == "all":
            try:
                return [self._row(item) for item in self.shelf.rows(first, last)]
            except QuorumError as error:
                self.fail(error)
                return []
        here = self.query_one(VirtualList).cursor
        shared = agreement(self.columns)
        by_name = {column.name: column for column in self.columns}
        lines: list[list[Piece]] = []
        for row in range(first, last):
            line: list[Piece] = []
            for number, name in enumerate(ORDER):
                found = by_name[name].rows if name in by_name else ()
                wide = self._wide - 1
                if row >= len(found):
                    line += [(" " * self._wide, palette.plain())]
                    continue
                item = found[row]
                score = f"{item.score:.2f} " if name != "random" else ""
                many = shared[item.demonstration.id]
                mark = f"={many} " if many > 1 else ""
                text = " ".join(item.demonstration.text.split())
                chosen = row == here and number == self.chosen
                style = palette.bold() + Style(reverse=True) if chosen else palette.plain()
                line += [(cut(f"{score}{mark}{text}", wide), style), (" ", palette.plain())]
            lines.append(line)
        return lines

    def _row(self, item: Demonstration) -> list[Piece]:
        palette = self.palette
        types = ", ".join(dict.fromkeys(span.label for span in item.spans)) or "none"
        return [
            (cut(item.id, 18) + " ", palette.faded()),
            (cut(types, 17) + " ", palette.key_on_ground()),
            (" ".join(item.text.split()), palette.plain()),
        ]

    @property
    def here(self) -> Demonstration | None:
        """The demonstration under the cursor."""
        retrieved = self._retrieved
        if retrieved is not None:
            return retrieved.demonstration
        if self.showing == "found":
            return None
        at = self.query_one(VirtualList).cursor
        return next(iter(self.shelf.rows(at, at + 1)), None)

    @property
    def _retrieved(self) -> Retrieved | None:
        if self.showing != "found":
            return None
        at = self.query_one(VirtualList).cursor
        rows = next((column.rows for column in self.columns if column.name == ORDER[self.chosen]), ())
        return rows[at] if at < len(rows) else None

    def _detail(self) -> None:
        palette = self.palette
        item, retrieved = self.here, self._retrieved
        lines: list[list[Piece]] = []
        if item is None:
            lines.append(self.bar((" nothing here", palette.strip())))
        else:
            how = ""
            if retrieved is not None:
                by = f", found by {retrieved.by}" if retrieved.by != ORDER[self.chosen] else ""
                how = "drawn at random" if retrieved.by == "random" else f"score {retrieved.score:.4f}{by}"
            lines.append(self.bar((f" {item.id}  ", palette.key()), (how, palette.strip())))
            body = self._described(item, max(20, self.size.width - 2))
            room = self.query_one("#detail", Lines).size.height - 1
            lines += [[(" ", palette.plain()), *line] for line in body[: room or 4]]
        self.query_one("#detail", Lines).write(lines, palette.plain())

    def _described(self, item: Demonstration, width: int) -> list[list[Piece]]:
        """The text with its mentions, then the mentions; wrapped."""
        palette = self.palette
        lines: list[list[Piece]] = []
        for part in item.text.splitlines() or [""]:
            lines += wrapped(part, width, palette.plain())
        said = [f"{span.text_in(item.text)} [{span.label}]" for span in item.spans]
        return lines + wrapped(", ".join(said) or "no mention in it", width, palette.key_on_ground())

    # -- commands -----------------------------------------------------------------------------------------------

    def on_virtual_list_moved(self) -> None:
        """Show the one under the cursor."""
        self.renew()

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """A second click opens."""
        if type(event) is VirtualList.Chosen:
            self.run_command("open")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        self.says, self.failed = "", False
        self.set_focus(None)
        self.search(event.value)
        self.renew()

    def done_typing(self) -> None:
        """Leave the line."""
        self.set_focus(None)

    def do_search(self) -> None:
        """To the line."""
        self.query_one(Input).focus()

    def do_open(self) -> None:
        """All of it."""
        item = self.here
        if item is None:
            self.say("nothing here to open")
            return
        faded, plain = self.palette.faded(), self.palette.plain()
        lines: list[list[Piece]] = [
            [(f"document {item.document_id}, split {item.split or 'none'}", faded)],
            [("", plain)],
            *self._described(item, self.page_width),
            [("", plain)],
        ]
        for name, places in self._finders(item.id):
            lines.append([(f"{name}: {places}", faded)])
        self.show_page(item.id, lines)

    def _finders(self, wanted: str) -> list[tuple[str, str]]:
        return [
            (column.name, f"place {place} with a score of {row.score:.4f}")
            for column in self.columns
            for place, row in enumerate(column.rows, 1)
            if row.demonstration.id == wanted
        ]

    def do_like(self) -> None:
        """Search for what is under the cursor; its own document is left out, as for the models."""
        item = self.here
        if item is not None:
            self.query_one(Input).value = " ".join(item.text.split())
            self.search(item.text, item.document_id)

    def do_switch(self) -> None:
        """The other list."""
        if self.showing == "found":
            self.showing = "all"
        elif self.columns:
            self.showing = "found"
        else:
            self.say(f"nothing was searched for yet: {self.key('search')} asks for a text")
        self.query_one(VirtualList).cursor = 0

    def do_left(self) -> None:
        """The retriever to the left."""
        self.chosen = max(0, self.chosen - 1)

    def do_right(self) -> None:
        """The retriever to the right."""
        self.chosen = min(len(ORDER) - 1, self.chosen + 1)

    def _resize(self, by: int) -> None:
        self.k = max(1, min(_MOST, self.k + by))
        self.say(f"{self.k} for each retriever")
        if self.showing == "found":
            self.search(self.text, self._from)

    def do_more(self) -> None:
        """One more."""
        self._resize(1)

    def do_fewer(self) -> None:
        """One fewer."""
        self._resize(-1)

    def do_again(self) -> None:
        """Another draw."""
        self._seed += 1
        self.search(self.text, self._from)

    def do_reopen(self) -> None:
        """Open it again."""
        self._open()
