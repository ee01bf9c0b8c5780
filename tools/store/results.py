"""What runs found, read back: by passage, by part, or document by document in order."""

from __future__ import annotations

from collections.abc import Iterator

from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult, Vote
from tools.store.codec import from_json, unpack
from tools.store.database import Row
from tools.store.documents import PAGE_DOCUMENTS, Section, take_page
from tools.store.records import DeadLetter

_OUTCOME = "o.doc, o.passage, o.kind, o.reason, o.ungrounded, o.demonstrations"
_PREDICTION = "p.doc, p.passage, p.rejected, p.start, p.stop, p.label, p.confidence, p.verdict, p.votes"
_DOCUMENT = "SELECT d.seq, d.id, d.meta, d.text FROM documents d WHERE d.seq BETWEEN ? AND ?"


class Results(Section):
    """Reading what ``record_part`` wrote."""

    def passage_results(self, run_id: int, document_id: str) -> list[PassageResult]:
        """One document's passages in order; empty where the run has not come to it.

        Raises:
            InputError: The document is unknown.
        """
        with self._db.snapshot():
            doc, _ = self._document_row(document_id)
            return self._between(run_id, doc, doc, {doc: document_id}).get(doc, [])

    def part_results(self, run_id: int, part: int) -> list[PassageResult]:
        """All passages of one part, in document and passage order; what a retry starts from."""
        where = "JOIN outcomes o ON o.run = p.run AND o.doc = p.doc AND o.passage = p.passage"
        with self._db.snapshot():
            outcomes = self._db.query(
                f"SELECT {_OUTCOME}, d.id FROM outcomes o JOIN documents d ON d.seq = o.doc"
                " WHERE o.run = ? AND o.part = ? ORDER BY o.doc, o.passage",
                run_id,
                part,
            )
            predictions = self._db.query(
                f"SELECT {_PREDICTION} FROM predictions p {where} WHERE o.run = ? AND o.part = ?"
                " ORDER BY p.doc, p.passage, p.rejected, p.n",
                run_id,
                part,
            )
        ids = {row[0]: unpack(row[-1]) for row in outcomes}
        return [result for found in _join(outcomes, predictions, ids).values() for result in found]

    def iter_results(
        self,
        run_id: int,
        *,
        every_document: bool = False,
    ) -> Iterator[tuple[Document, list[PassageResult]]]:
        """Documents in the order they came, each with its passages in order.

        Documents, outcomes and predictions are read page by page in the order
        their tables have anyway and joined in one pass, so that a million
        documents take a few thousand queries and the memory of one page. Each
        page is of one moment; a writer may go on in between.

        Args:
            run_id: The run.
            every_document: Also documents that the run has nothing of, with an
                empty list.
        """
        after = 0
        while True:
            with self._db.snapshot():
                page = self._every_page(after) if every_document else self._run_page(run_id, after)
                if not page:
                    return
                first, after = page[0][0], page[-1][0]
                found = self._between(run_id, first, after, {seq: document.id for seq, document in page})
            for seq, document in page:
                yield document, found.get(seq, [])

    def _every_page(self, after: int) -> list[tuple[int, Document]]:
        return take_page(self._db.rows(f"{_DOCUMENT} ORDER BY d.seq LIMIT ?", after + 1, 2**62, PAGE_DOCUMENTS))

    def _run_page(self, run_id: int, after: int) -> list[tuple[int, Document]]:
        docs = self._db.query(
            "SELECT DISTINCT doc FROM outcomes WHERE run = ? AND doc > ? ORDER BY doc LIMIT ?",
            run_id,
            after,
            PAGE_DOCUMENTS,
        )
        if not docs:
            return []
        sql = f"{_DOCUMENT} AND EXISTS (SELECT 1 FROM outcomes o WHERE o.run = ? AND o.doc = d.seq) ORDER BY d.seq"
        return take_page(self._db.rows(sql, docs[0][0], docs[-1][0], run_id))

    def _between(self, run_id: int, first: int, last: int, ids: dict[int, str]) -> dict[int, list[PassageResult]]:
        """The results of a range of documents, by sequence number."""
        key = "run = ? AND doc BETWEEN ? AND ?"
        outcomes = self._db.query(
            f"SELECT {_OUTCOME} FROM outcomes o WHERE {key} ORDER BY o.doc, o.passage", run_id, first, last,
        )  # fmt: skip
        predictions = self._db.query(
            f"SELECT {_PREDICTION} FROM predictions p WHERE {key} ORDER BY p.doc, p.passage, p.rejected, p.n",
            run_id, first, last,
        )  # fmt: skip
        return _join(outcomes, predictions, ids)

    def dead_letters(self, run_id: int) -> Iterator[DeadLetter]:
        """Passages that ended as failed, in document order, with flat memory."""
        doc, passage = 0, -1
        sql = (
            "SELECT o.doc, o.passage, o.part, o.reason, d.id FROM outcomes o JOIN documents d ON d.seq = o.doc"
            " WHERE o.run = ? AND o.kind = 'failed' AND (o.doc, o.passage) > (?, ?) ORDER BY o.doc, o.passage LIMIT ?"
        )
        while rows := self._db.query(sql, run_id, doc, passage, PAGE_DOCUMENTS):
            for _, index, part, reason, name in rows:
                yield DeadLetter(unpack(name), index, part, unpack(reason))
            doc, passage = rows[-1][:2]

    def outcome_counts(self, run_id: int) -> dict[OutcomeKind, int]:
        """How many passages ended how, best first; all kinds are there."""
        counts = dict.fromkeys(OutcomeKind, 0)
        rows = self._db.query("SELECT kind, count(*) FROM outcomes WHERE run = ? GROUP BY kind", run_id)
        counts.update({OutcomeKind(kind): count for kind, count in rows})
        return counts


def _join(outcomes: list[Row], predictions: list[Row], ids: dict[int, str]) -> dict[int, list[PassageResult]]:
    """Outcomes with their predictions, both in document and passage order."""
    joined: dict[int, list[PassageResult]] = {}
    at = 0
    for doc, passage, kind, reason, ungrounded, demonstrations, *_ in outcomes:
        if doc not in ids:
            continue
        while at < len(predictions) and predictions[at][:2] < (doc, passage):
            at += 1
        found: tuple[list[Entity], list[Entity]] = ([], [])
        while at < len(predictions) and predictions[at][:2] == (doc, passage):
            row = predictions[at]
            found[row[2]].append(_to_entity(row))
            at += 1
        result = PassageResult(
            ids[doc], passage, Outcome(OutcomeKind(kind), unpack(reason)), tuple(found[0]), tuple(found[1]),
            tuple(from_json(ungrounded)), tuple(from_json(demonstrations)),
        )  # fmt: skip
        joined.setdefault(doc, []).append(result)
    return joined


def _to_entity(row: Row) -> Entity:
    _, passage, _, start, stop, label, confidence, verdict, votes = row
    said = tuple(Vote(member, bool(proposed), given, held) for member, proposed, given, held in from_json(votes))
    return Entity(Span(start, stop, unpack(label)), confidence, said, verdict, passage)
