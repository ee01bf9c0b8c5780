"""What a run came to, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.engines.protocol import Usage


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One call of a run that came to its end.

    Attributes:
        run: Its number in the store.
        state: ``complete``.
        output: The file written; ``-`` for stdout.
        store: Where everything is kept.
        documents: In the output.
        entities: In the output.
        outcomes: Documents by outcome.
        passages: Passages by outcome.
        dead_letters: Passages that failed.
        grounded: Share of the entities whose text stands at their offsets.
        ungrounded: Texts that models wrote and that stand nowhere; left out.
        already_complete: Whether nothing was left to do.
        skipped: Documents that an earlier call had done.
        extracted: Documents done by this call.
        seconds: What this call took to extract, model loading not counted.
        usage: By step and member, over all calls.
        members_down: Members that did not answer at the end.
        bad_records: Input records left out (``--skip-bad``).
        encodings: Encodings the input was read in, to files.
        warnings: What was noticed about the input.
    """

    run: int
    state: str
    output: str
    store: str
    documents: int
    entities: int
    outcomes: Mapping[str, int]
    passages: Mapping[str, int]
    dead_letters: int
    grounded: float
    ungrounded: int
    already_complete: bool
    skipped: int
    extracted: int
    seconds: float
    usage: Mapping[str, Usage]
    members_down: tuple[str, ...] = ()
    bad_records: int = 0
    encodings: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def documents_per_second(self) -> float:
        """Of this call; 0 where it had nothing to do."""
        return self.extracted / self.seconds if self.seconds > 0 else 0.0

    @property
    def total(self) -> Usage:
        """All steps and members together."""
        total = Usage()
        for usage in self.usage.values():
            total.merge(usage)
        return total

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        total = self.total
        return {
            "run": self.run,
            "state": self.state,
            "output": self.output,
            "store": self.store,
            "documents": self.documents,
            "entities": self.entities,
            "outcomes": dict(self.outcomes),
            "passages": dict(self.passages),
            "dead_letters": self.dead_letters,
            "grounded": self.grounded,
            "ungrounded": self.ungrounded,
            "already_complete": self.already_complete,
            "skipped": self.skipped,
            "extracted": self.extracted,
            "seconds": round(self.seconds, 3),
            "documents_per_second": round(self.documents_per_second, 3),
            "tokens": {"prompt": total.prompt_tokens, "cached": total.cached_tokens, "output": total.output_tokens},
            "requests": {"sent": total.requests, "failed": total.failures, "from_cache": total.from_cache},
            "usage": {tag: _plain(usage) for tag, usage in sorted(self.usage.items())},
            "members_down": list(self.members_down),
            "bad_records": self.bad_records,
            "encodings": dict(self.encodings),
            "warnings": list(self.warnings),
        }


def _plain(usage: Usage) -> dict[str, float]:
    return {name: round(getattr(usage, name), 3) for name in Usage.__slots__}
