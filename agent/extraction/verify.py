"""Self-verification: one yes or no with its probability (EL4NER, stage 4).

Only where it can change the result: a candidate whose vote is far from the
threshold is not asked about.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from agent.engines.constraints import choice_probabilities
from agent.extraction.asking import Question, ask, members_gone, one_line
from agent.extraction.context import Context
from agent.extraction.member import YES_NO, Member
from agent.extraction.state import Candidate, Work


def wants_verdict(candidate: Candidate, context: Context) -> bool:
    """Whether the verifier is to be asked about a candidate."""
    if not candidate.span.label:
        return False
    if context.steps.verify == "on":
        return True
    low, high = context.steps.verify_band
    return low <= candidate.probability <= high


async def verify(
    works: tuple[Work, ...], context: Context, down: Collection[str] = ()
) -> tuple[tuple[Work, ...], dict[str, str]]:
    """Ask the verifier about every candidate that its answer could change.

    Where the verifier is down or fails, the next member in order is asked
    instead. What no member answers for keeps its vote and has no verdict, and
    the passage says so.

    Args:
        works: Passages with votes on their candidates.
        context: The batch's surroundings.
        down: Members that did not answer in an earlier step.

    Returns:
        The passages with verdicts, and the members gone with why.
    """
    pending = [(i, j) for i, w in enumerate(works) for j, c in enumerate(w.candidates) if wants_verdict(c, context)]
    if not pending:
        return works, {}
    others = (member for member in context.taking("verify") if member.name != context.verifier.name)
    verdicts: dict[tuple[int, ...], float] = {}
    failures: dict[tuple[int, ...], str] = {}
    gone: dict[str, str] = {}
    for member in (context.verifier, *others):
        if not pending or member.name in down:
            continue
        answers = await ask([_question(works, member, context, *key) for key in pending], context.accounting)
        gone |= members_gone(answers)
        for answer in answers:
            key, failure = answer.question.key, answer.completion.failure
            if probabilities := choice_probabilities(answer.completion, YES_NO):
                verdicts[key] = probabilities["yes"]
            else:
                said = f"{failure.kind}: {failure.message}" if failure else "no log-probabilities"
                failures.setdefault(key, one_line(f"{member.name}: {said}"))
        pending = [key for key in pending if key not in verdicts]
    judged = []
    for i, work in enumerate(works):
        missed = [key for key in pending if key[0] == i]
        if missed:
            why = failures.get(missed[0], "no member is left")
            work = work.noted(f"{len(missed)} candidate(s) not verified: {why}")
        candidates = tuple(replace(c, verdict=verdicts.get((i, j))) for j, c in enumerate(work.candidates))
        judged.append(replace(work, candidates=candidates))
    return tuple(judged), gone


def _question(works: tuple[Work, ...], member: Member, context: Context, i: int, j: int) -> Question:
    work = works[i]
    shown = work.demonstrations.last(member.demonstrations)
    span = work.candidates[j].span
    return Question(member, member.verification(context.sheet, work.shown, work.context, shown, span), (i, j))
