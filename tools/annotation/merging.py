"""Putting a document's passages together again: what overlaps found twice stands once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tools.annotation.document import Document, Passage
from tools.annotation.prediction import DocumentResult, Entity, Outcome, PassageResult, Vote
from tools.annotation.span import Span


def merge(document: Document, results: Sequence[PassageResult], passages: Sequence[Passage] = ()) -> DocumentResult:
    """Join the results of a document's passages.

    Entities of the same place become one: the type, verdict and passage of the
    most confident, the votes of all. The outcome is the worst of all passages.

    Args:
        document: The document.
        results: A result a passage, in any order; of two for one passage the
            later counts, so that a retry replaces what it retried.
        passages: The document's passages. With them, a piece of a mention that
            its passage's edge cut through is left out when a neighbour found
            the whole mention with the same type.

    Returns:
        All entities in text order. A document without passages is ok and empty.

    Raises:
        ValueError: A result belongs to another document, or a span reaches
            beyond the text.
    """
    latest = {result.index: result for result in results}
    kept = tuple(latest[index] for index in sorted(latest))
    by_place: dict[tuple[int, int], Entity] = {}
    outcome = Outcome()
    for result in kept:
        if result.document_id != document.id:
            raise ValueError(f"a result of {result.document_id!r} cannot be merged into {document.id!r}")
        outcome = outcome.worse(result.outcome)
        for entity in result.entities:
            if entity.span.end > len(document.text):
                raise ValueError(f"span {entity.span} reaches beyond document {document.id!r} of {len(document.text)}")
            place = entity.span.start, entity.span.end
            by_place[place] = _joined(by_place[place], entity) if place in by_place else entity
    entities = sorted(by_place.values(), key=lambda entity: entity.span)
    if len(passages) > 1:
        entities = _without_fragments(entities, {passage.index: passage for passage in passages})
    return DocumentResult(document.id, outcome, tuple(entities), kept)


def _joined(one: Entity, other: Entity) -> Entity:
    """The more confident of two entities of a place (of equals, the first) with the votes of both."""
    winner, loser = (other, one) if other.confidence > one.confidence else (one, other)
    return replace(winner, votes=_all_votes(winner.votes, loser.votes))


def _all_votes(winner: Iterable[Vote], loser: Iterable[Vote]) -> tuple[Vote, ...]:
    """A vote a member: the winner's where it voted on both."""
    votes = {vote.member: vote for vote in loser}
    first = {vote.member: vote for vote in winner}
    return (*first.values(), *(vote for member, vote in votes.items() if member not in first))


def _without_fragments(entities: Sequence[Entity], passages: dict[int, Passage]) -> list[Entity]:
    """Drop entities that end at their passage's edge and lie in a longer one that crosses this edge.

    The passage could not have seen the longer one, so the shorter says nothing
    against it; nested mentions inside a passage are not touched.
    """
    kept = []
    edges = sorted({edge for passage in passages.values() for edge in (passage.start, passage.end)})
    crossing: dict[int, list[Span]] = {}
    for entity in entities:
        span = entity.span
        for edge in edges[bisect_right(edges, span.start) : bisect_left(edges, span.end)]:
            crossing.setdefault(edge, []).append(span)
    for entity in entities:
        passage, span = passages.get(entity.passage), entity.span
        touched = {passage.start, passage.end} & {span.start, span.end} if passage else set()
        whole = (
            other.start <= span.start and span.end <= other.end and other.label == span.label
            for edge in touched
            for other in crossing.get(edge, ())
        )
        if not any(whole):
            kept.append(entity)
    return kept
