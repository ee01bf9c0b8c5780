"""A project's store as a pool: its items, what is labelled, what the models said, what an item costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.annotation.prediction import PassageResult
from tools.demonstrations import may_demonstrate
from tools.selection.cost import TimingModel
from tools.selection.embeddings import EmbeddingCache
from tools.selection.items import LONGEST, Item, items_of
from tools.selection.protocol import Floats, Pool, Report
from tools.selection.signals import signals_for
from tools.store import DocumentState, Gold, Store
from tools.store.ranges import Ranges, covers, touches


@dataclass(frozen=True, slots=True)
class Corpus:
    """A pool and what its rows are.

    Attributes:
        pool: For ``select``.
        items: One a row.
        notes: What the person should know, a line each.
    """

    pool: Pool
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


def corpus_of(
    store: Store,
    *,
    embeddings: EmbeddingCache | None = None,
    longest: int | None = LONGEST,
    run: int | None = None,
    timing: TimingModel | None = None,
    report: Report | None = None,
) -> Corpus:
    """The pool of a project.

    Documents that somebody has finished are labelled, and passages that somebody has finished. Documents that somebody
    has begun otherwise, flagged or leased, those of evaluation splits, and what a campaign's audit has drawn (it is
    never shown to the models, so that nothing is covered by it) are excluded; blank ones are left out.

    Args:
        store: The project's; only read.
        embeddings: Embeds the items; None leaves the pool without vectors.
        longest: Where documents are cut; see ``items_of``.
        run: Whose predictions tell how uncertain the models are; None takes none.
        timing: What an item costs; the prior by default.
        report: Told of progress.
    """
    items: list[Item] = []
    held_out: set[str] = set()
    blank = 0
    for document in store.documents():
        found = items_of(document, longest)
        items += found
        blank += not found
        if not may_demonstrate(str(document.meta.get("split", "train"))):
            held_out.add(document.id)
    golds = {
        document.id: gold
        for document, gold in store.iter_gold(states=tuple(DocumentState))
        if gold.state is not DocumentState.NEW
    }
    states = golds.keys()
    away = {name for name, gold in golds.items() if gold.state is not DocumentState.DONE and not gold.ranges}
    away |= (held_out - set(states)) | {lease.document_id for lease in store.leases()}
    audited = store.audit_parts()
    known = [_known(item, golds.get(item.document_id), audited.get(item.document_id, ())) for item in items]
    labelled = [n for n, item in enumerate(items) if known[n] == "labelled" and item.document_id not in away]
    excluded = [n for n, item in enumerate(items) if known[n] == "away" or item.document_id in away]
    ids = [item.id for item in items]
    signals = signals_for(ids, _results(store, run, items)) if run is not None else {}
    vectors: NDArray[Any] | None = None
    if embeddings is not None and items:
        vectors = embeddings.vectors([item.text for item in items], report)
    notes = []
    if blank:
        notes.append(f"{blank:,} blank documents are left out")
    if held_out - set(states):
        notes.append(f"{len(held_out - set(states)):,} documents of evaluation splits are not picked")
    pool = Pool(
        ids=ids,
        texts=[item.text for item in items],
        embeddings=vectors,
        labelled=labelled,
        excluded=excluded,
        signals=signals,
        seconds=_seconds(items, signals.get("suggestions"), timing or TimingModel()) if items else None,
    )
    return Corpus(pool, tuple(items), tuple(notes))


def _known(item: Item, gold: Gold | None, audited: Ranges) -> str:
    """What is known of an item: ``labelled``, ``away`` (partly finished, or of the audit), or nothing."""
    here = (item.start, item.end)
    if touches(audited, here):
        return "away"
    if gold is None or gold.state is DocumentState.NEW:
        return ""
    if gold.state is DocumentState.DONE or covers(gold.ranges, here):
        return "labelled"
    return "away" if touches(gold.ranges, here) else ""


def _seconds(items: Sequence[Item], suggestions: Floats | None, timing: TimingModel) -> Floats:
    shown = np.zeros(len(items)) if suggestions is None else np.nan_to_num(suggestions)
    return timing.seconds([len(item.text) for item in items], shown)


def _results(store: Store, run: int, items: Sequence[Item]) -> Iterator[tuple[str, list[PassageResult]]]:
    parts: dict[str, list[Item]] = {}
    for item in items:
        parts.setdefault(item.document_id, []).append(item)
    for document, passages in store.iter_results(run):
        for item in parts.get(document.id, ()):
            yield item.id, item.results(passages)
