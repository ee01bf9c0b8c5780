"""Running a suite: what is finished is taken over, what is left is asked, everything is logged."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from agent.engines.cache import StoreCache
from agent.runs.progress import Observer, Silent
from evals.beginning import open_log, own_cells, tell_dropped
from evals.data import data_root, load_data
from evals.estimate import Estimate
from evals.finished import Finished, finished, make_folder
from evals.log import LogWriter, read_run
from evals.matrix import expand
from evals.models import Models, OwnModels
from evals.plan import PlannedCell, Planner
from evals.records import CellEnd, RunEnd
from evals.session import Confirm, Session, Stopped
from evals.slices import ALL, Deadline, Slice
from evals.suite import LoadedSuite
from evals.tracing import ReplayCounter
from tools.store import Store

__all__ = ["ANSWERS", "DEFAULT_FOLDER", "RunOptions", "RunResult", "Stopped", "run_suite"]
DEFAULT_FOLDER = Path(".quorum") / "evals"
ANSWERS = "answers.db"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a suite.

    Attributes:
        into: The folder of logs and kept answers.
        root: The data root; ``QUORUM_DATA`` when None.
        limit: The most documents a data set.
        resume: Go on with the last run of this suite that did not end; there must be one.
        fresh: Measure every cell again, whatever earlier runs have.
        slice: What of it to measure in this call; goes on with a run that did
            not end, where there is one.
    """

    into: Path = DEFAULT_FOLDER
    root: Path | None = None
    limit: int | None = None
    resume: bool = False
    fresh: bool = False
    slice: Slice = ALL


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        run: Its id.
        log: Its log.
        cells: Every cell that is there with its end, in the plan's order.
        measured: Cells that this call measured.
        shared: Cells taken over.
        unavailable: Cells that a missing part made impossible.
        estimate: What was expected.
        seconds: Wall time.
        planned: How many cells the suite has.
        halted: Whether the slice's time was up before its cells were done.
    """

    run: str
    log: Path
    cells: tuple[tuple[PlannedCell, CellEnd], ...]
    measured: int
    shared: int
    unavailable: int
    estimate: Estimate
    seconds: float
    planned: int = 0
    halted: bool = False

    @property
    def left(self) -> int:
        """Cells that are planned and not there yet."""
        return self.planned - len(self.cells)


async def run_suite(
    loaded: LoadedSuite,
    options: RunOptions,
    *,
    confirm: Confirm = lambda estimate: True,
    observer: Observer | None = None,
    models: Models | None = None,
) -> RunResult:
    """Run a suite, or a slice of it, to its end.

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
    deadline = Deadline(options.slice.max_minutes)
    watch = observer or Silent()
    models = models or OwnModels()
    root = data_root(options.root)
    data = {spec.name: load_data(loaded, spec, root, options.limit) for spec in loaded.suite.data}
    make_folder(options.into)
    async with AsyncExitStack() as stack:
        planner = Planner(data, models, loaded.suite.rounds)
        planned = planner.plan(expand(loaded), loaded.suite.scorers)
        chosen = options.slice.of(planned, loaded.suite)
        done = finished(options.into)
        for unreadable in done.unreadable:
            watch.note(f"left out: {unreadable}")
        log, header, resumed = open_log(loaded, options, planned)
        if resumed and not options.resume:
            watch.note(f"going on with {header.run}")
        store = stack.enter_context(Store.open(options.into / ANSWERS))
        writer = stack.enter_context(LogWriter(log))
        session = Session(
            loaded, options.into, planned, chosen, Finished() if options.fresh else done, watch, planner, models,
            writer, ReplayCounter(StoreCache(store)), deadline, own_cells(log) if resumed else set(),
        )  # fmt: skip
        if not resumed:
            writer.write("run", [header], sync=True)
            for one in data.values():
                tell_dropped(one, writer, watch)
        session.take_over()
        most = None if options.slice.max_minutes is None else 60 * options.slice.max_minutes
        expected = await session.open(stack, confirm, most)
        await session.measure()
        seconds = time.monotonic() - begun
        ends = {cell.id: cell.end for cell in read_run(log).cells}
        unavailable = sum(end.state == "unavailable" for end in ends.values())
        if all(id in ends for id in header.cells):
            writer.write(
                "run", [RunEnd(header.run, session.measured, session.shared, unavailable, round(seconds, 3))], sync=True
            )
    order = {id: n for n, id in enumerate(header.cells)}
    cells = [(cell, ends[cell.header.id]) for one in planned for cell in one.cells if cell.header.id in ends]
    cells.sort(key=lambda row: order[row[0].header.id])
    return RunResult(
        header.run, log, tuple(cells), session.measured, session.shared, unavailable, expected, round(seconds, 3),
        len(header.cells), session.halted,
    )  # fmt: skip
