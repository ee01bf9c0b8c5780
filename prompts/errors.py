"""The root of the error tree; it stands in the lowest layer so that all may use it."""

from __future__ import annotations


class QuorumError(Exception):
    """Base of every error that Quorum raises on purpose.

    The command line prints ``message`` and ``hint`` without a traceback and
    exits with ``exit_code``.

    Args:
        message: One line, what is wrong, with the file, line or id at fault.
        hint: One line, what to do about it; may be empty.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class PromptError(QuorumError):
    """A template is missing, malformed, or asks for what it does not get."""
