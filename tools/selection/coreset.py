"""Core-set: k-centre greedy, begun with ALLabel's warm start, without computing a distance that decides nothing.

ALLabel (arXiv 2509.07512, stage 1) begins with the item least similar on average to all others and then takes
``argmin_i max_s U(x_i, x_s)`` over what is selected. An item's ``max_s`` only rises as more is selected, so the value
from some centres ago is a lower bound: items are compared with the centres they have missed only when that bound would
make them the next pick. Each pair is compared at most once, and most pairs never.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.selection.distances import Similarity
from tools.selection.protocol import Floats, Rows
from tools.selection.state import CoreState
from tools.selection.task import Choice, Task
from tools.selection.words import apart, odd
from tools.selection.workers import workers

NAME = "coreset"
STAGE = "diversity"
_FRONT = 32_768
_STEP = 512
_BLOCK = 4096


class Centres:
    """Compares items with centres, each pair at most once.

    Args:
        similarity: Of the items.
        state: What is known; brought up to date in place.
        covered: The rows that are centres. Those the state does not have are added; where the state has
            others (picks that were never labelled), items nearest to these are compared anew.
        threads: Where many rows are compared at a time.
    """

    def __init__(
        self, similarity: Similarity, state: CoreState, covered: list[int], threads: Executor | None = None
    ) -> None:
        self.similarity = similarity
        self.state = state
        self._threads = threads
        self._rows: Rows = np.zeros(0, dtype=np.int64)
        self._room: NDArray[Any] | None = None
        self._side: NDArray[Any] | None = None
        wanted = set(covered)
        lost = [place for place, row in enumerate(state.centres) if row >= 0 and row not in wanted]
        if lost:
            again = np.isin(state.nearest, lost)
            state.best[again], state.upto[again], state.nearest[again] = -np.inf, 0, -1
            for place in lost:
                state.centres[place] = -1
        known = set(state.centres)
        for row in covered:
            if row not in known:
                state.centres.append(row)
                known.add(row)
        self._dead = np.flatnonzero(np.asarray(state.centres, dtype=np.int64) < 0)

    def add(self, row: int) -> None:
        """One more centre."""
        self.state.centres.append(row)

    def refresh(self, rows: Rows) -> None:
        """Compare rows with the centres they have missed, those that missed the same ones together."""
        state = self.state
        self._ready()
        order = rows[np.argsort(state.upto[rows], kind="stable")]
        behind = state.upto[order]
        ends = (np.flatnonzero(np.diff(behind, append=-1)) + 1).tolist()
        jobs = [
            (order[at : min(at + _BLOCK, end)], int(behind[begin]))
            for begin, end in zip([0, *ends], ends, strict=False)
            for at in range(begin, end, _BLOCK)
        ]
        if len(rows) > _BLOCK and self._threads is not None:
            state.compared += sum(self._threads.map(self._compare, jobs))
        else:
            state.compared += sum(map(self._compare, jobs))

    def _compare(self, job: tuple[Rows, int]) -> int:
        """Compare some rows with the centres from one on; rows of different jobs are different."""
        rows, since = job
        state = self.state
        count = len(state.centres)
        if since >= count:
            return 0
        side = self.similarity.side(np.maximum(self._rows[since:], 0)) if self._side is None else self._side[since:]
        found = self.similarity.product(rows, side)
        dead = self._dead[self._dead >= since] - since
        if len(dead):
            found[:, dead] = -np.inf
        place = found.argmax(axis=1)
        value = found[np.arange(len(rows)), place]
        # Of equal similarities the earlier centre stays the nearest.
        better = value > state.best[rows]
        state.best[rows[better]] = value[better]
        state.nearest[rows[better]] = place[better] + since
        state.upto[rows] = count
        return found.size - len(dead) * len(rows)

    def _ready(self) -> None:
        """The centres as an array, and the vectors of dense ones, kept and grown."""
        known = len(self._rows)
        if known == len(self.state.centres):
            return
        fresh = np.asarray(self.state.centres[known:], dtype=np.int64)
        self._rows = np.concatenate([self._rows, fresh])
        if self.similarity.name != "embedding":
            return
        side = self.similarity.side(np.maximum(fresh, 0))
        if self._room is None or len(self._rows) > len(self._room):
            room = np.empty((max(64, 2 * len(self._rows)), side.shape[1]), dtype=side.dtype)
            if self._room is not None:
                room[:known] = self._room[:known]
            self._room = room
        self._room[known : len(self._rows)] = side
        self._side = self._room[: len(self._rows)]

    def lowest(self, rows: Rows, count: int) -> Rows:
        """The rows least similar to any centre, at least ``count`` of them, least first, ties by row."""
        state = self.state
        count = min(count, len(rows))
        while True:
            best = state.best[rows]
            bound = np.partition(best, count - 1)[count - 1]
            within = rows[best <= bound]
            stale = within[state.upto[within] < len(state.centres)]
            if not len(stale):
                return np.asarray(within[np.argsort(state.best[within], kind="stable")], dtype=np.int64)
            self.refresh(stale)


def core_state(task: Task) -> CoreState:
    """What the task's state knows for its similarity."""
    dtype = np.float32 if task.similarity.name == "embedding" else np.float64
    name = task.similarity.name
    return task.state.core.setdefault(name, CoreState.fresh(len(task.pool), dtype))


@contextmanager
def centres_of(task: Task) -> Iterator[Centres]:
    """The centres of a batch: what is covered."""
    similarity = task.similarity
    with workers() as threads:
        yield Centres(similarity, core_state(task), list(task.covered), threads)


def choose(task: Task, wanted: int) -> list[Choice]:
    """K-centre greedy; with costs, the largest distance to the nearest centre a second."""
    with centres_of(task) as centres:
        return _greedy(task, centres, wanted)


def _greedy(task: Task, centres: Centres, wanted: int) -> list[Choice]:
    similarity = task.similarity
    found: list[Choice] = []
    if not centres.state.centres or all(row < 0 for row in centres.state.centres):
        first = _first(task) if wanted else None
        if first is None:
            return found
        found.append(first)
        centres.add(first.row)
    keys = _Keys(task, centres, task.remaining())
    while len(found) < wanted:
        row = keys.least()
        if row < 0:
            break
        keys.close(row)
        if task.admit(row):
            score = float(centres.state.best[row]) / similarity.unit
            found.append(Choice(row, STAGE, score, apart(similarity, float(centres.state.best[row]))))
            centres.add(row)
            if len(found) % 10 == 0:
                task.tell("choosing", len(found), wanted)
    return found


def _first(task: Task) -> Choice | None:
    rows = task.remaining()
    if not len(rows):
        return None
    if not task.options.warm_start:
        row = int(task.rng.choice(rows))
        task.distinct.add(row)
        task.covered.append(row)
        return Choice(row, STAGE, 0.0, "the first, drawn at random")
    mean = task.similarity.totals(rows) / max(1, len(rows) - 1)
    keys = mean if task.seconds is None else -task.similarity.distance(mean) / task.seconds[rows]
    for place in np.argsort(keys, kind="stable").tolist():
        if task.admit(int(rows[place])):
            score = float(mean[place]) / task.similarity.unit
            return Choice(int(rows[place]), STAGE, score, odd(task.similarity, float(mean[place])))
    return None


class _Keys:
    """Finds the open row with the least key; a key is a lower bound until its row is up to date.

    Keys only rise, so the pick is searched among the ``_FRONT`` least, as long as one of them stays below what
    the others had.
    """

    def __init__(self, task: Task, centres: Centres, rows: Rows) -> None:
        self._centres = centres
        self._similarity = task.similarity
        self._seconds = task.seconds
        self._keys: Floats = np.full(len(task.pool), np.inf, dtype=np.float64)
        self._update(rows)
        self._renew()

    def _update(self, rows: Rows) -> None:
        best = self._centres.state.best[rows]
        if self._seconds is None:
            self._keys[rows] = best
        else:
            # Nothing is known of a row that no centre was compared with: it may be the best of all.
            gain = self._similarity.distance(np.maximum(best, -2 * self._similarity.unit))
            self._keys[rows] = np.where(np.isneginf(best), -np.inf, -gain / self._seconds[rows])

    def _renew(self) -> None:
        if len(self._keys) <= _FRONT:
            self._front: Rows = np.arange(len(self._keys), dtype=np.int64)
            self._bound = np.inf
        else:
            self._bound = float(np.partition(self._keys, _FRONT)[_FRONT])
            self._front = np.flatnonzero(self._keys <= self._bound)

    def close(self, row: int) -> None:
        """Take a row out."""
        self._keys[row] = np.inf

    def least(self) -> int:
        """The row with the least key, ties by row; -1 where no row is left."""
        state = self._centres.state
        while True:
            keys = self._keys[self._front]
            place = int(np.argmin(keys))
            if keys[place] > self._bound or (np.isposinf(keys[place]) and self._bound < np.inf):
                self._renew()
                continue
            if np.isposinf(keys[place]):
                return -1
            count = len(state.centres)
            row = int(self._front[place])
            if state.upto[row] >= count:
                return row
            stale = state.upto[self._front] < count
            known = keys[~stale]
            bound = known.min() if len(known) else np.inf
            within = stale & (keys <= bound) & ~np.isposinf(keys)
            rows, values = self._front[within], keys[within]
            if len(rows) > _STEP and len(rows) < len(self._keys) // 2:
                # A few of the least first: they show how low the others would have to be.
                rows = rows[np.argpartition(values, _STEP)[:_STEP]]
            self._centres.refresh(rows)
            self._update(rows)
