"""The items that the models are least certain of (ALLabel's third stage, arXiv 2509.07512).

The paper chooses by perplexity and says that it falls with similarity to the demonstrations; whether it is read from
real log-probabilities is not in what could be read of it. Both readings are here: the models' signals (see
``signals``), and the smallest similarity with anything labelled, which needs no model. Items without a signal come
after those with one, in the order of the second reading; where no item has a signal that order is all there is, and
the selection says so.
"""

from __future__ import annotations

import numpy as np

from tools.selection.coreset import Centres, centres_of
from tools.selection.protocol import Rows
from tools.selection.signals import measured
from tools.selection.task import Choice, Task
from tools.selection.words import apart, unsure

NAME = "uncertainty"
_MORE = 64


def choose(task: Task, wanted: int) -> list[Choice]:
    """The least certain items; with costs, the expected wrong decisions a second decide where they are known."""
    if wanted <= 0:
        return []
    measure = task.options.measure
    values = measured(task.pool.signals, measure)
    if values is None:
        task.notes.append(
            f"no item has the models' {measure}: the least similar to what is labelled are taken for the uncertain"
        )
        return dissimilar(task, wanted)
    rows = task.remaining()
    known = rows[np.isfinite(values[rows])]
    keys = values[known]
    if task.seconds is not None:
        keys = _gain(task, known, values) / task.seconds[known]
    found: list[Choice] = []
    for place in np.argsort(-keys, kind="stable").tolist():
        if len(found) >= wanted:
            return found
        row = int(known[place])
        if task.admit(row):
            facts, value = _facts(task, row), float(values[row])
            found.append(Choice(row, NAME, value, unsure(measure, value, facts), facts))
    if len(found) < wanted and len(known) < len(rows):
        task.notes.append(
            f"only {len(known):,} of {len(rows):,} open items have the models' {measure}: the rest were taken as the"
            " least similar to what is labelled"
        )
        found += dissimilar(task, wanted - len(found))
    return found


def dissimilar(task: Task, wanted: int) -> list[Choice]:
    """The items with the smallest highest similarity to what is labelled; with costs, the farthest a second.

    Where nothing is labelled all are equally far, and the order of the pool decides.
    """
    rows = task.remaining()
    if wanted <= 0 or not len(rows):
        return []
    with centres_of(task) as centres:
        return _farthest(task, centres, rows, wanted)


def _farthest(task: Task, centres: Centres, rows: Rows, wanted: int) -> list[Choice]:
    similarity = task.similarity
    if task.seconds is None:
        asked = wanted + _MORE
        order = centres.lowest(rows, asked)
    else:
        asked = len(rows)
        centres.refresh(rows)
        order = rows[np.argsort(-similarity.distance(centres.state.best[rows]) / task.seconds[rows], kind="stable")]
    found: list[Choice] = []
    at = 0
    while len(found) < wanted:
        if at == len(order):
            if asked >= len(rows):
                break
            asked = min(len(rows), 4 * asked)
            order = centres.lowest(rows, asked)
            continue
        row = int(order[at])
        at += 1
        if task.admit(row):
            best = float(centres.state.best[row])
            score = best / similarity.unit if np.isfinite(best) else 0.0
            found.append(Choice(row, NAME, score, f"{apart(similarity, best)}, so the models may be unsure"))
    return found


def _gain(task: Task, rows: Rows, values: np.ndarray) -> np.ndarray:
    """What is gained by labelling: wrong decisions put right; without that figure, the percentile of the measure."""
    errors = task.pool.signals.get("expected_errors")
    if errors is not None and np.isfinite(errors[rows]).all():
        return np.asarray(errors[rows], dtype=np.float64)
    order = np.argsort(values[rows], kind="stable")
    ranks = np.empty(len(rows), dtype=np.float64)
    ranks[order] = np.arange(1, len(rows) + 1)
    return ranks / len(rows)


def _facts(task: Task, row: int) -> dict[str, float]:
    """All measures of an item, for the log."""
    return {name: float(values[row]) for name, values in task.pool.signals.items() if np.isfinite(values[row])}
