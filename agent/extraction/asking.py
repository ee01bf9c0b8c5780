"""Sending one step's requests: grouped by engine, in passage order, failures told apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agent.engines.protocol import Accounting, Completion, Engine, FailureKind, Request
from agent.extraction.member import Member
from tools.errors import QuorumError

# What says that the engine is gone, not that one prompt was bad.
GONE = frozenset(
    {
        FailureKind.CONNECTION,
        FailureKind.CIRCUIT_OPEN,
        FailureKind.TIMEOUT,
        FailureKind.SERVER,
        FailureKind.OVERLOADED,
        FailureKind.UNAVAILABLE,
    },
)


@dataclass(frozen=True, slots=True)
class Question:
    """A member's request about one thing; ``key`` is the asker's own."""

    member: Member
    request: Request
    key: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and its completion."""

    question: Question
    completion: Completion


async def ask(questions: Sequence[Question], accounting: Accounting) -> list[Answer]:
    """Send all questions, one call an engine, and count what they cost.

    Requests to one engine stay in the order given: ask in passage order, so
    that members sharing an engine meet the same prompt prefix in its cache.

    Args:
        questions: What to ask; any number of members and engines.
        accounting: Where usage is added, under each request's tag.

    Returns:
        Answers in the order of the questions.
    """
    by_engine: dict[int, tuple[Engine, list[int]]] = {}
    for position, question in enumerate(questions):
        by_engine.setdefault(id(question.member.engine), (question.member.engine, []))[1].append(position)
    groups = list(by_engine.values())
    answered = await asyncio.gather(
        *(_complete(engine, [questions[i].request for i in positions]) for engine, positions in groups),
    )
    answers: list[Answer | None] = [None] * len(questions)
    for (_, positions), completions in zip(groups, answered, strict=True):
        for position, completion in zip(positions, completions, strict=True):
            question = questions[position]
            accounting.asked(question.request, question.key, completion)
            answers[position] = Answer(question, completion)
    return [answer for answer in answers if answer is not None]


async def _complete(engine: Engine, requests: list[Request]) -> list[Completion]:
    """An engine that cannot be used at all is a dead member, not the end of the batch."""
    try:
        return await engine.complete(requests)
    except QuorumError as error:
        return [Completion.failed(FailureKind.UNAVAILABLE, one_line(str(error)))] * len(requests)


def one_line(text: str) -> str:
    """A message as a person gets it: what servers say may span lines."""
    return " ".join(text.split())


def members_gone(answers: Sequence[Answer]) -> dict[str, str]:
    """Members whose every request failed because their engine is gone, with the last message."""
    asked = Counter(a.question.member.name for a in answers)
    gone: Counter[str] = Counter()
    messages: dict[str, str] = {}
    for answer in answers:
        failure = answer.completion.failure
        if failure and failure.kind in GONE:
            gone[answer.question.member.name] += 1
            messages[answer.question.member.name] = one_line(f"{failure.kind}: {failure.message}")
    return {name: messages[name] for name, count in gone.items() if count == asked[name]}
