"""One call of a run: engines, log, what is left to do, and doing it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from agent.config import ProjectConfig
from agent.engines.protocol import Engine, Usage
from agent.extraction.quorum import Quorum
from agent.runs.progress import Observer, Snapshot
from evals import figures
from evals.cells import all_models_of, engine_failures, read_cell, steps_of
from evals.choosing import Chooser
from evals.estimate import Estimate, Pilot, estimate
from evals.finished import Finished
from evals.log import LogWriter
from evals.models import Models
from evals.opened import Embedders, OpenQuorum
from evals.passes import Halted, Passed, Worked, run_pass
from evals.plan import PlannedCell, PlannedPass, Planner
from evals.records import CellEnd, PassEnd, Record
from evals.slices import Deadline
from evals.suite import LoadedSuite
from evals.tracing import PromptBook, ReplayCounter, usage_table
from evals.training import Training
from tools.errors import QuorumError, QuorumLost

Confirm = Callable[[Estimate], bool]


class Stopped(QuorumError):
    """A person said no to what a suite would cost."""


@dataclass
class Session:
    """One call of a run.

    Attributes:
        loaded: The suite.
        into: The folder of logs and kept answers.
        planned: All passes of the suite.
        slice: Those of them that this call may make, in its order.
        done: What earlier runs have finished.
        watch: Shown progress.
        planner: Made the plan.
        models: Where engines come from.
        writer: The run's log.
        cache: Kept answers.
        deadline: When nothing new is begun any more.
        own: Passes and cells that the log has.
        measured: Cells that this call measured.
        shared: Cells that it took over.
        halted: Whether time was up before the slice was done.
    """

    loaded: LoadedSuite
    into: Path
    planned: Sequence[PlannedPass]
    slice: Sequence[PlannedPass]
    done: Finished
    watch: Observer
    planner: Planner
    models: Models
    writer: LogWriter
    cache: ReplayCounter
    deadline: Deadline
    own: set[str] = field(default_factory=set)
    measured: int = 0
    shared: int = 0
    halted: bool = False
    embedders: Embedders = field(default_factory=Embedders)
    engines: dict[str, Engine] = field(default_factory=dict)
    _counter: Counter = field(init=False)

    # -- what is there ------------------------------------------------------------------------------------------

    def take_over(self) -> None:
        """Copy what earlier runs have finished; what this run has stays."""
        there = set(self.own)
        for one in self.planned:
            for cell in one.cells:
                id = cell.header.id
                if id in there:
                    continue
                if id in self.done.cells:
                    self.done.copy_into(self.writer, id, there)
                    self.shared += 1
        self.own = there

    @property
    def todo(self) -> list[PlannedPass]:
        """Passes of the slice of which a cell is missing."""
        return [one for one in self.slice if any(cell.header.id not in self.own for cell in one.cells)]

    # -- opening ------------------------------------------------------------------------------------------------

    async def open(self, stack: AsyncExitStack, confirm: Confirm, most_seconds: float | None) -> Estimate:
        """Start what is needed, make a pilot, say the cost, ask where it is above the limit.

        Args:
            stack: Closes the engines.
            confirm: Asked above the suite's limit.
            most_seconds: After so long this call ends in any case.

        Raises:
            Stopped: The person said no.
        """
        asking = [one for one in self.todo if not one.cells[0].cell.method]
        pilot = None
        if asking:
            opened = self.models.open(all_models_of(asking), self.cache, self.watch)
            self.engines = await stack.enter_async_context(opened)
            pilot = await self._pilot(asking)
        expected = estimate(asking, self.shared, pilot)
        self._counter = Counter(self.watch, sum(len(one.data.documents) for one in self.todo) + expected.read)
        limit = self.loaded.suite.cost.max_minutes * 60
        if pilot is not None:
            self.watch.note(_said(expected))
        seconds = expected.seconds if most_seconds is None else min(expected.seconds, most_seconds)
        if seconds > limit and not confirm(expected):
            raise Stopped(
                f"{self.loaded.suite.name}: about {seconds / 60:.0f} minutes, above the suite's limit of"
                f" {limit / 60:g}",
                "say --yes, or make it smaller: --max-minutes M, --part 1/N, --only DATA, --limit N",
            )
        return expected

    async def _pilot(self, asking: Sequence[PlannedPass]) -> Pilot | None:
        # What is chosen in rounds is not known yet; the size of a prompt is that of any other pass.
        first = next((one for one in asking if one.shown.recipe is None), asking[0])
        total = sum(len(one.data.documents) for one in asking)
        size = min(self.loaded.suite.cost.pilot, max(1, total // 8), len(first.data.documents))
        documents = first.data.documents[:size]
        self.watch.note(f"pilot: {size} documents of {first.data.spec.name}")
        async with self._quorum(first, first.config) as quorum:
            # The first request waits for a model that is only now loaded, or compiles its kernels.
            await run_pass(quorum, documents[:1], keep=lambda book, ready: None)
            self.cache.begin()
            passed = await run_pass(quorum, documents[1:] or documents, keep=lambda book, ready: None)
        total_usage = Usage()
        for usage in passed.usage.values():
            total_usage.merge(usage)
        steps = [row for d in passed.documents for rows in d.steps for row in rows]
        return Pilot(
            len(passed.documents),
            sum(len(d.gold.document.text) for d in passed.documents),
            len(first.config.members),
            passed.seconds,
            len(steps),
            sum(row.tokens[0] for row in steps),
            sum(row.tokens[2] for row in steps),
        )

    def _quorum(self, one: PlannedPass, config: ProjectConfig) -> OpenQuorum:
        digest = f"{one.shown.digest}-{config.demonstrations.embedder.replace('/', '_')}"
        return OpenQuorum(
            config, one.data.labels, self.engines, one.shown.demonstrations, self.embedders,
            self.into / "indexes" / digest,
        )  # fmt: skip

    # -- measuring ----------------------------------------------------------------------------------------------

    async def measure(self) -> None:
        """Make every pass of the slice that is left, and read its cells off it; end early when time is up."""
        for one in self.todo:
            try:
                if self.deadline.over():
                    raise Halted
                if one.cells[0].cell.method:
                    await self._trained(one)
                else:
                    await self._pass(one, one.config)
            except Halted:
                self.halted = True
                return

    async def _trained(self, one: PlannedPass) -> None:
        """Train first, then measure with the adapter; or say what is missing."""
        cell = one.cells[0].cell
        training = Training(self.into / "adapters", self.watch.note)
        why = training.unavailable()
        if why:
            for planned in one.cells:
                if planned.header.id not in self.own:
                    end = CellEnd(planned.header.id, "unavailable", 0, {}, {}, why)
                    self.writer.write("unavailable", [planned.header, end], id=planned.header.id, sync=True)
            self.watch.note(f"{cell.name}: not measured, {why}")
            return
        pool = self.planner.pool(one.data, cell.seed)
        # Training takes minutes and its own threads; the log is not written meanwhile.
        config = await asyncio.to_thread(training.trained, cell, one.config, pool, one.data.labels)
        async with self.models.open(config, self.cache, self.watch) as engines:
            await self._pass(one, config, engines)

    async def _pass(self, one: PlannedPass, config: ProjectConfig, engines: Mapping[str, Engine] | None = None) -> None:
        self._counter.begins(one.cells[0].cell.data.name)
        if engines is not None:
            self.engines = {**self.engines, **engines}
        if one.shown.recipe is not None:
            chooser = Chooser(self.into, self.engines, self.embedders, self.watch.note, self.deadline.over)
            await chooser.choose(one, self.planner.pool(one.data, one.header.seed), self._counter.add)
        self.cache.begin()
        async with self._quorum(one, config) as quorum:
            passed = await self._whole(one, quorum)
            end = PassEnd(
                one.id, len(passed.documents), round(passed.seconds, 3), usage_table(passed.usage), passed.members_down
            )
            self.writer.write("pass_end", [end], id=one.id, sync=True)
            replayed = self.cache.replayed / self.cache.looked_up if self.cache.looked_up else 0.0
            for cell in one.cells:
                if cell.header.id not in self.own:
                    self._cell(cell, one, quorum, passed, replayed)

    async def _whole(self, one: PlannedPass, quorum: Quorum) -> Passed:
        """Make a pass in which every request was answered.

        An engine that stumbles would make a cell look bad that is not, and the
        cell would be shared. What failed is asked once more; answers are kept.

        Raises:
            Halted: Time was up.
            QuorumLost: Requests fail still.
        """

        def keep(book: PromptBook, ready: Sequence[Worked]) -> None:
            records: list[Record] = [d.record() for d in ready]
            self.writer.write("documents", [*book.take(), *records], id=one.id)

        for attempt in (1, 2):
            # A second beginning of the same pass in the log replaces the first.
            self.writer.write("pass", [one.header], id=one.id)
            passed = await run_pass(
                quorum, one.data.documents, keep=keep, oracles=one.oracles,
                done=self._counter.add if attempt == 1 else _uncounted, halt=self.deadline.over,
            )  # fmt: skip
            failures = engine_failures(passed)
            if not failures:
                return passed
            self.watch.note(f"{one.data.spec.name}: {len(failures)} request(s) were not answered: {failures[0]}")
        raise QuorumLost(
            f"{one.data.spec.name}: {len(failures)} request(s) were not answered, twice; the first: {failures[0]}",
            "see 'quorum models status'; what is finished is kept, go on with --resume",
        )

    def _cell(self, planned: PlannedCell, one: PlannedPass, quorum: Quorum, passed: Passed, replayed: float) -> None:
        found, documents = read_cell(planned, one, quorum, passed)
        cost = figures.cost(steps_of(planned, passed), len(passed.documents), passed.seconds, replayed)
        header = planned.header
        end = CellEnd(header.id, "done", len(documents), found, cost)
        # The end stands before the documents: see evals.log.
        records: list[Record] = [header, end, *documents]
        self.writer.write("cell", records, id=header.id, of=one.id, sync=True)
        self.own.add(header.id)
        self.measured += 1


@dataclass
class Counter:
    """Progress over all passes of a call."""

    watch: Observer
    total: int
    documents: int = 0
    began: float = field(default_factory=time.monotonic)
    of: str = ""

    def begins(self, name: str) -> None:
        """A data set is begun."""
        self.of = name

    def add(self, count: int) -> None:
        """So many more documents are done."""
        self.documents += count
        seconds = time.monotonic() - self.began
        rate = self.documents / seconds if seconds > 0 else 0.0
        left = max(0, self.total - self.documents) / rate if rate else None
        total = max(self.total, self.documents)
        self.watch.update(
            Snapshot(
                self.documents, self.documents, 0, total, 0, {}, seconds, rate, 0.0, left, 0, ()
            )
        )  # fmt: skip


def _uncounted(count: int) -> None:
    """Documents that were counted already."""


def _said(expected: Estimate) -> str:
    tokens = (expected.prompt_tokens + expected.output_tokens) / 1000
    read = f" ({expected.read:,} of them to choose by)" if expected.read else ""
    return (
        f"{expected.cells} cells from {expected.passes} passes, {expected.shared} taken over:"
        f" {expected.documents + expected.read:,} documents{read}, about {expected.requests:,} requests,"
        f" {tokens:,.0f} thousand tokens, {max(1, round(expected.seconds / 60))} minute(s)"
        f" (from a pilot of {expected.pilot})"
    )
