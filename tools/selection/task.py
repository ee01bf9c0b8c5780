"""What a strategy is given, what it answers, and what it must not pick twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tools.selection.distances import EmbeddingSimilarity, Similarity, whole_vectors
from tools.selection.protocol import Floats, Pool, Report, Rows, SelectionError, SelectionOptions
from tools.selection.state import SelectionState


@dataclass(frozen=True, slots=True)
class Choice:
    """One pick of a strategy; see ``Reason`` for the fields."""

    row: int
    stage: str
    score: float
    meaning: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Strategy(Protocol):
    """The one signature of all strategies."""

    def __call__(self, task: Task, wanted: int) -> list[Choice]:
        """At most ``wanted`` of ``task.open``, best first; fewer where the rest are near duplicates.

        Ties go to the lower row. Every choice has passed ``task.admit``.
        """


class Distinct:
    """Keeps near duplicates out of a batch: by cosine where there are embeddings, by words where there are texts.

    Args:
        pool: What rows mean.
        threshold: Cosine from which two items are the same; None lets everything pass.
    """

    def __init__(self, pool: Pool, threshold: float | None) -> None:
        self._pool = pool
        self._threshold = threshold
        self._rows: list[int] = []
        self._vectors: Floats | None = None
        self._groups: set[str] = set()
        self.turned_down = 0
        self.same_group = 0

    def admit(self, row: int) -> bool:
        """Whether a row is unlike all that were admitted before; if so it is one of them now."""
        if self._pool.groups is not None and self._pool.groups[row] in self._groups:
            self.same_group += 1
            return False
        if self._threshold is not None and (self._alike(row) or self._same_text(row)):
            self.turned_down += 1
            return False
        self.add(row)
        return True

    def add(self, row: int) -> None:
        """Admit a row in any case."""
        self._rows.append(row)
        if self._pool.groups is not None:
            self._groups.add(self._pool.groups[row])
        if self._pool.embeddings is not None and self._threshold is not None:
            vector = self._vector(row)
            if self._vectors is None:
                self._vectors = np.empty((16, len(vector)))
            if len(self._rows) > len(self._vectors):
                self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
            self._vectors[len(self._rows) - 1] = vector

    def _alike(self, row: int) -> bool:
        if self._vectors is None or self._threshold is None:
            return False
        return bool((self._vectors[: len(self._rows)] @ self._vector(row) >= self._threshold).any())

    def _same_text(self, row: int) -> bool:
        from tools.demonstrations.duplicates import near_duplicate

        texts = self._pool.texts
        return texts is not None and any(near_duplicate(texts[row], texts[other]) for other in self._rows)

    def _vector(self, row: int) -> Floats:
        assert self._pool.embeddings is not None
        vector = np.asarray(self._pool.embeddings[row], dtype=np.float64)
        norm = float(np.linalg.norm(vector))
        return vector / norm if norm > 0 and np.isfinite(norm) else np.zeros_like(vector)


@dataclass(slots=True)
class Task:
    """One batch to be chosen.

    Attributes:
        pool: All items.
        options: How.
        rng: The only source of chance.
        state: What was computed before; strategies add to it.
        open: Rows that can be picked, ascending.
        covered: Rows that count as labelled: gold, then what this batch has chosen, in order.
        distinct: Turns near duplicates down.
        notes: What the person should know.
        report: Told of long work.
    """

    pool: Pool
    options: SelectionOptions
    rng: np.random.Generator
    state: SelectionState
    open: Rows
    covered: list[int]
    distinct: Distinct
    notes: list[str] = field(default_factory=list)
    report: Report | None = None
    _similarity: Similarity | None = None

    @property
    def seconds(self) -> Floats | None:
        """Expected seconds an item, or None where cost does not count."""
        return self.pool.seconds if self.options.cost_aware else None

    @property
    def compared(self) -> Similarity | None:
        """The similarity, if something has asked for it."""
        return self._similarity

    @property
    def similarity(self) -> Similarity:
        """What tells how alike items are, made when first asked for.

        Raises:
            SelectionError: The pool has not what it needs.
        """
        if self._similarity is None:
            self._similarity = self._made()
        return self._similarity

    def _made(self) -> Similarity:
        if not self.state.belongs(self.pool, self.options.similarity):
            self.notes.append("the pool has changed: what earlier selections computed for it is computed anew")
        if self.options.similarity == "bm25":
            from tools.selection.lexical import LexicalSimilarity

            if self.pool.texts is None:
                raise SelectionError("the pool has no texts", "BM25 compares words; choose embedding as similarity")
            return LexicalSimilarity(self.pool.texts)
        state = self.state
        if state.vectors is None or state.zeros is None:
            state.vectors, state.zeros = whole_vectors(self.pool, state.room_for_vectors(self.pool))
        if len(state.zeros):
            named = ", ".join(repr(self.pool.ids[row]) for row in state.zeros[:3])
            many = "" if len(state.zeros) <= 3 else " ..."
            self.notes.append(f"{len(state.zeros)} of the vectors are zero, similar to nothing: {named}{many}")
        return EmbeddingSimilarity(state.vectors)

    def admit(self, row: int) -> bool:
        """Whether a row may be picked beside the batch's others; if so it is covered from now on."""
        if not self.distinct.admit(row):
            return False
        self.covered.append(row)
        return True

    def tell(self, what: str, done: int, of: int) -> None:
        """Report progress."""
        if self.report is not None:
            self.report(what, done, of)

    def remaining(self) -> Rows:
        """The open rows that this batch has not chosen yet."""
        return self.open[~np.isin(self.open, np.asarray(self.covered, dtype=np.int64))]


def best_first(
    task: Task, rows: Rows, values: Floats, wanted: int, stage: str, meaning: Callable[[float], str]
) -> list[Choice]:
    """The admitted rows with the highest values; with costs, with the highest values a second.

    Args:
        task: The batch.
        rows: Candidates, ascending.
        values: One a candidate, 0 or more where costs count.
        wanted: The most to choose.
        stage: For the reason.
        meaning: Says a value in words.
    """
    keys = values if task.seconds is None else values / task.seconds[rows]
    found: list[Choice] = []
    for place in np.argsort(-keys, kind="stable").tolist():
        if len(found) >= wanted:
            break
        row = int(rows[place])
        if task.admit(row):
            found.append(Choice(row, stage, float(values[place]), meaning(float(values[place]))))
    return found
