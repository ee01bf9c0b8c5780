"""What the nodes of the graph work with: members, labels, retriever, settings.

It is handed to every invocation as LangGraph's runtime context, so the graph
itself is compiled once and holds nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

from agent.config import MemberStep, RunConfig, StepsConfig
from agent.engines.protocol import Accounting
from agent.extraction.confidence import Calibrator
from agent.extraction.member import Member, Sheet
from agent.extraction.state import Shown, Work


class DemonstrationSource(Protocol):
    """Finds demonstrations for a whole batch in one go."""

    @property
    def needs_spans(self) -> bool:
        """Whether retrieval wants pre-extracted spans (EL4NER's span-level similarity)."""
        ...

    def shown_for(self, works: tuple[Work, ...], k: int, sheet: Sheet, rng: random.Random) -> list[Shown]:
        """The ``k`` best demonstrations of each passage, most similar last."""
        ...


@dataclass(slots=True)
class Context:
    """One batch's surroundings.

    Attributes:
        members: The voters, in order.
        sheet: The label set, ready for prompts.
        steps: Which steps are taken.
        run: Quorum and threshold.
        source: Where demonstrations come from; None without any.
        k: How many are retrieved (the most any member is shown).
        calibrator: Turns votes and verdict into a probability.
        verifier: The member that verifies.
        rng: Source of chance.
        accounting: Usage of this batch, by step and member.
    """

    members: tuple[Member, ...]
    sheet: Sheet
    steps: StepsConfig
    run: RunConfig
    source: DemonstrationSource | None
    k: int
    calibrator: Calibrator
    verifier: Member
    rng: random.Random
    accounting: Accounting = field(default_factory=Accounting)

    def taking(self, step: MemberStep) -> tuple[Member, ...]:
        """The members that take part in a step, in order."""
        return tuple(member for member in self.members if step in member.steps)

    def quorum_of(self, step: MemberStep) -> int:
        """How many must answer in a step: the quorum, where so many take part in it, else all that do."""
        return min(self.run.quorum, len(self.taking(step)))
