"""Running a suite: what is finished is taken over, what is left is asked, everything is logged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config import ProjectConfig
from agent.engines.cache import StoreCache
from agent.engines.protocol import Engine, Usage
from agent.extraction.quorum import Quorum
from agent.runs.progress import Observer, Silent, Snapshot
from evals import figures
from evals.beginning import open_log, own_cells, tell_dropped
from evals.cells import all_models_of, engine_failures, read_cell, steps_of
from evals.data import data_root, load_data
from evals.estimate import Estimate, Pilot, estimate
from evals.finished import Finished, finished, make_folder
from evals.log import LogWriter, read_run
from evals.matrix import expand
from evals.models import Models, OwnModels
from evals.passes import Passed, Worked, run_pass
from evals.plan import PlannedCell, PlannedPass, Planner
from evals.records import CellEnd, PassEnd, Record, RunEnd
from evals.suite import LoadedSuite
from evals.tracing import PromptBook, ReplayCounter, usage_table
from evals.training import Training
from tools.errors import QuorumError, QuorumLost
from tools.store import Store

DEFAULT_FOLDER = Path(".quorum") / "evals"
ANSWERS = "answers.db"
Confirm = Callable[[Estimate], bool]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a suite.

    Attributes:
        into: The folder of logs and kept answers.
        root: The data root; ``QUORUM_DATA`` when None.
        limit: The most documents a data set.
        resume: Go on with the last run of this suite that did not end.
        fresh: Measure every cell again, whatever earlier runs have.
    """

    into: Path = DEFAULT_FOLDER
    root: Path | None = None
    limit: int | None = None
    resume: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        run: Its id.
        log: Its log.
        cells: Every cell with its end, in the plan's order.
        measured: Cells that this call measured.
        shared: Cells taken over.
        unavailable: Cells that a missing part made impossible.
        estimate: What was expected.
        seconds: Wall time.
        declined: Whether the person said no to the cost.
    """

    run: str
    log: Path
    cells: tuple[tuple[PlannedCell, CellEnd], ...]
    measured: int
    shared: int
    unavailable: int
    estimate: Estimate
    seconds: float
    declined: bool = False


class Stopped(QuorumError):
    """A person said no to what a suite would cost."""


async def run_suite(
    loaded: LoadedSuite,
    options: RunOptions,
    *,
    confirm: Confirm = lambda estimate: True,
    observer: Observer | None = None,
    models: Models | None = None,
) -> RunResult:
    """Run a suite to its end.

    Args:
        loaded: The suite.
        options: Where, how much, whether to go on.
        confirm: Asked when the estimate exceeds the suite's limit; False stops.
        observer: Shown progress.
        models: Where engines come from; the members' own models by default.

    Raises:
        QuorumError: Data, models or settings cannot be used; a step lost its
            quorum; or the cost was declined. What was measured stays measured.
    """
    begun = time.monotonic()
    watch = observer or Silent()
    models = models or OwnModels()
    root = data_root(options.root)
    data = {spec.name: load_data(loaded, spec, root, options.limit) for spec in loaded.suite.data}
    make_folder(options.into)
    async with AsyncExitStack() as stack:
        embedders = _Embedders()
        planner = Planner(data, embedders.get, options.into / "embeddings", models, watch.note)
        planned = planner.plan(expand(loaded), loaded.suite.scorers)
        done = finished(options.into)
        for unreadable in done.unreadable:
            watch.note(f"left out: {unreadable}")
        log, header, resumed = open_log(loaded, options, planned)
        known = Finished() if options.fresh else done
        session = _Session(loaded, options, planned, known, watch, embedders, planner, models)
        session.own = own_cells(log) if resumed else set()
        store = stack.enter_context(Store.open(options.into / ANSWERS))
        session.cache = ReplayCounter(StoreCache(store))
        writer = stack.enter_context(LogWriter(log))
        if not resumed:
            writer.write("run", [header], sync=True)
            for one in data.values():
                tell_dropped(one, writer, watch)
        session.writer = writer
        session.take_over()
        expected = await session.open(stack, confirm)
        await session.measure()
        seconds = time.monotonic() - begun
        ends = {cell.id: cell.end for cell in read_run(log).cells}
        unavailable = sum(end.state == "unavailable" for end in ends.values())
        writer.write(
            "run", [RunEnd(header.run, session.measured, session.shared, unavailable, round(seconds, 3))], sync=True
        )
    cells = tuple((cell, ends[cell.header.id]) for one in planned for cell in one.cells)
    order = {id: n for n, id in enumerate(header.cells)}
    ordered = tuple(sorted(cells, key=lambda row: order[row[0].header.id]))
    return RunResult(
        header.run, log, ordered, session.measured, session.shared, unavailable, expected, round(seconds, 3)
    )


class _Embedders:
    """One embedder a name, loaded when first needed."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        if name not in self._loaded:
            from tools.demonstrations import SentenceTransformerEmbedder

            self._loaded[name] = SentenceTransformerEmbedder(name)
        return self._loaded[name]


@dataclass
class _Session:
    """One call of a run: engines, log, and what is left to do."""

    loaded: LoadedSuite
    options: RunOptions
    planned: list[PlannedPass]
    done: Finished
    watch: Observer
    embedders: _Embedders
    planner: Planner
    models: Models
    own: set[str] = field(default_factory=set)
    measured: int = 0
    shared: int = 0
    engines: dict[str, Engine] = field(default_factory=dict)
    writer: LogWriter = field(init=False)
    cache: ReplayCounter = field(init=False)
    counter: _Counter = field(init=False)

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
        """Passes of which a cell is missing."""
        return [one for one in self.planned if any(cell.header.id not in self.own for cell in one.cells)]

    # -- opening ------------------------------------------------------------------------------------------------

    async def open(self, stack: AsyncExitStack, confirm: Confirm) -> Estimate:
        """Start what is needed, make a pilot, say the cost, ask where it is above the limit.

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
        self.counter = _Counter(self.watch, sum(len(one.data.documents) for one in self.todo))
        limit = self.loaded.suite.cost.max_minutes * 60
        if pilot is not None:
            self.watch.note(_said(expected))
        if expected.seconds > limit and not confirm(expected):
            raise Stopped(
                f"{self.loaded.suite.name}: about {expected.seconds / 60:.0f} minutes, above the suite's limit of"
                f" {limit / 60:g}",
                "say --yes, or make it smaller: --limit N, --set data=NAME",
            )
        return expected

    async def _pilot(self, asking: Sequence[PlannedPass]) -> Pilot | None:
        first = asking[0]
        total = sum(len(one.data.documents) for one in asking)
        size = min(self.loaded.suite.cost.pilot, max(1, total // 8), len(first.data.documents))
        documents = first.data.documents[:size]
        self.watch.note(f"pilot: {size} documents of {first.data.spec.name}")
        async with self._quorum(first) as quorum:
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

    def _quorum(self, one: PlannedPass, config: ProjectConfig | None = None) -> _OpenQuorum:
        return _OpenQuorum(self, one, config or one.config)

    # -- measuring ----------------------------------------------------------------------------------------------

    async def measure(self) -> None:
        """Make every pass that is left, and read its cells off it."""
        for one in self.todo:
            method = one.cells[0].cell.method
            if method:
                await self._trained(one)
                continue
            await self._pass(one, one.config)

    async def _trained(self, one: PlannedPass) -> None:
        """Train first, then measure with the adapter; or say what is missing."""
        cell = one.cells[0].cell
        training = Training(self.options.into / "adapters", self.watch.note)
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
        self.cache.begin()
        self.counter.begins(one.cells[0].cell.data.name)
        if engines is not None:
            self.engines = {**self.engines, **engines}
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
            QuorumLost: Requests fail still.
        """

        def keep(book: PromptBook, ready: Sequence[Worked]) -> None:
            records: list[Record] = [d.record() for d in ready]
            self.writer.write("documents", [*book.take(), *records], id=one.id)

        for attempt in (1, 2):
            # A second beginning of the same pass in the log replaces the first.
            self.writer.write("pass", [one.header], id=one.id)
            done = self.counter.add if attempt == 1 else _uncounted
            passed = await run_pass(quorum, one.data.documents, keep=keep, oracles=one.oracles, done=done)
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


class _OpenQuorum:
    """A quorum over engines that stay open, with the demonstrations of one pass."""

    def __init__(self, session: _Session, one: PlannedPass, config: ProjectConfig) -> None:
        self._session = session
        self._one = one
        self._config = config
        self._index: Any = None

    async def __aenter__(self) -> Quorum:
        source = None
        shown = self._one.shown.demonstrations
        if shown:
            from agent.opening import source_over
            from tools.demonstrations import DemonstrationIndex

            embedder = self._session.embedders.get(self._config.demonstrations.embedder)
            digest = f"{self._one.shown.digest}-{self._config.demonstrations.embedder.replace('/', '_')}"
            path = self._session.options.into / "indexes" / digest
            self._index = DemonstrationIndex.ensured(path, embedder, shown)
            first = self._session.engines[self._config.members[0].model]
            source = source_over(self._index, self._config, first.count_tokens)
        return Quorum(self._config, self._one.data.labels, self._session.engines, source)

    async def __aexit__(self, *_: object) -> None:
        if self._index is not None:
            self._index.close()


@dataclass
class _Counter:
    """Progress over all passes of a call."""

    watch: Observer
    total: int
    documents: int = 0
    began: float = field(default_factory=time.monotonic)
    of: str = ""

    def begins(self, name: str) -> None:
        self.of = name

    def add(self, count: int) -> None:
        self.documents += count
        seconds = time.monotonic() - self.began
        rate = self.documents / seconds if seconds > 0 else 0.0
        left = (self.total - self.documents) / rate if rate else None
        self.watch.update(
            Snapshot(
                self.documents, self.documents, 0, self.total, 0, {}, seconds, rate, 0.0, left, 0, ()
            )
        )  # fmt: skip


def _uncounted(count: int) -> None:
    """Documents that were counted already."""


def _said(expected: Estimate) -> str:
    tokens = (expected.prompt_tokens + expected.output_tokens) / 1000
    return (
        f"{expected.cells} cells from {expected.passes} passes, {expected.shared} taken over: {expected.documents:,}"
        f" documents, about {expected.requests:,} requests, {tokens:,.0f} thousand tokens,"
        f" {max(1, round(expected.seconds / 60))} minute(s) (from a pilot of {expected.pilot})"
    )
