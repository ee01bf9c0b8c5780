"""``quorum eval gate``: has a run lost more than it may, against a baseline of the same documents?

For every end-to-end cell, with d the true difference of the run's F1 from the
baseline's and m the largest drop allowed, two one-sided tests are read off the
paired, clustered bootstrap:

- *dropped*: "d >= -m" is rejected, corrected by Holm over the cells, so that a
  gate of many cells raises no more than alpha false alarms in all.
- *held*: "d <= -m" is rejected: non-inferiority. All cells must hold, so no
  correction is needed (an intersection-union test; Berger 1982).

A cell that is neither is *not shown*: the data are too few to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from evals.baseline import BASELINES
from evals.compare import POWER, SEED, Counted, load_counts, state_notes, touching
from evals.errors import EvalDataError
from evals.finished import find_run
from evals.log import ENDING, RunLog
from evals.pairs import END_TO_END, Pair, Tick, groups, key_of, pair_runs
from evals.points import points, signed
from evals.statistics import Interval, compare_seeds, difference_of
from evals.tables import markdown_table
from tools.metrics.intervals import Resamples, ratio

_NORMAL = NormalDist()


class Standing(StrEnum):
    """What may be said of a cell against the largest drop allowed."""

    DROPPED = "dropped"
    HELD = "held"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True, slots=True)
class GateRow:
    """One cell of the baseline, and what has become of it.

    Attributes:
        name: The cell.
        baseline: Its F1 in the baseline, 0 to 1; the mean over seeds.
        run: Its F1 in the run.
        difference: run - baseline.
        low: Lower end of the interval at 1 - 2 alpha: below it lies alpha.
        high: Upper end.
        p_dropped: One-sided, of "it has not dropped by more than allowed", corrected by Holm.
        p_held: One-sided, of "it has dropped by what is allowed, or more".
        noticed: The smallest true drop that would have failed the gate four
            times in five; None where no document was answered otherwise.
        standing: dropped, held or not shown.
        documents: How many documents.
        same: Whether the run's cell is the baseline's own.
    """

    name: str
    baseline: float
    run: float
    difference: float
    low: float
    high: float
    p_dropped: float
    p_held: float
    noticed: float | None
    standing: Standing
    documents: int
    same: bool = False


@dataclass(frozen=True, slots=True)
class GateReport:
    """Whether a run passes.

    Attributes:
        run: Its id.
        baseline: The baseline's.
        max_drop: The largest drop allowed, in points of F1.
        alpha: How often the gate may fail where nothing has dropped by more.
        prove: Whether a larger drop had to be ruled out, not only not be seen.
        rows: The baseline's end-to-end cells that the run has.
        missing: Cells that were planned, or that the baseline has, and that the run has not.
        notes: What a reader should know.
        alone: Steps scored alone that the run has: they have no F1 of entities, and are not judged.
    """

    run: str
    baseline: str
    max_drop: float
    alpha: float
    prove: bool
    rows: tuple[GateRow, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    alone: int = 0

    @property
    def failing(self) -> tuple[GateRow, ...]:
        """The cells that fail the gate."""
        bad = {Standing.DROPPED, Standing.NOT_SHOWN} if self.prove else {Standing.DROPPED}
        return tuple(row for row in self.rows if row.standing in bad)

    @property
    def passed(self) -> bool:
        """Whether nothing fails and nothing is missing."""
        return not self.failing and not self.missing

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"passed": self.passed, **asdict(self)}


def find_baseline(folder: Path, name: str) -> Path:
    """A baseline: a file, a run's id, ``latest``, or the name of one that ships.

    Raises:
        EvalLogError: There is none.
    """
    shipped = BASELINES / f"{name}{ENDING}"
    if not Path(name).is_file() and shipped.is_file():
        return shipped
    return find_run(folder, name)


def gate(
    run: RunLog,
    baseline: RunLog,
    *,
    max_drop: float = 0.5,
    alpha: float = 0.05,
    prove: bool = False,
    only: str = "",
    resamples: int = 10_000,
    seed: int = SEED,
    tick: Tick = lambda what, done, total: None,
) -> GateReport:
    """Judge a run by a baseline.

    Args:
        run: The run; cells that are missing from it fail the gate.
        baseline: What it is held against.
        max_drop: The largest drop allowed, in points (0 to 100) of strict micro-F1.
        alpha: The level of each of the two tests.
        prove: Let the gate pass only where a larger drop is ruled out.
        only: Look at cells whose name has this in it.
        resamples: Draws of the bootstrap.
        seed: Where they begin.
        tick: Told how far the work is.

    Raises:
        EvalDataError: The baseline is of other data, lacks a cell that the run
            has, or nothing can be compared.
        EvalLogError: A log is damaged.
    """
    if baseline.unfinished or baseline.torn:
        raise EvalDataError(
            f"baseline {baseline.header.run} is not whole: {len(baseline.unfinished)} of its"
            f" {len(baseline.header.cells)} cells are missing",
            "a baseline is a run with all its cells: quorum eval baseline RUN -o FILE",
        )
    lost = _lost(run, baseline, only)
    notes = [text for text in state_notes(run)]
    if lost and not groups(run, only):
        return GateReport(run.header.run, baseline.header.run, max_drop, alpha, prove, (), lost, tuple(notes))
    pairs, _, unknown = pair_runs(baseline, run, only)
    kinds = {cell.header.name: cell.header.kind for cell in run.cells}
    if new := [name for name in unknown if kinds[name] == END_TO_END]:
        raise EvalDataError(
            f"baseline {baseline.header.run} lacks {len(new)} cell(s) of the run, the first is {new[0]!r}",
            "make a new one (quorum eval baseline), or look at fewer cells (--only)",
        )
    pairs = [pair for pair in pairs if pair.kind == END_TO_END]
    counted = load_counts(pairs, tick)
    rows = []
    for number, pair in enumerate(pairs):
        tick("judging cells", number, len(pairs))
        rows.append(_judge(pair, counted, max_drop / 100, alpha, resamples, np.random.default_rng(seed)))
    return GateReport(
        run.header.run, baseline.header.run, max_drop, alpha, prove, _corrected(rows, max_drop / 100, alpha), lost,
        tuple(notes), sum(cell.header.kind != END_TO_END and only in cell.header.name for cell in run.cells),
    )  # fmt: skip


def _lost(run: RunLog, baseline: RunLog, only: str) -> tuple[str, ...]:
    """Names of what the baseline has and the run has not; planned cells without a name in either by their id."""
    have = {(cell.header.kind, cell.header.name) for cell in run.cells if cell.end.state == "done"}
    named = [c.header.name for c in baseline.cells if (c.header.kind, c.header.name) not in have]
    named += [cell.header.name for cell in run.cells if cell.end.state != "done"]
    unfinished = set(run.unfinished)
    named += [row.name for row in run.header.plan if row.id in unfinished]
    found = [name for name in dict.fromkeys(named) if only in name]
    # Logs of earlier versions know a planned cell by its identity alone until it is measured.
    rest = len(run.unfinished) - len(found)
    if rest > 0 and not only:
        found.append(f"{rest} more planned cell{'s' if rest > 1 else ''}" if found else f"{rest} planned cell(s)")
    return tuple(found)


def _judge(
    pair: Pair,
    counted: Counted,
    margin: float,
    alpha: float,
    resamples: int,
    rng: np.random.Generator,
) -> GateRow:
    own = counted[key_of(pair.a[0])]
    interval, error, a, b = _interval_of(pair, counted, resamples, rng)
    reach = interval(2 * alpha)
    # Two-sided levels at which the interval's end comes to lie on -m; half of one is a one-sided p-value.
    level = touching(interval, -margin) / 2
    above = reach.point >= -margin
    return GateRow(
        pair.name, a, b, b - a, reach.low, reach.high,
        p_dropped=1 - level if above else level,
        p_held=level if above else 1 - level,
        noticed=error or None,
        standing=Standing.NOT_SHOWN,
        documents=len(own.documents),
        same=pair.same,
    )  # fmt: skip


def _interval_of(
    pair: Pair, counted: Counted, resamples: int, rng: np.random.Generator
) -> tuple[Callable[[float], Interval], float, float, float]:
    """The interval of run - baseline at a two-sided alpha, its standard error, and both figures."""
    left, right = ([counted[key_of(cell)].matrix for cell in side] for side in (pair.a, pair.b))
    clusters = counted[key_of(pair.a[0])].clusters
    if min(len(left), len(right)) > 1:
        one = compare_seeds(left, right, clusters=clusters)
        error = float(np.hypot(one.by_documents, one.by_seeds))
        seeds = lambda level: compare_seeds(left, right, clusters=clusters, alpha=level).difference  # noqa: E731
        return seeds, error, one.a, one.b
    figure = difference_of("f1")
    drawn = Resamples(np.concatenate([left[0], right[0]], axis=1), rng, resamples, clusters)
    a, b = float(ratio(drawn.total[:3], "f1")), float(ratio(drawn.total[3:], "f1"))
    return (
        lambda level: drawn.interval(figure, level=1 - level, bounds=(-1.0, 1.0)),
        float(drawn.deviation(figure)),
        a,
        b,
    )


def _corrected(rows: list[GateRow], margin: float, alpha: float) -> tuple[GateRow, ...]:
    """Holm over the cells for "dropped"; every cell for itself for "held"."""
    found: dict[int, GateRow] = {}
    floor = 0.0
    for place, number in enumerate(sorted(range(len(rows)), key=lambda n: rows[n].p_dropped)):
        row = rows[number]
        floor = max(floor, min(1.0, row.p_dropped * (len(rows) - place)))
        standing = Standing.DROPPED if floor < alpha else Standing.HELD if row.p_held < alpha else Standing.NOT_SHOWN
        if row.difference == 0 and row.noticed is None:
            standing = Standing.HELD
        share = alpha / (len(rows) - place)
        z = _NORMAL.inv_cdf(1 - share) + _NORMAL.inv_cdf(POWER)
        noticed = None if row.noticed is None else margin + z * row.noticed
        found[number] = replace(row, p_dropped=floor, standing=standing, noticed=noticed)
    return tuple(found[number] for number in range(len(rows)))


# -- for people -----------------------------------------------------------------------------------------------------


def headline(report: GateReport) -> str:
    """One line: passed or not, and why."""
    what = f"{report.run} against {report.baseline}"
    if report.passed:
        held = sum(row.standing is Standing.HELD for row in report.rows)
        left = len(report.rows) - held
        rest = f"; of {left} a larger drop is neither shown nor ruled out" if left else ""
        return (
            f"PASS: {what}: of {len(report.rows)} cells none is shown to have dropped by more than"
            f" {report.max_drop:g} points of F1{rest}"
        )
    reasons = []
    dropped = sum(row.standing is Standing.DROPPED for row in report.rows)
    if dropped:
        reasons.append(f"{dropped} of {len(report.rows)} cells dropped by more than {report.max_drop:g} points of F1")
    if report.prove and (open_ := len(report.failing) - dropped):
        reasons.append(f"of {open_} a larger drop is not ruled out")
    if report.missing:
        reasons.append(f"missing: {'; '.join(report.missing[:3])}{' ...' if len(report.missing) > 3 else ''}")
    return f"FAIL: {what}: {', and '.join(reasons)}"


def markdown(report: GateReport) -> str:
    """The summary as Markdown, for a terminal or a CI's page."""
    lines = [f"**{headline(report)}**", ""]
    level = f"{100 - 200 * report.alpha:g} % interval"
    head = ("cell", "standing", "baseline", "run", "change", level, "p (Holm)", "would notice")
    if report.rows:
        lines += markdown_table(head, [_shown(row) for row in report.rows], texts=2)
    lines += [f"- missing: {name}" for name in report.missing]
    lines += [""] if report.missing else []
    lines.append(
        f"Points of strict F1, {report.rows[0].documents if report.rows else 0:,} documents a cell, paired."
        f' "dropped": a drop of more than {report.max_drop:g} is certain at {report.alpha:g} over all cells;'
        f' "held": one is ruled out at {report.alpha:g}; "not shown": neither. "would notice": the smallest true'
        " drop that would have failed four times in five."
    )
    if report.alone:
        counted = f"{report.alone} of its cells are steps" if report.alone > 1 else "1 of its cells is a step"
        lines.append(
            f"{counted} scored alone, given the truth: they find no entities to judge by F1; quorum eval compare"
            " compares them."
        )
    lines += ["", *(f"Note: {text}" for text in report.notes)] if report.notes else []
    return "\n".join(lines) + "\n"


def _shown(row: GateRow) -> tuple[str, ...]:
    within = f"{signed(row.low)} to {signed(row.high)}"
    noticed = "" if row.noticed is None else points(row.noticed)
    return (
        row.name, "same cell" if row.same else str(row.standing), points(row.baseline), points(row.run),
        signed(row.difference), within, f"{row.p_dropped:.3f}", noticed,
    )  # fmt: skip
