"""What a format can hold, and making a document fit into it with every loss counted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tools.annotation.document import Document
from tools.annotation.prediction import OutcomeKind
from tools.annotation.span import Span
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport


@dataclass(frozen=True, slots=True)
class Holds:
    """What a format has a place for; ``FEATURES`` says what each field means.

    What is true here comes back from export and import exactly as it was.
    """

    nested: bool = True
    overlapping: bool = True
    same_span: bool = True
    any_offsets: bool = True
    undecided: bool = True
    suggestions: bool = False
    confidence: bool = False
    votes: bool = False
    provenance: bool = False
    annotator: bool = True
    annotators: bool = False
    meta: bool = False
    any_text: bool = True
    any_id: bool = True
    any_label: bool = True


FEATURES: dict[str, str] = {
    "nested": "nested mentions",
    "overlapping": "overlapping mentions",
    "same_span": "one span, two types",
    "any_offsets": "mentions that begin or end anywhere",
    "undecided": "undecided told from empty",
    "suggestions": "suggestions told from gold",
    "confidence": "confidence",
    "votes": "members' votes",
    "provenance": "states, sources, times, verdicts, outcomes",
    "annotator": "the annotator's name",
    "annotators": "several annotators",
    "meta": "further fields (meta)",
    "any_text": "any text: CR, NUL, emoji, lone surrogates",
    "any_id": "any document id",
    "any_label": "any label that a label set allows",
}
"""Field of ``Holds`` to its row of the published table."""


def fit(item: Annotated, holds: Holds, losses: LossReport) -> Annotated:
    """A document without what a format cannot hold.

    Text, ids, labels and token borders are left to the format's own module.

    Args:
        item: A document with its decisions.
        holds: What the format can hold.
        losses: Counts what is taken away.
    """
    name, layers = item.document.id, item.layers
    if len(layers) > 1 and not holds.annotators:
        left_out = ", ".join(layer.annotator or "unnamed" for layer in layers[1:])
        losses.add("annotators", name, detail=f"{left_out} (kept: {layers[0].annotator or 'unnamed'})")
        layers = layers[:1]
    if not holds.provenance and any(map(_failed, layers)):
        # Written as a decision without mentions, a failure would say that nothing is there.
        losses.add("failed", name)
        layers = tuple(layer for layer in layers if not _failed(layer))
    if not layers and not holds.undecided:
        losses.add("undecided", name)
        layers = (Layer(),)
    document = item.document
    if document.meta and not holds.meta:
        losses.add("meta", name, detail=", ".join(sorted(map(str, document.meta)))[:80])
        document = Document(document.id, document.text)
    return Annotated(document, tuple(_layer(layer, name, holds, losses) for layer in layers))


def _failed(layer: Layer) -> bool:
    return layer.outcome is not None and layer.outcome.kind is OutcomeKind.FAILED and not layer.mentions


def _layer(layer: Layer, name: str, holds: Holds, losses: LossReport) -> Layer:
    if layer.kind == "suggestion" and not holds.suggestions:
        losses.add("suggestion", name)
        layer = replace(layer, kind="gold")
    if layer.annotator and not holds.annotator:
        losses.add("annotator", name, detail=layer.annotator)
        layer = replace(layer, annotator="")
    if not holds.provenance:
        layer = _bare(layer, name, losses)
    mentions: Sequence[Mention] = layer.mentions
    if not holds.overlapping:
        mentions = flat(mentions, name, losses)
    return replace(layer, mentions=tuple(_mention(mention, name, holds, losses) for mention in mentions))


def _mention(mention: Mention, name: str, holds: Holds, losses: LossReport) -> Mention:
    if mention.confidence is not None and not holds.confidence:
        losses.add("confidence", name, mention.span, f"{mention.confidence:.3g}")
        mention = replace(mention, confidence=None)
    if mention.votes and not holds.votes:
        losses.add("votes", name, mention.span, f"{len(mention.votes)} votes", len(mention.votes))
        mention = replace(mention, votes=())
    return mention


def _bare(layer: Layer, name: str, losses: LossReport) -> Layer:
    """The layer without how it came about; counted once a document."""
    bare = replace(
        layer,
        state="done",
        updated=None,
        outcome=None,
        mentions=tuple(Mention(m.span, m.confidence, m.votes) for m in layer.mentions),
    )
    if bare != layer:
        losses.add("provenance", name)
    return bare


def flat(mentions: Sequence[Mention], name: str, losses: LossReport) -> list[Mention]:
    """Mentions of which no two share a character: the longest first, of equals the earlier, then by label.

    Args:
        mentions: In any order.
        name: The document's id.
        losses: Counts those that are left out.

    Returns:
        What stays, in text order.
    """
    ordered = sorted(mentions, key=lambda mention: mention.span)
    if all(a.span.end <= b.span.start for a, b in pairwise(ordered)):
        return ordered
    kept: list[Span] = []  # in text order, apart from each other
    chosen: list[Mention] = []
    for mention in sorted(ordered, key=lambda m: (-len(m.span), m.span)):
        at = bisect_left(kept, mention.span)
        clash = next((other for other in kept[max(0, at - 1) : at + 1] if other.overlaps(mention.span)), None)
        if clash is None:
            kept.insert(at, mention.span)
            chosen.append(mention)
        else:
            losses.add(_how(mention.span, clash), name, mention.span, f"{mention.span.label} (kept: {_say(clash)})")
    return sorted(chosen, key=lambda mention: mention.span)


def _how(span: Span, other: Span) -> str:
    if (span.start, span.end) == (other.start, other.end):
        return "same span"
    return "nested" if other.start <= span.start and span.end <= other.end else "overlapping"


def _say(span: Span) -> str:
    return f"{span.start}:{span.end} {span.label}"
