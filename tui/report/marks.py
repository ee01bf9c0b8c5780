"""From spans that nest and overlap to a text that can be drawn: marks, lanes, pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from tools.annotation.document import Document
from tools.annotation.prediction import DocumentResult, Entity
from tools.annotation.span import Span
from tools.annotation.visible import visible as visible

Standing = Literal["unknown", "right", "type", "boundary", "extra", "missed"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as the report needs it.

    Attributes:
        document: The document.
        result: What the run decided.
        gold: What a human decided; None where nobody did.
    """

    document: Document
    result: DocumentResult
    gold: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A span to draw.

    Attributes:
        span: Where and which type.
        lane: Its underline, 0 nearest to the text; marks that overlap differ in it.
        standing: How it compares with gold; ``missed`` is a gold span nobody found.
        gold_label: The gold type at exactly this place, or nearest to it.
        entity: What the quorum said; None for a missed gold span.
    """

    span: Span
    lane: int
    standing: Standing
    gold_label: str = ""
    entity: Entity | None = None

    @property
    def confidence(self) -> float | None:
        """The quorum's, where it has one."""
        return self.entity.confidence if self.entity else None


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text with the same marks over all of it.

    Attributes:
        start: Offset in the document.
        end: Offset after its last code point.
        marks: Indexes of the marks that cover it.
        closing: Indexes of the marks that end with it, the innermost first.
    """

    start: int
    end: int
    marks: tuple[int, ...]
    closing: tuple[int, ...] = field(default=())


def compare(entities: Sequence[Entity], gold: Sequence[Span] | None) -> list[tuple[Span, Standing, str, Entity | None]]:
    """Predictions with how they stand to gold, and the gold that was missed.

    Args:
        entities: The predictions.
        gold: The truth, or None where there is none.

    Returns:
        (span, standing, gold label, entity) a mark. A gold span counts as found
        only by the same place and type; one at whose place another type was
        given is not drawn a second time.
    """
    if gold is None:
        return [(entity.span, "unknown", "", entity) for entity in entities]
    truth = set(gold)
    places: Mapping[tuple[int, int], str] = {(span.start, span.end): span.label for span in gold}
    marks: list[tuple[Span, Standing, str, Entity | None]] = []
    for entity in entities:
        span = entity.span
        near = next((other for other in gold if other.overlaps(span)), None)
        if span in truth:
            marks.append((span, "right", span.label, entity))
        elif (span.start, span.end) in places:
            marks.append((span, "type", places[span.start, span.end], entity))
        elif near is not None:
            marks.append((span, "boundary", near.label, entity))
        else:
            marks.append((span, "extra", "", entity))
    found = {entity.span for entity in entities}
    mistyped = {(span.start, span.end) for span, standing, _, _ in marks if standing == "type"}
    for span in gold:
        if span not in found and (span.start, span.end) not in mistyped:
            marks.append((span, "missed", span.label, None))
    return marks


def lay_out(shown: Shown) -> tuple[list[Mark], list[Piece]]:
    """The marks of a document in text order, and the pieces its text falls into.

    Spans beyond the text (gold that belongs to another version) are left out.
    """
    compared = [x for x in compare(shown.result.entities, shown.gold) if x[0].end <= len(shown.document.text)]
    compared.sort(key=lambda x: (x[0].start, -x[0].end, x[0].label, x[1]))
    lanes = _lanes([x[0] for x in compared])
    marks = [Mark(span, lane, how, label, e) for (span, how, label, e), lane in zip(compared, lanes, strict=True)]
    return marks, _pieces(len(shown.document.text), marks)


def _lanes(spans: Sequence[Span]) -> list[int]:
    """The lowest free lane for each span, the short ones first, so that inner marks lie nearer to the text."""
    lanes = [0] * len(spans)
    taken: list[list[Span]] = []
    for index in sorted(range(len(spans)), key=lambda i: (len(spans[i]), spans[i], i)):
        span = spans[index]
        lane = next((n for n, there in enumerate(taken) if not any(map(span.overlaps, there))), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append(span)
        lanes[index] = lane
    return lanes


def _pieces(length: int, marks: Sequence[Mark]) -> list[Piece]:
    cuts = sorted({0, length, *(m.span.start for m in marks), *(m.span.end for m in marks)})
    opening: dict[int, list[int]] = {}
    closing: dict[int, list[int]] = {}
    for index, mark in enumerate(marks):
        opening.setdefault(mark.span.start, []).append(index)
        closing.setdefault(mark.span.end, []).append(index)
    pieces: list[Piece] = []
    open_now: dict[int, None] = {}
    for start, end in pairwise(cuts):
        open_now.update(dict.fromkeys(opening.get(start, ())))
        ends = sorted(closing.get(end, ()), key=lambda i: (len(marks[i].span), marks[i].lane))
        pieces.append(Piece(start, end, tuple(open_now), tuple(ends)))
        for index in ends:
            del open_now[index]
    return pieces


def explanation(mark: Mark, text: str, demonstrations: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """What the page says of a mark when it is pointed at, as JSON values.

    Args:
        mark: The mark.
        text: The document's text.
        demonstrations: Ids of the demonstrations shown, by passage.
    """
    entity = mark.entity
    return {
        "label": mark.span.label,
        "text": visible(mark.span.text_in(text)),
        "at": [mark.span.start, mark.span.end],
        "standing": mark.standing,
        "gold": mark.gold_label,
        "confidence": round(entity.confidence, 4) if entity else None,
        "verdict": round(entity.verdict, 4) if entity and entity.verdict is not None else None,
        "votes": [[v.member, v.proposed, v.label, round(v.probability, 4)] for v in entity.votes] if entity else [],
        "demonstrations": [visible(x) for x in demonstrations.get(entity.passage, ())] if entity else [],
        "passage": entity.passage if entity else None,
    }
