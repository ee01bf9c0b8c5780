"""Deciding about documents: done, nothing here, set aside; and marking all that is like a mention.

What a command is for is said once, in ``tui/keytable.py``.
"""

# ruff: noqa: D102

from __future__ import annotations

from typing import Any

from tui.labelling.session import Session
from tui.screens.label_dialogs import Ask
from tui.screens.label_look import Looks
from tui.screens.label_marks import Marks


class Commands(Marks, Looks):
    """All commands; the screen mixes them in and shows what came of them."""

    session: Session

    def do_done(self) -> None:
        self._finish(take=False)

    def do_all_and_done(self) -> None:
        self._finish(take=True)

    def _finish(self, *, take: bool) -> None:
        if self.session.document is None:
            self.say(self.nothing_left())
            return
        editor = self.editor
        waiting = [s for s in editor.open if not s.low]
        if editor.done:
            self._go_on("done already")
            return
        undecided = not editor.marks and (waiting or not editor.decision.rejected)
        if undecided and not take and not self.confirmed:
            # An empty document is a decision like any other, and gold; a slip of the finger is not.
            self.sure = "done"
            found = f" and {len(waiting)} suggested" if waiting else ""
            offer = f", {self.key('accept_all')} takes all" if waiting else ""
            self.say(f"nothing is marked{found}: {self.key('done')} again says there is nothing here{offer}")
            return
        if take and waiting:
            self.editor = editor.with_(decision=editor.with_all(waiting))
        name = self.session.document.id
        try:
            self.session.finish()
        except BaseException:
            self.editor = self.editor.with_(decision=editor.decision)
            raise
        marks = len(self.editor.marks)
        left = f", {len(waiting)} suggestions not taken" if waiting and not take else ""
        self._go_on(f"{name}: {marks} marked{left}" if marks else f"{name}: nothing here")

    def do_nothing(self) -> None:
        if self.session.document is None:
            self.say(self.nothing_left())
            return
        if self.editor.marks and not self.confirmed:
            self.sure = "nothing"
            again = f"{self.key('nothing')} again deletes them and says there is nothing here"
            self.say(f"{len(self.editor.marks)} marked: {again}")
            return
        name = self.session.document.id
        self.session.decide("nothing here", self.editor.emptied())
        self.session.queue.decided(name)
        self._go_on(f"{name}: nothing here")

    def do_flag(self) -> None:
        if self.session.document is None:
            self.say(self.nothing_left())
            return

        def flag(note: str | None) -> None:
            if note is None or self.session.document is None:
                return
            name = self.session.document.id

            def work() -> None:
                self.session.flag(note)
                self._go_on(f"{name} is set aside")

            self.guarded(work)

        self.app.push_screen(Ask("Set aside; what is the matter?", self.editor.decision.note), flag)

    def _go_on(self, text: str) -> None:
        if self.session.next():
            self._kept(text)
        else:
            self.say(f"\u2713 {text}; {self.nothing_left()}")
        self.hits = []

    def do_identical(self) -> None:
        target = self.editor.target
        if self.editor.selection is not None or target is None:
            self.say(f"give the mention a type first, then {self.key('identical')} marks all like it")
            return
        from tui.screens.label_identical import Identical

        def mark(chosen: list[Any] | None) -> None:
            if chosen:
                self.guarded(lambda: self._mark_all(chosen))

        self.app.push_screen(Identical(self.session, target.span), mark)

    def _mark_all(self, chosen: list[Any]) -> None:
        here = self.session.document.id if self.session.document else ""
        names = {one.document_id for one in chosen}
        count = self.session.mark_all(chosen)
        other = f"in {next(iter(names))}" if count == 1 else f"in {count} documents"
        where = "here" if names == {here} else other
        self._kept(f"marked {len(chosen)} {where}; {self.key('undo')} takes all of them back")
