"""``quorum eval compare``: which cells are better, worse, or cannot be told apart.

Every pair is of the same documents, so the comparison is paired: clusters of
documents are drawn, and both sides counted on the same draws. All pairs of one
kind are a family, over which Holm's correction keeps the chance of any false
claim at alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from evals.errors import EvalDataError
from evals.log import RunLog
from evals.pairs import END_TO_END, ORACLE_FIGURES, CellCounts, Pair, Tick, counts_of, key_of, pair_against, pair_runs
from evals.statistics import Comparison, Interval, Verdict, compare_all, compare_seeds, detectable_difference
from tools.metrics.intervals import Statistic

SEED = 13
Found = tuple[float, float, Interval, float | None, float, Verdict, float]
POWER = 0.8
FIGURES: dict[Statistic, str] = {"f1": "F1", "precision": "precision", "recall": "recall"}


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: b against a.

    Attributes:
        name: The cells compared.
        kind: As of ``CellHeader``.
        figure: What the figure is, such as ``F1``.
        a: The figure of a, 0 to 1; the mean over seeds where there are several.
        b: The figure of b.
        difference: b - a.
        low: Lower end of its interval, at the level that the correction leaves.
        high: Upper end.
        detectable: The smallest true difference these data would have shown, with power 0.8; None where
            nothing varied.
        p_value: Corrected.
        verdict: better, worse or cannot tell: what may be said of b.
        alpha: What the correction left for this comparison.
        seeds: How many seeds the smaller side has.
        documents: How many documents.
        units: How many of them, or of clusters, were drawn.
        same: Whether both sides are one cell, taken over from one run into the
            other; such a pair is no comparison and takes no part in the correction.
        a_cells: Identities of a's cells.
        b_cells: Those of b's.
    """

    name: str
    kind: str
    figure: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    detectable: float | None
    p_value: float
    verdict: Verdict
    alpha: float
    seeds: int
    documents: int
    units: int
    same: bool = False
    a_cells: tuple[str, ...] = ()
    b_cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompareReport:
    """All comparisons of two runs, or of a run's cells with one of them.

    Attributes:
        a: The run of the first side.
        b: The run of the second.
        against: The cell all are held against; empty where runs are paired.
        rows: The comparisons, end to end first.
        only_a: Names of finished cells that only the first run has.
        only_b: Those that only the second has.
        notes: What a reader should know: unfinished or torn logs.
        alpha: Of each family.
        resamples: Draws.
    """

    a: str
    b: str
    against: str
    rows: tuple[Row, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    notes: tuple[str, ...]
    alpha: float
    resamples: int

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def compare_runs(
    a: RunLog,
    b: RunLog,
    *,
    against: str = "",
    only: str = "",
    statistic: Statistic = "f1",
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = SEED,
    tick: Tick = lambda what, done, total: None,
) -> CompareReport:
    """Compare run b with run a, cell by cell.

    Args:
        a: The first run.
        b: The second; may be the same where ``against`` is given.
        against: A cell of a that every end-to-end cell of b is held against;
            empty pairs cells of equal data, settings and seed.
        only: Keep cells whose name has this in it.
        statistic: f1, precision or recall, of end-to-end cells.
        alpha: How often a family may claim any difference where there is none.
        resamples: Draws of the bootstrap.
        seed: Where they begin.
        tick: Told how far the work is.

    Raises:
        EvalDataError: Nothing can be compared, or the documents differ.
        EvalLogError: A log is damaged.
    """
    only_a: list[str] = []
    only_b: list[str] = []
    if against:
        pairs = pair_against(a, b, against, only)
    else:
        pairs, only_a, only_b = pair_runs(a, b, only)
    counted = load_counts(pairs, tick)
    rows: list[Row] = []
    for kind in dict.fromkeys(pair.kind for pair in sorted(pairs, key=lambda p: p.kind != END_TO_END)):
        family = [pair for pair in pairs if pair.kind == kind]
        tick(f"comparing {len(family)} {'pair' if len(family) == 1 else 'pairs'}", 0, 0)
        of, figure = (statistic, FIGURES[statistic]) if kind == END_TO_END else ORACLE_FIGURES[kind]
        # The same draws whatever else is compared, and whatever it is called.
        rows += compare_family(family, counted, of, figure, alpha, resamples, np.random.default_rng(seed))
    return CompareReport(
        a.header.run, b.header.run, against, tuple(rows), tuple(only_a), tuple(only_b),
        tuple(dict.fromkeys((*state_notes(a), *state_notes(b)))), alpha, resamples,
    )  # fmt: skip


def state_notes(run: RunLog) -> list[str]:
    """What is not whole about a run, in words."""
    found = []
    if run.torn:
        found.append(f"run {run.header.run} was cut off while its log was written; what is whole is used")
    if run.unfinished:
        missing = len(run.unfinished)
        found.append(f"run {run.header.run} has not ended: {missing} of {len(run.header.cells)} cells are missing")
    unavailable = [cell for cell in run.cells if cell.end.state != "done"]
    if unavailable:
        found.append(
            f"run {run.header.run}: {len(unavailable)} cell(s) could not be measured ({unavailable[0].end.reason})"
        )
    return found


Counted = Mapping[tuple[str, str], CellCounts]


def load_counts(pairs: Sequence[Pair], tick: Tick) -> dict[tuple[str, str], CellCounts]:
    """The counts of all cells of some pairs, see ``evals.pairs.key_of``.

    Raises:
        EvalDataError: Two sides of a pair hold other documents.
    """
    cells = {key_of(cell): cell for pair in pairs for cell in (*pair.a, *pair.b)}
    found = {}
    for number, (key, cell) in enumerate(cells.items()):
        tick("reading cells", number, len(cells))
        found[key] = counts_of(cell)
    for pair in pairs:
        first, *others = [found[key_of(cell)].documents for cell in (*pair.a, *pair.b)]
        if any(other != first for other in others):
            raise EvalDataError(
                f"the sides of {pair.name!r} hold other documents", "one of the logs was changed; run the suite again"
            )
    return found


def compare_family(
    family: Sequence[Pair],
    counted: Counted,
    statistic: Statistic,
    figure: str,
    alpha: float,
    resamples: int,
    rng: np.random.Generator,
) -> list[Row]:
    """Compare pairs that are one family: Holm's correction goes over all of them.

    Args:
        family: The pairs; those whose sides are the same cell are no comparison.
        counted: See :func:`load_counts`.
        statistic: f1, precision or recall.
        figure: What a table calls it.
        alpha: How often the family may claim any difference where there is none.
        resamples: Draws.
        rng: Where they come from.

    Returns:
        A row a pair, in their order.
    """
    tested = [number for number, pair in enumerate(family) if not pair.same]
    single = [n for n in tested if len(family[n].a) == len(family[n].b) == 1]
    seeded = [n for n in tested if n not in single]
    # Two families of different tests share alpha by their size, as Bonferroni has it.
    share = len(single) / len(tested) if tested else 1.0
    found: dict[int, Found] = {}
    if single:
        sides = {str(n): (_matrix(family[n].a, counted), _matrix(family[n].b, counted)) for n in single}
        clusters = {str(n): counted[key_of(family[n].a[0])].clusters for n in single}
        result = compare_all(
            sides, rng=rng, clusters=clusters, statistic=statistic, alpha=alpha * share, power=POWER,
            resamples=resamples,
        )  # fmt: skip
        found |= {int(name): _of(one) for name, one in result.items()}
    if seeded:
        found |= _seeded(seeded, family, counted, statistic, alpha * (1 - share))
    rows = []
    for number, pair in enumerate(family):
        own = counted[key_of(pair.a[0])]
        if pair.same:
            point = _point(pair, counted, statistic)
            result_: Found = (point, point, Interval(0.0, 0.0, 0.0), None, 1.0, Verdict.CANNOT_TELL, alpha)
        else:
            result_ = found[number]
        a, b, difference, detectable, p_value, verdict, level = result_
        rows.append(
            Row(
                pair.name,
                pair.kind,
                figure,
                a,
                b,
                difference.point,
                difference.low,
                difference.high,
                detectable,
                p_value,
                verdict,
                level,
                min(len(pair.a), len(pair.b)),
                len(own.documents),
                len(set(own.clusters)),
                pair.same,
                tuple(cell.id for cell in pair.a),
                tuple(cell.id for cell in pair.b),
            )
        )
    return rows


def _of(one: Comparison) -> Found:
    # Where the two never differ, nothing is known of how much they could.
    known = isfinite(one.detectable) and one.standard_error > 0
    return one.a, one.b, one.difference, one.detectable if known else None, one.p_value, one.verdict, one.alpha


def _matrix(cells: Sequence[Any], counted: Counted) -> Any:
    return counted[key_of(cells[0])].matrix


def _point(pair: Pair, counted: Counted, statistic: Statistic) -> float:
    from tools.metrics.intervals import ratio

    figures = [ratio(counted[key_of(cell)].matrix.sum(axis=0).astype(float), statistic) for cell in pair.a]
    return float(np.mean(figures))


def _seeded(
    numbers: Sequence[int],
    family: Sequence[Pair],
    counted: Counted,
    statistic: Statistic,
    alpha: float,
) -> dict[int, Found]:
    """Pairs of several seeds each, stepped down as ``compare_all`` does."""

    def at(number: int, level: float) -> Any:
        pair = family[number]
        return compare_seeds(
            [counted[key_of(cell)].matrix for cell in pair.a],
            [counted[key_of(cell)].matrix for cell in pair.b],
            clusters=counted[key_of(pair.a[0])].clusters,
            statistic=statistic,
            alpha=level,
        )

    p_of = {n: touching(lambda level, n=n: at(n, level).difference, 0.0) for n in numbers}  # type: ignore[misc]
    found = {}
    share, open_still, floor = alpha, True, 0.0
    for place, number in enumerate(sorted(numbers, key=lambda n: p_of[n])):
        if open_still:
            share = alpha / (len(numbers) - place)
        one = at(number, share)
        open_still = open_still and one.verdict is not Verdict.CANNOT_TELL
        floor = max(floor, min(1.0, p_of[number] * (len(numbers) - place)))
        error = float(np.hypot(one.by_documents, one.by_seeds))
        detectable = detectable_difference(error, alpha=share, power=POWER) if error else None
        verdict = one.verdict if open_still else Verdict.CANNOT_TELL
        found[number] = (one.a, one.b, one.difference, detectable, floor, verdict, share)
    return found


def touching(interval: Callable[[float], Interval], value: float) -> float:
    """The two-sided level at which an interval just reaches a value: its p-value.

    Args:
        interval: Gives the interval at an alpha; the smaller that is the wider.
        value: What is asked about.

    Returns:
        Between 0 and 1; 1 where even the narrowest interval holds the value.
    """
    low, high = 1e-6, 1.0 - 1e-9

    def holds(alpha: float) -> bool:
        one = interval(alpha)
        return one.low <= value <= one.high

    if not holds(low):
        return low
    if holds(high):
        return 1.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high
