"""The review screen: documents that several have labelled, by how far they differ, and how far they agree at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.style import Style
from textual.app import ComposeResult
from textual.worker import get_current_worker

from agent.campaign.agreement import Agreement, agreement
from tools.annotation.labels import LabelSet
from tools.errors import QuorumError
from tools.store import Store
from tui.labelling.project import Project
from tui.screens.looking import LookScreen
from tui.screens.review_document import ReviewDocument
from tui.screens.review_lines import agreement_lines
from tui.views.review import LEVEL_TEXTS, LEVELS, Level, Listed, listed, shown_name
from tui.widgets.lines import Lines, Piece, cut
from tui.widgets.virtual import VirtualList

_TALL = 34


class ReviewScreen(LookScreen):
    """Lists what to review; Enter opens a document.

    Args:
        store: Open for writing; closed with the screen.
        name: The project's name.
        folder: The project's folder.
        labels: The types.
        reviewer: Who decides.
    """

    NAME = "review"
    AUTO_FOCUS = ""
    TABLE = "review"
    FOOTER = (("open", "review"), ("models", "whose versions"), ("pair", "next pair"), ("look", "look again"))
    CSS = """
    ReviewScreen #agreement { height: 8; }
    ReviewScreen.tall #agreement { height: 14; }
    """

    def __init__(self, store: Store, name: str, folder: Path, labels: LabelSet, reviewer: str) -> None:
        super().__init__()
        self.store, self._project_name, self._folder, self.labels, self.reviewer = store, name, folder, labels, reviewer
        self.level: Level = "people"
        self.documents: tuple[Listed, ...] = ()
        self.agreement: Agreement | None = None
        self.pair = 0
        self._problem = ""

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._folder

    @property
    def listed(self) -> VirtualList | None:
        """The documents."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """Title, agreement, documents, keys."""
        yield Lines(id="title")
        yield Lines(id="agreement")
        yield Lines(id="which")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Read the documents; the agreement takes longer and comes when it is there."""
        self._list()
        if not self.documents and self.level == "people":
            self.level = "quorum"
            self._list()
            if not self.documents:
                self.level = "people"
        self._measure()

    def on_unmount(self) -> None:
        """Close the store."""
        self.store.close()

    def _list(self) -> None:
        self.documents = listed(self.store, self.level)
        self.query_one(VirtualList).renew(len(self.documents))

    def _measure(self) -> None:
        self.agreement = None
        self.run_worker(self._work, thread=True, exclusive=True)

    def _work(self) -> None:
        worker, found, problem = get_current_worker(), None, ""
        try:
            with Store.open(self.store.path, read_only=True) as store:
                found = agreement(store)
        except QuorumError as error:
            problem = f"{error.message}. {error.hint}"
        if not worker.is_cancelled:
            self.app.call_from_thread(self._measured, found, problem)

    def _measured(self, found: Agreement | None, problem: str) -> None:
        self.agreement, self._problem = found, problem
        self.renew()

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Everything."""
        palette = self.palette
        self.set_class(self.size.height >= _TALL, "tall")
        self.failed = self.failed or bool(self._problem)
        waiting = sum(bool(one.differing) and not one.resolved for one in self.documents)
        if not self.documents:
            said = "no document has two versions; quorum run --overlap 0.1 asks for second opinions"
        elif waiting:
            some = f"{waiting} of {len(self.documents)} documents differ"
            said = f"next: {some} and wait for a decision; {self.key('open')} opens one"
        else:
            said = "next: nothing waits; quorum export writes what was decided"
        self.head(f"{self._project_name}  reviewer {self.reviewer}", self._problem or said)
        height = 14 if self.has_class("tall") else 8
        lines = agreement_lines(self.agreement, self.pair, palette, height)
        self.query_one("#agreement", Lines).write(lines, palette.plain())
        resolved = sum(one.resolved for one in self.documents)
        head: list[Piece] = [
            (f" documents with two versions or more: {LEVEL_TEXTS[self.level]}", palette.strip() + Style(bold=True)),
            (f"  {len(self.documents)}, {resolved} decided", palette.strip()),
        ]
        self.query_one("#which", Lines).write([head], palette.strip())
        self.query_one(VirtualList).renew(len(self.documents))
        self.call_after_refresh(self.query_one(VirtualList).renew)

    def _rows(self, first: int, last: int) -> Sequence[Sequence[Piece]]:
        palette = self.palette
        rows: list[list[Piece]] = []
        for one in self.documents[first:last]:
            state = "\u2713 decided" if one.resolved else f"{one.differing:>3} differ" if one.differing else "  alike"
            rows.append(
                [
                    (f"{state:<11}", palette.plain() + Style(bold=bool(one.differing) and not one.resolved)),
                    (f"of {one.spans:>3}  ", palette.faded()),
                    (cut(one.document_id, 16) + " ", palette.plain()),
                    (cut(", ".join(map(shown_name, one.names)), 20) + " ", palette.plain()),
                    (one.head, palette.faded()),
                ]
            )
        return rows

    # -- commands -----------------------------------------------------------------------------------------------

    def do_open(self) -> None:
        """Review a document, and then the next ones that wait."""
        if not self.documents:
            self.say("there is nothing to review")
            return
        row = self.query_one(VirtualList).cursor
        order = [one.document_id for one in (*self.documents[row:], *self.documents[:row])]
        waiting = {one.document_id for one in self.documents if one.differing and not one.resolved}
        following = [name for name in order[1:] if name in waiting]

        def back(decided: int | None) -> None:
            if decided:
                self._list()
                self._measure()
                self.say(f"\u2713 {decided} decided")
            self.renew()

        project = Project(
            self._project_name, self._folder, self.labels, self._folder / "labels.toml", self.quorum_app.keys
        )
        self.app.push_screen(
            ReviewDocument(self.store, project, self.reviewer, [order[0], *following], self.level), back
        )

    def do_models(self) -> None:
        """The next level."""
        self.level = LEVELS[(LEVELS.index(self.level) + 1) % len(LEVELS)]
        self._list()
        self.say(f"versions of {LEVEL_TEXTS[self.level]}")

    def _turn(self, by: int) -> None:
        pairs = 0 if self.agreement is None else len(self.agreement.pairs)
        if pairs < 2:
            self.say("there is no other pair")
        else:
            self.pair = (self.pair + by) % pairs

    def do_pair(self) -> None:
        """The next pair."""
        self._turn(1)

    def do_pair_before(self) -> None:
        """The pair before."""
        self._turn(-1)

    def do_look(self) -> None:
        """Look again."""
        self._list()
        self._measure()
        self.say("looked again")
