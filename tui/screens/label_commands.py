"""Deciding: accept, reject, mark, finish, undo; a method ``do_ID`` for every id of the table of keys.

What a command is for is said once, in the table of ``tui/keymap.py``.
"""

# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.store.labelling import Done
from tools.store.records import DocumentState
from tui.screens.label_dialogs import Ask, Pick
from tui.screens.label_look import Looks
from tui.screens.label_moves import Moves


class Commands(Moves, Looks):
    """All commands; the screen mixes them in and shows what came of them."""

    # -- decide -------------------------------------------------------------------------------------------------

    def give(self, label: str) -> None:
        """A type's key: mark, retype or accept."""
        self.last_type = label
        if self.session.document is None:
            self.say("no document is open")
            return
        done = self.editor.typed(label)
        if done is None:
            self.say(f"nothing here to mark as {label}")
            return
        what, decision, span = done
        self.session.decide(what, decision, span, go_on=what != "mark")
        self._kept(f"{what}: {self._what(span)}")

    def do_repeat(self) -> None:
        if self.last_type:
            self.give(self.last_type)
        else:
            self.say("no type was given yet")

    def do_accept(self) -> None:
        if (target := self._target(own=False)) is None:
            return
        decision = self.editor.accepted(target)
        if decision is not None:
            self.session.decide("accept", decision, target.span)
            self.last_type = target.span.label
            self._kept(f"accepted: {self._what(target.span)}")

    def do_reject(self) -> None:
        if (target := self._target()) is None:
            return
        self.session.decide("delete" if target.own else "reject", self.editor.removed(target), target.span)
        self._kept(f"{'deleted' if target.own else 'rejected'}: {self._what(target.span)}")

    def _take(self, chosen: list[Any], what: str) -> None:
        if not chosen:
            self.say("no suggestion waits here")
            return
        self.session.decide(what, self.editor.with_all(chosen))
        wrong = sum(1 - suggestion.confidence for suggestion in chosen)
        back = f"{self.key('undo')} takes it back"
        self._kept(f"accepted {len(chosen)}; about {wrong:.1f} of them are expected to be wrong; {back}")

    def do_accept_all(self) -> None:
        self._take([s for s in self.editor.open if not s.low], "accept all")

    def do_accept_above(self) -> None:
        waiting = list(self.editor.open)
        if not waiting:
            self.say("no suggestion waits here")
            return

        def chosen(value: str) -> list[Any]:
            share = _share(value)
            return [] if share is None else [s for s in waiting if s.confidence >= share]

        def says(value: str) -> str:
            if _share(value) is None:
                return "a number from 0 to 100"
            taken = chosen(value)
            wrong = sum(1 - s.confidence for s in taken)
            return f"accepts {len(taken)} of {len(waiting)}; about {wrong:.1f} of them are expected to be wrong"

        def take(value: str | None) -> None:
            if value is not None and _share(value) is not None:
                self.guarded(lambda: self._take(chosen(value), "accept above"))

        self.app.push_screen(Ask("Accept all with a confidence of at least (in %)", "90", says), take)

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
        if editor.decision.state is DocumentState.DONE:
            self._go_on("done already")
            return
        undecided = not editor.decision.marks and (waiting or not editor.decision.rejected)
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
        marks = len(self.editor.decision.marks)
        left = f", {len(waiting)} suggestions not taken" if waiting and not take else ""
        self._go_on(f"{name}: {marks} marked{left}" if marks else f"{name}: nothing here")

    def do_nothing(self) -> None:
        if self.session.document is None:
            self.say(self.nothing_left())
            return
        if self.editor.decision.marks and not self.confirmed:
            self.sure = "nothing"
            again = f"{self.key('nothing')} again deletes them and says there is nothing here"
            self.say(f"{len(self.editor.decision.marks)} marked: {again}")
            return
        name = self.session.document.id
        empty = replace(self.editor.ended(DocumentState.DONE), marks=())
        self.session.decide("nothing here", empty)
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
        count = self.session.mark_all(chosen)
        where = "here" if count == 1 else f"in {count} documents"
        self._kept(f"marked {len(chosen)} {where}; {self.key('undo')} takes all of them back")

    def do_choose_type(self) -> None:
        names = self.project.labels.names
        details = [self.keymap.key_of_type(name) for name in names]

        def take(number: int | None) -> None:
            if number is not None:
                self.run_type(names[number])

        self.app.push_screen(Pick("Type", names, details), take)

    def do_undo(self) -> None:
        self._again(self.session.undo, "taken back")

    def do_redo(self) -> None:
        self._again(self.session.redo, "done again")

    def _again(self, work: Callable[[], Done | None], text: str) -> None:
        here = self.session.document.id if self.session.document else ""
        done = work()
        if done is None:
            self.say(f"nothing is left to be {text}")
            return
        count = len(done.document_ids)
        where = f" in {done.document_ids[0]}" if count == 1 else f" in {count} documents"
        where = "" if done.document_ids == (here,) else where
        self._kept(f"{text}{where}: {done.what}")


def _share(value: str) -> float | None:
    try:
        share = float(value.strip().rstrip("%").replace(",", ".")) / 100
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None
