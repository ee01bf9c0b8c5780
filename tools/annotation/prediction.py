"""What the models propose, how it came about, and how a passage ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tools.annotation.span import Span


class OutcomeKind(StrEnum):
    """How a passage or document ended, best first; a document takes its worst passage's.

    ``truncated``, ``ungrounded`` and ``refused`` keep what was found; ``failed``
    has nothing and lands in the dead letters.
    """

    OK = "ok"
    REPAIRED = "repaired"
    UNGROUNDED = "ungrounded"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(OutcomeKind).index(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A typed ending and, where it is not ok, why."""

    kind: OutcomeKind = OutcomeKind.OK
    reason: str = ""

    def worse(self, other: Outcome) -> Outcome:
        """The worse of the two; of equals, self."""
        return other if other.kind.rank > self.kind.rank else self


@dataclass(frozen=True, slots=True)
class Vote:
    """What one member said of one candidate.

    Attributes:
        member: The member's name.
        proposed: Whether its extract step wrote the span.
        label: The type it gave; empty for none.
        probability: How probable it held that answer, 0 to 1.
    """

    member: str
    proposed: bool
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Entity:
    """A span the quorum decided on, in document offsets, with all that led to it.

    Attributes:
        span: Where and which type.
        confidence: Probability that place and type are right, calibrated, 0 to 1.
        votes: One a member that answered.
        verdict: The verifier's probability of yes; None where it was not asked.
        passage: Index of the passage it was found in.
    """

    span: Span
    confidence: float
    votes: tuple[Vote, ...] = ()
    verdict: float | None = None
    passage: int = 0


@dataclass(frozen=True, slots=True)
class PassageResult:
    """How one passage ended; entities carry document offsets.

    Attributes:
        document_id: The document.
        index: The passage's number in it.
        outcome: The typed ending.
        entities: What was decided, in text order.
        rejected: Candidates that the vote or the verifier turned down, same form.
        ungrounded: What a model wrote that stands nowhere in the passage.
        demonstrations: Ids of the demonstrations that were shown.
    """

    document_id: str
    index: int
    outcome: Outcome
    entities: tuple[Entity, ...] = ()
    rejected: tuple[Entity, ...] = ()
    ungrounded: tuple[str, ...] = ()
    demonstrations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """All passages of a document, merged: doubles from overlaps once."""

    document_id: str
    outcome: Outcome
    entities: tuple[Entity, ...]
    passages: tuple[PassageResult, ...]
