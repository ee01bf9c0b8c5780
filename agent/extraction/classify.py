"""Type classification and the weighted vote (EL4NER, stage 3).

EL4NER votes by plain majority. Here a member's vote is its whole distribution
over the label codes and "none", read from the log-probabilities of one token,
and votes are averaged with the members' weights; METHODS.md 6.4 argues why. A
member that wrote the type when it extracted has voted already: it is asked only
about what others found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import zip_longest

from agent.engines.constraints import choice_probabilities
from agent.extraction.asking import Question, ask, members_gone, one_line
from agent.extraction.context import Context
from agent.extraction.extract import check_quorum
from agent.extraction.member import Sheet
from agent.extraction.state import Candidate, Work
from tools.annotation import NONE_CODE
from tools.annotation.prediction import Outcome, OutcomeKind, Vote

Distribution = dict[str, float]


async def classify(works: tuple[Work, ...], context: Context) -> tuple[tuple[Work, ...], dict[str, str]]:
    """Ask every member for the type of every candidate.

    A member that fails on one candidate abstains from that one. A candidate on
    which fewer than the quorum voted is left out and the passage says so; a
    passage whose every candidate ends so has failed.

    Returns:
        The passages with votes on their candidates, and the members gone.

    Raises:
        QuorumLost: Fewer members than the quorum have a living engine.
    """
    written = _written_votes(works, context)
    questions = [
        Question(
            m,
            m.classification(context.sheet, w.shown, w.context, w.demonstrations.last(m.demonstrations), c.span),
            (i, j),
        )
        for i, w in enumerate(works)
        for m in context.taking("classify")
        # One that failed at extracting this passage is not asked about it again.
        if m.name in w.answered or "extract" not in m.steps
        for j, c in enumerate(w.candidates)
        if (i, j, m.name) not in written
    ]
    if not questions and not written:
        return works, {}
    answers = await ask(questions, context.accounting)
    gone = members_gone(answers)
    check_quorum(context, gone, "classify")
    given: dict[tuple[int, ...], list[tuple[str, Distribution]]] = {}
    failures: dict[tuple[int, ...], str] = {}
    wrote: dict[tuple[int, int], list[str]] = {}
    for (i, j, name), distribution in written.items():
        given.setdefault((i, j), []).append((name, distribution))
        wrote.setdefault((i, j), []).append(name)
    for answer in answers:
        key, name = answer.question.key, answer.question.member.name
        distribution = choice_probabilities(
            answer.completion, context.sheet.choices, firsts=answer.question.member.firsts
        )
        if distribution:
            given.setdefault(key, []).append((name, distribution))
        else:
            failure = answer.completion.failure
            said = f"{failure.kind}: {failure.message}" if failure else "no log-probabilities"
            failures[key] = one_line(f"{name}: {said}")
    order = {m.name: at for at, m in enumerate(context.members)}
    for votes in given.values():
        votes.sort(key=lambda one: order[one[0]])
    weights = {m.name: m.weight for m in context.members}
    needed = context.quorum_of("classify")
    done = []
    for i, work in enumerate(works):
        judged = [j for j in range(len(work.candidates)) if len(given.get((i, j), [])) >= needed]
        voted = tuple(
            vote(work.candidates[j], given[i, j], weights, context.sheet, wrote.get((i, j), ())) for j in judged
        )
        if missing := len(work.candidates) - len(voted):
            why = next((said for (at, j), said in failures.items() if at == i and j not in judged), "no answer")
            work = work.marked(_too_few(missing, len(voted), why))
        done.append(replace(work, candidates=voted))
    return tuple(done), gone


def _too_few(missing: int, judged: int, why: str) -> Outcome:
    """The outcome of a passage in which some candidates, or all, got fewer votes than the quorum."""
    if not judged:
        return Outcome(OutcomeKind.FAILED, f"too few votes: {why}")
    return Outcome(OutcomeKind.TRUNCATED, f"{missing} candidate(s) left out for too few votes: {why}")


def vote(
    candidate: Candidate,
    given: list[tuple[str, Distribution]],
    weights: dict[str, float],
    sheet: Sheet,
    written: Collection[str] = (),
) -> Candidate:
    """Average the members' distributions and take the most probable label.

    Args:
        candidate: The span voted on.
        given: Member name and its distribution over codes and none.
        weights: Member name to weight.
        sheet: The label set.
        written: Members whose distribution is what they wrote: their vote is for the type that they named,
            however unsure of it they were.

    Returns:
        The candidate with its votes, the winning label (empty if none has more
        than every label together) and that label's share; a label that loses
        to "none" stays on the candidate so that a verifier may still be asked.
    """
    if not given:
        return candidate
    total = sum(weights[name] for name, _ in given)
    share = {
        code: sum(weights[name] * distribution.get(code, 0.0) for name, distribution in given) / total
        for code in sheet.choices
    }
    best = max(sheet.codes, key=lambda code: share[code])
    votes = []
    for name, distribution in given:
        options = [c for c in sheet.codes if c in distribution] if name in written else sheet.choices
        code = max(options, key=lambda c, d=distribution: d.get(c, 0.0))
        label = "" if code == NONE_CODE else sheet.label_of(code)
        votes.append(Vote(name, name in candidate.proposers, label, distribution.get(code, 0.0)))
    return replace(
        candidate,
        span=candidate.span.with_label(sheet.label_of(best)),
        votes=tuple(votes),
        probability=share[best],
    )


def from_typed(works: tuple[Work, ...], context: Context) -> tuple[Work, ...]:
    """Without a classify step: the labels that typed extraction wrote are the votes.

    A member that lists a candidate with a type votes for it with the probability
    with which it wrote that line, the rest goes to none (1 where its engine gave
    no log-probabilities; where it gave several types that come to more than 1,
    they share it); one that answered and did not list it votes for none. A
    passage with candidates that no such member answered for has failed: its
    candidates have no type.
    """
    sheet = context.sheet
    weights = {m.name: m.weight for m in context.members}
    typed_members = [m.name for m in context.members if m.extract.answer == "typed"]
    done = []
    for work in works:
        answered = [name for name in typed_members if name in work.answered]
        if work.candidates and not answered:
            work = work.marked(Outcome(OutcomeKind.FAILED, f"no answer with types: {', '.join(typed_members)}"))
        voted = []
        for candidate in work.candidates if answered else ():
            given = []
            for name in answered:
                given.append((name, _as_written(candidate, name, sheet)))
            wrote = {name for name, _ in candidate.typed}
            voted.append(vote(candidate, given, weights, sheet, wrote))
        done.append(replace(work, candidates=tuple(voted)))
    return tuple(done)


def _written_votes(works: tuple[Work, ...], context: Context) -> dict[tuple[int, int, str], Distribution]:
    """(passage, candidate, member) to the vote that lies in what a member wrote, where it is known how surely."""
    if not context.steps.written:
        return {}
    return {
        (i, j, name): _as_written(c, name, context.sheet)
        for i, w in enumerate(works)
        for j, c in enumerate(w.candidates)
        for (name, _), probability in zip(c.typed, c.written, strict=False)
        if probability is not None
    }


def _as_written(candidate: Candidate, member: str, sheet: Sheet) -> Distribution:
    """The distribution over codes and none that a member's own lines amount to."""
    lines = zip_longest(candidate.typed, candidate.written)
    written = {
        sheet.labels.codes[label]: 1.0 if probability is None else probability
        for (name, label), probability in lines
        if name == member
    }
    total = sum(written.values())
    if total > 1:
        return {code: probability / total for code, probability in written.items()}
    return {**written, NONE_CODE: 1 - total}
