"""Vote-k (arXiv 2209.01975, the fast version), kept up to date instead of counted anew for every pick.

Every item votes for its k nearest neighbours; ``score(u) = sum over v that vote for u and are not selected of
10 ** -(how many of v's neighbours are selected)``; the highest score is next. A pick changes the weight of its
voters only, so only the items that these vote for change their score. Scores are whole numbers (in 10**-9; what is
smaller counts as nothing), so that nothing drifts. What is labelled already counts as selected.
"""

from __future__ import annotations

import numpy as np

from tools.selection.edges import voters_of
from tools.selection.neighbours import graph_of
from tools.selection.protocol import Floats, SelectionError
from tools.selection.state import Graph
from tools.selection.task import Choice, Task
from tools.selection.words import covers

NAME = "votek"
DIGITS = 9
_BLOCK = 65_536
# A score is at most size * 10**9 and must stay exact in a float.
MOST = 9_000_000


def weight(times: int) -> float:
    """What a vote counts of an item with so many selected neighbours, in 10**-9."""
    return float(10 ** (DIGITS - times)) if times <= DIGITS else 0.0


def choose(task: Task, wanted: int) -> list[Choice]:
    """Greedy vote-k; with costs, the most votes a second.

    Raises:
        SelectionError: The pool has more than nine million items.
    """
    size = len(task.pool)
    if size > MOST:
        raise SelectionError(f"vote-k takes at most {MOST:,} items, not {size:,}", "choose coreset or allabel")
    graph = graph_of(task, task.options.neighbours)
    voters = voters_of(graph)
    table = np.array([weight(times) for times in range(DIGITS + 2)])
    selected = np.zeros(size, dtype=bool)
    selected[np.asarray(task.covered, dtype=np.int64)] = True
    times = np.zeros(size, dtype=np.int32)
    for row in task.covered:
        times[voters.of(row)] += 1
    score = _scores(graph, selected, np.minimum(times, DIGITS + 1), table)
    closed = np.ones(size, dtype=bool)
    closed[task.remaining()] = False
    score[closed] = -np.inf
    found: list[Choice] = []
    while len(found) < wanted:
        row = int(np.argmax(score if task.seconds is None else score / task.seconds))
        if np.isneginf(score[row]):
            break
        value = float(score[row])
        score[row] = -np.inf
        if not task.admit(row):
            continue
        score_said = value / 10**DIGITS
        found.append(Choice(row, NAME, score_said, covers(score_said), {"voters": len(voters.of(row))}))
        _withdraw(score, graph, [row], [-table[min(times[row], DIGITS + 1)]])
        selected[row] = True
        losing = voters.of(row)
        alive = losing[~selected[losing]]
        now = np.minimum(times[alive], DIGITS)
        _withdraw(score, graph, alive, table[now + 1] - table[now])
        times[losing] += 1
        if len(found) % 10 == 0:
            task.tell("choosing", len(found), wanted)
    return found


def _scores(graph: Graph, selected: np.ndarray, times: np.ndarray, table: Floats) -> Floats:
    """All scores, counted once."""
    size = len(graph.neighbours)
    score = np.zeros(size, dtype=np.float64)
    for begin in range(0, size, _BLOCK):
        rows = np.arange(begin, min(size, begin + _BLOCK))
        rows = rows[~selected[rows]]
        names = graph.neighbours[rows]
        values = np.broadcast_to(table[times[rows]][:, None], names.shape)
        filled = names >= 0
        # Sums of whole numbers below 2**53: exact in any order.
        score += np.bincount(names[filled], weights=values[filled], minlength=size)
    return score


def _withdraw(score: Floats, graph: Graph, rows: object, changes: object) -> None:
    """Add each row's change to the scores of what it votes for."""
    names = graph.neighbours[np.asarray(rows, dtype=np.int64)]
    values = np.broadcast_to(np.asarray(changes, dtype=np.float64)[:, None], names.shape)
    filled = names >= 0
    np.add.at(score, names[filled], values[filled])
