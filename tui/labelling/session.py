"""A person at work: the document before them, the store behind it, and the queue that says what comes next.

Every method that decides something returns after the store has it on disk, or
raises and leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tools.annotation import Document, Span
from tools.errors import StoreError
from tools.store import Change, Decision, DocumentState, Done, StaleDecision, Store
from tui.labelling import graphemes
from tui.labelling.editor import Editor, Suggestion
from tui.labelling.queue import Queue
from tui.labelling.suggesting import suggestions_for


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A place where a mention stands and is not marked.

    Attributes:
        document_id: The document.
        span: Where, with the type it would get.
        before: The text before it, a few words.
        after: The text behind it.
    """

    document_id: str
    span: Span
    before: str
    after: str


class Session:
    """One annotator's labelling of one project.

    Args:
        store: Open for writing; ``shared`` and ``durable`` are meant for this.
        annotator: Who labels.
        queue: What comes next.
        others: Whether other people's gold is shown as suggestions.
    """

    def __init__(self, store: Store, annotator: str, queue: Queue, *, others: bool = True) -> None:
        self.store, self.annotator, self.queue, self._others = store, annotator, queue, others
        self._file = _file(store.path)
        self.document: Document | None = None
        self.editor = Editor("")
        self.total, self.left, self.why = queue.total(), queue.left(), ""
        self._event = 0
        self._trail: list[str] = []  # documents that were shown, for going back and forth
        self._place = -1

    # -- where one is -------------------------------------------------------------------------------------------

    def open(self, document_id: str, *, remember: bool = True) -> None:
        """Show a document.

        Raises:
            InputError: It is not in the store.
        """
        same = self.document is not None and self.document.id == document_id
        document = self._shown() if same else self.store.document(document_id)
        held = self.store.decision(document_id, self.annotator)
        if not same:
            self.queue.opened(document_id)
        suggestions = self._suggestions(document_id)
        self.document, self._event = document, held.event
        scope = self.queue.scope(document_id)
        editor = Editor(document.text, held.decision, suggestions, scope[0] if scope else 0, scope=scope)
        waiting = [t for t in editor.targets if not t.own]
        self.editor = editor.focused(waiting[0]) if waiting else editor
        if not same:
            # Asked once a document and not with every key: a queue may have to count.
            self.total, self.left, self.why = self.queue.total(), self.queue.left(), self.queue.why(document_id)
        if remember and (self._place < 0 or self._trail[self._place] != document_id):
            del self._trail[self._place + 1 :]
            self._trail.append(document_id)
            self._place += 1

    def reload(self) -> None:
        """Look at the store again; the cursor stays."""
        if self.document is not None:
            old = self.editor
            self.open(self.document.id, remember=False)
            self.editor = self.editor.with_(cursor=old.cursor, show_low=old.show_low, focus=old.focus)

    def wants_suggestions(self, ahead: int = 3) -> list[str]:
        """The document shown and the next ones, as far as no models have looked at them."""
        here = self.document.id if self.document else None
        names = [*([here] if here is not None else []), *self.queue.peek(here, ahead)]
        return [name for name in names if not self.queue.hides(name).models and self.store.run_of(name) is None]

    def _suggestions(self, document_id: str) -> tuple[Suggestion, ...]:
        """What others propose, but for what an independent look must not show."""
        hidden = self.queue.hides(document_id)
        others = self._others and not hidden.people
        return suggestions_for(self.store, document_id, self.annotator, others=others, models=not hidden.models)

    def suggestions_came(self, document_id: str) -> bool:
        """Take over new suggestions where they belong to the document shown; cursor and selection stay."""
        if self.document is None or self.document.id != document_id:
            return False
        found = self._suggestions(document_id)
        self.editor = self.editor.with_(suggestions=found)
        return True

    def next(self) -> bool:
        """Go to the next document that waits; False where there is none."""
        here = self.document.id if self.document else None
        following = self.queue.next(here)
        if following is None:
            self.left = self.queue.left()
            return False
        self.open(following)
        return True

    def back(self) -> bool:
        """Go back to the document shown before, or the one in front of it in the queue."""
        if self._place > 0:
            self._place -= 1
            self.open(self._trail[self._place], remember=False)
            return True
        if self.document is None or (before := self.queue.previous(self.document.id)) is None:
            return False
        self._trail.insert(0, before)
        self._place = 0
        self.open(before, remember=False)
        return True

    def forward(self) -> bool:
        """Go forth again after going back."""
        if self._place + 1 >= len(self._trail):
            return False
        self._place += 1
        self.open(self._trail[self._place], remember=False)
        return True

    # -- deciding -----------------------------------------------------------------------------------------------

    def decide(self, what: str, decision: Decision, at: Span | None = None, *, go_on: bool = True) -> None:
        """Keep a decision about the document shown.

        Args:
            what: The action's name.
            decision: What is decided now.
            at: The span it was about.
            go_on: Whether the cursor moves to the next open suggestion; else it stays on the span.

        Raises:
            StaleDecision: It was changed elsewhere; it is shown as it is now.
            StoreError: It could not be written (a full disk, for one).
        """
        document = self._shown()
        try:
            self._act(what, [Change(document.id, decision, self._event)])
        except StaleDecision:
            self.reload()
            raise
        held = self.store.decision(document.id, self.annotator)
        self._event = held.event
        self.editor = settled(self.editor, held.decision, at, go_on=go_on)

    def finish(self) -> None:
        """The document is done; what waits in it is turned down.

        Raises:
            StoreError: As ``decide``.
        """
        self.decide("finish", self.editor.ended(DocumentState.DONE))
        self.queue.decided(self._shown().id)

    def flag(self, note: str) -> None:
        """Set the document aside with a note; its suggestions stay as they are.

        Raises:
            StoreError: As ``decide``.
        """
        flagged = replace(self.editor.decision, state=DocumentState.FLAGGED, note=note, skipped=False)
        self.decide("flag", flagged)
        self.queue.decided(self._shown().id)

    def skip(self) -> None:
        """Leave the document for later.

        Raises:
            StoreError: As ``decide``.
        """
        if not self.editor.done and not self.editor.decision.finished and not self.editor.decision.skipped:
            self.decide("skip", replace(self.editor.decision, skipped=True))

    def undo(self) -> Done | None:
        """Take the latest action back and show what it was about."""
        self._still_there()
        return self._show_done(self.store.undo(self.annotator))

    def redo(self) -> Done | None:
        """Do again what was taken back last, and show what it is about."""
        self._still_there()
        return self._show_done(self.store.redo(self.annotator))

    def _show_done(self, done: Done | None) -> Done | None:
        if done is None or not done.document_ids:
            return done
        if self.document is not None and self.document.id in done.document_ids:
            before = set(self.editor.targets)
            cursor, finished = self.editor.cursor, self.editor.done or self.editor.decision.finished
            self.open(self.document.id, remember=False)
            if finished and not (self.editor.done or self.editor.decision.finished):
                self.queue.opened(self.document.id)  # it waits again: it is taken in hand again
            self.total, self.left = self.queue.total(), self.queue.left()
            changed = [t for t in self.editor.targets if t not in before]
            self.editor = self.editor.focused(changed[0]) if changed else self.editor.moved(cursor)
        else:
            self.open(done.document_ids[0])
        return done

    # -- identical mentions -------------------------------------------------------------------------------------

    def identical(self, span: Span, *, pool: bool, limit: int = 500) -> list[Occurrence]:
        """Where else the mention of a span stands as a whole word, unmarked and in documents not finished.

        Args:
            span: The mention and the type to give.
            pool: In all documents, not only in the one shown.
            limit: The most places to give.
        """
        document = self._shown()
        mention = span.text_in(document.text)
        found = list(_places(document.id, document.text, mention, span.label, self.editor.decision))
        if pool:
            for _, name, text in self.store.occurrences(mention):
                if len(found) >= limit:
                    break
                if name != document.id:
                    decision = self.store.decision(name, self.annotator).decision
                    gold = self.store.gold(name) if not decision.finished else None
                    if not decision.finished and (gold is None or gold.state is not DocumentState.DONE):
                        found += _places(name, text, mention, span.label, decision)
        return found[:limit]

    def mark_all(self, chosen: Iterable[Occurrence]) -> int:
        """Mark several places at once, as one action.

        Returns:
            How many documents were changed.

        Raises:
            StoreError: As ``decide``; then none is marked.
        """
        by_document: dict[str, list[Span]] = {}
        for occurrence in chosen:
            by_document.setdefault(occurrence.document_id, []).append(occurrence.span)
        changes = []
        for name, spans in by_document.items():
            here = self.document is not None and name == self.document.id
            held = self.store.decision(name, self.annotator)
            editor = self.editor if here else Editor("", held.decision)
            changes.append(Change(name, editor.with_marks(spans), self._event if here else held.event))
        if changes:
            self._act("mark identical", changes)
            self.reload()
        return len(changes)

    def requeue(self, document_ids: Sequence[str], what: str = "ask again") -> int:
        """Open finished documents again, as one action.

        Returns:
            How many were opened.
        """
        changes = []
        for name in document_ids:
            held = self.store.decision(name, self.annotator)
            if held.decision.finished or held.decision.ranges:
                again = replace(held.decision, state=DocumentState.IN_PROGRESS, ranges=())
                changes.append(Change(name, again, held.event))
        if changes:
            self._act(what, changes)
            self.reload()
        return len(changes)

    def _act(self, what: str, changes: Sequence[Change]) -> None:
        self._still_there()
        self.store.act(self.annotator, what, changes)

    def _still_there(self) -> None:
        """Make sure that the store's file is the one that was opened: a deleted one takes writes and keeps nothing.

        Raises:
            StoreError: It was deleted, or another lies in its place.
        """
        if _file(self.store.path) != self._file:
            raise StoreError(
                f"{self.store.path} was deleted or replaced while you labelled; nothing more can be kept",
                "put it back from a copy, leave, and begin again",
            )

    def _shown(self) -> Document:
        if self.document is None:
            raise RuntimeError("no document is shown")
        return self.document


def _file(path: Path) -> tuple[int, int] | None:
    """Which file a path names; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def settled(old: Editor, decision: Decision, at: Span | None, *, go_on: bool) -> Editor:
    """The editor after a decision is kept.

    Args:
        old: As it was.
        decision: What is decided now.
        at: The span it was about.
        go_on: Whether the cursor moves to the next open suggestion; else it stays on the span.
    """
    new = old.after_deciding(decision, at if go_on else None)
    if at is None or go_on:
        return new
    stays = next((t for t in new.targets if t.span == at), None)
    # What comes next lies behind a new mark; on one that was there the cursor stays where it is.
    inside = at.start <= old.cursor < at.end and old.anchor is None
    cursor = old.cursor if inside or stays is None else graphemes.previous_cluster(old.text, at.end)
    return new.with_(focus=stays, at_start=old.at_start, cursor=cursor)


def _places(document_id: str, text: str, mention: str, label: str, decision: Decision) -> Iterable[Occurrence]:
    taken = set(decision.spans)
    at = text.find(mention)
    while at >= 0:
        end = at + len(mention)
        whole = not (_wordish(text[at - 1 : at]) and _wordish(mention[0])) and not (
            _wordish(text[end : end + 1]) and _wordish(mention[-1])
        )
        span = Span(at, end, label)
        if whole and span not in taken:
            yield Occurrence(document_id, span, text[max(0, at - 30) : at], text[end : end + 30])
        at = text.find(mention, at + 1 if not whole else end)


def _wordish(char: str) -> bool:
    # In scripts without spaces a name stands between letters; there every place counts.
    return bool(char) and char.isalnum() and ord(char) < 0x0E00
