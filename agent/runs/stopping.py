"""Asking a run to stop: once gently, twice at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSwitch:
    """Turns SIGINT and SIGTERM into a wish that the run looks at between parts.

    Used as an async context manager it takes the two signals over and gives
    them back at the end. The first signal asks for a gentle stop; another one
    asks to stop at once.

    Args:
        gently: Called at the first request.
        at_once: Called at the second.
    """

    def __init__(
        self, gently: Callable[[], object] = lambda: None, at_once: Callable[[], object] = lambda: None
    ) -> None:
        self.gently = gently
        self.at_once = at_once
        self.signum = 0
        self._requests = 0
        self._taken: list[signal.Signals] = []

    @property
    def requested(self) -> bool:
        """Whether the run should begin nothing new."""
        return self._requests > 0

    def request(self, signum: int = 0) -> None:
        """Ask to stop.

        Args:
            signum: The signal that did; 0 when the run itself wants to end.
        """
        self._requests += 1 if signum else not self._requests
        self.signum = self.signum or signum
        (self.gently if self._requests == 1 else self.at_once)()

    async def __aenter__(self) -> StopSwitch:
        loop = asyncio.get_running_loop()
        for signum in SIGNALS:
            try:
                loop.add_signal_handler(signum, self.request, int(signum))
            except (NotImplementedError, RuntimeError, ValueError):
                continue  # not in the main thread: whoever runs us there stops us in its own way
            self._taken.append(signum)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for signum in self._taken:
            loop.remove_signal_handler(signum)
