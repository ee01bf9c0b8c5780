"""Progress of a run on stderr: a live bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from agent.runs.progress import Observer, Snapshot
from tui.commands.common import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_SECONDS = 10.0


def describe(snapshot: Snapshot) -> str:
    """A run's progress in one line of plain text."""
    of = f" of {snapshot.total:,}" if snapshot.total is not None else ""
    parts = [f"{snapshot.documents:,}{of} documents", rates(snapshot)]
    parts.append(f"{duration(snapshot.eta)} left" if snapshot.eta is not None else first_answers(snapshot))
    if snapshot.outcomes:
        parts.append(outcomes(snapshot.outcomes))
    if snapshot.members_down:
        parts.append("down: " + ", ".join(snapshot.members_down))
    return "; ".join(part for part in parts if part)


def first_answers(snapshot: Snapshot) -> str:
    """What there is to see before the first part is done: ``1,234 answers``."""
    return f"{snapshot.answers:,} answers" if snapshot.answers and snapshot.documents == snapshot.skipped else ""


def rates(snapshot: Snapshot) -> str:
    """Documents and tokens a second."""
    return f"{snapshot.documents_per_second:,.1f} docs/s, {snapshot.tokens_per_second:,.0f} tokens/s"


def outcomes(counts: Mapping[str, int]) -> str:
    """Passages by outcome, the best first: ``ok 310, failed 2``."""
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.items())


def duration(seconds: float) -> str:
    """``8s``, ``3m 20s``, ``2h 05m``, ``4d 03h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


class Lines:
    """Plain lines, for logs.

    Args:
        write: Takes a line.
        clock: Seconds from anywhere.
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._next = clock() + LINE_SECONDS

    def update(self, snapshot: Snapshot) -> None:
        """Write a line when the last is old enough."""
        if self._clock() >= self._next:
            self._next = self._clock() + LINE_SECONDS
            self._write(describe(snapshot))

    def note(self, text: str) -> None:
        """Write it at once."""
        self._write(text)


class Bar:
    """A live bar.

    Args:
        progress: Rich's, already started.
        task: The one task in it.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, snapshot: Snapshot) -> None:
        """Draw it anew."""
        left = f"{duration(snapshot.eta)} left" if snapshot.eta is not None else first_answers(snapshot)
        self._progress.update(
            self._task,
            completed=snapshot.documents,
            total=snapshot.total,
            seen=f"{snapshot.documents:,}" + (f"/{snapshot.total:,}" if snapshot.total is not None else ""),
            rates=rates(snapshot),
            left=left,
            outcomes=outcomes(snapshot.outcomes)
            + (f"; down: {', '.join(snapshot.members_down)}" if snapshot.members_down else ""),
        )

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._progress.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_on(stream: TextIO | None = None) -> Iterator[Observer]:
    """An observer for as long as the block runs.

    Args:
        stream: Where to; stderr by default.
    """
    out = stream or sys.stderr
    if not out.isatty():
        yield Lines(lambda line: print(printable(line), file=out, flush=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        *(TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("seen", "rates", "left", "outcomes")),
    )
    with Progress(*columns, console=Console(file=out), transient=True, refresh_per_second=5) as bar:
        yield Bar(bar, bar.add_task("", total=None, seen="", rates="starting", left="", outcomes=""))
