"""The audit stream: items drawn at random, marked as such, mixed into every batch.

What a strategy picks is picked because it is odd; no figure estimated from it says anything about the pool. The
audit items are a simple random sample of the items that were open when the batch was made, drawn before the strategy
chooses and not thinned out by anything, so that estimates from them are unbiased for that pool. Each one's
reason says how many were drawn of how many: items of several batches are weighted with ``population / drawn``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.selection.protocol import Rows

NAME = "audit"
MEANING = "drawn at random, for the estimates"


def audit_count(budget: int, share: float, rng: np.random.Generator) -> int:
    """How many of a batch are audit items: ``budget * share``, the fraction decided by chance.

    Small batches would otherwise never, or always, hold one.
    """
    exact = budget * share
    # 10 * 0.1 is a little more or less than 1 in binary; that must not be left to chance.
    whole = round(exact) if abs(exact - round(exact)) < 1e-9 else int(exact)
    return min(budget, whole + int(rng.random() < exact - whole))


def draw(rows: Rows, count: int, rng: np.random.Generator, groups: Sequence[str] | None = None) -> Rows:
    """A simple random sample of rows, in random order.

    Args:
        rows: What can be drawn.
        count: How many.
        rng: Chance.
        groups: One an item of the pool: what is drawn from a group that was drawn from already is put back. A group
            that holds much of the pool is drawn from a little too rarely by that, where more than one is drawn.
    """
    if groups is None:
        return np.asarray(rng.choice(rows, count, replace=False), dtype=np.int64)
    found: dict[str, int] = {}
    for row in rng.permutation(rows).tolist():
        if len(found) == count:
            break
        found.setdefault(groups[row], row)
    return np.asarray(list(found.values()), dtype=np.int64)


def places(total: int, count: int, rng: np.random.Generator) -> set[int]:
    """At which positions of a batch the audit items stand: anywhere, so that a person cannot expect them."""
    return set(rng.choice(total, count, replace=False).tolist())
