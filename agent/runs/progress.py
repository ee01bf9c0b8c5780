"""How far a run is: counted part by part, told as frozen snapshots."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.engines.protocol import Usage
from tools.annotation.prediction import OutcomeKind, PassageResult

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at a run.

    Attributes:
        documents: Done, those of earlier calls of the command included.
        passages: The same of passages.
        skipped: Documents that an earlier call had done.
        total: Documents there are; None while that is not known.
        entities: Found in this call.
        outcomes: Passages by outcome, earlier calls included.
        seconds: Since this call began to extract.
        documents_per_second: Over the last minute.
        tokens_per_second: Read and written, over the last minute.
        eta: Seconds that are left; None where it cannot be said.
        in_flight: Parts being worked on.
        members_down: Members that do not answer.
        answers: Requests answered in this call, those of parts in flight too.
    """

    documents: int
    passages: int
    skipped: int
    total: int | None
    entities: int
    outcomes: Mapping[str, int]
    seconds: float
    documents_per_second: float
    tokens_per_second: float
    eta: float | None
    in_flight: int
    members_down: tuple[str, ...]
    answers: int = 0


class Observer(Protocol):
    """Whoever shows progress."""

    def update(self, snapshot: Snapshot) -> None:
        """Something was recorded, or a second has passed."""
        ...

    def note(self, text: str) -> None:
        """A line worth reading: a member is down, a stop was asked for."""
        ...


class Silent:
    """An observer that shows nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


@dataclass(slots=True)
class Progress:
    """The counters behind the snapshots.

    Args:
        total: Documents there are, where known.
        outcomes: Passages by outcome that earlier calls recorded.
        clock: Seconds from anywhere, never going back.
    """

    total: int | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    clock: Callable[[], float] = time.monotonic
    documents: int = 0
    passages: int = 0
    skipped: int = 0
    entities: int = 0
    in_flight: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)
    members_down: tuple[str, ...] = ()
    tokens: int = 0
    began: float = 0.0
    ended: float = 0.0
    answers: int = 0
    _before: tuple[int, int] | None = None
    _recent: deque[tuple[float, int, int]] = field(default_factory=deque)

    def begin(self) -> None:
        """Extraction begins now: rates count from here."""
        self.began = self.clock()
        self._recent.append((self.began, 0, 0))

    def end(self) -> None:
        """Extraction is over."""
        self.ended = self.clock()

    @property
    def seconds(self) -> float:
        """How long this call extracted, up to now or to its end."""
        return (self.ended or self.clock()) - self.began if self.began else 0.0

    def skip(self, documents: int, passages: int) -> None:
        """An earlier call had done these."""
        self.skipped += documents
        self.documents += documents
        self.passages += passages

    def done(
        self,
        documents: int,
        results: Sequence[PassageResult],
        usage: Mapping[str, Usage],
        members_down: Sequence[str],
    ) -> None:
        """A part was recorded."""
        self.documents += documents
        self.passages += len(results)
        for result in results:
            self.entities += len(result.entities)
            self.outcomes[result.outcome.kind.value] += 1
        for tag, used in usage.items():
            self.usage.setdefault(tag, Usage()).merge(used)
            if self._before is None:
                self.tokens += used.prompt_tokens + used.output_tokens
        self.members_down = tuple(members_down)
        self._sample(self.clock())

    def heard(self, answered: int, tokens: int) -> None:
        """What the engines have done by now: a part takes minutes, and is recorded as a whole.

        Args:
            answered: Requests, since the engines were made.
            tokens: Read and written, likewise.
        """
        if self._before is None:
            self._before = (answered, tokens)
        self.answers = answered - self._before[0]
        self.tokens = max(self.tokens, tokens - self._before[1])
        self._sample(self.clock())

    def _sample(self, now: float) -> None:
        self._recent.append((now, self.documents - self.skipped, self.tokens))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW_SECONDS:
            self._recent.popleft()

    def snapshot(self) -> Snapshot:
        """How it stands now."""
        now = self.ended or self.clock()
        then, documents, tokens = self._recent[0] if self._recent else (now, 0, 0)
        passed = max(now - then, 1e-9)
        rate = (self.documents - self.skipped - documents) / passed
        left = None if self.total is None else max(0, self.total - self.documents)
        return Snapshot(
            documents=self.documents,
            passages=self.passages,
            skipped=self.skipped,
            total=self.total,
            entities=self.entities,
            outcomes={kind.value: self.outcomes[kind.value] for kind in OutcomeKind if self.outcomes[kind.value]},
            seconds=self.seconds,
            documents_per_second=rate,
            tokens_per_second=(self.tokens - tokens) / passed,
            eta=left / rate if left is not None and rate > 0 else None,
            in_flight=self.in_flight,
            members_down=self.members_down,
            answers=self.answers,
        )
