"""Keeping what was asked and answered, document by document, while the extraction graph runs."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.engines.cache import ResponseCache
from agent.engines.protocol import Accounting, Completion, Request, Usage
from agent.extraction.state import Candidate, Work
from evals.records import CandidateRow, PromptText, SpanRow, StepRow, VoteRow
from tools.annotation import Span

# An alternative less probable than this tells nobody anything; a choice has up to 64 of them.
_LEAST_LOGPROB = math.log(1e-3)


@dataclass(slots=True)
class Trace(Accounting):
    """Counts as ``Accounting`` does, and keeps every request with its answer.

    Attributes:
        rows: Asker's key, request and completion, in the order of the steps.
    """

    rows: list[tuple[tuple[int, ...], Request, Completion]] = field(default_factory=list)

    def asked(self, request: Request, key: tuple[int, ...], completion: Completion) -> None:
        """Count one answer and keep it."""
        self.add(request.tag, completion)
        self.rows.append((key, request, completion))


class ReplayCounter:
    """A response cache that knows which answers were given before this pass began.

    A pass whose answers are old tells nothing about seconds.

    Args:
        cache: Where answers are kept.
    """

    def __init__(self, cache: ResponseCache) -> None:
        self._cache = cache
        self._fresh: set[str] = set()
        self.replayed = 0
        self.looked_up = 0

    def begin(self) -> None:
        """A new pass begins: whatever there is now is old."""
        self._fresh.clear()
        self.replayed = self.looked_up = 0

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What there is of the keys."""
        found = self._cache.get(keys)
        self.looked_up += len(keys)
        self.replayed += sum(key not in self._fresh for key in found)
        return found

    def put(self, answers: Mapping[str, bytes]) -> None:
        """Keep answers."""
        self._fresh.update(answers)
        self._cache.put(answers)


class PromptBook:
    """The prompts of a pass: each text once, by its hash."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[PromptText] = []

    def name(self, request: Request) -> str:
        """The hash of a request's messages (hex, 20 digits)."""
        digest = hashlib.blake2b(digest_size=10)
        for role, content in request.messages:
            digest.update(f"{role}\0{content}\0".encode("utf-8", "surrogatepass"))
        found = digest.hexdigest()
        if found not in self._known:
            self._known.add(found)
            self._new.append(PromptText(found, request.messages))
        return found

    def take(self) -> list[PromptText]:
        """The prompts that were named for the first time since the last call."""
        new, self._new = self._new, []
        return new


def span_row(span: Span, by: int = 0) -> SpanRow:
    """A span as a record has it, moved by some code points."""
    return (span.start + by, span.end + by, span.label)


def step_rows(trace: Trace, works: Sequence[Work], book: PromptBook, prefix: str = "") -> list[list[StepRow]]:
    """The requests of a batch by passage, in the order of the steps.

    Args:
        trace: What was asked.
        works: The passages at the end, in order; requests about candidates name them by number.
        book: Names the prompts.
        prefix: Before the steps' names, for steps that were given the truth.
    """
    rows: list[list[StepRow]] = [[] for _ in works]
    classified = {key for key, request, _ in trace.rows if request.tag.startswith("classify/")}
    asked = Counter(key[0] for key in classified)
    for key, request, completion in trace.rows:
        work = works[key[0]]
        step, _, member = request.tag.partition("/")
        about = None
        # Where candidates were left out for too few votes, numbers given before mean others now.
        moved = step == "classify" and asked[key[0]] != len(work.candidates)
        if len(key) > 1 and not moved and key[1] < len(work.candidates):
            about = span_row(work.candidates[key[1]].span, work.passage.start)
        c = completion
        rows[key[0]].append(
            StepRow(
                f"{prefix}{step}",
                member,
                book.name(request),
                about,
                c.text,
                c.finish,
                f"{c.failure.kind}: {c.failure.message}" if c.failure else "",
                (c.prompt_tokens, c.cached_tokens, c.output_tokens),
                round(c.latency, 4),
                c.from_cache,
                _alternatives(c),
            )
        )
    return rows


def _alternatives(completion: Completion) -> tuple[tuple[str, float], ...]:
    if not completion.logprobs:
        return ()
    return tuple((text, round(value, 4)) for text, value in completion.logprobs[0].top if value > _LEAST_LOGPROB)


def candidate_row(candidate: Candidate, work: Work) -> CandidateRow:
    """A candidate in document offsets."""
    return CandidateRow(
        span_row(candidate.span, work.passage.start),
        work.passage.index,
        candidate.proposers,
        candidate.typed,
        tuple(VoteRow(v.member, v.proposed, v.label, round(v.probability, 6)) for v in candidate.votes),
        round(candidate.probability, 6),
        None if candidate.verdict is None else round(candidate.verdict, 6),
    )


def usage_table(usage: Mapping[str, Usage]) -> dict[str, dict[str, float]]:
    """Usage by step and member as numbers."""
    return {
        tag: {name: round(float(getattr(one, name)), 4) for name in Usage.__slots__}
        for tag, one in sorted(usage.items())
    }
