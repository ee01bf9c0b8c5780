"""A large suite in slices: some data sets, the i-th of n parts, or as much as fits into some minutes.

A slice leaves its run as a kill would, only cleanly: what is finished is in the
log, the rest is planned and not there, and the next call goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from evals.errors import SuiteError
from evals.plan import PlannedPass
from evals.suite import Suite


@dataclass(frozen=True, slots=True)
class Slice:
    """What of a suite is to be measured in this call.

    Attributes:
        only: Names of data sets; empty for all.
        part: The i-th of n parts, counted from 1; None for all.
        max_minutes: After so long no new batch is begun; None for no end.
    """

    only: tuple[str, ...] = ()
    part: tuple[int, int] | None = None
    max_minutes: float | None = None

    @property
    def given(self) -> bool:
        """Whether anything is left for other calls."""
        return bool(self.only) or self.part is not None or self.max_minutes is not None

    def of(self, planned: Sequence[PlannedPass], suite: Suite) -> list[PlannedPass]:
        """The passes of this slice, the most informative first.

        Parts are cut from that order, in pieces of about as many documents, so
        that the first part tells most. They do not depend on what is finished.

        Raises:
            SuiteError: A data set is not of the suite.
        """
        names = [spec.name for spec in suite.data]
        unknown = next((name for name in self.only if name not in names), None)
        if unknown is not None:
            raise SuiteError(f"--only {unknown}: the suite has no such data set", f"known: {', '.join(names)}")
        ordered = [one for one in informative_first(planned, suite) if not self.only or one.data.spec.name in self.only]
        if self.part is None:
            return ordered
        number, parts = self.part
        total = sum(len(one.data.documents) for one in ordered)
        kept, before = [], 0
        for one in ordered:
            # A pass belongs to the part that its middle document falls into.
            middle = before + len(one.data.documents) / 2
            if int(middle * parts / max(1, total)) == number - 1:
                kept.append(one)
            before += len(one.data.documents)
        return kept


ALL = Slice()
"""The whole suite."""


def parse_part(text: str) -> tuple[int, int]:
    """``2/8`` as numbers.

    Raises:
        SuiteError: It is not of that form.
    """
    first, slash, second = text.partition("/")
    if slash and first.strip().isdigit() and second.strip().isdigit():
        number, parts = int(first), int(second)
        if 1 <= number <= parts:
            return number, parts
    raise SuiteError(f"--part {text}: not a part", "for example --part 1/8: the first of eight")


def informative_first(planned: Sequence[PlannedPass], suite: Suite) -> list[PlannedPass]:
    """Passes in the order in which they tell most.

    One seed of everything before the next; then the suite's tables in the order
    in which it has them (the whole quorum before what is taken away from it), on
    all data sets before the next table.
    """
    seeds = {seed: place for place, seed in enumerate(suite.seeds)}
    names = {spec.name: place for place, spec in enumerate(suite.data)}

    def rank(one: PlannedPass) -> tuple[int, int, int]:
        first = min((number for cell in one.cells for number, _ in cell.cell.tables), default=len(suite.matrix))
        return seeds.get(one.header.seed, 0), first, names[one.data.spec.name]

    return sorted(planned, key=rank)


class Deadline:
    """When a slice is over.

    Args:
        minutes: From now; None for never.
    """

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def over(self) -> bool:
        """Whether nothing new should be begun."""
        return self._end is not None and time.monotonic() >= self._end
