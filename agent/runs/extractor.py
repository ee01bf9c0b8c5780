"""What a run needs of whoever extracts: a batch of passages in, a result a passage out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.engines.protocol import Usage
from tools.annotation.document import Passage
from tools.annotation.prediction import PassageResult


class Batch(Protocol):
    """What ``extract`` gives back."""

    @property
    def results(self) -> Sequence[PassageResult]:
        """One a passage, in their order."""
        ...

    @property
    def usage(self) -> Mapping[str, Usage]:
        """Tokens and time by tag (step/member)."""
        ...

    @property
    def members_down(self) -> Sequence[str]:
        """Members that did not answer and were left out."""
        ...


class Extractor(Protocol):
    """A quorum as a run sees it; ``agent.extraction.quorum.Quorum`` is one."""

    async def extract(self, passages: Sequence[Passage]) -> Batch:
        """Extract from a batch of passages.

        Raises:
            QuorumLost: Fewer members answer than the quorum needs.
        """
        ...


@dataclass(frozen=True, slots=True)
class Extracted:
    """A plain ``Batch``: what the run itself puts together, and what scripted extractors return."""

    results: tuple[PassageResult, ...]
    usage: Mapping[str, Usage] = field(default_factory=dict)
    members_down: tuple[str, ...] = ()


def merge_usage(many: Sequence[Mapping[str, Usage]]) -> dict[str, Usage]:
    """Sum usages by tag into new objects."""
    total: dict[str, Usage] = {}
    for usages in many:
        for tag, usage in usages.items():
            total.setdefault(tag, Usage()).merge(usage)
    return total
