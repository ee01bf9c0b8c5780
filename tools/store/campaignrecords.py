"""What the store gives back of campaigns: rounds, items, leases, resolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tools.annotation import Span
from tools.store.ranges import Range


class CampaignState(StrEnum):
    """How far a campaign has come."""

    OPEN = "open"
    STOPPED = "stopped"


class RoundState(StrEnum):
    """How far a round has come: asked, answered by people, or measured."""

    OPEN = "open"
    ANSWERED = "answered"
    ASSESSED = "assessed"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign.

    Attributes:
        id: Its number, from 1.
        format: The form its records are in; a newer release may raise it.
        settings: What the person asked for; JSON values.
        identity: What its figures hang on, by concern; JSON values.
        state: Open, or stopped.
        reason: Why it stopped; empty while open.
        started: When, in seconds since 1970 (UTC).
    """

    id: int
    format: int
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]
    state: CampaignState
    reason: str
    started: float


@dataclass(frozen=True, slots=True)
class Round:
    """A round of a campaign.

    Attributes:
        campaign: The campaign.
        number: From 1.
        state: Asked, answered, or assessed.
        opened: When its batch was chosen, in seconds since 1970 (UTC).
        closed: When the last item was answered; None before that.
        run: The run that holds its predictions; None where there is none.
        identity: As of the campaign, at the time of the round.
        report: What the assessment found; JSON values, empty before that.
    """

    campaign: int
    number: int
    state: RoundState
    opened: float
    closed: float | None
    run: int | None
    identity: Mapping[str, Any]
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A document, or a part of one, that a campaign asks people about.

    Attributes:
        document_id: The document.
        round: The round that chose it.
        position: Its place in the batch, from 0.
        audit: Whether it was drawn at random for the estimates.
        wanted: How many annotators are to label it.
        reason: Why it was chosen: the log record of the selection, JSON values.
        answers: How many annotators have finished it.
        skips: How many annotators have put it aside.
        part: Where in the document that is what is asked; None for the whole document.
    """

    document_id: str
    round: int
    position: int
    audit: bool
    wanted: int
    reason: Mapping[str, Any]
    answers: int = 0
    skips: int = 0
    part: Range | None = None

    @property
    def id(self) -> str:
        """The document's id, or ``DOCUMENT#START-END`` for a part of one."""
        return self.document_id if self.part is None else f"{self.document_id}#{self.part[0]}-{self.part[1]}"

    @property
    def open(self) -> bool:
        """Whether nobody has dealt with it yet; a round waits for such items only."""
        return not self.answers and not self.skips


@dataclass(frozen=True, slots=True)
class Lease:
    """An item that an annotator has in hand.

    Attributes:
        document_id: The document.
        annotator: Who has it.
        expires: When others may have it, in seconds since 1970 (UTC).
    """

    document_id: str
    annotator: str
    expires: float


@dataclass(frozen=True, slots=True)
class Visit:
    """What an annotator did with an item.

    Attributes:
        document_id: The document.
        annotator: Who.
        seconds: How long it took them; None where nobody measured.
        skipped: Whether they put it aside.
        time: When, in seconds since 1970 (UTC).
        round: The round that asked it.
        chars: How long what was asked is, in code points.
        part: Where in the document that is; None for the whole document.
    """

    document_id: str
    annotator: str
    seconds: float | None
    skipped: bool
    time: float
    round: int = 0
    chars: int = 0
    part: Range | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One annotator's or model's version of a document, as it lay on the table when a reviewer decided.

    Attributes:
        annotator: The annotator's name, or ``model:NAME``.
        spans: Its spans.
    """

    annotator: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """A reviewer's decision between versions; resolutions are only ever appended.

    Attributes:
        number: Rises by time.
        document_id: The document.
        reviewer: Who decided.
        time: When, in seconds since 1970 (UTC).
        versions: What lay side by side.
        decision: The spans that hold.
        reason: Why, in the reviewer's words.
        event: The event of the gold that the decision wrote.
    """

    number: int
    document_id: str
    reviewer: str
    time: float
    versions: tuple[Version, ...]
    decision: tuple[Span, ...]
    reason: str
    event: int
