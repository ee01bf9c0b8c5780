"""One document in review as it is shown: the versions side by side, and below them where they differ."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from agent.campaign.agreement import versions
from tools.annotation import Document, Span
from tools.store import Decision, Store, Version
from tui.labelling.editor import Editor, Suggestion
from tui.labelling.project import Project
from tui.screens.looking import LookScreen
from tui.screens.review_lines import span_head, span_row
from tui.views.review import Level, Mix, chosen_versions, mix_of, shown_name
from tui.widgets.document import DocumentView, Kind
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

_TALL, _WIDE = 34, 110
_PANES = 3


class ReviewSides(LookScreen):
    """A document under review: the decision so far, the versions beside it, every span that differs below.

    Args:
        store: Open for writing.
        reviewer: Who decides.
        order: The documents, the one to begin with first.
        level: Whose versions are shown.
        project: Types and keys, to mark with.
    """

    NAME = "review"
    AUTO_FOCUS = ""
    TABLE = "review_document"
    FOOTER = (
        ("toggle", "keep/drop"),
        ("take", "that version"),
        ("edit", "mark"),
        ("record", "record"),
        ("next_open", "next"),
        ("undo", "undo"),
    )

    def __init__(
        self, store: Store, project: Project, reviewer: str, order: Sequence[str], level: Level = "people"
    ) -> None:
        super().__init__()
        self.store, self.project, self.reviewer, self.level = store, project, reviewer, level
        self.order, self.place, self.decided = tuple(order), 0, 0
        self.document: Document | None = None
        self.found: tuple[Version, ...] = ()
        self.mix = Mix((), (), (), ())
        self.only_differences = True
        self.side = 0
        self._past: list[Mix] = []
        self._sure = False
        self._key = ""
        self._kinds = {label.name: Kind(number, label.name[:1]) for number, label in enumerate(project.labels)}

    def compose(self) -> ComposeResult:
        """Title; the decision and versions side by side; the spans; keys."""
        yield Lines(id="title")
        with Horizontal(id="sides"):
            for number in range(_PANES):
                with Vertical(classes="side third" if number == _PANES - 1 else "side"):
                    yield Lines(id=f"head{number}")
                    yield DocumentView(id=f"text{number}")
        yield Lines(id="which")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Open the first document."""
        for view in self.query(DocumentView):
            view.can_focus = False
        self._open()

    @property
    def listed(self) -> VirtualList | None:
        """The spans."""
        return self.query_one(VirtualList)

    def _open(self) -> None:
        name = self.order[self.place]
        self.document = self.store.document(name)
        self.found = versions(self.store, name)
        earlier = self.store.resolutions(name)
        self.mix = mix_of(chosen_versions(self.found, self.level), earlier[-1].decision if earlier else None)
        self._past, self._sure, self.side = [], False, 0
        listed = self.query_one(VirtualList)
        listed.cursor = 0
        listed.renew(len(self._numbers))
        if self.mix.undecided:
            self._go(self.mix.undecided[0])
        if earlier:
            reason = f": {earlier[-1].reason}" if earlier[-1].reason else ""
            self.say(f"decided before by {earlier[-1].reviewer}{reason}; it is what you begin from")

    @property
    def _numbers(self) -> list[int]:
        """The choices that are listed."""
        every = range(len(self.mix.choices))
        if not self.only_differences:
            return list(every)
        return [number for number in every if self.mix.differs(number) or self.mix.keep[number] is None]

    @property
    def _here(self) -> int | None:
        numbers = self._numbers
        return numbers[min(self.query_one(VirtualList).cursor, len(numbers) - 1)] if numbers else None

    def _go(self, number: int) -> None:
        numbers = self._numbers
        if number in numbers:
            self.query_one(VirtualList).go(numbers.index(number))

    # -- showing ------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Everything."""
        document, mix, palette = self.document, self.mix, self.palette
        if document is None:
            return
        self.set_class(self.size.height >= _TALL, "tall")
        self.set_class(self.size.width >= _WIDE, "wide")
        left, kept = len(mix.undecided), len(mix.decision)
        # Below stand only spans that differ: without this an empty list looks broken.
        agreed = "all agree; " if not self._numbers and self.only_differences else ""
        said = (
            f"next: {left} of {len(mix.choices)} spans wait for a decision"
            if left
            else f"{agreed}next: {self.key('record')} records {kept} span{'s' * (kept != 1)} with your reason"
        )
        self.head(f"{document.id}  {self.place + 1} of {len(self.order)}  reviewer {self.reviewer}", said)
        self._paint_sides(document)
        listed = self.query_one(VirtualList)
        self.query_one("#which", Lines).write([span_head(mix, self.size.width, palette)], palette.strip())
        listed.renew(len(self._numbers))
        self.call_after_refresh(self._paint_late)

    def _paint_late(self) -> None:
        if self.is_mounted and self.document is not None:
            self.query_one(VirtualList).renew()
            self._paint_sides(self.document)

    def _paint_sides(self, document: Document) -> None:
        here = self._here
        span = self.mix.choices[here].span if here is not None else None
        sides = self.mix.names
        self._side(0, document, "decision so far", self._decision(document), span)
        for pane in range(1, _PANES):
            shown = sides[(self.side + pane - 1) % len(sides)] if sides else ""
            number = sides.index(shown) + 1 if shown else 0
            marks = next((one.spans for one in self.found if one.annotator == shown), ())
            editor = Editor(document.text, Decision(marks=tuple((one, shown) for one in marks)))
            self._side(pane, document, f"{number} {shown_name(shown)}" if shown else "", editor, span)

    def _decision(self, document: Document) -> Editor:
        waiting = [self.mix.choices[number].span for number in self.mix.undecided]
        marks = tuple((span, "review") for span in self.mix.decision)
        return Editor(document.text, Decision(marks=marks), tuple(Suggestion(span, 1.0, "?") for span in waiting))

    def _side(self, pane: int, document: Document, title: str, editor: Editor, span: Span | None) -> None:
        palette = self.palette
        head: list[Piece] = [(f" {title}", palette.bold() if pane else palette.bold() + Style(underline=True))]
        self.query_one(f"#head{pane}", Lines).write([head], palette.plain())
        cursor = 0 if span is None else span.start
        own = None if span is None else next((t for t in editor.targets if t.span == span), None)
        hits = [(span.start, span.end)] if span is not None else []
        self.query_one(f"#text{pane}", DocumentView).show(
            editor.with_(cursor=cursor, focus=own), palette, self._kinds, hits
        )

    def _rows(self, first: int, last: int) -> Sequence[Sequence[Piece]]:
        document, palette = self.document, self.palette
        if document is None:
            return []
        rows, shown = [], self._numbers
        for place in range(first, min(last, len(shown))):
            kind = self._kinds.get(self.mix.choices[shown[place]].span.label)
            style = palette.of_type(kind.number if kind else 7, own=True)
            rows.append(span_row(self.mix, place, shown, document.text, self.size.width, palette, style))
        return rows

    def on_virtual_list_moved(self) -> None:
        """Show the span under the cursor in its text."""
        if self.document is not None:
            self._paint_sides(self.document)
