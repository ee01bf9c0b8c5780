"""Marking: accept, reject, give types, take back; a method ``do_ID`` for every id of the table of keys.

What a command is for is said once, in ``tui/keytable.py``.
"""

# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.store.labelling import Done
from tui.screens.label_dialogs import Ask, Pick
from tui.screens.label_keys import Keyed
from tui.screens.label_moves import Moves


class Marks(Keyed, Moves):
    """Commands that decide about spans."""

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
