"""The campaign screen: what was labelled, how good the models are, what more would bring, and what comes next."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Horizontal

from tools.errors import QuorumError
from tools.store import Store
from tui.screens import campaign_pages as pages
from tui.screens.campaign_desk import Desk
from tui.screens.looking import LookScreen
from tui.theme import Palette
from tui.views import curve as curves
from tui.views.campaign import CampaignView, ItemRow, batch_of, campaign_view, fingerprint
from tui.widgets.lines import Lines, Piece, cut
from tui.widgets.virtual import VirtualList

SECONDS = 2.0
_TYPES = 35
_TALL = 34


class CampaignScreen(LookScreen):
    """A campaign as the store has it; looks again every two seconds, so that ``quorum run`` can go on beside it.

    Args:
        store: Open for writing; closed with the screen.
        name: The project's name.
        folder: The project's folder.
        desk: Where the person labels.
    """

    NAME = "campaign"
    AUTO_FOCUS = ""
    TABLE = "campaign"
    FOOTER = (
        ("label", "label"),
        ("open", "open"),
        ("why", "why"),
        ("earlier", "round before"),
        ("rounds", "rounds"),
    )
    CSS = """
    CampaignScreen #picture { height: 9; }
    CampaignScreen.tall #picture { height: 16; }
    CampaignScreen #curve { width: 1fr; height: 100%; }
    CampaignScreen #types { width: 35; height: 100%; }
    CampaignScreen #facts { height: auto; }
    """

    def __init__(self, store: Store, name: str, folder: Path, desk: Desk) -> None:
        super().__init__()
        self.store, self._project_name, self._folder, self._desk = store, name, folder, desk
        self.view: CampaignView | None = None
        self.number = 0
        self.asked: tuple[ItemRow, ...] = ()
        self._seen: tuple[object, ...] | None = None
        self._problem = ""

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._folder

    @property
    def listed(self) -> VirtualList | None:
        """The batch."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """Title; curve and types; figures in words; the batch; keys."""
        yield Lines(id="title")
        with Horizontal(id="picture"):
            yield Lines(id="curve")
            yield Lines(id="types")
        yield Lines(id="facts")
        yield Lines(id="which")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Look now, and then every two seconds."""
        self.look()
        self.set_interval(SECONDS, self._again)

    def on_unmount(self) -> None:
        """Close the store."""
        self.store.close()

    def _again(self) -> None:
        if self.app.screen is self and self.look():
            self.renew()

    def look(self) -> bool:
        """Read the store where it has changed; whether it had."""
        try:
            seen = fingerprint(self.store)
            if seen == self._seen and not self._problem:
                return False
            follows = self.view is None or self.number == self.view.status.round
            self.view = campaign_view(self.store)
            if self.view is not None:
                number = self.view.status.round if follows else self.number
                self._show_round(number)
            self._seen, self._problem = seen, ""
        except QuorumError as error:
            self._problem = f"{error.message}. {error.hint}"
        return True

    def _show_round(self, number: int) -> None:
        assert self.view is not None
        other = number != self.number
        self.number = number
        self.asked = batch_of(self.store, self.view.status.campaign, number)
        listed = self.query_one(VirtualList)
        if other:
            waiting = [place for place, row in enumerate(self.asked) if row.item.open]
            listed.cursor = waiting[0] if waiting else 0
        listed.renew(len(self.asked))

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Everything."""
        view, palette = self.view, self.palette
        plain = palette.plain()
        self.set_class(self.size.height >= _TALL, "tall")
        self.failed = self.failed or bool(self._problem)
        if view is None:
            begin = f"no campaign yet; begin one with: quorum run --project {self._folder}"
            self.head(self._project_name, self._problem or begin)
            for part in ("#curve", "#types", "#facts", "#which"):
                self.query_one(part, Lines).write([], plain)
            self.query_one(VirtualList).renew(0)
            return
        status = view.status
        state = "stopped" if status.stop else "labelling" if status.waiting else "machine's turn"
        self.head(
            f"{status.campaign}  {self._project_name}  round {status.round}  {state}", self._problem or self._next(view)
        )
        height = 16 if self.has_class("tall") else 9
        self.query_one("#curve", Lines).write(self._curve(view, self.size.width - _TYPES, height), plain)
        self.query_one("#types", Lines).write(pages.type_lines(view, palette, height, more=self.key("types")), plain)
        facts = self._facts(view)
        lines = self.query_one("#facts", Lines)
        lines.styles.height = len(facts)
        lines.write(facts, plain)
        self.query_one("#which", Lines).write([self._which(view)], palette.strip())
        self.query_one(VirtualList).renew(len(self.asked))
        # Heights that were set now hold after the next layout.
        self.call_after_refresh(self.query_one(VirtualList).renew)

    def _next(self, view: CampaignView) -> str:
        key = f"{self.key('label')} labels them" if view.status.waiting and self._desk.waits() else ""
        said = view.next().replace("quorum run", f"quorum run --project {self._folder}")
        return f"next: {said}" + (f"; {key}" if key else "")

    def _curve(self, view: CampaignView, width: int, height: int) -> list[list[Piece]]:
        palette = self.palette
        if view.curve is None:
            said = "The learning curve begins when a round is measured on answered audit documents."
            return [[("", palette.plain())]] + [[(f"  {x}", palette.faded())] for x in textwrap.wrap(said, width - 4)]
        styles = _styles(palette)
        drawn = curves.chart(view.curve, width - 1, height - 1)
        lines: list[list[Piece]] = [[(text, styles[kind]) for text, kind in row] for row in drawn]
        return [*lines, [("      " + curves.legend(view.curve), palette.faded())]]

    def _facts(self, view: CampaignView) -> list[list[Piece]]:
        palette = self.palette
        lines: list[list[Piece]] = []
        said = (
            ("done", view.headline()),
            ("F1", view.figures()),
            ("more", view.outlook or "what more labels would bring is told when a round has been measured"),
            ("stop", view.rule()),
            ("cost", view.spent()),
        )
        for name, text in said:
            wrapped = textwrap.wrap(text, self.size.width - 7)[:2]
            # Where rows are few, the batch gets them; o shows every sentence whole.
            for place, line in enumerate(wrapped if name == "more" or self.has_class("tall") else [text]):
                head = f" {name:<5}" if not place else " " * 6
                lines.append([(head, palette.bold()), (line, palette.plain())])
        return lines

    def _which(self, view: CampaignView) -> list[Piece]:
        palette = self.palette
        one = next((row for row in view.rounds if row.number == self.number), None)
        if one is None:
            return [(" no batch has been chosen yet", palette.strip())]
        audits = sum(row.item.audit for row in self.asked)
        others = "  (\u2190 \u2192 other rounds)" if len(view.rounds) > 1 else ""
        bold = palette.strip() + Style(bold=True)
        return [
            (f" batch of round {one.number} of {len(view.rounds)}", bold),
            (f"  {len(self.asked)} documents, {audits} for the audit, {one.state}{others}", palette.strip()),
        ]

    def _rows(self, first: int, last: int) -> Sequence[Sequence[Piece]]:
        palette = self.palette
        rows: list[list[Piece]] = []
        for row in self.asked[first:last]:
            rows.append(
                [
                    (f"{row.item.position + 1:>3} ", palette.faded()),
                    (cut(row.state, 15) + " ", palette.plain() + Style(bold=row.item.open)),
                    (cut(row.item.document_id, 16) + " ", palette.plain()),
                    ("twice  " if row.item.wanted > 1 else "", palette.bold()),
                    (row.why or "chosen without a record of why", palette.faded()),
                ]
            )
        return rows

    # -- commands -----------------------------------------------------------------------------------------------

    def _labelling(self, document_id: str | None) -> None:
        def back(_: None) -> None:
            self._desk.leave()
            self._seen = None
            self.look()
            self.renew()

        self.app.push_screen(self._desk.screen(document_id), back)

    def do_label(self) -> None:
        """Label what waits."""
        if self.view is None:
            self.say("there is no campaign yet: quorum run")
        elif not self._desk.waits():
            self.say(f"nothing waits for you; {self._next(self.view)}")
        else:
            self._labelling(None)

    def do_open(self) -> None:
        """Label, or look at, the document under the cursor."""
        if (row := self._chosen()) is not None:
            self._labelling(row.item.document_id)

    def do_why(self) -> None:
        """The record of the choice."""
        if (row := self._chosen()) is not None:
            lines = pages.why_lines(row, self.palette, self.page_width)
            self.show_page(f"Why {row.item.document_id}?", lines, "why")

    def _chosen(self) -> ItemRow | None:
        if not self.asked:
            self.say("no batch has been chosen yet")
            return None
        return self.asked[self.query_one(VirtualList).cursor]

    def _turn(self, by: int) -> None:
        if self.view is None or not 1 <= self.number + by <= self.view.status.round:
            self.say("there is no round before" if by < 0 else "this is the latest round")
        else:
            self._show_round(self.number + by)

    def do_earlier(self) -> None:
        """The round before."""
        self._turn(-1)

    def do_later(self) -> None:
        """The round behind."""
        self._turn(1)

    def do_rounds(self) -> None:
        """All rounds."""
        if self.view is not None:
            self.show_page("Rounds", pages.round_lines(self.view, self.palette), "rounds")

    def do_types(self) -> None:
        """All types."""
        if self.view is not None:
            self.show_page("Types", pages.type_lines(self.view, self.palette, wide=True), "types")

    def do_outlook(self) -> None:
        """What the figures mean."""
        if self.view is not None:
            lines = pages.outlook_lines(self.view, self.palette, self.page_width)
            self.show_page("What the figures say", lines, "outlook")

    def do_look(self) -> None:
        """Look again."""
        self._seen = None
        self.look()
        self.say(self._problem or "looked again")


def _styles(palette: Palette) -> dict[str, Style]:
    plain = palette.plain()
    return {
        curves.AXIS: palette.faded(),
        curves.BAND: Style(color=palette.types[0], bgcolor=palette.ground),
        curves.CURVE: Style(color=palette.types[0], bgcolor=palette.ground, bold=True),
        curves.INTERVAL: palette.faded(),
        curves.MARK: plain + Style(bold=True),
        curves.OLD: palette.faded(),
        curves.TARGET: Style(color=palette.warn, bgcolor=palette.ground),
    }
