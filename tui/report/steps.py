"""Progress of a command that does several things in turn: a bar after two seconds, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tui.report.progress import duration

QUIET_SECONDS = 2.0
WIDTH = 24
Tick = Callable[[str, int, int], None]


@contextmanager
def steps(stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Tick]:
    """Show on a terminal what is being done.

    Args:
        stream: Where to; stderr by default. Nothing is written where it is no terminal.
        clock: Seconds from anywhere.

    Yields:
        A function to be called with what is done, how much of it is done, and
        how much there is (0 where nobody knows).
    """
    out = stream or sys.stderr
    live = out.isatty()
    begin = clock()
    now_doing, since = "", begin
    written = False

    def tick(what: str, done: int, total: int) -> None:
        nonlocal now_doing, since, written
        now = clock()
        if what != now_doing:
            now_doing, since = what, now
        # What cannot count its parts is named at once: the next word from it may take a while.
        if not live or (now - begin < QUIET_SECONDS and total):
            return
        line = what
        if total:
            full = WIDTH * done // total
            left = f"  {duration((now - since) / done * (total - done))} left" if done else ""
            line += f"  {'━' * full}{'╌' * (WIDTH - full)} {done:,} of {total:,}{left}"
        out.write(f"\r\x1b[K{line}")
        out.flush()
        written = True

    try:
        yield tick
    finally:
        if written:
            out.write("\r\x1b[K")
            out.flush()
