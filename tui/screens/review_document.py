"""One document in review: the versions side by side, where they differ, and what the reviewer decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import set_cell_size
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from agent.campaign.agreement import versions
from agent.campaign.labelling import resolve
from tools.annotation import Document, Span
from tools.annotation.labels import LabelSet
from tools.errors import QuorumError
from tools.store import Decision, Store, Version
from tui.keymap import Command
from tui.labelling.editor import Editor, Suggestion
from tui.screens.label_dialogs import Ask, Page, Pick
from tui.screens.looking import LISTED, LookScreen
from tui.screens.review_lines import span_head, span_row
from tui.views.review import LEVEL_TEXTS, LEVELS, Level, Mix, chosen_versions, mix_of, reviewer_for, shown_name
from tui.widgets.document import DocumentView, Kind
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

_DECIDE, _GO, _LOOK = "Decide", "Go", "Look"
_TALL, _WIDE = 34, 110
_PANES = 3


class ReviewDocument(LookScreen):
    """Shows documents one after the other; gives back how many were decided.

    Args:
        store: Open for writing.
        labels: The types.
        reviewer: Who decides.
        order: The documents, the one to begin with first.
        level: Whose versions are shown.
    """

    NAME = "review"
    AUTO_FOCUS = ""
    COMMANDS: ClassVar[tuple[Command, ...]] = (
        Command("toggle", _DECIDE, "Keep the span, or drop it", ("space",)),
        Command("drop", _DECIDE, "Drop the span", ("x", "delete", "backspace")),
        Command("take", _DECIDE, "At this place, take the version with that number", tuple("123456789")),
        Command("whole", _DECIDE, "Take one version for the whole document", ("a",)),
        Command("undo", _DECIDE, "Take the last choice back", ("u", "ctrl+z")),
        Command("record", _DECIDE, "Record the decision, with its reason, and go to the next document", ("enter",)),
        Command("next_open", _GO, "To the next span that waits for a decision", ("tab", "n")),
        Command("previous_open", _GO, "To the one before", ("shift+tab", "N")),
        Command("skip", _GO, "To the next document, recording nothing", ("ctrl+n",)),
        Command("beside", _LOOK, "Another version beside the decision", ("right", "]")),
        Command("beside_before", _LOOK, "The version before beside the decision", ("left", "[")),
        Command("models", _LOOK, "Whose versions are shown: people, the quorum too, each member too", ("m",)),
        Command("agreed", _LOOK, "Show or hide spans that all versions have", ("d",)),
        Command("history", _LOOK, "What was decided before about this document, and why", ("h",)),
        *LISTED,
    )
    FOOTER = (
        ("toggle", "keep/drop"),
        ("take", "-9 that version"),
        ("next_open", "next"),
        ("record", "record"),
        ("undo", "undo"),
    )
    CSS = """
    ReviewDocument #sides { height: 9; }
    ReviewDocument.tall #sides { height: 17; }
    ReviewDocument .side { width: 1fr; height: 100%; }
    ReviewDocument .third { display: none; }
    ReviewDocument.wide .third { display: block; }
    ReviewDocument DocumentView { width: 100%; height: 1fr; }
    """

    def __init__(
        self, store: Store, labels: LabelSet, reviewer: str, order: Sequence[str], level: Level = "people"
    ) -> None:
        super().__init__()
        self.store, self.labels, self.reviewer, self.level = store, labels, reviewer, level
        self.order, self.place, self.decided = tuple(order), 0, 0
        self.document: Document | None = None
        self.found: tuple[Version, ...] = ()
        self.mix = Mix((), (), (), ())
        self.only_differences = True
        self.side = 0
        self._past: list[Mix] = []
        self._sure = False
        self._key = ""
        self._kinds = {label.name: Kind(number, label.name[:1]) for number, label in enumerate(labels)}

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
        left = len(mix.undecided)
        said = (
            f"next: {left} of {len(mix.choices)} spans wait for a decision"
            if left
            else f"next: Enter records {len(mix.decision)} spans with your reason"
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

    # -- keys ---------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Remember the key: a digit says which version. The base class does the rest."""
        self._key = event.character or ""

    def _choose(self, mix: Mix, text: str) -> None:
        here = self._here
        self._past.append(self.mix)
        self.mix, self._sure = mix, False
        self.say(text)
        self.query_one(VirtualList).renew(len(self._numbers))
        if here is not None:
            self._go(here)

    def _what(self, number: int) -> str:
        assert self.document is not None
        span = self.mix.choices[number].span
        words = " ".join(span.text_in(self.document.text).split())
        return f"{span.label} \u201c{words if len(words) <= 30 else set_cell_size(words, 29) + chr(0x2026)}\u201d"

    def do_toggle(self) -> None:
        """Keep or drop."""
        if (here := self._here) is None:
            self.say("there is no difference here; Enter records the versions as they are")
            return
        mix = self.mix.turned(here)
        self._choose(mix, f"{'kept' if mix.keep[here] else 'dropped'}: {self._what(here)}")

    def do_drop(self) -> None:
        """Drop."""
        if (here := self._here) is not None:
            self._choose(self.mix.turned(here, kept=False), f"dropped: {self._what(here)}")

    def do_take(self) -> None:
        """A version's spans at this place."""
        here = self._here
        if not self._key.isdigit():
            self.say("press the number of a version")
        elif int(self._key) > len(self.mix.names):
            self.say(f"there are {len(self.mix.names)} versions; m shows more")
        elif here is not None:
            name = self.mix.names[int(self._key) - 1]
            self._choose(self.mix.taken(name, self.mix.choices[here].group), f"here as {shown_name(name)} has it")
            following = [n for n in self.mix.undecided if n > here]
            if following:
                self._go(following[0])

    def do_whole(self) -> None:
        """One version for everything."""

        def take(number: int | None) -> None:
            if number is not None:
                name = self.mix.names[number]
                self._choose(self.mix.taken(name), f"everything as {shown_name(name)} has it")
                self.renew()

        counts = {one.annotator: f"{len(one.spans)} spans" for one in self.found}
        details = [counts.get(name, "") for name in self.mix.names]
        self.app.push_screen(Pick("Whose version?", [shown_name(name) for name in self.mix.names], details), take)

    def do_undo(self) -> None:
        """The choice before."""
        if self._past:
            self.mix = self._past.pop()
            self.say("taken back")
        else:
            self.say("nothing was chosen yet")

    def do_record(self) -> None:
        """Ask for the reason, and keep the decision."""
        left = len(self.mix.undecided)
        if left and not self._sure:
            self._sure = True
            waits = "span waits" if left == 1 else "spans wait"
            self.say(f"{left} {waits} for a decision: Enter again drops {'it' if left == 1 else 'them'}")
            return

        def answer(reason: str | None) -> None:
            if reason is None:
                self.say("nothing was recorded")
            elif not reason.strip():
                self.say("nothing was recorded: a decision wants its reason, a word will do")
            else:
                self.run_with(lambda: self._record(reason.strip()))
            self.renew()

        count = len(self.mix.decision)
        self.app.push_screen(Ask(f"Why these {count} spans?" if count != 1 else "Why this span?"), answer)

    def run_with(self, work: Callable[[], None]) -> None:
        """Do something that may fail, and say what went wrong."""
        try:
            work()
        except QuorumError as error:
            self.fail(error)

    def _record(self, reason: str) -> None:
        assert self.document is not None
        name = self.document.id
        who = reviewer_for(self.store, name, self.reviewer)
        shown = chosen_versions(self.found, self.level)
        resolve(self.store, name, who, shown, self.mix.decision, reason)
        self.decided += 1
        kept = f"\u2713 {name}: {len(self.mix.decision)} spans recorded by {who}"
        if self.place + 1 < len(self.order):
            self.place += 1
            self._open()
            self.say(f"{kept}; {len(self.order) - self.place} to go")
        else:
            self._open()
            self.say(f"{kept}; this was the last, Esc goes back")

    def _step_open(self, by: int) -> None:
        waiting, here = self.mix.undecided, self._here
        if not waiting or here is None:
            self.say("every span is decided; Enter records")
            return
        ahead = [n for n in waiting if (n > here if by > 0 else n < here)]
        self._go((ahead or list(waiting))[0 if by > 0 else -1])

    def do_next_open(self) -> None:
        """The next that waits."""
        self._step_open(1)

    def do_previous_open(self) -> None:
        """The one before that waits."""
        self._step_open(-1)

    def do_skip(self) -> None:
        """The next document."""
        if self.place + 1 < len(self.order):
            self.place += 1
            self._open()
        else:
            self.say("this is the last; Esc goes back")

    def _beside(self, by: int) -> None:
        if self.mix.names:
            self.side = (self.side + by) % len(self.mix.names)

    def do_beside(self) -> None:
        """Another version."""
        self._beside(1)

    def do_beside_before(self) -> None:
        """The version before."""
        self._beside(-1)

    def do_models(self) -> None:
        """The next level; what was chosen stays."""
        self.level = LEVELS[(LEVELS.index(self.level) + 1) % len(LEVELS)]
        self.mix = mix_of(chosen_versions(self.found, self.level), before=self.mix)
        self._past, self.side = [], 0
        self.say(f"versions of {LEVEL_TEXTS[self.level]}")

    def do_agreed(self) -> None:
        """All spans, or those that differ."""
        here = self._here
        self.only_differences = not self.only_differences
        self.query_one(VirtualList).renew(len(self._numbers))
        if here is not None:
            self._go(here)
        self.say("only spans that differ" if self.only_differences else "all spans")

    def do_history(self) -> None:
        """Earlier resolutions."""
        assert self.document is not None
        palette, text = self.palette, self.document.text
        lines: list[list[Piece]] = []
        for one in reversed(self.store.resolutions(self.document.id)):
            lines.append([(f"{one.reviewer}: ", palette.bold()), (one.reason or "no reason given", palette.plain())])
            kept = ", ".join(f"{span.text_in(text)} ({span.label})" for span in one.decision) or "nothing"
            lines.append([(f"  kept {kept}", palette.plain())])
            lines.append([(f"  between {', '.join(shown_name(v.annotator) for v in one.versions)}", palette.faded())])
        if not lines:
            self.say("nothing was decided about this document yet")
        else:
            self.app.push_screen(Page("Decided before", lines, ("h",)))

    def do_back(self) -> None:
        """Back to the list; leaves the program where there is none."""
        if len(self.app.screen_stack) > 2:
            self.dismiss(self.decided)  # type: ignore[arg-type]
        else:
            self.app.exit(0)
