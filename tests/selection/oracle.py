"""Every strategy once more, the slow and plain way: loops over Python's own whole numbers, nothing remembered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Matrix = list[list[int]]


def cosines(vectors: np.ndarray) -> Matrix:
    """Cosines as whole numbers: unit vectors times 4,000, rounded, multiplied."""
    whole = []
    for vector in np.asarray(vectors, dtype=np.float64):
        largest = float(np.abs(vector).max())
        if largest == 0:
            whole.append([0] * len(vector))
            continue
        scaled = vector / largest
        whole.append([int(x) for x in np.rint(scaled * (4000 / np.linalg.norm(scaled)))])
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in whole] for x in whole]


def gap(value: float, lexical: bool) -> float:
    """What is left to gain at a similarity."""
    return 1 / (1 + max(0.0, value) / 4096) if lexical else max(0.0, 1 - value / 4000**2)


def first_least(rows: Sequence[int], key: dict[int, float]) -> int:
    """The row with the least key; the lower of equals."""
    return min(rows, key=lambda row: (key[row], row))


def coreset(
    s: Matrix, rows: list[int], covered: list[int], wanted: int, seconds: list[float] | None, lexical: bool = False
) -> list[int]:
    """K-centre greedy, everything compared with everything every time."""
    picks: list[int] = []
    while len(picks) < wanted:
        left = [row for row in rows if row not in picks]
        if not left:
            break
        known = [*covered, *picks]
        if known:
            near = {row: max(s[row][other] for other in known) for row in left}
        else:
            near = {row: sum(s[row][o] for o in left if o != row) / max(1, len(left) - 1) for row in left}
        key = near if seconds is None else {row: -gap(near[row], lexical) / seconds[row] for row in left}
        picks.append(first_least(left, key))
    return picks


def dissimilar(
    s: Matrix, rows: list[int], covered: list[int], wanted: int, seconds: list[float] | None, lexical: bool = False
) -> list[int]:
    """The least similar to anything covered, all judged at once."""
    near = {row: max((s[row][other] for other in covered), default=-math.inf) for row in rows}
    key = near if seconds is None else {row: -gap(near[row], lexical) / seconds[row] for row in rows}
    return sorted(rows, key=lambda row: (key[row], row))[:wanted]


def neighbours(s: Matrix, k: int, nothing: set[int]) -> list[list[int]]:
    """The k most similar others of each; items in ``nothing`` have and are none."""
    size = len(s)
    found = []
    for row in range(size):
        others = [] if row in nothing else [o for o in range(size) if o != row and o not in nothing]
        found.append(sorted(others, key=lambda o: (-s[row][o], o))[:k])
    return found


def votek(
    near: list[list[int]], rows: list[int], covered: list[int], wanted: int, seconds: list[float] | None
) -> list[int]:
    """``fast_votek`` of the reference code (HKUNLP/icl-selective-annotation), counted anew for every pick."""
    supporters: dict[int, list[int]] = {row: [] for row in range(len(near))}
    for voter, chosen in enumerate(near):
        for row in chosen:
            supporters[row].append(voter)
    selected = list(covered)
    picks: list[int] = []
    while len(picks) < wanted:
        times = [sum(row in near[voter] for row in selected) for voter in range(len(near))]
        left = [row for row in rows if row not in picks]
        if not left:
            break
        # In 10**-9, as whole numbers: votes that count less are nothing.
        score = {
            row: sum(10 ** (9 - times[v]) for v in supporters[row] if v not in selected and times[v] <= 9)
            for row in left
        }
        key = {row: -score[row] / (1 if seconds is None else seconds[row]) for row in left}
        picks.append(first_least(left, key))
        selected.append(picks[-1])
    return picks


def facility(
    s: Matrix,
    near: list[list[int]],
    rows: list[int],
    covered: list[int],
    wanted: int,
    seconds: list[float] | None,
) -> list[int]:
    """Greedy by the value of the function itself."""

    def value(chosen: list[int]) -> int:
        total = 0
        for v in range(len(s)):
            reach = [s[v][c] for c in chosen if c in near[v]] + [s[v][v] for c in chosen if c == v]
            total += max([0, *reach])
        return total

    picks: list[int] = []
    while len(picks) < wanted:
        left = [row for row in rows if row not in picks]
        if not left:
            break
        known = [*covered, *picks]
        base = value(known)
        gain = {row: value([*known, row]) - base for row in left}
        key = {row: -float(gain[row]) / (1 if seconds is None else seconds[row]) for row in left}
        picks.append(first_least(left, key))
    return picks


def central(s: Matrix, rows: list[int], reading: str, unit: float) -> dict[int, float]:
    """``sum_rank`` of each row by a reading, higher for more central."""
    found = {}
    count = len(rows)
    for row in rows:
        terms: list[float] = []
        for query in rows:
            if query == row:
                continue
            better = sum(s[query][o] > s[query][row] for o in rows if o != query)
            terms.append({"ranks": better + 1, "reciprocal": 1.0 / (better + 1), "similarity": s[query][row]}[reading])
        total = 0.0
        for term in terms:
            total += term
        mean = total / max(1, len(terms))
        if count == 1:
            found[row] = 1.0
        elif reading == "ranks":
            found[row] = 1 - (mean - 1) / (count - 1)
        else:
            found[row] = max(0.0, mean) if reading == "reciprocal" else max(0.0, mean / unit)
    return found


def highest(values: dict[int, float], wanted: int, seconds: list[float] | None) -> list[int]:
    """The rows with the highest values (a second)."""
    key = {row: -value / (1 if seconds is None else seconds[row]) for row, value in values.items()}
    return sorted(values, key=lambda row: (key[row], row))[:wanted]
