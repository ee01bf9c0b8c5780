"""Facility location: what is selected should be near everything; greedy, lazily (Minoux 1978).

``f(S) = sum over all items v of max(0, max over s in S of U(v, s))``, an item being fully similar to itself. The gain
of an item only falls as others are selected, so the gain from some picks ago is an upper bound: an item is looked
at again only when that bound would make it the next pick. Similarities are those of the graph of neighbours; up to
``FULL`` items the graph is complete and the function exact.
"""

from __future__ import annotations

import heapq

import numpy as np

from tools.selection.edges import voters_of
from tools.selection.neighbours import graph_of
from tools.selection.protocol import Floats
from tools.selection.state import Graph
from tools.selection.task import Choice, Task
from tools.selection.words import brings

NAME = "facility"
FULL = 4000
_BLOCK = 65_536


def choose(task: Task, wanted: int) -> list[Choice]:
    """Lazy greedy; with costs, the largest gain a second."""
    size = len(task.pool)
    graph = graph_of(task, size - 1 if size <= FULL else task.options.neighbours)
    voters = voters_of(graph, weighted=True)
    own = np.maximum(0.0, task.similarity.own())
    covered: Floats = np.zeros(size, dtype=np.float64)

    def gain(row: int) -> float:
        around = voters.of(row)
        added = np.maximum(0.0, voters.weights_of(row) - covered[around]).sum()
        return float(added + max(0.0, own[row] - covered[row]))

    def select(row: int) -> None:
        around = voters.of(row)
        covered[around] = np.maximum(covered[around], voters.weights_of(row))
        covered[row] = max(covered[row], own[row])

    for row in task.covered:
        select(row)
    seconds = task.seconds

    def key(row: int) -> float:
        return -gain(row) if seconds is None else -gain(row) / float(seconds[row])

    rows = task.remaining()
    first = _gains(graph, covered, own)[rows]
    keys = -first if seconds is None else -first / seconds[rows]
    # (bound, row, number of picks it was worked out at); heaps give equal bounds by row.
    heap = [(bound, row, 0) for bound, row in zip(keys.tolist(), rows.tolist(), strict=True)]
    heapq.heapify(heap)
    found: list[Choice] = []
    while heap and len(found) < wanted:
        _, row, at = heapq.heappop(heap)
        if at < len(found):
            heapq.heappush(heap, (key(row), row, len(found)))
            continue
        if not task.admit(row):
            continue
        worth = gain(row) / task.similarity.unit
        found.append(Choice(row, NAME, worth, brings(worth)))
        select(row)
        task.tell("choosing", len(found), wanted)
    return found


def _gains(graph: Graph, covered: Floats, own: Floats) -> Floats:
    """Every item's gain, in one pass over the edges; sums of whole numbers below 2**53, exact in any order."""
    size = len(covered)
    gains: Floats = np.maximum(0.0, own - covered)
    for begin in range(0, size, _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        names = graph.neighbours[rows]
        filled = names >= 0
        added = np.maximum(0.0, graph.similarities[rows] - covered[rows][:, None])
        gains += np.bincount(names[filled], weights=added[filled], minlength=size)
    return gains
