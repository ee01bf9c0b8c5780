"""How passages ended, how much of what models wrote stood in the text, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields

from tools.annotation.prediction import OutcomeKind, PassageResult
from tools.metrics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class Grounding:
    """What models wrote, by whether it stands in the passage.

    Attributes:
        grounded: Mentions that were found there.
        ungrounded: Mentions that were not, and were left out.
    """

    grounded: int
    ungrounded: int

    @property
    def rate(self) -> Interval:
        """The share that is grounded, with Wilson's interval; 0 to 1 where nothing was written."""
        return wilson(self.grounded, self.grounded + self.ungrounded)


def grounding(results: Iterable[PassageResult]) -> Grounding:
    """Count what was grounded: decided and rejected candidates are, strings left out are not.

    Args:
        results: Of passages.
    """
    grounded = ungrounded = 0
    for result in results:
        grounded += len(result.entities) + len(result.rejected)
        ungrounded += len(result.ungrounded)
    return Grounding(grounded, ungrounded)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How passages or documents ended.

    Attributes:
        counts: Every kind, the best first, zeros too.
    """

    counts: dict[OutcomeKind, int]

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def share(self, kind: OutcomeKind) -> Interval:
        """The share of a kind, with Wilson's interval."""
        return wilson(self.counts[kind], self.total)


def outcomes(kinds: Iterable[OutcomeKind]) -> Outcomes:
    """Count how passages or documents ended.

    Args:
        kinds: One each.
    """
    counted = Counter(kinds)
    return Outcomes({kind: counted[kind] for kind in OutcomeKind})


@dataclass(frozen=True, slots=True)
class Cost:
    """What predictions cost; costs add up.

    Attributes:
        documents: How many were worked on.
        requests: Completions that were asked for.
        from_cache: How many of them the response cache answered, at no cost.
        prompt_tokens: Tokens read, the cached ones among them.
        cached_tokens: How many of these the engine had in its prefix cache.
        output_tokens: Tokens written.
        seconds: Wall time.
    """

    documents: int = 0
    requests: int = 0
    from_cache: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.output_tokens

    @property
    def documents_per_second(self) -> float:
        """0 where no time was taken."""
        return self.documents / self.seconds if self.seconds > 0 else 0.0

    @property
    def tokens_per_document(self) -> float:
        """Read and written; 0 without documents."""
        return self.tokens / self.documents if self.documents else 0.0

    @property
    def cached_share(self) -> float:
        """The share of the tokens read that the prefix cache had, 0 to 1."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0
