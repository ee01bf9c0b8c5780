"""ALLabel (arXiv 2509.07512): diversity, then similarity, then uncertainty, in shares 1:3:1.

The paper spends a whole budget M in that order: M/5, 3M/5, M/5. A campaign that labels in batches can do the same
(``campaign_total`` and ``campaign_done`` say where it stands); otherwise every batch is shared out.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from tools.selection import coreset, similarity, uncertainty
from tools.selection.task import Choice, Task

NAME = "allabel"


def choose(task: Task, wanted: int) -> list[Choice]:
    """The three stages one after the other, each seeing what those before it chose as labelled."""
    options = task.options
    parts = shared_out(wanted, options.shares)
    if options.campaign_total is not None:
        parts = stage_shares(wanted, options.campaign_done, options.campaign_total, options.shares)
    found = coreset.choose(task, parts[0])
    found += similarity.choose(task, parts[1])
    if options.uncertainty_reading == "dissimilarity":
        found += uncertainty.dissimilar(task, parts[2])
    else:
        found += uncertainty.choose(task, parts[2])
    return found


def shared_out(budget: int, shares: Sequence[float]) -> tuple[int, ...]:
    """A budget in whole parts by largest remainder, ties to the earlier part.

    Args:
        budget: 0 or more.
        shares: 0 or more each, not all 0.
    """
    exact = [Fraction(share) for share in shares]
    total = sum(exact, Fraction(0))
    wanted = [budget * share / total for share in exact]
    parts = [int(part) for part in wanted]
    order = sorted(range(len(parts)), key=lambda place: (parts[place] - wanted[place], place))
    for place in order[: budget - sum(parts)]:
        parts[place] += 1
    return tuple(parts)


def stage_shares(budget: int, done: int, total: int, shares: Sequence[float]) -> tuple[int, ...]:
    """What each stage gets of a batch when the stages follow each other over a whole campaign.

    Args:
        budget: The batch.
        done: What the campaign has spent.
        total: What it may spend; what goes beyond belongs to the last stage that has a share.
        shares: Of the stages.
    """
    quota = shared_out(total, shares)
    parts, begin = [], 0
    for size in quota:
        inside = max(0, min(done + budget, begin + size) - max(done, begin))
        parts.append(inside)
        begin += size
    last = max(place for place, share in enumerate(shares) if share > 0)
    parts[last] += budget - sum(parts)
    return tuple(parts)
