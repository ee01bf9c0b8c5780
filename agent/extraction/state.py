"""What travels through the extraction graph: a batch of passages and all that is known of them.

Every node reads the batch and returns the fields it adds; nothing is changed in
place, so a node that is run again after a failure finds what it found before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypedDict

from prompts import DemonstrationView
from tools.annotation import Passage, Span, model_text
from tools.annotation.prediction import Outcome, PassageResult, Vote


@dataclass(frozen=True, slots=True)
class Shown:
    """The demonstrations of one passage, most similar last, with the ids to name them by."""

    views: tuple[DemonstrationView, ...] = ()
    ids: tuple[str, ...] = ()

    def last(self, count: int) -> tuple[DemonstrationView, ...]:
        """The ``count`` most similar."""
        return self.views[len(self.views) - count :] if 0 < count < len(self.views) else self.views[: count or 0]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span that at least one member proposed, in passage offsets.

    Attributes:
        span: Where; its label is set once the vote has been taken.
        proposers: Names of the members that wrote it, in member order.
        typed: (member, label) for members whose extract step names types.
        written: For each of those, the probability with which the member wrote that line; None where it is not known.
        votes: One a member that classified it.
        probability: The vote's share for the label it chose.
        verdict: The verifier's probability of yes; None where not asked.
        confidence: Probability that place and type are right.
    """

    span: Span
    proposers: tuple[str, ...]
    typed: tuple[tuple[str, str], ...] = ()
    written: tuple[float | None, ...] = ()
    votes: tuple[Vote, ...] = ()
    probability: float = 0.0
    verdict: float | None = None
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """One passage on its way.

    Attributes:
        passage: The passage.
        shown: Its text as prompts and grammars use it.
        suspected: Spans from pre-extraction, for retrieval.
        demonstrations: What the members are shown.
        candidates: The union of what the members proposed.
        answered: Members whose extract answer could be read.
        outcome: How it stands; only ever gets worse.
        ungrounded: What a member wrote that stands nowhere.
    """

    passage: Passage
    shown: str
    suspected: tuple[Span, ...] = ()
    demonstrations: Shown = Shown()
    candidates: tuple[Candidate, ...] = ()
    answered: tuple[str, ...] = ()
    outcome: Outcome = Outcome()
    ungrounded: tuple[str, ...] = ()

    @property
    def context(self) -> str:
        """The left context as shown: it stands in the same prompt, so it must be as harmless as the passage."""
        return model_text(self.passage.context)

    def marked(self, outcome: Outcome) -> Work:
        """The same passage with an outcome that may be worse."""
        return replace(self, outcome=self.outcome.worse(outcome))

    def noted(self, remark: str) -> Work:
        """The same passage with a remark beside its outcome, which it does not change."""
        said = f"{self.outcome.reason}; {remark}" if self.outcome.reason else remark
        return replace(self, outcome=replace(self.outcome, reason=said))


class BatchState(TypedDict, total=False):
    """The graph's state. ``works`` is replaced as a whole by each node."""

    works: tuple[Work, ...]
    results: tuple[PassageResult, ...]
    members_down: tuple[str, ...]
