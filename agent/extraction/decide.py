"""The last node: confidence, the threshold, and results in document offsets."""

from __future__ import annotations

from dataclasses import replace

from agent.extraction.context import Context
from agent.extraction.state import Candidate, Work
from tools.annotation.prediction import Entity, PassageResult


def decide(works: tuple[Work, ...], context: Context) -> tuple[PassageResult, ...]:
    """Give every candidate its confidence and split them at the threshold."""
    return tuple(_result(work, context) for work in works)


def _result(work: Work, context: Context) -> PassageResult:
    judged = [
        replace(c, confidence=context.calibrator.confidence(c, len(work.answered)))
        for c in work.candidates
        if c.span.label
    ]
    accepted = [c for c in judged if c.confidence >= context.run.threshold]
    if context.steps.spans == "flat":
        accepted = flatten(accepted)
    kept = {c.span for c in accepted}
    return PassageResult(
        document_id=work.passage.document_id,
        index=work.passage.index,
        outcome=work.outcome,
        entities=tuple(_entity(c, work) for c in accepted),
        rejected=tuple(_entity(c, work) for c in judged if c.span not in kept),
        ungrounded=work.ungrounded,
        demonstrations=work.demonstrations.ids,
    )


def flatten(candidates: list[Candidate]) -> list[Candidate]:
    """Of overlapping candidates keep the most confident; of equals, the longer, then the first."""
    chosen: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (-c.confidence, -len(c.span), c.span)):
        if not any(c.span.overlaps(other.span) for other in chosen):
            chosen.append(c)
    return sorted(chosen, key=lambda c: c.span)


def _entity(candidate: Candidate, work: Work) -> Entity:
    return Entity(
        span=candidate.span.shifted(work.passage.start),
        confidence=round(candidate.confidence, 6),
        votes=candidate.votes,
        verdict=candidate.verdict,
        passage=work.passage.index,
    )
