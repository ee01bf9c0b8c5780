"""Campaigns in the store: what was asked and why, who has it in hand, what came of it.

An item belongs to a campaign once (its primary key says so), so that nothing
can be asked twice. It is a document, or a part of one; a document is asked
about one part at a time, so that its latest item is the one that a document's id
stands for. Whether it is answered is read off the annotations
themselves: an annotator's finished decision is the answer, and there is no
second record that could disagree with it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tools.errors import InputError, StoreError
from tools.store.annotations import Annotations
from tools.store.campaignrecords import (
    Campaign,
    CampaignState,
    Item,
    Lease,
    Round,
    RoundState,
    Visit,
)
from tools.store.codec import from_json, pack, to_json, unpack
from tools.store.database import Row
from tools.store.ranges import Range, Ranges, joined

CAMPAIGN_FORMAT = 1
LEASE_SECONDS = 30 * 60.0

_DONE = (
    "(a.state = 'done' OR (i.stop IS NOT NULL AND EXISTS (SELECT 1 FROM finished f WHERE f.doc = a.doc"
    " AND f.annotator = a.annotator AND f.start <= i.start AND f.stop >= i.stop)))"
)
_ANSWERS = f"(SELECT count(*) FROM annotations a WHERE a.doc = i.doc AND {_DONE})"
_VISIT = "FROM visits v WHERE v.campaign = i.campaign AND v.doc = i.doc AND v.start = i.start"
_SKIPS = f"(SELECT count(*) {_VISIT} AND v.skipped = 1)"
_ITEM = (
    f"SELECT d.id, i.round, i.n, i.audit, i.wanted, i.reason, {_ANSWERS}, {_SKIPS}, i.doc, i.start, i.stop"
    " FROM items i JOIN documents d ON d.seq = i.doc"
)
_ROUND = "SELECT campaign, round, state, opened, closed, run, identity, report FROM rounds"
_CAMPAIGN = "SELECT campaign, format, settings, identity, state, reason, started FROM campaigns"


class Campaigns(Annotations):
    """Campaigns, their rounds and items, and leases."""

    # -- campaigns and rounds -----------------------------------------------------------------------------------

    def start_campaign(self, settings: Mapping[str, Any], identity: Mapping[str, Any]) -> int:
        """Begin a campaign.

        Args:
            settings: What the person asked for; JSON values.
            identity: What its figures hang on, by concern; JSON values.

        Returns:
            Its number.
        """
        with self._db.transaction():
            cursor = self._db.execute(
                "INSERT INTO campaigns (format, settings, identity, state, reason, started)"
                " VALUES (?, ?, ?, 'open', '', ?)",
                CAMPAIGN_FORMAT, to_json(dict(settings)), to_json(dict(identity)), time.time(),
            )  # fmt: skip
            return int(cursor.lastrowid or 0)

    def campaign(self, number: int | None = None) -> Campaign | None:
        """A campaign by its number; the latest where none is given, None where there is none.

        Raises:
            StoreError: A newer release made it, or there is no such number.
        """
        if number is None:
            row = self._db.first(f"{_CAMPAIGN} ORDER BY campaign DESC LIMIT 1")
            if row is None:
                return None
        else:
            row = self._db.first(f"{_CAMPAIGN} WHERE campaign = ?", number)
            if row is None:
                raise StoreError(f"there is no campaign {number}", "see: quorum status")
        found = Campaign(
            row[0], row[1], from_json(row[2]), from_json(row[3]), CampaignState(row[4]), unpack(row[5]), row[6]
        )
        if found.format > CAMPAIGN_FORMAT:
            raise StoreError(
                f"campaign {found.id} was made by a newer release (its format is {found.format},"
                f" this release knows {CAMPAIGN_FORMAT})",
                "upgrade quorum",
            )
        return found

    def update_campaign(
        self,
        number: int,
        *,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any],
        state: CampaignState,
        reason: str,
    ) -> None:
        """Write what a campaign goes on with."""
        with self._db.transaction():
            self._db.execute(
                "UPDATE campaigns SET settings = ?, identity = ?, state = ?, reason = ? WHERE campaign = ?",
                to_json(dict(settings)), to_json(dict(identity)), state.value, pack(reason), number,
            )  # fmt: skip

    def open_round(
        self, campaign: int, number: int, items: Sequence[Item], identity: Mapping[str, Any]
    ) -> tuple[Item, ...]:
        """Write a round with its items, or give what an earlier call wrote for it.

        Args:
            campaign: The campaign.
            number: The round, from 1.
            items: What is asked, in order.
            identity: What the round's figures hang on.

        Returns:
            The items as they stand in the store.

        Raises:
            StoreError: An item was asked in another round.
            InputError: A document is unknown.
        """
        with self._db.transaction():
            if self._db.first("SELECT 1 FROM rounds WHERE campaign = ? AND round = ?", campaign, number) is None:
                docs = self._document_rows(item.document_id for item in items)
                for item in items:
                    doc = docs[item.document_id][0]
                    start, stop = item.part or (0, None)
                    if self._db.first(
                        "SELECT 1 FROM items WHERE campaign = ?1 AND doc = ?2"
                        " AND (stop IS NULL OR ?4 IS NULL OR (start < ?4 AND ?3 < stop))",
                        campaign, doc, start, stop,
                    ):  # fmt: skip
                        raise StoreError(f"document {item.id!r} was asked before in campaign {campaign}")
                if len({item.document_id for item in items}) < len(items):
                    raise StoreError("a round asks about one part of a document at a time", "leave one out")
                self._db.execute(
                    "INSERT INTO rounds (campaign, round, state, opened, identity, report)"
                    " VALUES (?, ?, 'open', ?, ?, ?)",
                    campaign, number, time.time(), to_json(dict(identity)), to_json({}),
                )  # fmt: skip
                self._db.executemany(
                    "INSERT INTO items (campaign, round, n, doc, start, stop, audit, wanted, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (
                            campaign,
                            number,
                            n,
                            docs[i.document_id][0],
                            *(i.part or (0, None)),
                            int(i.audit),
                            i.wanted,
                            to_json(dict(i.reason)),
                        )
                        for n, i in enumerate(items)
                    ),
                )
        return self.items(campaign, number)

    def update_round(
        self,
        campaign: int,
        number: int,
        state: RoundState,
        *,
        run: int | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        """Move a round on; what is not given stays. Closing it twice keeps the first time."""
        with self._db.transaction():
            self._db.execute(
                "UPDATE rounds SET state = ?, run = coalesce(?, run), report = coalesce(?, report),"
                " closed = CASE WHEN ? = 'open' THEN closed ELSE coalesce(closed, ?) END"
                " WHERE campaign = ? AND round = ?",
                state.value, run, None if report is None else to_json(dict(report)),
                state.value, time.time(), campaign, number,
            )  # fmt: skip

    def rounds(self, campaign: int) -> list[Round]:
        """A campaign's rounds, in order."""
        rows = self._db.query(f"{_ROUND} WHERE campaign = ? ORDER BY round", campaign)
        return [Round(r[0], r[1], RoundState(r[2]), r[3], r[4], r[5], from_json(r[6]), from_json(r[7])) for r in rows]

    # -- items --------------------------------------------------------------------------------------------------

    def items(self, campaign: int, number: int | None = None) -> tuple[Item, ...]:
        """What a campaign, or one of its rounds, asks; in order."""
        if number is None:
            rows = self._db.query(f"{_ITEM} WHERE i.campaign = ? ORDER BY i.round, i.n", campaign)
        else:
            rows = self._db.query(f"{_ITEM} WHERE i.campaign = ? AND i.round = ? ORDER BY i.n", campaign, number)
        return tuple(map(_item, rows))

    def item(self, campaign: int, document_id: str) -> Item | None:
        """A document's latest item in a campaign; None where it was not asked.

        Raises:
            InputError: The document is unknown.
        """
        doc, _ = self._document_row(document_id)
        row = self._db.first(f"{_ITEM} WHERE i.campaign = ? AND i.doc = ? ORDER BY i.round DESC LIMIT 1", campaign, doc)
        return None if row is None else _item(row)

    def audit_documents(self) -> set[str]:
        """Documents drawn for estimates in any campaign, whole or a part of them.

        What was drawn of them is never to be shown to a model or trained on; ``audit_parts`` says where it lies.
        """
        rows = self._db.query("SELECT DISTINCT d.id FROM items i JOIN documents d ON d.seq = i.doc WHERE i.audit = 1")
        return {unpack(row[0]) for row in rows}

    def audit_parts(self) -> dict[str, Ranges]:
        """By document id, what was drawn of it for estimates in any campaign; a whole document from 0 to its length."""
        rows = self._db.query(
            "SELECT d.id, i.start, coalesce(i.stop, d.chars) FROM items i JOIN documents d ON d.seq = i.doc"
            " WHERE i.audit = 1"
        )
        found: dict[str, list[Range]] = {}
        for name, start, stop in rows:
            found.setdefault(unpack(name), []).append((start, stop))
        return {name: joined(parts) for name, parts in found.items()}

    def unlabelled(self, campaign: int) -> Iterator[str]:
        """Ids of the pool in document order; see ``pool``."""
        return (name for name, _, _ in self.pool(campaign))

    def pool(self, campaign: int) -> Iterator[tuple[str, int, bool]]:
        """What a campaign can still ask: nobody finished it, and the campaign has not asked all of it.

        Yields:
            A document's id, its length, and whether parts of it are asked or finished already, in document order.
            Documents of which a part still waits, or was put aside, are left out.
        """
        after = 0
        sql = (
            "SELECT d.seq, d.id, d.chars, EXISTS (SELECT 1 FROM items i WHERE i.campaign = ?2 AND i.doc = d.seq)"
            " OR EXISTS (SELECT 1 FROM finished f WHERE f.doc = d.seq) FROM documents d WHERE d.seq > ?1"
            " AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.doc = d.seq AND a.state = 'done')"
            " AND NOT EXISTS (SELECT 1 FROM items i WHERE i.campaign = ?2 AND i.doc = d.seq"
            f" AND (i.stop IS NULL OR {_SKIPS} > 0 OR {_ANSWERS} < i.wanted))"
            " ORDER BY d.seq LIMIT 4096"
        )
        while rows := self._db.query(sql, after, campaign):
            yield from ((unpack(row[1]), int(row[2]), bool(row[3])) for row in rows)
            after = rows[-1][0]

    def taken_parts(self, campaign: int, document_id: str) -> Ranges:
        """What of a document a campaign has asked about, or anybody has finished.

        Raises:
            InputError: The document is unknown.
        """
        doc, chars = self._document_row(document_id)
        asked = self._db.query(
            "SELECT start, coalesce(stop, ?3) FROM items WHERE campaign = ?1 AND doc = ?2", campaign, doc, chars
        )
        finished = self._db.query("SELECT start, stop FROM finished WHERE doc = ?", doc)
        return joined((start, stop) for start, stop in (*asked, *finished))

    # -- leases and visits --------------------------------------------------------------------------------------

    def lease(
        self,
        campaign: int,
        annotator: str,
        count: int = 1,
        *,
        seconds: float = LEASE_SECONDS,
        now: float | None = None,
        only: Collection[str] | None = None,
    ) -> list[Item]:
        """Take items in hand; what one annotator has, others do not get unless more than one is wanted.

        Items that the annotator has in hand already come first, renewed; then
        those nobody has dealt with, then those that want another opinion.

        Args:
            campaign: The campaign.
            annotator: Who asks.
            count: The most items.
            seconds: How long they are kept for the annotator.
            now: The time, in seconds since 1970.
            only: Nothing but these documents; None for all.

        Returns:
            The items, at most ``count``.
        """
        who, at = pack(annotator), time.time() if now is None else now
        with self._db.transaction():
            self._db.execute("DELETE FROM leases WHERE expires <= ?", at)
            rows = self._db.query(
                f"{_ITEM} WHERE i.campaign = ?1"
                f" AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.doc = i.doc AND a.annotator = ?2 AND {_DONE})"
                f" AND NOT EXISTS (SELECT 1 {_VISIT} AND v.annotator = ?2 AND v.skipped = 1)"
                f" AND {_ANSWERS} + {_SKIPS}"
                " + (SELECT count(*) FROM leases l WHERE l.doc = i.doc AND l.annotator <> ?2) < i.wanted"
                " ORDER BY NOT EXISTS (SELECT 1 FROM leases l WHERE l.doc = i.doc AND l.annotator = ?2),"
                f" {_ANSWERS} + {_SKIPS} > 0, i.round, i.n",
                campaign, who,
            )  # fmt: skip
            taken = [row for row in rows if only is None or unpack(row[0]) in only][:count]
            self._db.executemany(
                "INSERT INTO leases (doc, annotator, expires) VALUES (?, ?, ?)"
                " ON CONFLICT (doc, annotator) DO UPDATE SET expires = excluded.expires",
                ((row[8], who, at + seconds) for row in taken),
            )
            return [_item(row) for row in taken]

    def release(self, annotator: str, document_ids: Iterable[str] | None = None) -> None:
        """Give items back; all of the annotator's where none are named."""
        who = pack(annotator)
        with self._db.transaction():
            if document_ids is None:
                self._db.execute("DELETE FROM leases WHERE annotator = ?", who)
                return
            docs = self._document_rows(document_ids)
            self._db.executemany(
                "DELETE FROM leases WHERE annotator = ? AND doc = ?", ((who, doc) for doc, _ in docs.values())
            )

    def leases(self, now: float | None = None) -> list[Lease]:
        """What is in hand now, by document and annotator."""
        rows = self._db.query(
            "SELECT d.id, l.annotator, l.expires FROM leases l JOIN documents d ON d.seq = l.doc"
            " WHERE l.expires > ? ORDER BY l.doc, l.annotator",
            time.time() if now is None else now,
        )
        return [Lease(unpack(row[0]), unpack(row[1]), row[2]) for row in rows]

    def record_visit(
        self, campaign: int, document_id: str, annotator: str, *, seconds: float | None = None, skipped: bool = False
    ) -> None:
        """Note that an annotator is through with an item, and give its lease back.

        Time spent on earlier visits is added to.

        Raises:
            InputError: The campaign does not ask this document.
        """
        doc, _ = self._document_row(document_id)
        who = pack(annotator)
        with self._db.transaction():
            row = self._db.first(
                "SELECT start FROM items WHERE campaign = ? AND doc = ? ORDER BY round DESC LIMIT 1", campaign, doc
            )
            if row is None:
                raise InputError(f"campaign {campaign} does not ask document {document_id!r}", "see: quorum run")
            self._db.execute(
                "INSERT INTO visits (campaign, doc, start, annotator, seconds, skipped, time)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (campaign, doc, start, annotator)"
                " DO UPDATE SET skipped = excluded.skipped,"
                " time = excluded.time, seconds = CASE WHEN excluded.seconds IS NULL THEN seconds"
                " ELSE coalesce(seconds, 0) + excluded.seconds END",
                campaign, doc, row[0], who, seconds, int(skipped), time.time(),
            )  # fmt: skip
            self._db.execute("DELETE FROM leases WHERE doc = ? AND annotator = ?", doc, who)

    def visits(self, campaign: int) -> list[Visit]:
        """What annotators did with a campaign's items, in the order of documents."""
        rows = self._db.query(
            "SELECT d.id, v.annotator, v.seconds, v.skipped, v.time, i.round, coalesce(i.stop, d.chars) - i.start,"
            " i.start, i.stop"
            " FROM visits v JOIN documents d ON d.seq = v.doc"
            " JOIN items i ON i.campaign = v.campaign AND i.doc = v.doc AND i.start = v.start"
            " WHERE v.campaign = ? ORDER BY v.doc, v.start, v.annotator",
            campaign,
        )
        return [
            Visit(
                unpack(r[0]), unpack(r[1]), r[2], bool(r[3]), r[4], r[5], r[6], None if r[8] is None else (r[7], r[8])
            )
            for r in rows
        ]


def _item(row: Row) -> Item:
    name, number, n, audit, wanted, reason, answers, skips, _, start, stop = row
    part = None if stop is None else (start, stop)
    return Item(unpack(name), number, n, bool(audit), wanted, from_json(reason), answers, skips, part)
