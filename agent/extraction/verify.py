"""Self-verification: one yes or no with its probability (EL4NER, stage 4).

Only where it can change the result: a candidate whose vote is far from the
threshold is not asked about.
"""

from __future__ import annotations

from dataclasses import replace

from agent.engines.constraints import choice_probabilities
from agent.extraction.asking import Question, ask, members_gone
from agent.extraction.context import Context
from agent.extraction.member import YES_NO
from agent.extraction.state import Candidate, Work


def wants_verdict(candidate: Candidate, context: Context) -> bool:
    """Whether the verifier is to be asked about a candidate."""
    if not candidate.span.label:
        return False
    if context.steps.verify == "on":
        return True
    low, high = context.steps.verify_band
    return low <= candidate.probability <= high


async def verify(works: tuple[Work, ...], context: Context) -> tuple[tuple[Work, ...], dict[str, str]]:
    """Ask the verifier about every candidate that its answer could change.

    A verifier that does not answer changes nothing: the vote stands.

    Returns:
        The passages with verdicts, and the verifier with why where it is gone.
    """
    verifier = context.verifier
    questions = [
        Question(
            verifier,
            verifier.verification(
                context.sheet, w.shown, w.context, w.demonstrations.last(verifier.demonstrations), c.span
            ),
            (i, j),
        )
        for i, w in enumerate(works)
        for j, c in enumerate(w.candidates)
        if wants_verdict(c, context)
    ]
    if not questions:
        return works, {}
    verdicts: dict[tuple[int, ...], float] = {}
    answers = await ask(questions, context.accounting)
    for answer in answers:
        probabilities = choice_probabilities(answer.completion, YES_NO)
        if probabilities:
            verdicts[answer.question.key] = probabilities["yes"]
    judged = tuple(
        replace(w, candidates=tuple(replace(c, verdict=verdicts.get((i, j))) for j, c in enumerate(w.candidates)))
        for i, w in enumerate(works)
    )
    return judged, members_gone(answers)
