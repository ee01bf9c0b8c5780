"""When a campaign stops: pure functions of numbers."""

from __future__ import annotations

from dataclasses import dataclass

from agent.campaign.curve import Outlook
from agent.campaign.state import StopReason


@dataclass(frozen=True, slots=True)
class Rule:
    """What a person set.

    Attributes:
        budget: The most labels.
        target_f1: F1 to reach; None for none.
        min_gain: The least F1 that another batch should add; None for none.
    """

    budget: int
    target_f1: float | None = None
    min_gain: float | None = None


def stops(rule: Rule, labels: int, pool: int, low: float | None, outlook: Outlook) -> StopReason | None:
    """Whether to stop after a round, and why.

    Args:
        rule: What the person set.
        labels: Labels so far.
        pool: Documents that could still be asked.
        low: Lower end of the interval of F1 on the audit documents; None where it is not known.
        outlook: What more labels would bring.

    Returns:
        The first reason that holds, or None. An outlook that cannot tell never stops anything.
    """
    if rule.target_f1 is not None and low is not None and low >= rule.target_f1:
        return StopReason.TARGET
    if labels >= rule.budget:
        return StopReason.BUDGET
    if not pool:
        return StopReason.POOL
    if rule.min_gain is not None and outlook.known and outlook.batch and outlook.batch.expected < rule.min_gain:
        return StopReason.GAIN
    return None
