"""The trail of human decisions: who changed what, when, from what to what."""

from __future__ import annotations

from collections.abc import Iterator

from tools.annotation import Span
from tools.store.codec import from_json, to_json, unpack
from tools.store.documents import PAGE_DOCUMENTS, Section
from tools.store.records import DocumentState, Event, Snapshot


class Trail(Section):
    """Reading the events; the tables themselves refuse to change or delete one."""

    def events(self, document_id: str | None = None, after: int = 0) -> Iterator[Event]:
        """The trail of changes, oldest first, with flat memory.

        Args:
            document_id: Only this document's; None for all.
            after: Begin behind this event number.

        Raises:
            InputError: The document is unknown.
        """
        doc = None if document_id is None else self._document_row(document_id)[0]
        only = "" if doc is None else "AND e.doc = ?3"
        sql = (
            "SELECT e.event, d.id, e.annotator, e.time, e.what, e.source, e.before, e.after FROM events e"
            f" JOIN documents d ON d.seq = e.doc WHERE e.event > ?1 {only} ORDER BY e.event LIMIT ?2"
        )
        while True:
            rows = self._db.query(sql, after, PAGE_DOCUMENTS, *(() if doc is None else (doc,)))
            for number, name, who, when, what, source, old, new in rows:
                texts = (unpack(what), unpack(source))
                yield Event(number, unpack(name), unpack(who), when, *texts, snapshot_of(old), snapshot_of(new))
            if len(rows) < PAGE_DOCUMENTS:
                return
            after = rows[-1][0]


def snapshot_form(snapshot: Snapshot | None) -> str | bytes | None:
    """A snapshot as the JSON that an event holds."""
    if snapshot is None:
        return None
    spans = [[span.start, span.end, span.label] for span in snapshot.spans]
    return to_json({"state": snapshot.state.value, "source": snapshot.source, "spans": spans})


def snapshot_of(value: str | bytes | None) -> Snapshot | None:
    """The snapshot that an event holds as JSON."""
    if value is None:
        return None
    form = from_json(value)
    return Snapshot(DocumentState(form["state"]), form["source"], tuple(Span(*span) for span in form["spans"]))
