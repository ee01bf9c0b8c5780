"""How a run ends when it does not end by itself."""

from __future__ import annotations

import signal

from tools.errors import QuorumError


class RunInterrupted(QuorumError):
    """A person or the system asked the run to stop; what is recorded stays.

    Args:
        signum: The signal that asked; the exit code is 128 more, as shells have it.
        message: One line, how far the run came.
        hint: How to go on.
    """

    def __init__(self, signum: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signum

    @property
    def signal_name(self) -> str:
        """``SIGINT`` or ``SIGTERM``."""
        return signal.Signals(self.exit_code - 128).name


class RunBroken(QuorumError):
    """Whole parts failed one after the other: the fault is not in the texts."""

    exit_code = 1


class RunMismatch(QuorumError):
    """The run on disk belongs to another configuration or another input."""
