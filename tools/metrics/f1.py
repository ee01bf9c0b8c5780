"""Precision, recall and F1 of a set of documents: all types together, each type, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tools.annotation.span import Span
from tools.metrics.intervals import Interval, bootstrap
from tools.metrics.matching import Counts, count_by_label, count_matches


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
    """

    micro: Score
    boundaries: Score
    macro: Score
    by_label: dict[str, Score]
    documents: tuple[str, ...]
    matrix: NDArray[np.int64]
    matrix_by_label: dict[str, NDArray[np.int64]]


def score(
    gold: Mapping[str, Sequence[Span]],
    predicted: Mapping[str, Sequence[Span]],
    *,
    rng: np.random.Generator | int | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> ScoreTable:
    """Score predictions against gold.

    Args:
        gold: Document id to gold spans; a document without any has an empty list.
        predicted: Document id to predicted spans. A document that is missing
            here has no prediction: its gold counts as not found.
        rng: The source of the draws (or a seed) for intervals; None for none.
        resamples: Bootstrap draws an interval.
        level: The intervals' level of confidence.

    Returns:
        The table.

    Raises:
        ValueError: A predicted document is not among the gold ones: it cannot
            be judged, and to pass it over would hide a mistake.
    """
    unknown = sorted(set(predicted) - set(gold))
    if unknown:
        raise ValueError(f"{len(unknown)} predicted document(s) have no gold, the first is {unknown[0]!r}")
    draws = np.random.default_rng(rng) if rng is not None else None
    documents = tuple(gold)
    strict = np.zeros((len(documents), 3), dtype=np.int64)
    places = np.zeros_like(strict)
    labels = sorted({span.label for span in chain(*gold.values(), *predicted.values())})
    by_label = {label: np.zeros_like(strict) for label in labels}
    for row, document in enumerate(documents):
        right, guess = gold[document], predicted.get(document, ())
        if not right and not guess:
            continue
        for label, counts in count_by_label(right, guess).items():
            by_label[label][row] = counts.tp, counts.fp, counts.fn
            strict[row] += by_label[label][row]
        place = count_matches(right, guess, boundaries_only=True)
        places[row] = place.tp, place.fp, place.fn
    scored = {label: _scored(matrix, draws, resamples, level) for label, matrix in by_label.items()}
    micro = _scored(strict, draws, resamples, level)
    return ScoreTable(
        micro=micro,
        boundaries=_scored(places, draws, resamples, level),
        macro=_mean(list(scored.values()), micro.counts),
        by_label=scored,
        documents=documents,
        matrix=strict,
        matrix_by_label=by_label,
    )


def _scored(matrix: NDArray[np.int64], rng: np.random.Generator | None, resamples: int, level: float) -> Score:
    counts = Counts(*map(int, matrix.sum(axis=0)))
    intervals: dict[str, Interval] = {}
    if rng is not None:
        # One seed for the three figures: they are of the same resamples.
        seed = int(rng.integers(2**63))
        for name in ("f1", "precision", "recall"):
            same = np.random.default_rng(seed)
            intervals[name] = bootstrap(matrix, name, rng=same, resamples=resamples, level=level)
    return Score(
        counts.precision,
        counts.recall,
        counts.f1,
        counts.support,
        counts,
        intervals.get("f1"),
        intervals.get("precision"),
        intervals.get("recall"),
    )


def _mean(scores: Sequence[Score], counts: Counts) -> Score:
    size = max(1, len(scores))
    return Score(
        sum(s.precision for s in scores) / size,
        sum(s.recall for s in scores) / size,
        sum(s.f1 for s in scores) / size,
        counts.support,
        counts,
    )
