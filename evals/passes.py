"""A pass: one data set through the extraction graph, once, with everything kept that it shows.

The graph is the one that ``quorum extract`` runs, node for node. What only
decides (the rule of the vote, the threshold, whether verdicts count) is left
open here and read off afterwards, see ``evals.readings``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.engines.protocol import Usage
from agent.extraction.quorum import Quorum
from agent.extraction.state import Work
from agent.runs.extractor import merge_usage
from evals.data import GoldDocument
from evals.oracle import OracleBatch, ask_oracles
from evals.records import OracleDocument, PassDocument, StepRow
from evals.tracing import PromptBook, Trace, candidate_row, span_row, step_rows
from tools.annotation import Passage
from tools.annotation.chunking import chunk
from tools.annotation.prediction import Outcome

Done = Callable[[int], None]
"""Told how many more documents are done."""


class Halted(Exception):
    """A pass was left because its caller wanted no more to be begun; what was answered is in the cache."""


@dataclass(slots=True)
class Worked:
    """A document after the graph.

    Attributes:
        gold: The document with its gold.
        passages: What it was cut into.
        works: A work a passage, as the graph's last node saw it.
        steps: What was asked and answered.
        oracle: Answers of steps that were given the truth, by step.
    """

    gold: GoldDocument
    passages: tuple[Passage, ...]
    works: list[Work | None]
    steps: list[list[StepRow]]
    oracle: dict[str, list[OracleDocument]] = field(default_factory=dict)

    @property
    def done(self) -> tuple[Work, ...]:
        """The works; only once all are there."""
        return tuple(work for work in self.works if work is not None)

    def record(self) -> PassDocument:
        """The document as the log keeps it."""
        outcome = Outcome()
        for work in self.done:
            outcome = outcome.worse(work.outcome)
        return PassDocument(
            self.gold.id,
            self.gold.document.text,
            tuple(span_row(span) for span in self.gold.spans),
            tuple(row for rows in self.steps for row in rows),
            tuple(candidate_row(c, work) for work in self.done for c in work.candidates),
            outcome.kind.value,
            outcome.reason,
            tuple(text for work in self.done for text in work.ungrounded),
            tuple(dict.fromkeys(id for work in self.done for id in work.demonstrations.ids)),
            len(self.passages),
        )


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass came to.

    Attributes:
        documents: In the order of the data.
        seconds: Wall time.
        usage: By step and member.
        members_down: Members that did not answer.
    """

    documents: tuple[Worked, ...]
    seconds: float
    usage: dict[str, Usage]
    members_down: tuple[str, ...]


async def run_pass(
    quorum: Quorum,
    documents: Sequence[GoldDocument],
    *,
    keep: Callable[[PromptBook, Sequence[Worked]], None],
    oracles: Sequence[str] = (),
    done: Done = lambda count: None,
    halt: Callable[[], bool] = lambda: False,
) -> Passed:
    """Send documents through the graph.

    Args:
        quorum: Members, settings and demonstrations.
        documents: What to extract from.
        keep: Given documents as soon as all their passages are done, in the
            order of the data, with the book that names their prompts.
        oracles: Steps to ask again with the truth given: ``classify``, ``verify``.
        done: Told of progress.
        halt: Asked before a batch is begun; batches in flight are waited for.

    Raises:
        QuorumLost: Too few members have a living engine.
        Halted: ``halt`` said so before all was begun.
    """
    begun = time.monotonic()
    cut = quorum.config.passages
    worked = []
    places: list[tuple[int, int]] = []
    flat: list[Passage] = []
    for number, gold in enumerate(documents):
        passages = tuple(
            chunk(
                gold.document,
                quorum.count_tokens,
                max_tokens=cut.max_tokens,
                overlap_tokens=cut.overlap_tokens,
                context_tokens=cut.context_tokens,
            )
        )
        worked.append(Worked(gold, passages, [None] * len(passages), [[] for _ in passages]))
        places += [(number, index) for index in range(len(passages))]
        flat += passages
    size = quorum.config.run.batch
    book = PromptBook()
    usages: list[dict[str, Usage]] = []
    down: dict[str, None] = {}
    gate = asyncio.Semaphore(quorum.config.run.in_flight)
    handed = _InOrder(worked, lambda ready: keep(book, ready), done)

    async def part(first: int) -> None:
        async with gate:
            if halt():
                return
            passages = flat[first : first + size]
            batch = await _batch(
                quorum, passages, book, [worked[n].gold for n, _ in places[first : first + size]], oracles
            )
            usages.append(batch.usage)
            down.update(dict.fromkeys(batch.members_down))
            for offset, (number, index) in enumerate(places[first : first + size]):
                worked[number].works[index] = batch.works[offset]
                worked[number].steps[index] = batch.steps[offset]
                for step, items in batch.oracle.items():
                    worked[number].oracle.setdefault(step, []).append(items[offset])
            handed.flush()

    handed.flush()
    await _all_or_none([part(first) for first in range(0, len(flat), size)])
    handed.flush()
    if any(None in one.works for one in worked):
        raise Halted
    return Passed(tuple(worked), time.monotonic() - begun, merge_usage(usages), tuple(down))


async def _all_or_none(parts: Sequence[Any]) -> None:
    """Wait for all; when one fails, end the others before telling."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


@dataclass(frozen=True, slots=True)
class _Batch:
    works: tuple[Work, ...]
    steps: list[list[StepRow]]
    usage: dict[str, Usage]
    members_down: tuple[str, ...]
    oracle: dict[str, list[OracleDocument]]


async def _batch(
    quorum: Quorum, passages: Sequence[Passage], book: PromptBook, gold: Sequence[GoldDocument], oracles: Sequence[str]
) -> _Batch:
    context = quorum.context(passages)
    trace = Trace()
    context.accounting = trace
    final: Any = await quorum.graph.ainvoke({"works": tuple(Work(p, p.shown) for p in passages)}, context=context)
    works: tuple[Work, ...] = final["works"]
    steps = step_rows(trace, works, book)
    asked = OracleBatch()
    if oracles:
        asked = await ask_oracles(quorum, works, [g.spans for g in gold], oracles, book)
        for own, more in zip(steps, asked.steps, strict=True):
            own += more
    usage = merge_usage([trace.by_tag, asked.usage])
    return _Batch(works, steps, usage, tuple(final.get("members_down", ())), asked.documents)


class _InOrder:
    """Hands documents on in the order of the data, as soon as they are whole."""

    def __init__(self, worked: Sequence[Worked], keep: Callable[[Sequence[Worked]], None], done: Done) -> None:
        self._worked = worked
        self._keep = keep
        self._done = done
        self._next = 0

    def flush(self) -> None:
        """Hand on what is whole by now."""
        ready = list(self._ready())
        if ready:
            self._keep(ready)
            self._done(len(ready))

    def _ready(self) -> Iterator[Worked]:
        while self._next < len(self._worked) and None not in self._worked[self._next].works:
            yield self._worked[self._next]
            self._next += 1
