"""A helper process that the screen talks to in lines of JSON, so that no model ever makes a key wait.

The helper ends by itself when its standard input ends, which it does however the
screen's process dies; nothing stays behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.errors import EngineError

Told = Callable[[dict[str, Any]], None]


class Child:
    """A Python module run as a helper process.

    Args:
        module: Run with ``python -m``.
        arguments: Its command line.
        told: Called from a thread with each message; with ``{"ended": status}`` at the end.
        log: Where its diagnostics go.

    Raises:
        EngineError: It cannot be started.
    """

    def __init__(self, module: str, arguments: list[str], told: Told, log: Path) -> None:
        self._told = told
        try:
            with log.open("ab") as diagnostics:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=diagnostics,
                    start_new_session=True,
                    env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            raise EngineError(
                f"the helper {module} cannot be started ({error.strerror})", "see quorum doctor"
            ) from error
        self._mutex = threading.Lock()
        threading.Thread(target=self._listen, name=module, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # a library's own chatter on stdout is no message
            if isinstance(message, dict):
                self._told(message)
        self._told({"ended": self._process.wait()})

    def send(self, message: dict[str, Any]) -> bool:
        """Send a message; False where the helper has ended."""
        with self._mutex:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                return False
        return True

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """Let it end; it has a few seconds to stop what it started, and is then killed."""
        with self._mutex:
            if self._process.stdin is not None and not self._process.stdin.closed:
                try:
                    self._process.stdin.close()
                except OSError:
                    return  # it is gone already

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None where it still runs after so long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def messages() -> Iterator[dict[str, Any]]:
    """In a helper: what the screen sends, until it is gone."""
    for line in sys.stdin:
        message = json.loads(line)
        if isinstance(message, dict):
            yield message


def tell(**message: Any) -> None:
    """In a helper: send the screen a message; when nobody listens any more, end."""
    try:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
    except OSError:
        os._exit(0)
