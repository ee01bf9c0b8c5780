"""Several parts in flight, each recorded when it is done, none waiting for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.runs.errors import RunBroken
from agent.runs.extractor import Extracted, Extractor
from agent.runs.feed import Feed
from agent.runs.isolation import extract_part
from agent.runs.parts import Part, is_blank
from agent.runs.progress import Observer, Progress, Silent
from agent.runs.stopping import StopSwitch
from tools.annotation.prediction import OutcomeKind

_BROKEN_PARTS = 3
_TICK_SECONDS = 1.0


@dataclass(slots=True)
class Scheduler:
    """Draws parts, has them extracted and recorded.

    Attributes:
        extractor: Whoever extracts.
        record: Writes a finished part in one transaction; called in a thread.
        progress: The counters.
        in_flight: Parts worked on at the same time.
        observer: Shown every recorded part, and once a second.
        stop: Asked before every part; it is entered and left by the caller.
    """

    extractor: Extractor
    record: Callable[[Part, Extracted], object]
    progress: Progress
    in_flight: int = 4
    observer: Observer = field(default_factory=Silent)
    stop: StopSwitch = field(default_factory=StopSwitch)
    _error: BaseException | None = None
    _failing: int = 0
    _down: tuple[str, ...] = ()

    async def run(self, parts: Iterable[Part]) -> bool:
        """Work through the parts.

        Args:
            parts: Drawn from in a thread, a few ahead of what is extracted.

        Returns:
            Whether all parts are recorded; False when it was asked to stop.

        Raises:
            QuorumError: What stopped the run. Parts that were in flight then have
                been finished and recorded where they could be.
        """
        async with Feed(parts, ahead=2) as feed:
            workers = [asyncio.create_task(self._work(feed)) for _ in range(self.in_flight)]
            self.stop.gently = lambda: self._stopping(feed)
            self.stop.at_once = lambda: [worker.cancel() for worker in workers]
            ticking = asyncio.create_task(self._tick())
            try:
                await asyncio.gather(*workers, return_exceptions=True)
            finally:
                ticking.cancel()
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, ticking, return_exceptions=True)
        self.progress.end()
        if self._error is not None:
            raise self._error
        return not self.stop.requested

    def _stopping(self, feed: Feed[Part]) -> None:
        feed.close()
        if self.stop.signum and self.progress.in_flight:
            self.observer.note(f"stopping: {self.progress.in_flight} part(s) in flight are finished first")

    async def _work(self, feed: Feed[Part]) -> None:
        try:
            while not self.stop.requested and (part := await feed.get()) is not None:
                if not self.progress.began:
                    self.progress.begin()
                self.progress.in_flight += 1
                try:
                    await self._one(part)
                finally:
                    self.progress.in_flight -= 1
        except Exception as error:
            # The first error is the cause; the others would only repeat it.
            self._error = self._error or error
            self.stop.request()

    async def _one(self, part: Part) -> None:
        batch = await extract_part(self.extractor, part.passages)
        writing = asyncio.ensure_future(asyncio.to_thread(self.record, part, batch))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])  # a write that has begun is let finish
            raise
        self.progress.done(part.documents, batch.results, batch.usage, batch.members_down)
        self._watch(part, batch)
        self.observer.update(self.progress.snapshot())

    def _watch(self, part: Part, batch: Extracted) -> None:
        if batch.members_down != self._down:
            if new := [name for name in batch.members_down if name not in self._down]:
                self.observer.note(f"left out, because it does not answer: {', '.join(new)}")
            if back := [name for name in self._down if name not in batch.members_down]:
                self.observer.note(f"answers again: {', '.join(back)}")
            self._down = batch.members_down
        real = [r for r, p in zip(batch.results, part.passages, strict=True) if not is_blank(p)]
        whole = len(real) > 1 and all(result.outcome.kind is OutcomeKind.FAILED for result in real)
        self._failing = self._failing + 1 if whole else 0
        if self._failing == _BROKEN_PARTS:
            raise RunBroken(
                f"every passage of {_BROKEN_PARTS} parts in a row failed: {real[-1].outcome.reason}",
                "mend the cause, run `quorum retry` for what failed, then the same command again for the rest",
            )

    async def _tick(self) -> None:
        activity: Callable[[], tuple[int, int]] | None = getattr(self.extractor, "activity", None)
        while True:
            if activity is not None:
                self.progress.heard(*activity())
            self.observer.update(self.progress.snapshot())
            await asyncio.sleep(_TICK_SECONDS)
