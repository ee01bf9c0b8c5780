"""The settings that a report is about: each with its figure, its cost, and how it compares with its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evals.compare import CompareReport, Row, compare_runs, state_notes
from evals.errors import EvalDataError
from evals.log import CellLog, RunLog
from evals.pairs import END_TO_END, Group, Tick, counts_of, groups
from evals.statistics import split_seeds
from evals.statistics.seeds import SeedSplit


@dataclass(frozen=True, slots=True)
class Setting:
    """One choice of what varies, in one run, on one data set; all its seeds together.

    Attributes:
        run: The run it is of.
        group: Its cells.
        label: What sets it apart from the baseline, in words.
        base: The group that it is held against; None for the baseline itself.
        row: The comparison with that; None where there is none.
        f1: Micro-F1, 0 to 1; the mean over seeds.
        low: Lower end of its 95 % interval.
        high: Upper end.
        precision: The mean over seeds.
        recall: The same.
        tokens: A document, read and written.
        letter: Stands for the run where there are several.
    """

    run: RunLog
    group: Group
    label: str
    base: Group | None
    row: Row | None
    f1: float
    low: float
    high: float
    precision: float
    recall: float
    tokens: float
    letter: str = "A"

    @property
    def cell(self) -> CellLog:
        """The cell of the first seed."""
        return self.group.first

    @property
    def is_base(self) -> bool:
        """Whether it is what others are held against."""
        return self.base is None


def settings_of(
    runs: Sequence[RunLog], *, against: str, alpha: float, resamples: int, tick: Tick
) -> tuple[list[Setting], list[str]]:
    """All settings of some runs, and what a reader should know.

    Args:
        runs: One or more. One: its cells are held against ``against``, or
            against the first cell of each data set. Several: every later run
            against the first, cell by cell, unless ``against`` is given.
        against: As of ``compare_runs``.
        alpha: Of all comparisons together.
        resamples: Draws.
        tick: Told how far the work is.

    Raises:
        EvalDataError: No run has a finished end-to-end cell, or ``against``
            names none.
        EvalLogError: A log is damaged.
    """
    notes = [text for run in runs for text in state_notes(run)]
    ours = [(run, group) for run in runs for group in groups(run).values() if group.kind == END_TO_END]
    if not ours:
        raise EvalDataError(
            f"run {runs[0].header.run} has no finished end-to-end cell", "go on with it: quorum eval run SUITE --resume"
        )
    first = runs[0]
    paired = len(runs) > 1 and not against
    if not against and not paired:
        against = ours[0][1].first.id
    reports: list[tuple[RunLog, CompareReport]] = []
    for run in runs[1:] if paired else runs:
        try:
            share = alpha / max(1, len(runs) - 1 if paired else len(runs))
            reports.append(
                (run, compare_runs(first, run, against=against, alpha=share, resamples=resamples, tick=tick))
            )
        except EvalDataError as error:
            if against and not paired and "to hold against" not in error.message:
                raise
            notes.append(error.message)
    rows = {
        (run.path, id): row for run, report in reports for row in report.rows if row.kind == END_TO_END
        for id in row.b_cells
    }  # fmt: skip
    known = {cell.id: group for run, group in ours if run is first for cell in group.cells.values()}
    varied = varied_axes([group.first.header.settings for _, group in ours])
    found = []
    for number, (run, group) in enumerate(ours):
        tick("reading settings", number, len(ours))
        row = rows.get((run.path, group.first.id))
        if row is None:
            row = next((rows[run.path, c.id] for c in group.cells.values() if (run.path, c.id) in rows), None)
        base = known.get(row.a_cells[0]) if row is not None else None
        label = words(
            group.first.header.settings, None if paired or base is None else base.first.header.settings, varied
        )
        place = next(n for n, one in enumerate(runs) if one is run)
        found.append(replace(setting_of(run, group, label, base, row), letter=letter(place)))
    return found, list(dict.fromkeys(notes))


def varied_axes(settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Axes of which some settings differ."""
    axes = dict.fromkeys(name for one in settings for name in one)
    return tuple(name for name in axes if len({str(one.get(name)) for one in settings}) > 1)


def words(own: Mapping[str, Any], base: Mapping[str, Any] | None, varied: Sequence[str]) -> str:
    """What a setting is called: what differs from the baseline, or all that varies.

    Args:
        own: The setting's own values, by axis.
        base: The baseline's; None for none.
        varied: The axes that some cells differ in.
    """
    names = [name for name in varied if base is None or str(own.get(name)) != str(base.get(name))]
    said = ", ".join(f"{short(name)}={shown(own.get(name))}" for name in names)
    return said or ("as the baseline" if base is not None else "all cells")


def letter(place: int) -> str:
    """What a run is called where there are several: A, B, ... Z, then numbers."""
    return chr(ord("A") + place) if place < 26 else str(place + 1)


def short(axis: str) -> str:
    """An axis without its section."""
    return axis.rsplit(".", 1)[-1] if axis.split(".")[0] in ("demonstrations", "steps", "run", "selection") else axis


def shown(value: Any) -> str:
    """A value as in a cell's name."""
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value).lower()


def setting_of(
    run: RunLog, group: Group, label: str = "", base: Group | None = None, row: Row | None = None
) -> Setting:  # fmt: skip
    """A setting with its figures; over several seeds their mean, and an interval that has the seeds' luck in it."""
    ends = [cell.end for cell in group.cells.values()]

    def mean(name: str) -> float:
        return float(np.mean([end.figures.get(name, 0.0) for end in ends]))

    f1, low, high = mean("f1"), mean("f1_low"), mean("f1_high")
    if len(ends) > 1:
        split = _split(group)
        f1, low, high = split.mean.point, split.mean.low, split.mean.high
    elif "f1_low" not in ends[0].figures:
        low, high = f1, f1
    tokens = float(np.mean([end.cost.get("tokens_per_document", 0.0) for end in ends]))
    return Setting(run, group, label, base, row, f1, low, high, mean("precision"), mean("recall"), tokens)


def _split(group: Group) -> SeedSplit:
    counted = [counts_of(cell) for cell in group.cells.values()]
    return split_seeds([one.matrix for one in counted], clusters=counted[0].clusters)
