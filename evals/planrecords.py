"""What a run means to do, as the header of its log has it: every cell by name, and the questions they answer.

With it a log of a run that has not ended can be told in full: what is there,
and what was not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A cell that is planned.

    Attributes:
        id: Its identity.
        name: For people; unique within its suite.
        kind: As of ``CellHeader``.
        data: The data set's name.
        seed: The seed.
        settings: What varies in the suite, and its value here.
    """

    id: str
    name: str
    kind: str
    data: str
    seed: int
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One table of a suite's matrix: what it asks, and which cells answer it.

    Attributes:
        title: What it asks, in words; empty where the suite gives none.
        note: What a reader should know, such as what was left off to make it cheap.
        cells: Identities; of each data set the first is what the others are held against.
    """

    title: str
    note: str
    cells: tuple[str, ...]
