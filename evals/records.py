"""What a log of an evaluation holds: the record types, and their JSON.

A log is read by other versions of this code and by other programs, so every
record names its type (``t``), offsets are document offsets in code points, and
``FORM`` grows when a field changes its meaning. Fields are only ever added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from evals.planrecords import PlannedRow, Question

FORM = 1
SpanRow = tuple[int, int, str]
"""Start, end, label; the label is empty where a span has no type yet."""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """How a run was begun.

    Attributes:
        run: Its id.
        suite: The suite's name.
        suite_text: The suite's file as it was read.
        overrides: What ``--set`` said, ``key=value`` each.
        limit: The most documents a data set, or None.
        cells: Identities of all cells that are planned, in order.
        started: UTC, ISO 8601.
        versions: Of this program, Python and the libraries that compute.
        machine: What it runs on, in a few words.
        form: The form of the log.
        plan: All planned cells with their names; empty in logs of earlier versions.
        questions: What the cells answer, one a table of the suite's matrix.
    """

    run: str
    suite: str
    suite_text: str
    overrides: tuple[str, ...]
    limit: int | None
    cells: tuple[str, ...]
    started: str
    versions: dict[str, str]
    machine: dict[str, str]
    form: int = FORM
    t: Literal["run"] = "run"
    plan: tuple[PlannedRow, ...] = ()
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class DataRef:
    """Which documents a pass saw.

    Attributes:
        name: The data set's name in the suite.
        split: The split.
        documents: How many.
        hash: Of ids, texts and gold of just these documents.
    """

    name: str
    split: str
    documents: int
    hash: str


@dataclass(frozen=True, slots=True)
class PassHeader:
    """One way of sending a data set through the extraction graph.

    Attributes:
        id: Hash of everything that decides what the models answer.
        data: The documents.
        seed: Where every choice by chance began.
        config: The configuration, as ``ProjectConfig.model_dump``.
        labels: The label set, as ``[[labels]]`` tables.
        models: Model name to revision.
        prompts: Template reference to the hash of its text.
        pool: How many demonstrations could be shown, their hash, how many were
            dropped as near duplicates of test documents, and, where a strategy
            chose them, its name and budget; where it asked the models, its rounds
            and how many documents they read for it.
    """

    id: str
    data: DataRef
    seed: int
    config: dict[str, Any]
    labels: list[dict[str, Any]]
    models: dict[str, str]
    prompts: dict[str, str]
    pool: dict[str, Any]
    t: Literal["pass"] = "pass"


@dataclass(frozen=True, slots=True)
class PromptText:
    """The text of a prompt, once a pass; steps name it by its hash."""

    hash: str
    messages: tuple[tuple[str, str], ...]
    t: Literal["prompt"] = "prompt"


@dataclass(frozen=True, slots=True)
class StepRow:
    """One request and its answer.

    Attributes:
        step: pre_extract, extract, classify, verify, oracle_classify or oracle_verify.
        member: Who was asked.
        prompt: Hash of the prompt's text.
        about: The candidate it is about, document offsets; None for extraction.
        answer: What the model wrote.
        finish: stop, length or error.
        failure: Kind and message, where there is no answer.
        tokens: Prompt tokens, those of them from the engine's prefix cache, written tokens.
        seconds: From sending to answer; 0 from the response cache.
        from_cache: Whether the response cache answered.
        alternatives: Of the first written token: text and log-probability.
    """

    step: str
    member: str
    prompt: str
    about: SpanRow | None
    answer: str
    finish: str
    failure: str
    tokens: tuple[int, int, int]
    seconds: float
    from_cache: bool
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class VoteRow:
    """A member's vote on a candidate: its label is empty for none."""

    member: str
    proposed: bool
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A span that a member proposed, after vote and verification.

    Attributes:
        span: Document offsets; the label the vote chose (even where "none" won).
        passage: The passage's number in its document.
        proposers: Members that wrote it.
        typed: Member and label, where extraction names types.
        votes: One a member that classified it.
        probability: The label's share of the weighted vote.
        verdict: The verifier's probability of yes; None where not asked.
    """

    span: SpanRow
    passage: int
    proposers: tuple[str, ...]
    typed: tuple[tuple[str, str], ...]
    votes: tuple[VoteRow, ...]
    probability: float
    verdict: float | None


@dataclass(frozen=True, slots=True)
class PassDocument:
    """One document and everything that was asked and answered about it.

    Attributes:
        id: The document.
        text: Its text.
        gold: Its gold spans.
        steps: Requests and answers, in order of the steps.
        candidates: The union of what was proposed, grounded and voted on.
        outcome: ok, repaired, ungrounded, truncated, refused or failed.
        reason: Why, where not ok.
        ungrounded: What a member wrote that stands nowhere.
        demonstrations: Ids of what was shown, most similar last, passage by passage.
        passages: Into how many passages it was cut.
    """

    id: str
    text: str
    gold: tuple[SpanRow, ...]
    steps: tuple[StepRow, ...]
    candidates: tuple[CandidateRow, ...]
    outcome: str
    reason: str
    ungrounded: tuple[str, ...]
    demonstrations: tuple[str, ...]
    passages: int
    t: Literal["document"] = "document"


@dataclass(frozen=True, slots=True)
class PassEnd:
    """What a pass cost.

    Attributes:
        id: The pass.
        documents: How many.
        seconds: Wall time, models loaded already.
        usage: Step/member to requests, failures, from_cache, tokens and seconds.
        members_down: Members that did not answer and were left out.
    """

    id: str
    documents: int
    seconds: float
    usage: dict[str, dict[str, float]]
    members_down: tuple[str, ...] = ()
    t: Literal["pass_end"] = "pass_end"


@dataclass(frozen=True, slots=True)
class CellHeader:
    """One cell of a suite's matrix: one data set, one choice of everything that varies, one seed.

    Attributes:
        id: Hash of everything that can change its figures.
        name: For people; unique within its suite.
        kind: ``end_to_end``, ``oracle_extract``, ``oracle_classify`` or ``oracle_verify``.
        pass_id: The pass it was read off; empty where it has none.
        data: The documents.
        seed: The seed.
        settings: What varies in the suite, and its value here.
        scorers: Which figures were wanted.
        parts: What the identity was made of, by concern.
    """

    id: str
    name: str
    kind: str
    pass_id: str
    data: DataRef
    seed: int
    settings: dict[str, Any]
    scorers: tuple[str, ...]
    parts: dict[str, Any]
    t: Literal["cell"] = "cell"


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """An entity that was decided on, document offsets, with its confidence."""

    start: int
    end: int
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class CellDocument:
    """What a cell says of one document.

    Attributes:
        id: The document.
        gold: Its gold spans.
        predicted: What was decided.
        outcome: As in :class:`PassDocument`.
        charges: Each error and the step that made it: the span, ``missed``,
            ``spurious`` or ``wrong_type``, and ``extract``, ``classify``,
            ``verify`` or ``decide``.
        cluster: What it was cut from (the article of a sentence), where the data
            say so; its own id otherwise. Comparisons draw clusters.
    """

    id: str
    gold: tuple[SpanRow, ...]
    predicted: tuple[PredictedRow, ...]
    outcome: str
    charges: tuple[tuple[SpanRow, str, str], ...] = ()
    cluster: str = ""
    t: Literal["cell_document"] = "cell_document"


@dataclass(frozen=True, slots=True)
class OracleItem:
    """One question of a step that was scored alone.

    Attributes:
        span: What was asked about; the label asked about, where one was.
        kind: ``gold``, or how a gold span was changed: ``type``, ``border``, ``elsewhere``.
        truth: The right answer: a label, ``yes``, ``no``, ``found``.
        answer: The answer given: a label (empty for none), ``yes``, ``no``, ``found``, ``missed``.
        probability: Of that answer, where known.
        members: Who gave it, where members differ (extraction).
    """

    span: SpanRow
    kind: str
    truth: str
    answer: str
    probability: float = 1.0
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OracleDocument:
    """The questions about one document to a step that was given the truth."""

    id: str
    items: tuple[OracleItem, ...]
    t: Literal["oracle_document"] = "oracle_document"


@dataclass(frozen=True, slots=True)
class CellEnd:
    """What a cell came to.

    Attributes:
        id: The cell.
        state: ``done``, or ``unavailable`` where a part that it needs is not there.
        reason: Why it is unavailable.
        documents: How many.
        figures: Names to numbers; see ``docs/evals.md``.
        cost: Requests, tokens and seconds that this choice of steps takes.
    """

    id: str
    state: Literal["done", "unavailable"]
    documents: int
    figures: dict[str, float]
    cost: dict[str, float]
    reason: str = ""
    t: Literal["cell_end"] = "cell_end"


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know: documents dropped, a member lost."""

    text: str
    about: dict[str, Any] = field(default_factory=dict)
    t: Literal["note"] = "note"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run that came to its end.

    Attributes:
        run: Its id.
        cells: Cells measured by this run.
        shared: Cells taken over from earlier runs.
        unavailable: Cells that could not be measured.
        seconds: Wall time of the last call.
    """

    run: str
    cells: int
    shared: int
    unavailable: int
    seconds: float
    t: Literal["run_end"] = "run_end"


Record = (
    RunHeader
    | PassHeader
    | PromptText
    | PassDocument
    | PassEnd
    | CellHeader
    | CellDocument
    | OracleDocument
    | CellEnd
    | Note
    | RunEnd
)
