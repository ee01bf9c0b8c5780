"""What the store gives back: runs, human decisions, events, findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from tools.annotation import Span


class DocumentState(StrEnum):
    """How far a person has come with a document."""

    NEW = "new"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    FLAGGED = "flagged"


class RunState(StrEnum):
    """How far a run has come; ``running`` is also what a killed run is left as."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"
    COMPLETE = "complete"


class Added(NamedTuple):
    """What became of documents that were to be added."""

    added: int
    skipped: int


class CacheSize(NamedTuple):
    """Entries of the response cache and the bytes their values take."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Mark:
    """One span that a person decided on.

    Attributes:
        span: Where and which type, in document offsets.
        annotator: Who.
        source: Where it came from, e.g. ``import``, ``human`` or ``suggestion``.
        created: When, in seconds since 1970 (UTC); a span that a later decision
            keeps also keeps its time and source.
    """

    span: Span
    annotator: str
    source: str
    created: float


@dataclass(frozen=True, slots=True)
class Gold:
    """One annotator's decision on one document.

    Attributes:
        document_id: The document.
        annotator: Who decided.
        state: How far they are with it.
        source: Where the decision came from.
        updated: When it was last changed, in seconds since 1970 (UTC).
        marks: The spans in text order, each with its own provenance.
        ranges: The parts that are finished of a document that is not done as a whole; gold says nothing of the rest.
    """

    document_id: str
    annotator: str
    state: DocumentState
    source: str
    updated: float
    marks: tuple[Mark, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans alone, in text order."""
        return tuple(mark.span for mark in self.marks)

    @property
    def nothing_here(self) -> bool:
        """Whether it was reviewed and holds no mention (not the same as: not looked at yet)."""
        return self.state is DocumentState.DONE and not self.marks


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An annotator's decision on a document as an event remembers it."""

    state: DocumentState
    source: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one annotator's decision; events are only ever appended.

    Attributes:
        number: Rises by time.
        document_id: The document.
        annotator: Who.
        time: When, in seconds since 1970 (UTC).
        what: ``set``, ``state`` or ``clear``, or what the caller named it.
        source: Where the change came from.
        before: What stood there; None where nothing did.
        after: What stands there since; None where it was cleared.
    """

    number: int
    document_id: str
    annotator: str
    time: float
    what: str
    source: str
    before: Snapshot | None
    after: Snapshot | None


@dataclass(frozen=True, slots=True)
class Run:
    """One unattended pass over documents.

    Attributes:
        id: Its number, from 1.
        kind: What it was for, e.g. ``extract``.
        config: All that shaped it.
        config_hash: Tells whether another configuration is the same.
        state: How far it has come.
        started: When, in seconds since 1970 (UTC).
        finished: When it last left the state ``running``; None before that.
    """

    id: int
    kind: str
    config: Mapping[str, Any]
    config_hash: str
    state: RunState
    started: float
    finished: float | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A passage that ended as ``failed`` and waits for another attempt."""

    document_id: str
    index: int
    part: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that ``fsck`` does not like.

    Attributes:
        severity: ``error`` (an invariant is broken) or ``warning``.
        what: What is wrong, in one line.
        id: The document, run or part at fault; empty for the whole file.
        hint: What to do about it.
    """

    severity: str
    what: str
    id: str = ""
    hint: str = ""
