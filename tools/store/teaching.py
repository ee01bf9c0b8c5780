"""What of the gold models may learn from: finished documents and parts of documents, what was audited left out.

A part comes as a document of its own, ``DOCUMENT#START-END``: nothing is known of the text around it, and whoever took
a document for labelled because a part of it is would teach that there is nothing in the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tools.annotation import Document, Span
from tools.store.ranges import Range, Ranges, inside, without
from tools.store.records import DocumentState, Gold
from tools.store.store import Store


@dataclass(frozen=True, slots=True)
class Taught:
    """A text whose mentions are all known.

    Attributes:
        document: The document, or a part of one under an id of its own.
        spans: Its gold mentions, offsets into ``document.text``.
        source: Where the decision came from.
        parent: The document it is a part of, or the document itself.
        part: Where it lies in the parent; None for all of it.
    """

    document: Document
    spans: tuple[Span, ...]
    source: str
    parent: Document
    part: Range | None = None


def part_of(document: Document, part: Range) -> Document:
    """A part of a document as a document, with its place in ``meta`` (``part_of``, ``start``)."""
    start, end = part
    meta = {**document.meta, "part_of": document.id, "start": start}
    return Document(f"{document.id}#{start}-{end}", document.text[start:end], meta)


def taught(store: Store, annotator: str | None = None, *, audited: bool = False) -> Iterator[Taught]:
    """Gold that models may be shown or trained on, in document order.

    Args:
        store: The store.
        annotator: Whose gold; None for the one that counts.
        audited: Also what campaigns drew for their estimates.
    """
    away: Mapping[str, Ranges] = {} if audited else store.audit_parts()
    for document, gold in store.iter_gold(annotator, (DocumentState.DONE, DocumentState.IN_PROGRESS)):
        yield from pieces(document, gold, away.get(document.id, ()))


def pieces(document: Document, gold: Gold, away: Ranges = ()) -> Iterator[Taught]:
    """What is known of one document: all of it, or its finished parts, without what is kept away."""
    done = gold.state is DocumentState.DONE
    if done and not away:
        yield Taught(document, gold.spans, gold.source, document)
        return
    ranges = ((0, len(document.text)),) if done else gold.ranges
    for part in without(ranges, away):
        start = part[0]
        spans = tuple(span.shifted(-start) for span in inside(gold.spans, (part,)))
        if document.text[start : part[1]].strip():
            yield Taught(part_of(document, part), spans, gold.source, document, part)


__all__ = ["Taught", "part_of", "pieces", "taught"]
