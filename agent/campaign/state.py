"""What the campaign graph's checkpoint holds: ids and numbers, never texts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NotRequired, TypedDict


class StopReason(StrEnum):
    """Why a campaign asks no more."""

    BUDGET = "budget"
    POOL = "pool"
    TARGET = "target"
    GAIN = "gain"


STOP_TEXTS: Mapping[str, str] = {
    StopReason.BUDGET: "the budget is spent",
    StopReason.POOL: "nothing is left to label",
    StopReason.TARGET: "the target is reached: even the lower end of the interval lies above it",
    StopReason.GAIN: "another batch is expected to add less than the least gain",
}


class CampaignGraphState(TypedDict):
    """The state that travels through the graph.

    Attributes:
        campaign: The campaign's number in the store.
        round: The round, from 1.
        batch: Ids of the documents asked in this round.
        answers: What ``ask`` was given, by document id, until it is recorded: spans as offsets and
            type names, or nothing but a sign that the store has them.
        refused: Document id to what was wrong with an answer, for the next asking.
        waiting: How many items of the round nobody has dealt with.
        run: The run in the store that holds the round's predictions; 0 for none.
        labels: Documents labelled in the campaign so far.
        f1: On the audit documents; None while it is not known.
        low: Lower end of its interval.
        high: Upper end.
        seconds: What the machine has spent on the round.
        trained_at: How many labels there were when an adapter was last trained.
        stop: Why it stopped; empty while it goes on.
    """

    campaign: int
    round: int
    batch: NotRequired[list[str]]
    answers: NotRequired[dict[str, Any]]
    refused: NotRequired[dict[str, str]]
    waiting: NotRequired[int]
    run: NotRequired[int]
    labels: NotRequired[int]
    f1: NotRequired[float | None]
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    seconds: NotRequired[float]
    trained_at: NotRequired[int]
    stop: NotRequired[str]
