"""Cells of two runs, or of one, side by side: which may be compared, and their counts document by document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.errors import EvalDataError, EvalLogError
from evals.log import CellLog, RunLog
from evals.records import CellDocument, OracleDocument
from tools.annotation import Span
from tools.metrics import score
from tools.metrics.intervals import Statistic

END_TO_END = "end_to_end"
ORACLE_FIGURES: dict[str, tuple[Statistic, str]] = {
    "oracle_extract": ("recall", "recall of places"),
    "oracle_classify": ("recall", "typing accuracy"),
    "oracle_verify": ("f1", "F1 of yes"),
}
"""What a step scored alone is judged by: which ratio of its counts, and what that is called."""
Key = tuple[str, str, str]
Tick = Callable[[str, int, int], object]
"""Called with what is done, how much of it is, and how much there is."""


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that differ in their seed alone.

    Attributes:
        key: Kind, data set and settings.
        name: For people, without the seed.
        cells: Seed to cell.
    """

    key: Key
    name: str
    cells: dict[int, CellLog]

    @property
    def kind(self) -> str:
        """As of ``CellHeader``."""
        return self.key[0]

    @property
    def first(self) -> CellLog:
        """The cell of the first seed."""
        return next(iter(self.cells.values()))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two settings, or one setting in two runs, on the same documents.

    Attributes:
        name: What the comparison is called.
        kind: As of ``CellHeader``.
        a: The cells of the first side, one a seed.
        b: Those of the second.
    """

    name: str
    kind: str
    a: tuple[CellLog, ...]
    b: tuple[CellLog, ...]

    @property
    def same(self) -> bool:
        """Whether both sides are the very same cells, taken over from one run into the other.

        Equal identities are not enough: measured twice, a cell may come out otherwise.
        """
        return [(c.id, c.block.crc) for c in self.a] == [(c.id, c.block.crc) for c in self.b]


@dataclass(frozen=True, slots=True)
class CellCounts:
    """What a cell got right and wrong, document by document.

    Attributes:
        documents: Their ids.
        matrix: Shape (documents, 3): tp, fp, fn.
        clusters: The cluster of each.
    """

    documents: tuple[str, ...]
    matrix: NDArray[np.int64]
    clusters: tuple[str, ...]


def groups(run: RunLog, only: str = "") -> dict[Key, Group]:
    """The finished cells of a run, those that differ in the seed alone together.

    Args:
        run: The run.
        only: Keep cells whose name has this in it.
    """
    found: dict[Key, Group] = {}
    for cell in run.cells:
        if cell.end.state == "done" and only in cell.header.name:
            key = _key(cell)
            group = found.setdefault(key, Group(key, seedless(cell), {}))
            group.cells[cell.header.seed] = cell
    return found


def _key(cell: CellLog) -> Key:
    # What a step alone is asked does not depend on what varies.
    settings = "" if cell.header.kind != END_TO_END else json.dumps(cell.header.settings, sort_keys=True, default=str)
    return cell.header.kind, cell.header.data.name, settings


def key_of(cell: CellLog) -> tuple[str, str]:
    """A cell in its log: two logs may hold one identity with different outcomes."""
    return str(cell.path), cell.id


def seedless(cell: CellLog) -> str:
    """A cell's name without its seed."""
    return cell.header.name.removesuffix(f" seed={cell.header.seed}")


def pair_runs(a: RunLog, b: RunLog, only: str = "") -> tuple[list[Pair], list[str], list[str]]:
    """The settings that two runs share.

    Args:
        a: The first run.
        b: The second.
        only: Keep cells whose name has this in it.

    Returns:
        Pairs in the order of the second run; names of cells that only the
        first has finished, and those that only the second has.

    Raises:
        EvalDataError: Nothing is shared, or a shared data set has other documents.
    """
    left, right = groups(a, only), groups(b, only)
    pairs = []
    for key in right:
        if key in left:
            sides = _seeds(left[key], right[key])
            if sides is not None:
                pairs.append(Pair(right[key].name, key[0], *sides))
    taken = {key_of(cell) for pair in pairs for cell in (*pair.a, *pair.b)}
    only_a = [c.header.name for g in left.values() for c in g.cells.values() if key_of(c) not in taken]
    only_b = [c.header.name for g in right.values() for c in g.cells.values() if key_of(c) not in taken]
    if not pairs:
        raise EvalDataError(*_nothing_shared(a, b, left.values(), right.values(), only))
    check_same_documents(pairs, a, b)
    return pairs, only_a, only_b


def _seeds(left: Group, right: Group) -> tuple[tuple[CellLog, ...], tuple[CellLog, ...]] | None:
    """All seeds where both sides have several; else those in common."""
    if min(len(left.cells), len(right.cells)) > 1:
        return tuple(left.cells.values()), tuple(right.cells.values())
    common = [seed for seed in left.cells if seed in right.cells]
    if not common:
        return None
    return tuple(left.cells[s] for s in common), tuple(right.cells[s] for s in common)


def sides_of(base: Group, group: Group) -> tuple[tuple[CellLog, ...], tuple[CellLog, ...]]:
    """The two sides of a comparison of different settings: all seeds of either.

    One seed on each side is a comparison of just these; where one side has one
    and the other several, its luck is taken to be like the other's.
    """
    return tuple(base.cells.values()), tuple(group.cells.values())


def _nothing_shared(
    a: RunLog, b: RunLog, left: Iterable[Group], right: Iterable[Group], only: str
) -> tuple[str, str]:  # fmt: skip
    if not left or not right:
        which = a if not left else b
        if only:
            return f"run {which.header.run} has no finished cell with {only!r} in its name", "leave --only out"
        return f"run {which.header.run} has no finished cell", "go on with it: quorum eval run SUITE --resume"
    names = [", ".join(sorted({group.key[1] for group in side})) for side in (left, right)]
    return (
        f"runs {a.header.run} ({names[0]}) and {b.header.run} ({names[1]}) have no cell in common",
        "cells pair by data set, settings and seed; --against CELL names one that all are held against",
    )


def pair_against(against: RunLog, run: RunLog, cell: str, only: str = "") -> list[Pair]:
    """Every end-to-end setting of a run against one chosen setting, data set by data set.

    Args:
        against: The run that has the chosen cell.
        run: The run whose cells are compared; may be the same.
        cell: The chosen cell: its id or the beginning of it, or its name, or
            words that stand in its name alone. With several data sets the cell
            of equal settings is taken on each.
        only: Keep cells whose name has this in it.

    Raises:
        EvalDataError: No cell, or more than one, is meant; there is nothing to
            compare; or the documents differ.
    """
    known = {key: group for key, group in groups(against).items() if group.kind == END_TO_END}
    chosen = _chosen(known, cell, against)
    pairs = []
    for key, group in groups(run, only).items():
        base = known.get((END_TO_END, key[1], chosen.key[2]))
        if group.kind != END_TO_END or base is None or key_of(base.first) == key_of(group.first):
            continue
        pairs.append(Pair(group.name, END_TO_END, *sides_of(base, group)))
    if not pairs:
        raise EvalDataError(
            f"run {run.header.run} has no cell to hold against {chosen.name!r}", "see: quorum eval view RUN"
        )
    check_same_documents(pairs, against, run)
    return pairs


def _chosen(known: dict[Key, Group], cell: str, run: RunLog) -> Group:
    every = list(known.values())

    def one(found: list[Group]) -> Group | None:
        return found[0] if len({group.key[2] for group in found}) == 1 else None

    exact = [g for g in every if cell in (g.name, g.name.removeprefix(f"{g.key[1]} "))]
    exact = exact or [g for g in every for c in g.cells.values() if cell == c.header.name]
    by_id = [g for g in every for c in g.cells.values() if len(cell) >= 4 and c.id.startswith(cell)]
    words = [g for g in every if all(word in g.name.split() for word in cell.split())]
    parts = [g for g in every if cell in g.name]
    for found in (exact, by_id, words, parts):
        if (group := one(found)) is not None:
            return group
    several = words or parts
    few = "; ".join(g.name for g in (several or every)[:4])
    more = len(several or every) - 4
    raise EvalDataError(
        f"{len(several)} cells of run {run.header.run} are meant by {cell!r}"
        if several
        else f"run {run.header.run} has no cell {cell!r}",
        f"name one: {few}{f'; and {more} more' if more > 0 else ''}",
    )


def check_same_documents(pairs: Sequence[Pair], a: RunLog, b: RunLog) -> None:
    """Refuse pairs of which the two sides are of other documents, texts or gold.

    Raises:
        EvalDataError: One is.
    """
    for pair in pairs:
        one, *others = [cell.header.data for cell in (*pair.a, *pair.b)]
        for other in others:
            if one.hash != other.hash:
                limits = [f"--limit {run.header.limit}" if run.header.limit else "no limit" for run in (a, b)]
                size = f"{one.documents} and {other.documents} documents" if one.documents != other.documents else (
                    f"{one.documents} documents with other texts or gold"
                )  # fmt: skip
                raise EvalDataError(
                    f"runs {a.header.run} and {b.header.run} are of other documents of {one.name!r}: {size}",
                    f"they were run with {limits[0]} and {limits[1]}; run both with the same"
                    if limits[0] != limits[1]
                    else "only figures of the same documents can be compared; run the suite again on these",
                )


def counts_of(cell: CellLog) -> CellCounts:
    """A cell's right, spurious and missed answers, document by document, ids in order.

    End-to-end cells are counted strictly. Of a step scored alone: the places
    found, not in gold, and missed; the types right and (as missed) wrong; the
    right yes, the wrong yes, and the wrong no.

    Raises:
        EvalLogError: The cell's block is damaged, or holds no documents.
    """
    if cell.header.kind == END_TO_END:
        documents = sorted(cell.documents(), key=lambda d: d.id)
        gold = {d.id: [Span(*row) for row in d.gold] for d in documents}
        predicted = {d.id: predicted_spans(d) for d in documents}
        matrix = score(gold, predicted).matrix
        clusters = tuple(d.cluster or d.id for d in documents)
        ids = tuple(d.id for d in documents)
    else:
        alone = sorted(cell.oracle_documents(), key=lambda d: d.id)
        matrix = np.array([_oracle_row(cell.header.kind, d) for d in alone], dtype=np.int64).reshape(len(alone), 3)
        ids = clusters = tuple(d.id for d in alone)
    if not ids:
        raise EvalLogError(f"{cell.path}: cell {cell.header.name!r} has no documents", "run the suite again")
    return CellCounts(ids, matrix, clusters)


def predicted_spans(document: CellDocument) -> list[Span]:
    """What was decided for a document, without confidences."""
    return [Span(p.start, p.end, p.label) for p in document.predicted]


def _oracle_row(kind: str, document: OracleDocument) -> tuple[int, int, int]:
    right = spurious = missed = 0
    for item in document.items:
        if kind == "oracle_classify":
            if item.members:
                continue  # one member's answer; the vote's has none
            right += item.answer == item.truth
            missed += item.answer != item.truth
            continue
        said = item.answer in ("found", "yes")
        true = item.truth in ("found", "yes")
        right += said and true
        spurious += said and not true
        missed += true and not said
    return right, spurious, missed
