"""The open batch of a campaign as a queue: leases, blind looks, and how long each document took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from agent.campaign import labelling
from tools.store import DocumentState, Item, Store
from tools.store.campaigns import LEASE_SECONDS
from tui.labelling.queue import OPEN, Hidden
from tui.views.reasons import reason_line

LONGEST = 15 * 60.0


class CampaignQueue:
    """What the latest campaign asks, in its order; second opinions come last, documents left for later at the very end.

    A document is taken in hand when it is shown, and nobody else is given it meanwhile. A document of the audit
    is shown without suggestions until it is done, and one that two people are to label without the other's marks:
    figures rest on both being independent.

    Args:
        store: Open for writing.
        annotator: Who is asked.
        clock: Seconds; only differences count.
    """

    def __init__(self, store: Store, annotator: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._annotator, self._clock = store, annotator, clock
        campaign = store.campaign()
        settings = {} if campaign is None else dict(campaign.settings)
        self._campaign = 0 if campaign is None else campaign.id
        self._blind_audit = bool(settings.get("blind_audit", True))
        self._lease = float(settings.get("lease_minutes") or LEASE_SECONDS / 60) * 60
        self._since: tuple[str, float] = ("", 0.0)

    @property
    def name(self) -> str:
        """``round 3``; ``second opinions`` where nothing else is left."""
        batch = labelling.open_batch(self._store)
        return f"round {batch.round}" if batch and batch.waiting else "second opinions" if self._wanted() else "round"

    def total(self) -> int:
        """Items of the open round, or second opinions that are wanted."""
        batch = labelling.open_batch(self._store)
        return len(batch.items) if batch is not None else len(self._wanted())

    def left(self) -> int:
        """Items that still want this annotator."""
        return len(self._wanted())

    def next(self, after: str | None) -> str | None:
        """Take the next item in hand that nobody else has."""
        for item in self._order(after):
            if self._take(item.document_id):
                return item.document_id
        return None

    def previous(self, before: str) -> str | None:
        """The item in front of one in its round."""
        names = [item.document_id for item in self._items()]
        place = names.index(before) if before in names else 0
        return names[place - 1] if place else None

    def peek(self, after: str | None, count: int) -> list[str]:
        """The next items that nobody else has in hand; they are not taken."""
        others = {lease.document_id for lease in self._store.leases() if lease.annotator != self._annotator}
        return [item.document_id for item in self._order(after) if item.document_id not in others][:count]

    def why(self, document_id: str) -> str:
        """Why the campaign asks it, and what is not shown."""
        item = self._item(document_id)
        if item is None:
            return ""
        hidden = self.hides(document_id)
        if hidden.models:
            return "audit: drawn at random; no suggestions, so that the figures stay honest"
        return reason_line(item.reason) + ("; another annotator labels it too" if hidden.people else "")

    def decided(self, document_id: str) -> None:
        """Note the time a document took; one that was set aside is not waited for."""
        if self._item(document_id) is None:
            return
        seconds = self._spent(document_id)
        flagged = self._store.decision(document_id, self._annotator).decision.state is DocumentState.FLAGGED
        if flagged:
            labelling.skip(self._store, document_id, self._annotator, seconds=seconds)
        else:
            self._store.record_visit(self._campaign, document_id, self._annotator, seconds=seconds)

    def opened(self, document_id: str) -> None:
        """Begin to count the time; take the item in hand, and give back the one that was left."""
        left = self._since[0]
        self._since = (document_id, self._clock())
        if left and left != document_id:
            self._store.release(self._annotator, [left])
        item = self._item(document_id)
        if item is None or self._finished(document_id):
            return
        if item.skips and self._set_aside(document_id):  # the flag was taken back: it waits again
            self._store.record_visit(self._campaign, document_id, self._annotator)
        self._take(document_id)

    def hides(self, document_id: str) -> Hidden:
        """What is not shown of a document before it is done."""
        item = self._item(document_id)
        if item is None or self._finished(document_id):
            return OPEN
        audit = item.audit and self._blind_audit
        return Hidden(models=audit, people=audit or item.wanted > 1)

    def scope(self, document_id: str) -> tuple[int, int] | None:
        """The passage that the campaign asks; None for the whole document, and for one it does not ask."""
        item = self._item(document_id)
        return None if item is None else item.part

    def ending(self) -> str:
        """What comes when nothing waits for this annotator."""
        batch = labelling.open_batch(self._store)
        if batch is not None and batch.waiting:
            return f"the other {len(batch.waiting)} documents of round {batch.round} are in other hands"
        return "the round is done; next: quorum run"

    def release(self) -> None:
        """Give back all that is in hand."""
        self._store.release(self._annotator)

    # -- helpers ------------------------------------------------------------------------------------------------

    def _items(self) -> tuple[Item, ...]:
        return self._store.items(self._campaign)

    def _item(self, document_id: str) -> Item | None:
        return self._store.item(self._campaign, document_id) if self._campaign else None

    def _finished(self, document_id: str) -> bool:
        return self._store.decision(document_id, self._annotator).decision.finished_in(self.scope(document_id))

    def _set_aside(self, document_id: str) -> bool:
        return any(
            visit.skipped
            and (visit.document_id, visit.annotator) == (document_id, self._annotator)
            and visit.round == (item.round if (item := self._item(document_id)) else 0)
            for visit in self._store.visits(self._campaign)
        )

    def _wanted(self) -> list[Item]:
        """Items that want an answer and have none of this annotator, in the campaign's order."""
        found = [item for item in self._items() if item.answers + item.skips < item.wanted]
        found = [item for item in found if not self._finished(item.document_id)]
        return sorted(found, key=lambda item: (not item.open, item.round, item.position))

    def _order(self, after: str | None) -> Iterator[Item]:
        wanted = self._wanted()
        place = next((n for n, item in enumerate(wanted) if item.document_id == after), -1)
        here = None if after is None else self._item(after)
        if place < 0 and here is not None:  # it is finished: go on behind its place
            place = sum((i.round, i.position) < (here.round, here.position) and i.open for i in wanted) - 1
        turned = [*wanted[place + 1 :], *wanted[: place + 1]]
        later = {i.document_id for i in turned if self._store.decision(i.document_id, self._annotator).decision.skipped}
        yield from (i for i in turned if i.document_id not in later and i.document_id != after)
        yield from (i for i in turned if i.document_id in later and i.document_id != after)

    def _take(self, document_id: str) -> bool:
        return bool(labelling.lease(self._store, self._annotator, seconds=self._lease, only=[document_id]))

    def _spent(self, document_id: str) -> float | None:
        """Seconds since it was shown; None where nobody can have been reading all the time."""
        name, since = self._since
        seconds = self._clock() - since
        return seconds if name == document_id and seconds <= LONGEST else None


def waits_for(store: Store, annotator: str) -> bool:
    """Whether the latest campaign has anything for an annotator."""
    return store.campaign() is not None and CampaignQueue(store, annotator).left() > 0
