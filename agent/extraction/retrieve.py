"""Pre-extraction and retrieval of demonstrations (EL4NER, stage 1)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent.extraction.asking import Question, ask
from agent.extraction.context import Context
from agent.extraction.extract import read_answer
from agent.extraction.state import Shown, Work


async def pre_extract(works: tuple[Work, ...], context: Context) -> tuple[Work, ...]:
    """Let every distinct engine list the spans of each passage without demonstrations.

    EL4NER takes the union over its models. Members that share an engine and a
    template would give the same answer, so each such pair is asked once.
    A failure here costs nothing: retrieval then goes by the whole sentence.
    """
    askers = list({(id(m.engine), m.pre_extract.reference): m for m in context.taking("extract")}.values())
    questions = [
        Question(m, m.extraction(context.sheet, w.shown, w.context, (), first=True), (i,))
        for i, w in enumerate(works)
        for m in askers
    ]
    suspected: list[set[tuple[int, int]]] = [set() for _ in works]
    for answer in await ask(questions, context.accounting):
        i = answer.question.key[0]
        if answer.completion.failure is None:
            read = read_answer(works[i].shown, answer.completion, answer.question.member.pre_extract, context.sheet)
            suspected[i].update((s.start, s.end) for s in read.spans)
    from tools.annotation import Span

    return tuple(
        replace(w, suspected=tuple(Span(a, b) for a, b in sorted(found)))
        for w, found in zip(works, suspected, strict=True)
    )


async def retrieve(works: tuple[Work, ...], context: Context) -> tuple[Work, ...]:
    """Fetch demonstrations for the whole batch in one query, off the event loop."""
    if context.source is None or context.k == 0:
        return works
    shown: list[Shown] = await asyncio.to_thread(context.source.shown_for, works, context.k, context.sheet, context.rng)
    return tuple(replace(w, demonstrations=s) for w, s in zip(works, shown, strict=True))
