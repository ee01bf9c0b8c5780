"""What people decided: gold spans, the state of documents, and the trail of changes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from tools.annotation import Document, Span
from tools.errors import InputError
from tools.store.codec import pack, unpack
from tools.store.documents import PAGE_DOCUMENTS, Section, take_page
from tools.store.ranges import Range, joined, whole
from tools.store.records import DocumentState, Gold, Mark, Snapshot
from tools.store.trail import snapshot_form

_LAYER = "a.doc, a.annotator, a.state, a.source, a.updated"
# A finished decision stands until another is finished, whoever opens the document next.
_CURRENT = (
    "SELECT b.annotator FROM annotations b WHERE b.doc = a.doc ORDER BY b.state = 'done' DESC, b.event DESC LIMIT 1"
)


class Annotations(Section):
    """Human decisions, one a document and annotator; every change leaves an event behind.

    Where several people annotated a document, its gold is the decision that was
    finished last (or, where none is finished, the one touched last); each
    person's own stays readable.
    """

    def set_gold(
        self,
        document_id: str,
        spans: Iterable[Span],
        annotator: str,
        source: str = "human",
        *,
        state: DocumentState = DocumentState.DONE,
        what: str = "set",
    ) -> int:
        """Replace what an annotator decided on a document.

        No spans with the state done means: reviewed, nothing here. Spans that were
        there before keep their source and time.

        Args:
            document_id: The document.
            spans: In document offsets, in any order; doubles count once.
            annotator: Who decided.
            source: Where the new spans come from.
            state: How far the annotator is with the document.
            what: The event's name in the trail.

        Returns:
            The number of the event.

        Raises:
            InputError: The document is unknown, or a span lies beyond its text or has no label.
        """
        after = Snapshot(DocumentState(state), source, tuple(sorted(set(spans))))
        doc, chars = self._document_row(document_id)
        for span in after.spans:
            if span.end > chars:
                raise InputError(
                    f"document {document_id!r}: span {span.start}:{span.end} reaches beyond its {chars} characters",
                    "offsets count Unicode code points from 0, the end is exclusive",
                )
            if not span.label:
                where = f"document {document_id!r}: span {span.start}:{span.end}"
                raise InputError(f"{where} has no label", "gold needs a type")
        return self._change(doc, annotator, what, source, after)

    def set_passage(
        self, document_id: str, spans: Iterable[Span], within: Range, annotator: str, source: str = "human"
    ) -> int:
        """Replace what an annotator decided on a part of a document; the part is finished, the rest stays as it is.

        A document that is finished part by part is done when nothing but blanks is left.

        Args:
            document_id: The document.
            spans: All mentions in the part, in document offsets; none says: reviewed, nothing here.
            within: The part.
            annotator: Who decided.
            source: Where the new spans come from.

        Returns:
            The number of the event.

        Raises:
            InputError: The document is unknown, the part reaches beyond it, or a span lies outside the part.
        """
        start, end = within
        chosen = set(spans)
        with self._db.transaction():
            doc, chars = self._document_row(document_id)
            if not 0 <= start < end <= chars:
                raise InputError(f"document {document_id!r} has no part {start}:{end}", f"it has {chars} characters")
            for span in chosen:
                if not (start <= span.start and span.end <= end):
                    raise InputError(
                        f"document {document_id!r}: span {span.start}:{span.end} lies outside {start}:{end}",
                        "only this part of the document was asked",
                    )
            before = self._snapshot(doc, annotator)
            kept = {s for s in before.spans if s.end <= start or end <= s.start} if before else set()
            ranges = joined([*self._finished(doc, pack(annotator)), within])
            text = str(unpack(self._db.query("SELECT text FROM documents WHERE seq = ?", doc)[0][0]))
            done = (before is not None and before.state is DocumentState.DONE) or whole(ranges, text)
            state = DocumentState.DONE if done else DocumentState.IN_PROGRESS
            event = self.set_gold(document_id, kept | chosen, annotator, source, state=state, what="passage")
            self._set_finished(doc, pack(annotator), ranges)
        return event

    def _finished(self, doc: int, who: str | bytes) -> tuple[Range, ...]:
        rows = self._db.query("SELECT start, stop FROM finished WHERE doc = ? AND annotator = ?", doc, who)
        return joined((start, stop) for start, stop in rows)

    def _set_finished(self, doc: int, who: str | bytes, ranges: Iterable[Range]) -> None:
        self._db.execute("DELETE FROM finished WHERE doc = ? AND annotator = ?", doc, who)
        self._db.executemany(
            "INSERT INTO finished (doc, annotator, start, stop) VALUES (?, ?, ?, ?)",
            ((doc, who, start, stop) for start, stop in joined(ranges)),
        )

    def set_state(self, document_id: str, state: DocumentState, annotator: str, source: str = "human") -> int:
        """Change how far an annotator is with a document; the spans stay.

        Returns:
            The number of the event.

        Raises:
            InputError: The document is unknown.
        """
        doc, _ = self._document_row(document_id)
        with self._db.transaction():
            before = self._snapshot(doc, annotator)
            after = Snapshot(DocumentState(state), before.source if before else source, before.spans if before else ())
            return self._change(doc, annotator, "state", source, after)

    def clear_gold(self, document_id: str, annotator: str, source: str = "human", *, what: str = "clear") -> int:
        """Take an annotator's decision back, as if never made; the trail keeps it.

        Returns:
            The number of the event.

        Raises:
            InputError: The document is unknown.
        """
        doc, _ = self._document_row(document_id)
        return self._change(doc, annotator, what, source, None)

    def _change(self, doc: int, annotator: str, what: str, source: str, after: Snapshot | None) -> int:
        who, now = pack(annotator), time.time()
        with self._db.transaction():
            before = self._snapshot(doc, annotator)
            cursor = self._db.execute(
                "INSERT INTO events (doc, annotator, time, what, source, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
                doc, who, now, pack(what), pack(source), snapshot_form(before), snapshot_form(after),
            )  # fmt: skip
            event = int(cursor.lastrowid or 0)
            if after is None:
                self._db.execute("DELETE FROM annotations WHERE doc = ? AND annotator = ?", doc, who)
                return event
            self._db.execute(
                "INSERT INTO annotations (doc, annotator, state, source, updated, event) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (doc, annotator) DO UPDATE SET"
                " state = excluded.state, source = excluded.source, updated = excluded.updated, event = excluded.event",
                doc, who, after.state.value, pack(after.source), now, event,
            )  # fmt: skip
            old, new = set(before.spans if before else ()), set(after.spans)
            self._db.executemany(
                "DELETE FROM gold WHERE doc = ? AND annotator = ? AND start = ? AND stop = ? AND label = ?",
                ((doc, who, s.start, s.end, pack(s.label)) for s in old - new),
            )
            self._db.executemany(
                "INSERT INTO gold (doc, annotator, start, stop, label, source, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((doc, who, s.start, s.end, pack(s.label), pack(source), now) for s in sorted(new - old)),
            )
            return event

    def _snapshot(self, doc: int, annotator: str) -> Snapshot | None:
        who = pack(annotator)
        row = self._db.first("SELECT state, source FROM annotations WHERE doc = ? AND annotator = ?", doc, who)
        if row is None:
            return None
        spans = self._db.query("SELECT start, stop, label FROM gold WHERE doc = ? AND annotator = ?", doc, who)
        found = sorted(Span(start, stop, unpack(label)) for start, stop, label in spans)
        return Snapshot(DocumentState(row[0]), unpack(row[1]), tuple(found))

    def gold(self, document_id: str, annotator: str | None = None) -> Gold | None:
        """The decision on a document.

        Args:
            document_id: The document.
            annotator: Whose; None for the one that counts (see the class).

        Returns:
            None where nobody (or not this annotator) has touched it.

        Raises:
            InputError: The document is unknown.
        """
        with self._db.snapshot():
            doc, _ = self._document_row(document_id)
            found = self._gold_between(doc, doc, annotator)
        return found.get((doc, document_id))

    def iter_gold(
        self,
        annotator: str | None = None,
        states: Collection[DocumentState] = (DocumentState.DONE,),
    ) -> Iterator[tuple[Document, Gold]]:
        """Decided documents in document order, with flat memory.

        Args:
            annotator: Whose decisions; None for those that count (see the class).
            states: Only decisions in one of these states.
        """
        after = 0
        while True:
            with self._db.snapshot():
                docs = self._db.query(
                    "SELECT DISTINCT doc FROM annotations WHERE doc > ? ORDER BY doc LIMIT ?", after, PAGE_DOCUMENTS,
                )  # fmt: skip
                if not docs:
                    return
                page = take_page(
                    self._db.rows(
                        "SELECT d.seq, d.id, d.meta, d.text FROM documents d WHERE d.seq BETWEEN ? AND ?"
                        " AND EXISTS (SELECT 1 FROM annotations a WHERE a.doc = d.seq) ORDER BY d.seq",
                        docs[0][0],
                        docs[-1][0],
                    ),
                )
                after = page[-1][0] if page else docs[-1][0]
                found = self._gold_between(docs[0][0], after, annotator)
            for seq, document in page:
                gold = found.get((seq, document.id))
                if gold is not None and gold.state in states:
                    yield document, gold

    def _gold_between(self, first: int, last: int, annotator: str | None) -> dict[tuple[int, str], Gold]:
        """Decisions on a range of documents, by (sequence number, document id)."""
        who = f"({_CURRENT})" if annotator is None else "?3"
        values = (first, last) if annotator is None else (first, last, pack(annotator))
        marks: dict[int, list[Mark]] = {}
        spans = self._db.query(
            "SELECT a.doc, g.start, g.stop, g.label, g.annotator, g.source, g.created FROM annotations a"
            " JOIN gold g ON g.doc = a.doc AND g.annotator = a.annotator"
            f" WHERE a.doc BETWEEN ?1 AND ?2 AND a.annotator = {who} ORDER BY a.doc",
            *values,
        )
        for doc, rows in groupby(spans, key=itemgetter(0)):
            found = (Mark(Span(r[1], r[2], unpack(r[3])), unpack(r[4]), unpack(r[5]), r[6]) for r in rows)
            marks[doc] = sorted(found, key=lambda mark: mark.span)
        ranges: dict[int, list[Range]] = {}
        for doc, start, stop in self._db.query(
            "SELECT a.doc, f.start, f.stop FROM annotations a JOIN finished f ON f.doc = a.doc"
            f" AND f.annotator = a.annotator WHERE a.doc BETWEEN ?1 AND ?2 AND a.annotator = {who}",
            *values,
        ):
            ranges.setdefault(doc, []).append((start, stop))
        layers = self._db.query(
            f"SELECT {_LAYER}, d.id FROM annotations a JOIN documents d ON d.seq = a.doc"
            f" WHERE a.doc BETWEEN ?1 AND ?2 AND a.annotator = {who}",
            *values,
        )
        return {
            (doc, unpack(name)): Gold(
                unpack(name), unpack(by), DocumentState(state), unpack(source), updated, tuple(marks.get(doc, ())),
                joined(ranges.get(doc, ())),
            )
            for doc, by, state, source, updated, name in layers
        }  # fmt: skip

    def annotators(self, document_id: str) -> list[str]:
        """Who has touched a document, in order of code points."""
        doc, _ = self._document_row(document_id)
        rows = self._db.query("SELECT annotator FROM annotations WHERE doc = ?", doc)
        return sorted(unpack(row[0]) for row in rows)

    def state(self, document_id: str) -> DocumentState:
        """How far the last who touched it is with a document; new where nobody did.

        Raises:
            InputError: The document is unknown.
        """
        doc, _ = self._document_row(document_id)
        row = self._db.first("SELECT state FROM annotations WHERE doc = ? ORDER BY event DESC LIMIT 1", doc)
        return DocumentState(row[0]) if row else DocumentState.NEW

    def state_counts(self) -> dict[DocumentState, int]:
        """How many documents are in each state; all states are there."""
        counts = dict.fromkeys(DocumentState, 0)
        with self._db.snapshot():
            rows = self._db.query(
                "SELECT a.state, count(*) FROM annotations a"
                " WHERE a.event = (SELECT max(b.event) FROM annotations b WHERE b.doc = a.doc) GROUP BY a.state",
            )
            total = self._db.query("SELECT count(*) FROM documents")[0][0]
        counts.update({DocumentState(state): count for state, count in rows})
        counts[DocumentState.NEW] += total - sum(count for _, count in rows)
        return counts
