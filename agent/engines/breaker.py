"""A circuit breaker: a dead engine is noticed once, not again by every request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

BreakerStatus = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Opens after failures in a row; after a while lets one request through to see.

    Args:
        open_after: Infrastructure failures in a row that open it.
        reset_after: Seconds it stays open the first time; doubles with every failed trial.
        reset_cap: The most it stays open.
        clock: Seconds that never go back.
    """

    def __init__(self, open_after: int, reset_after: float, reset_cap: float, clock: Callable[[], float]) -> None:
        self._open_after = open_after
        self._first_reset = reset_after
        self._reset = reset_after
        self._cap = reset_cap
        self._clock = clock
        self._opened_at: float | None = None
        self._trial = False
        self.failures_in_row = 0

    @property
    def status(self) -> BreakerStatus:
        """Closed (works), open (turns everything away), half_open (a trial is due or under way)."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._trial or self.wait == 0 else "open"

    @property
    def wait(self) -> float:
        """Seconds until the next trial; 0 when closed or due."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._reset - self._clock())

    def admit(self) -> bool:
        """Whether a request may be sent now; the one that may while it is open is the trial."""
        if self._opened_at is None:
            return True
        if self._trial or self.wait > 0:
            return False
        self._trial = True
        return True

    def succeeded(self) -> None:
        """The engine answered, be it to turn a request down: it lives."""
        self._opened_at = None
        self._trial = False
        self._reset = self._first_reset
        self.failures_in_row = 0

    def failed(self) -> None:
        """The engine as such failed."""
        self.failures_in_row += 1
        if self._opened_at is None:
            if self.failures_in_row >= self._open_after:
                self._opened_at = self._clock()
        elif self._trial:
            self._trial = False
            self._reset = min(self._cap, 2 * self._reset)
            self._opened_at = self._clock()

    def undecided(self) -> None:
        """The request says nothing either way (cancelled, or an answer that makes no sense)."""
        if self._trial:
            self._trial = False
            self._opened_at = self._clock()
