"""A decision that is being made and not kept yet: what a reviewer changes before the resolution is recorded."""

from __future__ import annotations

from tools.annotation import Document, Span
from tools.store import Decision, Done
from tui.labelling.editor import Editor, Suggestion
from tui.labelling.session import settled


class Draft:
    """Does for one document in memory what a ``Session`` does in the store.

    Args:
        document: The document.
        marks: The spans that are kept so far.
        suggestions: The spans that wait, and, as ``low``, those that were dropped.
    """

    def __init__(self, document: Document, marks: tuple[Span, ...], suggestions: tuple[Suggestion, ...]) -> None:
        self.document: Document | None = document
        self.editor = Editor(document.text, Decision(marks=tuple((span, "review") for span in marks)), suggestions)
        self._name = document.id
        self._past: list[tuple[str, Decision]] = []
        self._future: list[tuple[str, Decision]] = []

    @property
    def changed(self) -> bool:
        """Whether anything was decided."""
        return bool(self._past)

    def decide(self, what: str, decision: Decision, at: Span | None = None, *, go_on: bool = True) -> None:
        """As ``Session.decide``, kept in memory."""
        self._past.append((what, self.editor.decision))
        self._future.clear()
        self.editor = settled(self.editor, decision, at, go_on=go_on)

    def undo(self) -> Done | None:
        """Take the latest change back."""
        return self._turn(self._past, self._future)

    def redo(self) -> Done | None:
        """Do again what was taken back last."""
        return self._turn(self._future, self._past)

    def _turn(self, source: list[tuple[str, Decision]], other: list[tuple[str, Decision]]) -> Done | None:
        if not source:
            return None
        what, decision = source.pop()
        other.append((what, self.editor.decision))
        before = set(self.editor.targets)
        cursor = self.editor.cursor
        self.editor = self.editor.with_(decision=decision, anchor=None, focus=None)
        changed = [target for target in self.editor.targets if target not in before]
        self.editor = self.editor.focused(changed[0]) if changed else self.editor.moved(cursor)
        return Done(0, what, (self._name,))
