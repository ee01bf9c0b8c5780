"""Where several people labelled the same: which documents, and what a reviewer decided between them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from tools.annotation import Span
from tools.store.annotations import Annotations
from tools.store.campaignrecords import Resolution, Version
from tools.store.codec import from_json, pack, to_json, unpack


class Resolutions(Annotations):
    """Documents of several annotators, and reviewers' decisions between versions."""

    def shared_documents(self) -> dict[str, list[str]]:
        """Documents that more than one annotator has finished, with the annotators' names in order."""
        rows = self._db.query(
            "SELECT d.id, a.annotator FROM annotations a JOIN documents d ON d.seq = a.doc WHERE a.state = 'done'"
            " AND (SELECT count(*) FROM annotations b WHERE b.doc = a.doc AND b.state = 'done') > 1"
            " ORDER BY a.doc",
        )
        found: dict[str, list[str]] = {}
        for name, who in rows:
            found.setdefault(unpack(name), []).append(unpack(who))
        return {name: sorted(people) for name, people in found.items()}

    def record_resolution(
        self,
        document_id: str,
        reviewer: str,
        versions: Sequence[Version],
        decision: Iterable[Span],
        reason: str = "",
    ) -> int:
        """Write a reviewer's decision between versions; it becomes the reviewer's gold, in one transaction.

        Args:
            document_id: The document.
            reviewer: Who decided.
            versions: What lay side by side.
            decision: The spans that hold.
            reason: Why.

        Returns:
            The resolution's number.

        Raises:
            InputError: The document is unknown, or a span cannot be gold.
        """
        spans = tuple(sorted(set(decision)))
        doc, _ = self._document_row(document_id)
        with self._db.transaction():
            event = self.set_gold(document_id, spans, reviewer, "review", what="resolve")
            cursor = self._db.execute(
                "INSERT INTO resolutions (doc, reviewer, time, versions, decision, reason, event)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                doc, pack(reviewer), time.time(), to_json([[v.annotator, _plain(v.spans)] for v in versions]),
                to_json(_plain(spans)), pack(reason), event,
            )  # fmt: skip
            return int(cursor.lastrowid or 0)

    def resolutions(self, document_id: str | None = None) -> list[Resolution]:
        """What reviewers decided, oldest first; of one document, or of all.

        Raises:
            InputError: The document is unknown.
        """
        doc = None if document_id is None else self._document_row(document_id)[0]
        rows = self._db.query(
            "SELECT r.resolution, d.id, r.reviewer, r.time, r.versions, r.decision, r.reason, r.event"
            " FROM resolutions r JOIN documents d ON d.seq = r.doc WHERE ?1 IS NULL OR r.doc = ?1"
            " ORDER BY r.resolution",
            doc,
        )
        return [
            Resolution(
                r[0], unpack(r[1]), unpack(r[2]), r[3],
                tuple(Version(who, _spans(spans)) for who, spans in from_json(r[4])),
                _spans(from_json(r[5])), unpack(r[6]), r[7],
            )
            for r in rows
        ]  # fmt: skip


def _plain(spans: Iterable[Span]) -> list[list[Any]]:
    return [[span.start, span.end, span.label] for span in spans]


def _spans(form: Iterable[Sequence[Any]]) -> tuple[Span, ...]:
    return tuple(Span(*span) for span in form)
