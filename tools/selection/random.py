"""Random choice: the baseline that every other strategy has to beat."""

from __future__ import annotations

from tools.selection.task import Choice, Task

NAME = "random"


def choose(task: Task, wanted: int) -> list[Choice]:
    """A simple random sample of the open rows, near duplicates left out."""
    found: list[Choice] = []
    for row in task.rng.permutation(task.open).tolist():
        if len(found) >= wanted:
            break
        if task.admit(row):
            found.append(Choice(row, NAME, 0.0, "drawn at random"))
    return found
