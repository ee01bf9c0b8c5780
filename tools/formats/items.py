"""What all formats read and write: a document with what each annotator decided on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tools.annotation.document import Document
from tools.annotation.prediction import Outcome, Vote
from tools.annotation.span import Span

Kind = Literal["gold", "suggestion"]


@dataclass(frozen=True, slots=True)
class Mention:
    """A span with what is known of how it came about.

    Attributes:
        span: Where and which type, in document offsets.
        confidence: Probability that it is right, 0 to 1; None where nobody said.
        votes: What each member said.
        verdict: The verifier's probability of yes.
        source: Where it came from, e.g. ``human`` or ``import``; may be empty.
        created: When, in seconds since 1970 (UTC).
    """

    span: Span
    confidence: float | None = None
    votes: tuple[Vote, ...] = ()
    verdict: float | None = None
    source: str = ""
    created: float | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One decision on a document: a person's (gold) or the models' (a suggestion).

    A layer without mentions means: looked at, nothing there. A document without
    a layer has not been looked at.

    Attributes:
        mentions: In text order.
        annotator: Who; empty where the file does not say.
        kind: ``gold`` or ``suggestion``.
        state: How far the annotator is with the document (see ``DocumentState``).
        updated: When it was last changed, in seconds since 1970 (UTC).
        outcome: How the models' work on the document ended; None for people.
    """

    mentions: tuple[Mention, ...] = ()
    annotator: str = ""
    kind: Kind = "gold"
    state: str = "done"
    updated: float | None = None
    outcome: Outcome | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans alone, in text order, each once."""
        return tuple(sorted({mention.span for mention in self.mentions}))


@dataclass(frozen=True, slots=True)
class Annotated:
    """A document and the decisions on it; without layers it has not been looked at."""

    document: Document
    layers: tuple[Layer, ...] = ()
