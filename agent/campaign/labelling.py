"""What a labelling screen, an oracle or an agent needs of a campaign: plain functions over the store.

An answer is an annotator's finished decision in the store and nothing else; it is durable when ``answer``
returns, and the graph finds it whenever it is run next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.campaign.pool import results_in
from tools.annotation import Span
from tools.annotation.prediction import Entity, PassageResult
from tools.errors import InputError
from tools.store import CampaignState, DocumentState, Gold, Item, RoundState, Store, Version
from tools.store.campaigns import LEASE_SECONDS
from tools.store.ranges import Range, covers, inside

RUN_KIND = "campaign"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """What is to be labelled now.

    Attributes:
        campaign: The campaign's number.
        round: The round's number.
        items: All items of the round, in order.
        waiting: Those of them that nobody has dealt with.
    """

    campaign: int
    round: int
    items: tuple[Item, ...]
    waiting: tuple[Item, ...]


def open_batch(store: Store) -> OpenBatch | None:
    """The batch that waits for answers; None where there is no campaign, or it waits for the machine."""
    campaign = store.campaign()
    if campaign is None or campaign.state is CampaignState.STOPPED:
        return None
    rounds = store.rounds(campaign.id)
    if not rounds or rounds[-1].state is not RoundState.OPEN:
        return None
    items = store.items(campaign.id, rounds[-1].number)
    return OpenBatch(campaign.id, rounds[-1].number, items, tuple(item for item in items if item.open))


def lease(
    store: Store,
    annotator: str,
    count: int = 1,
    *,
    seconds: float = LEASE_SECONDS,
    now: float | None = None,
    only: Collection[str] | None = None,
) -> list[Item]:
    """Take items of the latest campaign in hand, so that no one else is given them meanwhile.

    Calling it again renews what the annotator has and comes first with it. Items of earlier rounds that
    want another opinion are given when nothing else is left, also when the campaign has stopped.

    Args:
        store: Open for writing.
        annotator: Who asks.
        count: The most items.
        seconds: How long they are kept.
        now: The time, in seconds since 1970.
        only: Nothing but these documents; None for all.
    """
    campaign = store.campaign()
    return [] if campaign is None else store.lease(campaign.id, annotator, count, seconds=seconds, now=now, only=only)


def answer(
    store: Store,
    document_id: str,
    spans: Iterable[Span],
    annotator: str,
    *,
    seconds: float | None = None,
    source: str = "human",
) -> int:
    """Record that an annotator has finished an item; durable when this returns.

    Giving the same answer again changes nothing. Where a part of the document is asked, the answer is about that part.

    Args:
        store: Open for writing.
        document_id: The document.
        spans: All its mentions (all in the part that is asked), document offsets; none says: reviewed, nothing here.
        annotator: Who.
        seconds: How long it took; None where nobody measured.
        source: Where the spans come from.

    Returns:
        The number of the event; 0 where the store had the same answer.

    Raises:
        InputError: The document is not asked in the latest campaign, or a span cannot be gold or lies outside the part.
    """
    item = _asked(store, document_id)
    wanted = tuple(sorted(set(spans)))
    campaign = item.campaign
    with store.transaction():
        known = store.gold(document_id, annotator)
        if known is not None and _same(known, wanted, item.part):
            store.record_visit(campaign, document_id, annotator, seconds=None)
            return 0
        if item.part is None:
            event = store.set_gold(document_id, wanted, annotator, source)
        else:
            event = store.set_passage(document_id, wanted, item.part, annotator, source)
        store.record_visit(campaign, document_id, annotator, seconds=seconds)
    return event


def _same(known: Gold, wanted: tuple[Span, ...], part: Range | None) -> bool:
    done = known.state is DocumentState.DONE
    if part is None:
        return done and known.spans == wanted
    return (done or covers(known.ranges, part)) and inside(known.spans, (part,)) == wanted


def skip(store: Store, document_id: str, annotator: str, *, seconds: float | None = None) -> None:
    """Put an item aside: this annotator is not given it again, and the round does not wait for it.

    Raises:
        InputError: The document is not asked in the latest campaign.
    """
    store.record_visit(_asked(store, document_id).campaign, document_id, annotator, seconds=seconds, skipped=True)


def why(store: Store, document_id: str) -> Item | None:
    """The item of a document in the latest campaign: its ``reason`` is the selection's record of why it was chosen.

    Raises:
        InputError: The document is unknown.
    """
    campaign = store.campaign()
    return None if campaign is None else store.item(campaign.id, document_id)


def suggestions(store: Store, document_id: str, *, blind_audit: bool = True) -> tuple[Entity, ...]:
    """What the models suggest for an item, from the campaign's latest run that has the document; in text order.

    Args:
        store: Open.
        document_id: The document.
        blind_audit: Whether audit items have none until they are answered.

    Raises:
        InputError: The document is unknown.
    """
    item = why(store, document_id)
    if item is not None and item.audit and item.open and blind_audit:
        return ()
    found = results_in(predictions(store, document_id), None if item is None else item.part)
    return tuple(sorted((e for result in found for e in result.entities), key=lambda entity: entity.span))


def predictions(store: Store, document_id: str) -> Sequence[PassageResult]:
    """The latest results of a document in the campaign's runs; empty where there are none."""
    for run in reversed(store.runs()):
        if run.kind == RUN_KIND and (found := store.passage_results(run.id, document_id)):
            return found
    return ()


def resolve(
    store: Store,
    document_id: str,
    reviewer: str,
    versions: Sequence[Version],
    decision: Iterable[Span],
    reason: str = "",
) -> int:
    """Record a reviewer's decision between versions of a document; it becomes the gold that counts.

    Returns:
        The resolution's number.

    Raises:
        InputError: The document is unknown, or a span cannot be gold.
    """
    return store.record_resolution(document_id, reviewer, versions, decision, reason)


class _Asked(NamedTuple):
    campaign: int
    part: Range | None


def _asked(store: Store, document_id: str) -> _Asked:
    campaign = store.campaign()
    if campaign is None:
        raise InputError("there is no campaign in this project", "begin one with: quorum run")
    item = store.item(campaign.id, document_id)
    if item is None:
        raise InputError(f"campaign {campaign.id} does not ask document {document_id!r}", "see: quorum run")
    return _Asked(campaign.id, item.part)
