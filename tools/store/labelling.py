"""A person's labelling: decisions in full, and actions that can be undone and redone for ever.

An *action* is what a person does with one key: accept a suggestion, mark a span,
label thirty identical mentions in twelve documents. It changes one decision or
several, in one transaction; each change leaves its event in the trail as any
other writer's does. What gold has no room for (suggestions that were turned
down, a note, skipped) stands beside it in ``reviews``.

Undo and redo are stacks that live in the file as linked lists: an action knows
the one below it and both tops after it, so taking back the latest of a million
actions reads one row. Taking back applies the inverse of what changed, so that
it also does the right thing where another command has written in between.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tools.annotation import Span
from tools.errors import InputError, StoreError
from tools.store.annotations import Annotations
from tools.store.codec import from_json, pack, to_json, unpack
from tools.store.database import Row
from tools.store.ranges import Range, Ranges, covers
from tools.store.records import DocumentState, Snapshot

HUMAN, SUGGESTION = "human", "suggestion"


class StaleDecision(StoreError):
    """Someone else, under the same name, has changed the decision meanwhile."""


@dataclass(frozen=True, slots=True)
class Decision:
    """All that one annotator has decided about one document.

    Attributes:
        state: How far they are.
        marks: Gold spans in order, each with where it came from.
        rejected: Suggestions that were turned down, in order.
        note: What they wrote about it.
        skipped: Whether they left it for later.
        ranges: Which parts they have finished of a document that is not done as a whole.
    """

    state: DocumentState = DocumentState.NEW
    marks: tuple[tuple[Span, str], ...] = ()
    rejected: tuple[Span, ...] = ()
    note: str = ""
    skipped: bool = False
    ranges: Ranges = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The gold spans alone, in text order."""
        return tuple(span for span, _ in self.marks)

    @property
    def finished(self) -> bool:
        """Whether nobody needs to ask again."""
        return self.state in (DocumentState.DONE, DocumentState.FLAGGED)

    def finished_in(self, part: Range | None) -> bool:
        """Whether nobody needs to ask again about a part of the document; None is the whole."""
        return self.finished or (part is not None and covers(self.ranges, part))


@dataclass(frozen=True, slots=True)
class Held:
    """A decision as the store holds it.

    Attributes:
        decision: What was decided; the empty decision where nothing was.
        event: The last event of this document and annotator, 0 for none; a
            change names it, so that two screens cannot overwrite each other.
    """

    decision: Decision
    event: int


@dataclass(frozen=True, slots=True)
class Change:
    """What an action does to one document.

    Attributes:
        document_id: The document.
        after: What is decided from now on.
        event: The event that the change builds on; None changes whatever stands there.
    """

    document_id: str
    after: Decision
    event: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """An action that was written, taken back, or done again.

    Attributes:
        action: Its number.
        what: What the action was called when it was first done.
        document_ids: The documents it changed, in order.
    """

    action: int
    what: str
    document_ids: tuple[str, ...]


class Labelling(Annotations):
    """Decisions of people at the labelling screen, with undo and redo."""

    def decision(self, document_id: str, annotator: str) -> Held:
        """What an annotator has decided about a document.

        Raises:
            InputError: The document is unknown.
        """
        with self._db.snapshot():
            doc, _ = self._document_row(document_id)
            return self._held(doc, pack(annotator))

    def _held(self, doc: int, who: str | bytes) -> Held:
        last = self._db.first("SELECT max(event) FROM events WHERE doc = ? AND annotator = ?", doc, who)
        layer = self._db.first("SELECT state FROM annotations WHERE doc = ? AND annotator = ?", doc, who)
        spans = self._db.query("SELECT start, stop, label, source FROM gold WHERE doc = ? AND annotator = ?", doc, who)
        review = self._db.first("SELECT rejected, note, skipped FROM reviews WHERE doc = ? AND annotator = ?", doc, who)
        marks = tuple(
            sorted((Span(start, stop, unpack(label)), unpack(source)) for start, stop, label, source in spans)
        )
        state = DocumentState(layer[0]) if layer else DocumentState.NEW
        decision = Decision(state, marks, *_extra_of(review), ranges=self._finished(doc, who))
        return Held(decision, int(last[0] or 0) if last else 0)

    def act(self, annotator: str, what: str, changes: Sequence[Change]) -> Done:
        """Do something; when this returns it is on disk, whole.

        Args:
            annotator: Who.
            what: What it is called in the trail and when it is taken back.
            changes: One a document.

        Raises:
            StaleDecision: A change builds on an event that is not the latest;
                nothing is written.
            InputError: A document is unknown, or a span lies beyond its text.
            StoreError: As every write.
        """
        who = pack(annotator)
        with self._db.transaction():
            undo, _ = self._tops(who)
            action = self._add_action(who, "do", what, below=undo)
            for change in changes:
                doc, chars = self._document_row(change.document_id)
                held = self._held(doc, who)
                if change.event is not None and held.event != change.event:
                    raise StaleDecision(
                        f"document {change.document_id!r} was changed elsewhere under the name {annotator!r}",
                        "look at it as it is now; give each person a name of their own: quorum label --annotator NAME",
                    )
                _check_spans(change, chars)
                self._write(action, doc, annotator, what, held.decision, change.after)
            self._set_tops(action, undo=action, redo=None)
        return Done(action, what, tuple(change.document_id for change in changes))

    def undo(self, annotator: str) -> Done | None:
        """Take the latest action back that was not taken back yet; None where there is none."""
        who = pack(annotator)
        with self._db.transaction():
            undo, redo = self._tops(who)
            if undo is None:
                return None
            origin, what, below = self._action(undo)
            action = self._add_action(who, "undo", what, of=origin, below=redo)
            ids = self._apply_inverse(undo, action, annotator, f"undo {what}")
            self._set_tops(action, undo=below, redo=action)
        return Done(action, what, ids)

    def redo(self, annotator: str) -> Done | None:
        """Do again what was taken back last; None where nothing was, or something else was done since."""
        who = pack(annotator)
        with self._db.transaction():
            undo, redo = self._tops(who)
            if redo is None:
                return None
            origin, what, below = self._action(redo)
            action = self._add_action(who, "redo", what, of=origin, below=undo)
            ids = self._apply_inverse(redo, action, annotator, f"redo {what}")
            self._set_tops(action, undo=action, redo=below)
        return Done(action, what, ids)

    def last_action(self, annotator: str) -> Done | None:
        """What ``undo`` would take back."""
        undo, _ = self._tops(pack(annotator))
        if undo is None:
            return None
        rows = self._db.query(
            "SELECT d.id FROM changes c JOIN documents d ON d.seq = c.doc WHERE c.action = ? ORDER BY c.doc", undo
        )
        return Done(undo, self._action(undo)[1], tuple(unpack(row[0]) for row in rows))

    # -- guidelines ---------------------------------------------------------------------------------------------

    def save_guidelines(self, text: str, annotator: str) -> int:
        """Keep a text as the guidelines in force.

        Returns:
            Its version, from 1; the same again where nothing changed.
        """
        with self._db.transaction():
            last = self._db.first("SELECT version, text FROM guidelines ORDER BY version DESC LIMIT 1")
            if last is not None and unpack(last[1]) == text:
                return int(last[0])
            cursor = self._db.execute(
                "INSERT INTO guidelines (text, annotator, created) VALUES (?, ?, ?)",
                pack(text), pack(annotator), time.time(),
            )  # fmt: skip
            return int(cursor.lastrowid or 0)

    def guidelines(self, version: int | None = None) -> tuple[int, str]:
        """The guidelines in force, or an older version, with its number; (0, "") where none were saved.

        Raises:
            StoreError: There is no such version.
        """
        if version is None:
            row = self._db.first("SELECT version, text FROM guidelines ORDER BY version DESC LIMIT 1")
            return (0, "") if row is None else (int(row[0]), unpack(row[1]))
        row = self._db.first("SELECT version, text FROM guidelines WHERE version = ?", version)
        if row is None:
            raise StoreError(f"there is no version {version} of the guidelines", "versions count from 1")
        return int(row[0]), unpack(row[1])

    # -- inside -------------------------------------------------------------------------------------------------

    def _write(self, action: int, doc: int, annotator: str, what: str, before: Decision, after: Decision) -> None:
        who = pack(annotator)
        state = None
        if after.state is not DocumentState.NEW or after.marks or after.ranges:
            state = Snapshot(after.state, HUMAN, after.spans)
        event = self._change(doc, annotator, what, HUMAN, state)
        kept = set(before.marks)
        # The trail's writer gives new spans one source; a mark that was suggested says so.
        self._db.executemany(
            "UPDATE gold SET source = ? WHERE doc = ? AND annotator = ? AND start = ? AND stop = ? AND label = ?",
            [
                (pack(source), doc, who, span.start, span.end, pack(span.label))
                for span, source in after.marks
                if (span, source) not in kept and (source != HUMAN or span in before.spans)
            ],
        )
        if before.ranges != after.ranges:
            self._set_finished(doc, who, after.ranges)
        if _extra(after) == _extra(Decision()):
            self._db.execute("DELETE FROM reviews WHERE doc = ? AND annotator = ?", doc, who)
        else:
            self._db.execute(
                "INSERT INTO reviews (doc, annotator, rejected, note, skipped) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (doc, annotator) DO UPDATE SET"
                " rejected = excluded.rejected, note = excluded.note, skipped = excluded.skipped",
                doc, who, to_json([list(_plain(span)) for span in after.rejected]), pack(after.note), after.skipped,
            )  # fmt: skip
        self._db.execute(
            "INSERT INTO changes (action, doc, event, delta) VALUES (?, ?, ?, ?)",
            action, doc, event, to_json(delta_of(before, after)),
        )  # fmt: skip

    def _apply_inverse(self, source: int, action: int, annotator: str, what: str) -> tuple[str, ...]:
        """Do the inverse of what an action (itself perhaps an undo) changed."""
        who = pack(annotator)
        rows = self._db.query(
            "SELECT c.doc, d.id, c.delta FROM changes c JOIN documents d ON d.seq = c.doc"
            " WHERE c.action = ? ORDER BY c.doc",
            source,
        )
        for doc, _, delta in rows:
            now = self._held(doc, who).decision
            self._write(action, doc, annotator, what, now, without(now, from_json(delta)))
        return tuple(unpack(row[1]) for row in rows)

    def _tops(self, who: str | bytes) -> tuple[int | None, int | None]:
        row = self._db.first(
            "SELECT undo_top, redo_top FROM actions WHERE annotator = ? ORDER BY action DESC LIMIT 1", who
        )
        return (None, None) if row is None else (row[0], row[1])

    def _action(self, action: int) -> tuple[int, str, int | None]:
        row = self._db.first("SELECT coalesce(of, action), what, below FROM actions WHERE action = ?", action)
        if row is None:
            raise StoreError(f"{self._db.path}: action {action} is missing", "look with: quorum fsck")
        return int(row[0]), unpack(row[1]), row[2]

    def _add_action(
        self, who: str | bytes, kind: str, what: str, *, of: int | None = None, below: int | None = None
    ) -> int:
        cursor = self._db.execute(
            "INSERT INTO actions (annotator, time, kind, what, of, below) VALUES (?, ?, ?, ?, ?, ?)",
            who, time.time(), kind, pack(what), of, below,
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def _set_tops(self, action: int, *, undo: int | None, redo: int | None) -> None:
        self._db.execute("UPDATE actions SET undo_top = ?, redo_top = ? WHERE action = ?", undo, redo, action)


def delta_of(before: Decision, after: Decision) -> dict[str, Any]:
    """What tells two decisions apart, as plain values: each field as [what goes, what comes], if it changed."""
    old, new = set(before.marks), set(after.marks)
    gone, come = set(before.rejected), set(after.rejected)
    delta: dict[str, Any] = {}
    if old != new:
        delta["marks"] = [[[*_plain(span), by] for span, by in sorted(some)] for some in (old - new, new - old)]
    if gone != come:
        delta["rejected"] = [[_plain(span) for span in sorted(some)] for some in (gone - come, come - gone)]
    for name in ("state", "note", "skipped", "ranges"):
        pair = [getattr(before, name), getattr(after, name)]
        if pair[0] != pair[1]:
            delta[name] = pair
    return delta


def without(now: Decision, delta: Mapping[str, Any]) -> Decision:
    """A decision with a change taken back: as before it, where nothing else has changed since.

    Where something else has, only what still stands as the change left it is
    taken back, so that nobody's later work is undone with it.
    """
    marks, rejected = dict(now.marks), set(now.rejected)
    cut, added = delta.get("marks", ((), ()))
    for start, end, label, _ in added:
        marks.pop(Span(start, end, label), None)
    marks.update((Span(start, end, label), by) for start, end, label, by in cut)
    cut, added = delta.get("rejected", ((), ()))
    rejected = (rejected - {Span(*span) for span in added}) | {Span(*span) for span in cut}
    fields: dict[str, Any] = {
        name: delta[name][0] for name in ("note", "skipped") if name in delta and getattr(now, name) == delta[name][1]
    }
    if "ranges" in delta and [list(one) for one in now.ranges] == [list(one) for one in delta["ranges"][1]]:
        fields["ranges"] = tuple((int(start), int(end)) for start, end in delta["ranges"][0])
    state = DocumentState(delta["state"][0]) if "state" in delta and now.state == delta["state"][1] else now.state
    return replace(now, state=state, marks=tuple(sorted(marks.items())), rejected=tuple(sorted(rejected)), **fields)


def _check_spans(change: Change, chars: int) -> None:
    for span in (*change.after.spans, *change.after.rejected):
        if span.end > chars:
            what = (
                f"document {change.document_id!r}: span {span.start}:{span.end} reaches beyond its {chars} characters"
            )
            raise InputError(what, "offsets count Unicode code points from 0, the end is exclusive")
    if any(not span.label for span in change.after.spans):
        raise InputError(f"document {change.document_id!r}: a mark has no type", "gold needs a type")
    if len(set(change.after.spans)) < len(change.after.marks):
        raise InputError(f"document {change.document_id!r}: a mark stands there twice", "marks are a set")


def _plain(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.label


def _extra(decision: Decision) -> tuple[object, ...]:
    return decision.rejected, decision.note, decision.skipped


def _extra_of(row: Row | None) -> tuple[tuple[Span, ...], str, bool]:
    if row is None:
        return (), "", False
    return tuple(Span(*span) for span in from_json(row[0])), unpack(row[1]), bool(row[2])
