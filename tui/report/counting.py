"""Progress of a command that counts documents: nothing for two seconds, then a bar or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tui.report.progress import LINE_SECONDS, duration

QUIET_SECONDS = 2.0


@contextmanager
def counting(
    what: str, total: int | None = None, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], None]]:
    """Count documents where a person can see it.

    Args:
        what: What is done to them, e.g. ``read``.
        total: How many there are; None while that is not known.
        stream: Where to; stderr by default.
        clock: Seconds from anywhere.

    Yields:
        A function to call for every document.
    """
    out = stream or sys.stderr
    live = out.isatty()
    begin = clock()
    shown = begin + QUIET_SECONDS
    done = 0

    def step() -> None:
        nonlocal done, shown
        done += 1
        if done % 64 or (now := clock()) < shown:
            return
        shown = now + (0.2 if live else LINE_SECONDS)
        rate = done / max(now - begin, 1e-9)
        of = f" of {total:,}" if total else ""
        left = f", {duration((total - done) / rate)} left" if total else ""
        line = f"{what}: {done:,}{of} documents, {rate:,.0f} a second{left}"
        out.write(f"\r\x1b[K{line}" if live else f"{line}\n")
        out.flush()

    try:
        yield step
    finally:
        if live and done:
            out.write("\r\x1b[K")
            out.flush()
