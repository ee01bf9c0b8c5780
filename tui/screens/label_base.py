"""What the commands of the labelling screen stand on: the session, and what the screen provides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tools.annotation import Document, Span
from tools.store import Decision, Done
from tui.keymap import Keymap
from tui.labelling.editor import Editor, Target
from tui.widgets.document import DocumentView

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui.labelling.project import Project

    Base = Screen[Any]
else:
    Base = object

Move = Callable[[str, int], int]


class Marking(Protocol):
    """One document and what is decided about it: in the store by a ``Session``, in memory by a ``Draft``."""

    document: Document | None
    editor: Editor

    def decide(self, what: str, decision: Decision, at: Span | None = None, *, go_on: bool = True) -> None:
        """Take a decision."""
        ...

    def undo(self) -> Done | None:
        """Take the latest back."""
        ...

    def redo(self) -> Done | None:
        """Do it again."""
        ...


class CommandBase(Base):
    """What commands work with; the screen mixes them in, provides what is not written here, and shows what came."""

    project: Project
    session: Marking
    keymap: Keymap
    last_type: str
    hits: list[tuple[int, int]]
    needle: str
    says: str
    failed: bool
    sure: str
    confirmed: bool
    chord: str | None

    def say(self, text: str) -> None:
        """A message for the person."""
        raise NotImplementedError

    def renew(self) -> None:
        """Paint what changed."""
        raise NotImplementedError

    def key(self, command: str) -> str:
        """The first key of a command."""
        raise NotImplementedError

    def run_command(self, command: str) -> None:
        """Run a command by its id."""
        raise NotImplementedError

    def run_type(self, label: str) -> None:
        """Give a type."""
        raise NotImplementedError

    def give(self, label: str) -> None:
        """Give a type to what is under the cursor, or to the selection."""
        raise NotImplementedError

    def nothing_left(self) -> str:
        """What to say when no document waits."""
        raise NotImplementedError

    def guarded(self, work: Callable[[], None]) -> None:
        """Do something that may fail, and show what came of it."""
        raise NotImplementedError

    def labels_changed(self, labels: list[str]) -> None:
        """Types were edited: show them, and offer to ask again about what carries them."""
        raise NotImplementedError

    # -- helpers ------------------------------------------------------------------------------------------------

    @property
    def editor(self) -> Editor:
        """What is shown."""
        return self.session.editor

    @editor.setter
    def editor(self, editor: Editor) -> None:
        self.session.editor = editor

    @property
    def view(self) -> DocumentView:
        """The document's widget."""
        return self.query_one(DocumentView)

    def _step(self, move: Move, *, extend: bool = False) -> None:
        self.editor = self.editor.step(move, extend=extend)

    def _vertical(self, by: int, *, extend: bool = False) -> None:
        self.editor = self.editor.moved(self.view.vertical(by), extend=extend)

    def _target(self, *, own: bool | None = None) -> Target | None:
        target = self.editor.target
        if self.session.document is None:
            self.say("no document is open")
        elif target is None:
            self.say(f"no span here; {self.key('next_suggestion')} goes to the next")
        elif own is not None and target.own is not own:
            self.say("this is your mark already" if target.own else "this is a suggestion; accept it first")
            return None
        return target

    def _what(self, span: Span) -> str:
        text = span.text_in(self.editor.text)
        return f"{span.label} \u201c{text if len(text) <= 40 else text[:39] + chr(0x2026)}\u201d"

    def _kept(self, text: str) -> None:
        """Say what is on disk now; called after the store has returned, and never before."""
        self.say(f"\u2713 {text}")

    def _decide(self, what: str, done: tuple[Any, Span] | None, text: str, *, otherwise: str) -> None:
        if done is None:
            self.say(otherwise)
            return
        decision, span = done
        self.session.decide(what, decision, span, go_on=False)
        self._kept(f"{text}: {self._what(span)}")
