"""Out of the store: decisions of people and proposals of models as annotated documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tools.annotation.document import Document
from tools.annotation.prediction import DocumentResult
from tools.formats.items import Annotated, Layer, Mention
from tools.store import DocumentState, Gold, Store
from tools.store.teaching import part_of

EVERYBODY = "all"


def gold_items(store: Store, annotator: str = "", *, undecided: bool = False) -> Iterator[Annotated]:
    """Documents with what people decided on them, in the order they came; memory stays flat.

    Args:
        store: The store.
        annotator: Whose decisions; empty for those that count (the one finished
            last), ``all`` for everybody's, a layer each.
        undecided: Also documents that nobody (or not this annotator) has finished.

    Yields:
        Finished documents. Of one that is finished in parts, each part as a document of its own
        (``DOCUMENT#START-END``, its place in ``meta``): a reader who knows nothing of parts must not take the rest
        for text without mentions.
    """
    who = None if annotator in ("", EVERYBODY) else annotator
    decided = store.iter_gold(who, (DocumentState.DONE, DocumentState.IN_PROGRESS))
    if not undecided:
        for document, gold in decided:
            yield from _decided(store, document, gold, everybody=annotator == EVERYBODY)
        return
    waiting = next(decided, None)
    for document in store.documents():
        here = waiting if waiting is not None and waiting[0].id == document.id else None
        if here is None or here[1].state is not DocumentState.DONE:
            yield Annotated(document)
        if here is not None:
            yield from _decided(store, *here, everybody=annotator == EVERYBODY)
            waiting = next(decided, None)


def _decided(store: Store, document: Document, gold: Gold, *, everybody: bool) -> Iterator[Annotated]:
    if gold.state is not DocumentState.DONE:
        for part in gold.ranges:
            here = tuple(mark for mark in gold.marks if part[0] <= mark.span.start and mark.span.end <= part[1])
            moved = tuple(replace(mark, span=mark.span.shifted(-part[0])) for mark in here)
            piece = replace(gold, marks=moved, state=DocumentState.DONE, ranges=())
            yield Annotated(part_of(document, part), (_layer(piece),))
        return
    golds = [gold]
    if everybody:
        every = (store.gold(document.id, name) for name in store.annotators(document.id))
        golds = [found for found in every if found is not None and found.state is DocumentState.DONE]
    yield Annotated(document, tuple(map(_layer, golds)))


def _layer(gold: Gold) -> Layer:
    mentions = tuple(Mention(mark.span, source=mark.source, created=mark.created) for mark in gold.marks)
    return Layer(mentions, gold.annotator, "gold", gold.state.value, gold.updated)


def suggestion_items(
    store: Store,
    run: int,
    results: Iterator[tuple[Document, DocumentResult]],
    *,
    undecided: bool = False,
    name: Callable[[int], str] = "run {}".format,
) -> Iterator[Annotated]:
    """Documents with what a run proposes, in the order they came.

    Args:
        store: The store.
        run: The run's number.
        results: Its documents in order, passages merged.
        undecided: Also documents that the run has nothing of.
        name: What the run is called as an annotator.
    """
    found = next(results, None)
    if not undecided:
        while found is not None:
            yield Annotated(found[0], (_proposed(found[1], name(run)),))
            found = next(results, None)
        return
    for document in store.documents():
        if found is None or found[0].id != document.id:
            yield Annotated(document)
            continue
        yield Annotated(document, (_proposed(found[1], name(run)),))
        found = next(results, None)


def _proposed(result: DocumentResult, name: str) -> Layer:
    mentions = (Mention(e.span, e.confidence, e.votes, e.verdict) for e in result.entities)
    ordered = tuple(sorted(mentions, key=lambda mention: mention.span))
    return Layer(ordered, name, "suggestion", outcome=result.outcome)
