"""What a campaign can still ask: short documents whole, long ones passage by passage."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from tools.annotation import Document, Span
from tools.annotation.prediction import PassageResult
from tools.store import Item, Store
from tools.store.ranges import Range, inside, touches


@dataclass(frozen=True, slots=True)
class Place:
    """A document, or a part of one.

    Attributes:
        document_id: The document.
        part: Where in it; None for all of it.
    """

    document_id: str
    part: Range | None = None

    @property
    def id(self) -> str:
        """As ``Item.id``."""
        return self.document_id if self.part is None else f"{self.document_id}#{self.part[0]}-{self.part[1]}"


def open_places(store: Store, campaign: int, longest: int, eligible: Collection[str] | None = None) -> Iterator[Place]:
    """All that could be asked next, in document order.

    Args:
        store: The store.
        campaign: The campaign.
        longest: Code points beyond which a document is asked passage by passage; 0 never cuts.
        eligible: Only these documents; None for all.
    """
    for name, chars, touched in store.pool(campaign):
        if eligible is not None and name not in eligible:
            continue
        if not touched and (not longest or chars <= longest):
            yield Place(name)
            continue
        taken = store.taken_parts(campaign, name) if touched else ()
        if not longest and touched:
            # Asked whole although parts of it are done: whoever asks for whole documents gets them.
            yield Place(name)
            continue
        yield from (Place(name, part) for part in parts_of(store.document(name), longest) if not touches(taken, part))


def parts_of(document: Document, longest: int) -> tuple[Range, ...]:
    """Where a long document is cut; one part for a short one, none for one of blanks."""
    return _cut(document.text, longest)


@lru_cache(maxsize=2048)
def _cut(text: str, longest: int) -> tuple[Range, ...]:
    from tools.selection.items import items_of

    return tuple((item.start, item.end) for item in items_of(Document("", text), longest or None))


def ranges_of(items: Iterable[Item | Place]) -> dict[str, tuple[Range, ...]]:
    """By document id the parts that are asked of it; a document that is asked whole is not in it."""
    found: dict[str, tuple[Range, ...]] = {}
    for item in items:
        if item.part is not None:
            found[item.document_id] = (*found.get(item.document_id, ()), item.part)
    return found


def spans_in(spans: Iterable[Span], parts: Mapping[str, tuple[Range, ...]], document_id: str) -> tuple[Span, ...]:
    """The spans of a document that lie in what was asked of it."""
    asked = parts.get(document_id)
    return tuple(sorted(spans)) if asked is None else inside(spans, asked)


def results_in(results: Iterable[PassageResult], part: Range | None) -> list[PassageResult]:
    """What a run found inside a part of a document."""
    if part is None:
        return list(results)
    return [
        replace(
            result,
            entities=tuple(e for e in result.entities if inside((e.span,), (part,))),
            rejected=tuple(e for e in result.rejected if inside((e.span,), (part,))),
        )
        for result in results
    ]
