"""Precision, recall and F1 of a set of documents: every scheme, each type, their mean, and up a type tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tools.annotation.labels import LabelSet
from tools.annotation.span import Span
from tools.metrics.intervals import Figure, Floats, Interval, Resamples, Statistic, figure_of, ratio, wilson
from tools.metrics.matching import SCHEMES, Counts, Scheme, matched_spans

_STATISTICS: tuple[Statistic, ...] = ("precision", "recall", "f1")
Spans = Mapping[str, Sequence[Span]]


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1.

    Attributes:
        precision: 0 to 1.
        recall: 0 to 1.
        f1: 0 to 1.
        support: How many gold spans it rests on.
        counts: What it was computed from; for a mean over types their sum.
        f1_interval: How sure F1 is, where intervals were asked for.
        precision_interval: The same of precision.
        recall_interval: The same of recall.
    """

    precision: float
    recall: float
    f1: float
    support: int
    counts: Counts = field(default_factory=Counts)
    f1_interval: Interval | None = None
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None

    def __str__(self) -> str:
        within = f" [{self.f1_interval.low:.3f}, {self.f1_interval.high:.3f}]" if self.f1_interval else ""
        return f"P {self.precision:.3f}  R {self.recall:.3f}  F1 {self.f1:.3f}{within}  n {self.support}"


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """All scores of one set of predictions.

    Attributes:
        micro: Strict, all types together.
        boundaries: The same with the type left out.
        macro: The mean over the types that occur in gold or predictions.
        by_label: Strict, each type, by name.
        documents: The document ids, in the order of ``matrix``.
        matrix: Shape (documents, 3), int64: strict tp, fp, fn of each document,
            for resampling and paired comparisons.
        matrix_by_label: The same for each type.
        schemes: The scores of every scheme, all types together; ``strict`` is
            ``micro`` and ``boundaries`` is ``boundaries``.
        matrices: tp, fp, fn of each document under every scheme, float64.
        by_parent: With a type tree, strict, for each type that has others below
            it: these and itself taken as one type.
        top: With a type tree, strict, every type taken as its topmost one.
        units: How many documents, or clusters of them, were drawn for intervals.
    """

    micro: Score
    boundaries: Score
    macro: Score
    by_label: dict[str, Score]
    documents: tuple[str, ...]
    matrix: NDArray[np.int64]
    matrix_by_label: dict[str, NDArray[np.int64]]
    schemes: dict[Scheme, Score] = field(default_factory=dict)
    matrices: dict[Scheme, Floats] = field(default_factory=dict)
    by_parent: dict[str, Score] = field(default_factory=dict)
    top: Score | None = None
    units: int = 0


def score(
    gold: Spans,
    predicted: Spans,
    *,
    rng: np.random.Generator | int | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    clusters: Mapping[str, str] | None = None,
    labels: LabelSet | None = None,
) -> ScoreTable:
    """Score predictions against gold.

    Args:
        gold: Document id to gold spans; a document without any has an empty list.
        predicted: Document id to predicted spans. A document that is missing
            here has no prediction: its gold counts as not found.
        rng: The source of the draws (or a seed) for intervals; None for none.
        resamples: Bootstrap draws an interval.
        level: The intervals' level of confidence.
        clusters: Document id to the cluster it belongs to (the article of a
            sentence), which are then drawn instead of documents.
        labels: Gives the type tree (``Label.parent``) to roll up.

    Returns:
        The table.

    Raises:
        ValueError: A predicted document is not among the gold ones: it cannot
            be judged, and to pass it over would hide a mistake; or a document
            has no cluster where clusters are given.
    """
    unknown = sorted(set(predicted) - set(gold))
    if unknown:
        raise ValueError(f"{len(unknown)} predicted document(s) have no gold, the first is {unknown[0]!r}")
    documents = tuple(gold)
    if clusters is not None and (without := [name for name in documents if name not in clusters]):
        raise ValueError(f"{len(without)} document(s) have no cluster, the first is {without[0]!r}")
    by_scheme, by_label = _count(gold, predicted)
    blocks = [by_scheme.reshape(len(documents), 3 * len(SCHEMES)), *by_label.values()]
    parents, top = _rolled(gold, predicted, labels) if labels else ({}, None)
    blocks += [*parents.values(), *([] if top is None else [top])]
    columns = np.concatenate(blocks, axis=1)
    drawn = None
    if rng is not None and documents:
        units = None if clusters is None else [clusters[name] for name in documents]
        drawn = Resamples(columns, np.random.default_rng(rng), resamples, units)
    scorer = _Scorer(columns.sum(axis=0), drawn, level)
    schemes: dict[Scheme, Score] = {scheme: scorer.score(3 * place) for place, scheme in enumerate(SCHEMES)}
    first = 3 * len(SCHEMES)
    scored = {label: scorer.score(first + 3 * place) for place, label in enumerate(by_label)}
    upper = first + 3 * len(by_label)
    return ScoreTable(
        micro=schemes["strict"],
        boundaries=schemes["boundaries"],
        macro=scorer.mean(range(first, upper, 3), schemes["strict"].counts),
        by_label=scored,
        documents=documents,
        matrix=by_scheme[:, 0].astype(np.int64),
        matrix_by_label=by_label,
        schemes=schemes,
        matrices={scheme: by_scheme[:, place] for place, scheme in enumerate(SCHEMES)},
        by_parent={label: scorer.score(upper + 3 * place) for place, label in enumerate(parents)},
        top=None if top is None else scorer.score(upper + 3 * len(parents)),
        units=drawn.units if drawn else 0,
    )


def _count(gold: Spans, predicted: Spans) -> tuple[Floats, dict[str, NDArray[np.int64]]]:
    """tp, fp, fn a document: shape (documents, schemes, 3), and by type (documents, 3)."""
    sizes = np.zeros((len(gold), 2))
    credits = np.zeros((len(gold), len(SCHEMES)))
    cells: dict[str, tuple[list[int], list[int], list[int]]] = {}
    for row, (document, spans) in enumerate(gold.items()):
        right, guess = set(spans), set(predicted.get(document, ()))
        if not right and not guess:
            continue
        credits[row] = matched_spans(right, guess)
        sizes[row] = len(right), len(guess)
        for place, side in enumerate((right & guess, guess - right, right - guess)):
            for span in side:
                cell = cells.get(span.label)
                if cell is None:
                    cell = cells[span.label] = ([], [], [])
                cell[place].append(row)
    by_scheme = np.stack([credits, sizes[:, 1:] - credits, sizes[:, :1] - credits], axis=2)
    return by_scheme, {label: _tabulate(cells[label], len(gold)) for label in sorted(cells)}


def _tabulate(cell: Iterable[list[int]], documents: int) -> NDArray[np.int64]:
    columns = [np.bincount(np.array(rows, dtype=np.int64), minlength=documents) for rows in cell]
    return np.stack(columns, axis=1).astype(np.int64)


def score_by(
    gold: Spans,
    predicted: Spans,
    question: Callable[[str, Span], str],
    *,
    rng: np.random.Generator | int | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    clusters: Mapping[str, str] | None = None,
) -> dict[str, Score]:
    """Strict scores of parts of the spans.

    Every span answers a question for itself, gold or predicted. A match has one
    answer; a spurious span is charged to the answer of what was predicted, a
    miss to that of what was marked.

    Args:
        gold: Document id to gold spans.
        predicted: Document id to predicted spans, of documents in ``gold``.
        question: Takes a document's id and a span of it, gives the part's name.
        rng: As of ``score``.
        resamples: As of ``score``.
        level: As of ``score``.
        clusters: As of ``score``.

    Returns:
        The parts that occur, by name in order.
    """
    cells: dict[str, tuple[list[int], list[int], list[int]]] = {}
    for row, (document, spans) in enumerate(gold.items()):
        right, guess = set(spans), set(predicted.get(document, ()))
        for place, side in enumerate((right & guess, guess - right, right - guess)):
            for span in side:
                cells.setdefault(question(document, span), ([], [], []))[place].append(row)
    if not cells:
        return {}
    names = sorted(cells)
    columns = np.concatenate([_tabulate(cells[name], len(gold)) for name in names], axis=1)
    drawn = None
    if rng is not None:
        units = None if clusters is None else [clusters[name] for name in gold]
        drawn = Resamples(columns, np.random.default_rng(rng), resamples, units)
    scorer = _Scorer(columns.sum(axis=0), drawn, level)
    return {name: scorer.score(3 * place) for place, name in enumerate(names)}


def roll_up(spans: Iterable[Span], to: Mapping[str, str]) -> set[Span]:
    """Spans with broader types: types that are not in ``to`` keep theirs; doubles become one."""
    return {Span(s.start, s.end, to[s.label]) if s.label in to else s for s in spans}


def _rolled(
    gold: Spans, predicted: Spans, labels: LabelSet
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64] | None]:
    """Strict counts of every type with types below it, and of all types taken as their topmost."""
    parents = {label.name: label.parent for label in labels if label.parent}
    above: dict[str, list[str]] = {}
    for name in labels.names:
        trail, here = [], name
        while here := parents.get(here, ""):
            trail.append(here)
        above[name] = trail
    inner = [name for name in labels.names if name in set(parents.values())]
    if not inner:
        return {}, None

    def matrix(to: Mapping[str, str], only: str | None) -> NDArray[np.int64]:
        rows = np.zeros((len(gold), 3), dtype=np.int64)
        for row, (document, spans) in enumerate(gold.items()):
            right, guess = roll_up(spans, to), roll_up(predicted.get(document, ()), to)
            if only is not None:
                right, guess = ({s for s in side if s.label == only} for side in (right, guess))
            both = len(right & guess)
            rows[row] = both, len(guess) - both, len(right) - both
        return rows

    below = {top: {name: top for name, trail in above.items() if top in trail} for top in inner}
    return {top: matrix(below[top], top) for top in inner}, matrix(
        {name: trail[-1] for name, trail in above.items() if trail}, None
    )


def _mean_of(statistic: Statistic, firsts: Sequence[int]) -> Figure:
    """The mean of a statistic over the types that occur; in a draw, over those that occur there."""

    def figure(totals: Floats) -> Floats:
        each = np.zeros((len(firsts), *totals.shape[:-1]))
        occurs = np.zeros_like(each)
        for place, at in enumerate(firsts):
            each[place] = ratio(totals[..., at : at + 3], statistic)
            occurs[place] = totals[..., at : at + 3].any(axis=-1)
        return np.asarray(each.sum(axis=0) / np.maximum(1, occurs.sum(axis=0)))

    return figure


@dataclass(frozen=True, slots=True)
class _Scorer:
    """Scores out of summed columns, all with the same draws."""

    total: Floats
    drawn: Resamples | None
    level: float

    def score(self, first: int) -> Score:
        """The score of the three columns that begin at ``first``."""
        counts = Counts(*(int(x) if x == int(x) else float(x) for x in self.total[first : first + 3]))
        return Score(
            counts.precision,
            counts.recall,
            counts.f1,
            counts.support,
            counts,
            self._ratio("f1", first),
            self._ratio("precision", first),
            self._ratio("recall", first),
        )

    def mean(self, firsts: Sequence[int], counts: Counts) -> Score:
        """The mean over several scores, without regard to their size."""
        figures = [_mean_of(name, firsts) for name in _STATISTICS]
        precision, recall, f1 = (float(figure(self.total)) for figure in figures)
        columns = slice(firsts[0], firsts[-1] + 3) if firsts else slice(0, 3)
        within = [
            self.drawn.interval(figure, columns=columns, level=self.level) if self.drawn else None for figure in figures
        ]
        return Score(precision, recall, f1, counts.support, counts, within[2], within[0], within[1])

    def _ratio(self, statistic: Statistic, first: int) -> Interval | None:
        """The interval of a ratio of three columns."""
        if self.drawn is None:
            return None
        columns = slice(first, first + 3)
        within = self.drawn.interval(figure_of(statistic, first), columns=columns, level=self.level)
        if within.low == within.high and within.point in (0.0, 1.0):
            # Without a single mistake, or a single hit, draws do not vary, which is not certainty: the interval of
            # as many trials as there are documents with such spans.
            trials = self.drawn.telling(columns)
            return wilson(trials if within.point else 0, trials, self.level)
        return within
