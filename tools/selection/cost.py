"""What labelling an item takes, learned from the person's own timing.

A linear model, ``seconds = overhead + per_character * characters + per_suggestion * suggestions``, fitted by ridge
regression towards a prior: with no records it says what the prior says, and a few dozen records outweigh it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tools.selection.protocol import Floats

# Someone who takes more than this many times what is expected went for coffee.
OUTLIER = 8.0
# Nobody reads and decides faster than this; it also keeps gain a second finite.
LEAST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Timing:
    """One item that a person has finished.

    Attributes:
        characters: Its length in code points.
        suggestions: How many suggested spans were shown.
        seconds: How long it was on the screen, idle time taken off where that is known.
    """

    characters: int
    suggestions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TimingModel:
    """Seconds from length and suggestions.

    The prior is a careful reader: 25 characters a second (300 words a minute), two seconds to turn to an item
    and leave it, one and a half to decide on a suggestion.

    Attributes:
        overhead: Seconds an item, whatever it holds.
        per_character: Seconds a code point.
        per_suggestion: Seconds a suggested span.
        records: How many timings it was fitted on.
        left_out: How many were not believed.
    """

    overhead: float = 2.0
    per_character: float = 0.04
    per_suggestion: float = 1.5
    records: int = 0
    left_out: int = 0

    def seconds(self, characters: ArrayLike, suggestions: ArrayLike = 0) -> Floats:
        """Expected seconds, shape of the arguments, at least ``LEAST_SECONDS``."""
        lengths, spans = np.asarray(characters, dtype=np.float64), np.asarray(suggestions, dtype=np.float64)
        expected = self.overhead + self.per_character * lengths + self.per_suggestion * spans
        return np.asarray(np.maximum(expected, LEAST_SECONDS), dtype=np.float64)

    @classmethod
    def fit(cls, timings: Iterable[Timing], prior: TimingModel | None = None, strength: float = 10.0) -> TimingModel:
        """Learn from records.

        Residuals are weighed by the prior's expectation, because someone who takes a minute is
        not exact to the second, and no coefficient falls below zero.

        Args:
            timings: Records, in any order. Those of no positive, finite duration and those of more than ``OUTLIER``
                times what the others let expect are left out.
            prior: Where to begin.
            strength: How many records the prior counts for, positive.

        Returns:
            The model; the prior's numbers where no record is left.
        """
        start = prior or cls()
        every = list(timings)
        rows = np.array([(1.0, t.characters, t.suggestions, t.seconds) for t in every], dtype=np.float64).reshape(-1, 4)
        rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 3] > 0)]
        if len(rows):
            # How much slower or faster this person is than the prior, by the median, which coffee does not move.
            expected = start.seconds(rows[:, 1], rows[:, 2])
            pace = float(np.median(rows[:, 3] / expected))
            rows = rows[rows[:, 3] <= OUTLIER * pace * expected]
        if not len(rows):
            return cls(start.overhead, start.per_character, start.per_suggestion, 0, len(every))
        weights = start.seconds(rows[:, 1], rows[:, 2])
        features, target = rows[:, :3] / weights[:, None], rows[:, 3] / weights
        coefficients = _towards(
            features, target, np.array([start.overhead, start.per_character, start.per_suggestion]), strength
        )
        overhead, per_character, per_suggestion = coefficients.tolist()
        return cls(overhead, per_character, per_suggestion, len(rows), len(every) - len(rows))


def _towards(features: Floats, target: Floats, prior: Floats, strength: float) -> Floats:
    """Ridge regression towards ``prior``, coefficients not below zero (active set: at most three can be struck out)."""
    # In units of the prior the three coefficients are all about one, so that one strength fits all.
    unit = np.maximum(prior, 1e-3)
    scaled = features * unit
    wanted = prior / unit
    active = np.ones(len(prior), dtype=bool)
    solution = np.zeros(len(prior))
    # The prior spreads its weight over the features as an average record would.
    penalty = strength * np.maximum(np.square(scaled).mean(axis=0), 1e-3)
    while active.any():
        left = scaled[:, active]
        normal = left.T @ left + np.diag(penalty[active])
        found = np.linalg.solve(normal, left.T @ target + penalty[active] * wanted[active])
        solution[:] = 0.0
        solution[active] = found
        if (found >= 0).all():
            break
        active &= solution > 0
    return np.asarray(solution * unit, dtype=np.float64)
