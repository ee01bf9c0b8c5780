"""Parts in flight, poison, stops."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from agent.runs.errors import RunBroken
from agent.runs.extractor import Extracted
from agent.runs.feed import Feed
from agent.runs.isolation import extract_part
from agent.runs.parts import Part, fingerprint
from agent.runs.progress import Progress, Snapshot
from agent.runs.scheduler import Scheduler
from agent.runs.stopping import StopSwitch
from tests.runs.scripted import Scripted, result
from tools.annotation import Passage, Span
from tools.annotation.prediction import Entity, OutcomeKind, PassageResult
from tools.errors import InputError, QuorumLost


def part(number: int, size: int = 4) -> Part:
    passages = tuple(Passage(f"d{number}-{n}", 0, 0, f"Ada of {number}") for n in range(size))
    return Part(number, passages, size, fingerprint(passages))


class Recorder:
    def __init__(self) -> None:
        self.parts: list[int] = []
        self.results: list[PassageResult] = []
        self.threads: set[int] = set()

    def __call__(self, part: Part, batch: Extracted) -> None:
        self.parts.append(part.number)
        self.results.extend(batch.results)
        self.threads.add(threading.get_ident())


class Watcher:
    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.notes: list[str] = []

    def update(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_every_part_is_recorded_once_and_off_the_event_loop() -> None:
    extractor, recorder, progress = Scripted(), Recorder(), Progress()
    assert asyncio.run(Scheduler(extractor, recorder, progress, 3).run(part(n) for n in range(20)))
    assert sorted(recorder.parts) == list(range(20))
    assert threading.get_ident() not in recorder.threads
    assert progress.documents == progress.passages == 80
    assert progress.usage["extract/list"].prompt_tokens == 800


def test_in_flight_bounds_what_runs_at_once() -> None:
    extractor = Scripted(wait=0.002)
    asyncio.run(Scheduler(extractor, Recorder(), Progress(), 3).run(part(n) for n in range(12)))
    assert extractor.most_running == 3


def test_a_slow_part_holds_nobody_else() -> None:
    order: list[int] = []

    class Slow(Scripted):
        async def extract(self, passages):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.3 if passages[0].document_id.startswith("d0-") else 0.001)
            return await super().extract(passages)

    asyncio.run(Scheduler(Slow(), lambda p, b: order.append(p.number), Progress(), 2).run(part(n) for n in range(20)))
    assert order[-1] == 0, "the slow part was waited for"


def test_reading_ahead_is_bounded() -> None:
    drawn = itertools.count()
    lead: list[int] = []
    last = 0

    def parts() -> Iterator[Part]:
        nonlocal last
        for n in range(40):
            last = next(drawn)
            yield part(n)

    done = itertools.count(1)
    scheduler = Scheduler(Scripted(wait=0.002), lambda p, b: lead.append(last - next(done)), Progress(), 2)
    asyncio.run(scheduler.run(parts()))
    assert max(lead) <= 2 + 2 + 2, "in flight, in the queue, and in hand"


def test_a_poison_passage_fails_alone() -> None:
    def poison(passage: Passage) -> None:
        if passage.document_id == "d3-1":
            raise ZeroDivisionError("no\nreason")

    extractor, recorder = Scripted(poison), Recorder()
    assert asyncio.run(Scheduler(extractor, recorder, Progress(), 2).run(part(n) for n in range(6)))
    failed = [r for r in recorder.results if r.outcome.kind is OutcomeKind.FAILED]
    assert [(r.document_id, r.outcome.reason) for r in failed] == [("d3-1", "ZeroDivisionError: no reason")]
    assert len(recorder.results) == 24
    assert all(r.entities for r in recorder.results if r is not failed[0])


def test_poison_is_found_by_halving() -> None:
    passages = [Passage(f"d{n}", 0, 0, "Ada") for n in range(64)]

    def poison(passage: Passage) -> None:
        if passage.document_id == "d40":
            raise RuntimeError

    extractor = Scripted(poison)
    batch = asyncio.run(extract_part(extractor, passages))
    assert [r.document_id for r in batch.results] == [p.document_id for p in passages]
    assert len(extractor.calls) == 13
    assert batch.usage["extract/list"].requests == 63


@pytest.mark.parametrize("fault", ["short", "swapped", "outside"])
def test_results_that_are_not_those_asked_for_do_not_get_in(fault: str) -> None:
    class Wrong(Scripted):
        async def extract(self, passages):  # type: ignore[no-untyped-def]
            batch = await super().extract(passages)
            results = list(batch.results)
            if len(results) > 1 and fault == "short":
                results.pop()
            if len(results) > 1 and fault == "swapped":
                results.reverse()
            if fault == "outside" and passages[0].document_id == "d0-0":
                results[0] = PassageResult("d0-0", 0, results[0].outcome, (Entity(Span(3, 300, "name"), 0.9),))
            return Extracted(tuple(results))

    batch = asyncio.run(extract_part(Wrong(), part(0).passages))
    good = [r for r in batch.results if r.outcome.kind is OutcomeKind.OK]
    assert good == [result(p) for p in part(0).passages[fault == "outside" :]]


def test_passages_without_text_ask_no_model() -> None:
    extractor = Scripted()
    passages = [Passage("a", 0, 0, ""), Passage("b", 0, 0, "Ada"), Passage("c", 0, 0, "")]
    batch = asyncio.run(extract_part(extractor, passages))
    assert extractor.calls == [("b#0",)]
    assert [r.outcome.kind for r in batch.results] == [OutcomeKind.OK] * 3
    assert not asyncio.run(extract_part(extractor, passages[:1])).results[0].entities


def test_a_lost_quorum_stops_the_run_and_keeps_what_is_in_flight() -> None:
    lost = False

    class Losing(Scripted):
        async def extract(self, passages):  # type: ignore[no-untyped-def]
            nonlocal lost
            if passages[0].document_id.startswith("d5-"):
                lost = True
                raise QuorumLost("typed does not answer", "start it")
            await asyncio.sleep(0.01)
            return await super().extract(passages)

    recorder = Recorder()
    with pytest.raises(QuorumLost):
        asyncio.run(Scheduler(Losing(), recorder, Progress(), 3).run(part(n) for n in range(50)))
    assert lost
    assert set(range(5)) <= set(recorder.parts)
    assert len(recorder.parts) <= 8


def test_an_error_of_the_input_comes_out() -> None:
    def parts() -> Iterator[Part]:
        yield part(0)
        raise InputError("line 7 is broken")

    recorder = Recorder()
    with pytest.raises(InputError, match="line 7"):
        asyncio.run(Scheduler(Scripted(), recorder, Progress(), 3).run(parts()))
    assert recorder.parts == [0]


def test_an_error_of_the_store_stops_the_run() -> None:
    def record(part: Part, batch: Extracted) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        asyncio.run(Scheduler(Scripted(), record, Progress(), 2).run(part(n) for n in range(9)))


def test_a_run_in_which_everything_fails_ends() -> None:
    def poison(passage: Passage) -> None:
        raise RuntimeError("always")

    recorder = Recorder()
    with pytest.raises(RunBroken, match="always"):
        asyncio.run(Scheduler(Scripted(poison), recorder, Progress(), 1).run(part(n) for n in range(100)))
    assert recorder.parts == [0, 1, 2]


def test_members_down_are_told_once() -> None:
    watcher = Watcher()
    asyncio.run(Scheduler(Scripted(down=("typed",)), Recorder(), Progress(), 2, watcher).run(part(n) for n in range(9)))
    assert watcher.notes == ["left out, because it does not answer: typed"]
    assert watcher.snapshots[-1].members_down == ("typed",)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_what_is_in_flight(signum: signal.Signals) -> None:
    extractor, recorder, watcher = Scripted(wait=0.05), Recorder(), Watcher()
    switch = StopSwitch()
    scheduler = Scheduler(extractor, recorder, Progress(), 3, watcher, switch)

    async def run() -> bool:
        asyncio.get_running_loop().call_later(0.12, os.kill, os.getpid(), signum)
        async with switch:
            return await scheduler.run(part(n) for n in range(1000))

    assert not asyncio.run(run())
    assert switch.signum == signum
    begun = {call[0].split("-")[0] for call in extractor.calls}
    assert begun == {f"d{n}" for n in recorder.parts}, "what was begun was finished"
    assert any("in flight" in note for note in watcher.notes)


def test_a_second_signal_stops_at_once() -> None:
    extractor, recorder = Scripted(wait=30), Recorder()
    scheduler = Scheduler(extractor, recorder, Progress(), 2)

    async def run() -> bool:
        for after in (0.05, 0.1):
            asyncio.get_running_loop().call_later(after, os.kill, os.getpid(), signal.SIGINT)
        async with scheduler.stop:
            return await scheduler.run(part(n) for n in range(9))

    began = time.monotonic()
    assert not asyncio.run(run())
    assert time.monotonic() - began < 3
    assert recorder.parts == []


def test_a_pipe_that_gives_nothing_does_not_hold_up_a_stop() -> None:
    never = threading.Event()

    def parts() -> Iterator[Part]:
        yield part(0)
        never.wait(2)

    scheduler = Scheduler(Scripted(), Recorder(), Progress(), 2)

    async def run() -> bool:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        asyncio.get_running_loop().call_later(0.3, never.set)
        async with scheduler.stop:
            return await scheduler.run(parts())

    began = time.monotonic()
    assert not asyncio.run(run())
    assert time.monotonic() - began < 1.5


def test_a_feed_gives_everything_in_order_to_many() -> None:
    async def run() -> list[int]:
        got: list[int] = []

        async def draw() -> None:
            while (item := await feed.get()) is not None:
                got.append(item)
                await asyncio.sleep(0)

        async with Feed(range(500), 3) as feed:
            await asyncio.gather(*(draw() for _ in range(7)))
            assert await feed.get() is None
        return got

    assert sorted(asyncio.run(run())) == list(range(500))


def test_aside_gives_results_and_errors() -> None:
    from agent.runs.feed import aside

    async def run() -> None:
        assert await aside(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await aside(lambda: 1 // 0)
        with pytest.raises(RuntimeError):
            await aside(lambda: next(iter(())))
        waiting = asyncio.create_task(aside(lambda: time.sleep(0.1)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.15)

    asyncio.run(run())
