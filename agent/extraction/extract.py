"""Span extraction: every member lists mentions, the union becomes candidates (EL4NER, stage 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.config import MemberStep
from agent.engines.protocol import Completion, FailureKind
from agent.extraction.asking import Answer, Question, ask, members_gone, one_line
from agent.extraction.context import Context
from agent.extraction.likelihood import line_probabilities
from agent.extraction.member import Sheet
from agent.extraction.state import Candidate, Work
from prompts import Template
from tools.annotation import Span
from tools.annotation.answers import read_spans, read_typed
from tools.annotation.grounding import ground
from tools.annotation.prediction import Outcome, OutcomeKind
from tools.errors import QuorumLost

MAX_CANDIDATES = 96


@dataclass(frozen=True, slots=True)
class Read:
    """An extract answer as spans in passage offsets; typed ones carry labels, and the probability of their line."""

    spans: tuple[Span, ...]
    outcome: Outcome
    ungrounded: tuple[str, ...]
    written: tuple[float | None, ...] = ()


def read_answer(shown: str, completion: Completion, template: Template, sheet: Sheet) -> Read:
    """Turn what a model wrote into spans.

    A cut answer keeps its whole lines. Every occurrence of a mention counts;
    what stands nowhere in the passage is ungrounded.
    """
    text = completion.text
    outcome = Outcome()
    if completion.cut:
        text = text[: text.rfind("\n") + 1]
        outcome = _cut(text)
    pairs = read_typed(text) if template.answer == "typed" else [("", mention) for mention in read_spans(text)]
    grounded = ground(shown, [mention for _, mention in pairs])
    spans: dict[Span, float | None] = {}
    if template.answer == "typed":
        # A mention text may be listed under two types; each is grounded with its own. What was
        # written first counts: the second time is said in the light of the first.
        known = line_probabilities(completion, text)
        probabilities: list[float | None] = [*known] if known else [None] * len(pairs)
        for (code, mention), probability in zip(pairs, probabilities, strict=True):
            label = sheet.label_of(code)
            for span in ground(shown, [mention]).spans:
                spans.setdefault(span.with_label(label), probability)
    else:
        spans = dict.fromkeys(grounded.spans)
    if grounded.ungrounded:
        many = len(grounded.ungrounded)
        outcome = outcome.worse(Outcome(OutcomeKind.UNGROUNDED, f"{many} answer line(s) stand nowhere in the passage"))
    elif grounded.repaired:
        outcome = outcome.worse(Outcome(OutcomeKind.REPAIRED, "a mention was found after normalisation"))
    return Read(tuple(spans), outcome, grounded.ungrounded, tuple(spans.values()))


def _cut(whole_lines: str) -> Outcome:
    """What an answer that ran to its token limit lost.

    Small models go round in circles: an answer that repeats a line had said
    what it had to say, and its repetitions change nothing.
    """
    lines = whole_lines.splitlines()
    if len(set(lines)) < len(lines):
        return Outcome(OutcomeKind.REPAIRED, "an extract answer repeated itself until it was cut")
    return Outcome(OutcomeKind.TRUNCATED, "an extract answer ran to its token limit")


async def extract(works: tuple[Work, ...], context: Context) -> tuple[tuple[Work, ...], dict[str, str]]:
    """Ask every member for the mentions of every passage and unite the answers.

    Returns:
        The passages with candidates, and the members that are gone with why.

    Raises:
        QuorumLost: Fewer members than the quorum have a living engine.
    """
    # What an answer with types says, and how surely, is the member's vote; without a classify step all there is.
    weighed = context.steps.written or not context.steps.classify
    questions = [
        Question(
            m,
            m.extraction(context.sheet, w.shown, w.context, w.demonstrations.last(m.demonstrations), weighed=weighed),
            (i,),
        )
        for i, w in enumerate(works)
        for m in context.taking("extract")
    ]
    answers = await ask(questions, context.accounting)
    gone = members_gone(answers)
    check_quorum(context, gone, "extract")
    by_work: list[list[Answer]] = [[] for _ in works]
    for answer in answers:
        by_work[answer.question.key[0]].append(answer)
    return tuple(_unite(w, given, context) for w, given in zip(works, by_work, strict=True)), gone


def check_quorum(context: Context, gone: dict[str, str], step: MemberStep) -> None:
    """Raise when too few of the members that take part in a step are left to decide anything.

    Raises:
        QuorumLost: Names the members that are gone and what they said.
    """
    asked, needed = len(context.taking(step)), context.quorum_of(step)
    alive = asked - len(gone)
    if gone and alive < needed:
        said = "; ".join(f"{name}: {why}" for name, why in gone.items())
        raise QuorumLost(
            f"{alive} of {asked} members answer, the quorum is {needed} ({said})",
            "see 'quorum models status', start the engine again, and run the same command to go on",
        )


def _unite(work: Work, answers: list[Answer], context: Context) -> Work:
    proposers: dict[tuple[int, int], list[str]] = {}
    typed: dict[tuple[int, int], list[tuple[tuple[str, str], float | None]]] = {}
    answered: list[str] = []
    ungrounded: list[str] = []
    failures: list[str] = []
    for answer in answers:
        member = answer.question.member
        failure = answer.completion.failure
        if failure is not None:
            failures.append(one_line(f"{member.name}: {failure.kind}: {failure.message}"))
            if failure.kind is FailureKind.REFUSED:
                work = work.marked(Outcome(OutcomeKind.REFUSED, failures[-1]))
            continue
        answered.append(member.name)
        read = read_answer(work.shown, answer.completion, member.extract, context.sheet)
        work = work.marked(read.outcome)
        ungrounded += read.ungrounded
        for span, probability in zip(read.spans, read.written, strict=True):
            place = (span.start, span.end)
            if member.name not in proposers.setdefault(place, []):
                proposers[place].append(member.name)
            if span.label:
                typed.setdefault(place, []).append(((member.name, span.label), probability))
    if len(answered) < context.quorum_of("extract"):
        return replace(
            work.marked(Outcome(OutcomeKind.FAILED, "; ".join(failures))), answered=tuple(answered), candidates=()
        )
    # Where more is proposed than can be judged, what most members wrote comes first.
    places = sorted(proposers, key=lambda place: (-len(proposers[place]), place))[:MAX_CANDIDATES]
    if len(proposers) > MAX_CANDIDATES:
        left_out = len(proposers) - MAX_CANDIDATES
        work = work.marked(Outcome(OutcomeKind.TRUNCATED, f"{left_out} candidate(s) beyond {MAX_CANDIDATES} left out"))
    candidates = tuple(
        Candidate(
            Span(*place),
            tuple(proposers[place]),
            tuple(pair for pair, _ in typed.get(place, ())),
            tuple(probability for _, probability in typed.get(place, ())),
        )
        for place in sorted(places)
    )
    return replace(work, candidates=candidates, answered=tuple(answered), ungrounded=tuple(ungrounded))
