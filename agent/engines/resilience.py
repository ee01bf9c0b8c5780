"""Around any engine: bounded concurrency, timeouts, retries with jitter, a circuit breaker."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.engines.breaker import BreakerStatus, CircuitBreaker
from agent.engines.protocol import Completion, Engine, FailureKind, Request
from tools.errors import EngineError, ModelError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient to be with an engine.

    Attributes:
        max_in_flight: Requests sent and not yet answered, over all calls.
        timeout: Seconds for one try of one request; None: as long as it takes.
        attempts: Tries a request gets, the first one included.
        backoff: Seconds; the n-th pause is drawn evenly from 0 to
            ``backoff * 2**(n-1)`` ("full jitter": clients that failed together do
            not come back together).
        backoff_cap: The longest pause that is drawn.
        retry_after_cap: The longest pause an engine may ask for.
        deadline: Seconds for a request with all its tries and pauses; None: no limit.
        open_after: Infrastructure failures in a row that open the circuit.
        reset_after: Seconds until an open circuit lets a trial through; doubles.
        reset_cap: The most seconds between two trials.
    """

    max_in_flight: int = 256
    timeout: float | None = 120.0
    attempts: int = 4
    backoff: float = 0.5
    backoff_cap: float = 20.0
    retry_after_cap: float = 120.0
    deadline: float | None = 600.0
    open_after: int = 12
    reset_after: float = 10.0
    reset_cap: float = 120.0


@dataclass(frozen=True, slots=True)
class EngineState:
    """What a report says about an engine.

    Attributes:
        status: Of the circuit breaker.
        failures_in_row: Infrastructure failures since the last answer.
        retry_in: Seconds until an open circuit lets a trial through.
        sent: Tries sent.
        retried: Of those, second and later tries.
        failed: Requests that ended without an answer.
        turned_away: Requests not sent because the circuit was open.
        last_failure: ``kind: message`` of the last failed try; empty when none.
        answered: Tries that came back, with an answer or with a failure.
        tokens: Read and written in them.
    """

    status: BreakerStatus
    failures_in_row: int
    retry_in: float
    sent: int
    retried: int
    failed: int
    turned_away: int
    last_failure: str
    answered: int
    tokens: int


class ResilientEngine:
    """An engine that tries again where that can help, and stops where it cannot.

    Requests are sent one by one, or in groups of the engine's
    ``preferred_batch`` where it has one (0: a call as a whole). A try of a group
    times out after ``timeout`` for every request in it. Of a group, only what
    failed is tried again.

    Args:
        engine: What answers.
        policy: How patient to be.
        rng: Draws the pauses.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy | None = None,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.policy = policy or Policy()
        self._rng = rng or random.Random()
        self._clock = clock
        self._breaker = CircuitBreaker(self.policy.open_after, self.policy.reset_after, self.policy.reset_cap, clock)
        self._not_before = 0.0
        self._sent = self._retried = self._failed = self._turned_away = self._answered = self._tokens = 0
        self._last_failure = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(self.policy.max_in_flight)

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    @property
    def model_revision(self) -> str:
        """The engine's."""
        return self.engine.model_revision

    @property
    def context_tokens(self) -> int:
        """The engine's."""
        return self.engine.context_tokens

    @property
    def preferred_batch(self) -> int:
        """The engine's."""
        return int(getattr(self.engine, "preferred_batch", 1))

    @property
    def healthy(self) -> bool:
        """Whether requests are sent: the circuit is not open."""
        return self._breaker.status != "open"

    @property
    def state(self) -> EngineState:
        """For reports."""
        breaker = self._breaker
        return EngineState(
            status=breaker.status,
            failures_in_row=breaker.failures_in_row,
            retry_in=breaker.wait,
            sent=self._sent,
            retried=self._retried,
            failed=self._failed,
            turned_away=self._turned_away,
            last_failure=self._last_failure,
            answered=self._answered,
            tokens=self._tokens,
        )

    def count_tokens(self, text: str) -> int:
        """The engine's."""
        return self.engine.count_tokens(text)

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order; never raises for what the engine does."""
        if not requests:
            return []
        size = self.preferred_batch or len(requests)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._slots = asyncio.Semaphore(max(1, self.policy.max_in_flight // (self.preferred_batch or 1)))
        groups = [requests[at : at + size] for at in range(0, len(requests), size)]
        answers = await asyncio.gather(*(self._group(group) for group in groups))
        return [completion for group in answers for completion in group]

    async def _group(self, requests: Sequence[Request]) -> list[Completion]:
        """All tries of one group; the deadline runs from when it is first sent."""
        policy = self.policy
        results: dict[int, Completion] = {}
        pending = list(range(len(requests)))
        until = float("inf")
        for attempt in range(1, policy.attempts + 1):
            if attempt > 1:
                pause = self._rng.uniform(0.0, min(policy.backoff_cap, policy.backoff * 2.0 ** (attempt - 2)))
                if self._clock() + max(pause, self._asked_to_wait) >= until:
                    break
                await asyncio.sleep(pause)
            if not self.healthy:
                break
            async with self._slots:
                # The engine asked everyone to wait; a place is held meanwhile, so that nobody overtakes.
                if (asked := self._asked_to_wait) > 0:
                    await asyncio.sleep(asked + self._rng.uniform(0.0, policy.backoff))
                if attempt == 1 and policy.deadline is not None:
                    until = self._clock() + policy.deadline
                left = until - self._clock()
                if left <= 0 or not self._breaker.admit():
                    break
                self._sent += len(pending)
                self._retried += len(pending) if attempt > 1 else 0
                limit = left if policy.timeout is None else min(left, policy.timeout * len(pending))
                answers = await self._call([requests[at] for at in pending], None if limit == float("inf") else limit)
            self._judge(answers)
            for at, answer in zip(pending, answers, strict=True):
                results[at] = answer if attempt == 1 else replace(answer, attempts=attempt)
            pending = [at for at in pending if (f := results[at].failure) is not None and f.kind.retryable]
            if not pending:
                break
        self._failed += sum(answer.failure is not None for answer in results.values())
        return [results[at] if at in results else self._unsent() for at in range(len(requests))]

    @property
    def _asked_to_wait(self) -> float:
        return max(0.0, self._not_before - self._clock())

    def _unsent(self) -> Completion:
        self._turned_away += 1
        message = f"{self.name} is left out for {self._breaker.wait:.0f} s: {self._last_failure}"
        return Completion.failed(FailureKind.CIRCUIT_OPEN, message, attempts=0)

    async def _call(self, requests: list[Request], limit: float | None) -> list[Completion]:
        """Call the engine; whatever it raises becomes failures."""
        try:
            async with asyncio.timeout(limit):
                answers = await self.engine.complete(requests)
        except TimeoutError:
            answers = [Completion.failed(FailureKind.TIMEOUT, f"no answer within {limit:g} s")] * len(requests)
        except asyncio.CancelledError:
            self._breaker.undecided()
            raise
        except (EngineError, ModelError) as error:
            answers = [Completion.failed(FailureKind.UNAVAILABLE, str(error))] * len(requests)
        except Exception as error:  # an engine must not raise; one that does must not end a run
            _log.exception("engine %s raised", self.name)
            message = f"{type(error).__name__}: {error}"
            answers = [Completion.failed(FailureKind.SERVER, message)] * len(requests)
        if len(answers) != len(requests):
            message = f"{len(answers)} answers to {len(requests)} requests"
            answers = [Completion.failed(FailureKind.BAD_RESPONSE, message)] * len(requests)
        return answers

    def _judge(self, answers: list[Completion]) -> None:
        """Tell the breaker, and remember what the engine asked for."""
        self._answered += len(answers)
        self._tokens += sum(answer.prompt_tokens + answer.output_tokens for answer in answers)
        verdicts = [answer.failure for answer in answers]
        for failure in verdicts:
            if failure is None:
                continue
            self._last_failure = f"{failure.kind}: {failure.message}"
            if failure.retry_after:
                # Everyone waits, not only the request that was told so.
                wait = min(failure.retry_after, self.policy.retry_after_cap)
                self._not_before = max(self._not_before, self._clock() + wait)
        if any(failure is None or _alive(failure.kind) for failure in verdicts):
            self._breaker.succeeded()
        elif any(failure is not None and failure.kind.infrastructure for failure in verdicts):
            self._breaker.failed()
        else:
            self._breaker.undecided()


def _alive(kind: FailureKind) -> bool:
    """Whether a failure shows that the engine works; an answer that makes no sense shows neither."""
    return not kind.infrastructure and kind is not FailureKind.BAD_RESPONSE
