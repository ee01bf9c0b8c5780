"""One document in review: what the reviewer decides where its versions differ, and why."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import set_cell_size
from textual import events

from agent.campaign.labelling import resolve
from tools.errors import QuorumError
from tui.labelling.draft import Draft
from tui.labelling.editor import Suggestion
from tui.screens.label_dialogs import Ask, Pick
from tui.screens.review_sides import ReviewSides
from tui.views.review import LEVEL_TEXTS, LEVELS, Mix, chosen_versions, mix_of, reviewer_for, shown_name
from tui.widgets.lines import Piece
from tui.widgets.virtual import VirtualList


class ReviewDocument(ReviewSides):
    """Shows documents one after the other; gives back how many were decided."""

    # Here and not with the widgets: Textual looks for the rules of a screen under the name of its own class.
    CSS = """
    ReviewDocument #sides { height: 9; }
    ReviewDocument.tall #sides { height: 17; }
    ReviewDocument .side { width: 1fr; height: 100%; }
    ReviewDocument .third { display: none; }
    ReviewDocument.wide .third { display: block; }
    ReviewDocument DocumentView { width: 100%; height: 1fr; }
    """

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
            self.say(f"there is no difference here; {self.key('record')} records the versions as they are")
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
        keys = self.keys.keys_of("take")
        if self._key not in keys:
            self.say(f"press the number of a version: {self._footer_key('take')}")
        elif keys.index(self._key) >= len(self.mix.names):
            self.say(f"there are {len(self.mix.names)} versions; {self.key('models')} shows more")
        elif here is not None:
            name = self.mix.names[keys.index(self._key)]
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

    def do_edit(self) -> None:
        """Mark by hand, with the keys of labelling."""
        from tui.screens.review_edit import ReviewEdit

        if self.document is None:
            return
        mix, here = self.mix, self._here
        waiting = []
        for one, kept in zip(mix.choices, mix.keep, strict=True):
            if not kept:
                by = ", ".join(sorted(map(shown_name, one.holders))) or "you"
                waiting.append(Suggestion(one.span, 1.0, by, low=kept is not None))
        draft = Draft(self.document, mix.decision, tuple(waiting))

        def back(found: Draft | None) -> None:
            if found is not None and found.changed:
                made = found.editor.decision
                self._choose(mix.edited(made.spans, made.rejected), f"{len(made.spans)} spans are kept now")
            self.renew()

        at = 0 if here is None else mix.choices[here].span.start
        self.app.push_screen(ReviewEdit(self.project, draft, at), back)

    def do_undo(self) -> None:
        """The choice before."""
        if self._past:
            self.mix = self._past.pop()
            self.query_one(VirtualList).renew(len(self._numbers))
            self.say("taken back")
        else:
            self.say("nothing was chosen yet")

    def do_record(self) -> None:
        """Ask for the reason, and keep the decision."""
        left = len(self.mix.undecided)
        if left and not self._sure:
            self._sure = True
            waits = "span waits" if left == 1 else "spans wait"
            self.say(f"{left} {waits} for a decision: {self.key('record')} again drops {'it' if left == 1 else 'them'}")
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
            self.say(f"{kept}; this was the last, {self.key('back')} goes back")

    def _step_open(self, by: int) -> None:
        waiting, here = self.mix.undecided, self._here
        if not waiting or here is None:
            self.say(f"every span is decided; {self.key('record')} records")
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
            self.say(f"this is the last; {self.key('back')} goes back")

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
            self.show_page("Decided before", lines, "history")

    def do_back(self) -> None:
        """Back to the list; leaves the program where there is none."""
        if len(self.app.screen_stack) > 2:
            self.dismiss(self.decided)
        else:
            self.app.exit(0)
