"""How well a model in training extracts: typed extraction, greedy and constrained, of a few passages."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.extraction.extract import read_answer
from agent.extraction.member import Member, Sheet
from prompts import load
from tools.annotation import LabelSet, Span, model_text
from tools.finetuning.records import Gold
from tools.prompting import demonstration_view

SHOWN = 3
"""Demonstrations a passage is shown, the nearest by common words."""


@dataclass(frozen=True, slots=True)
class DevScore:
    """Strict F1 on some passages.

    Attributes:
        f1: Strict, all types together.
        low: Of its 95 % interval, by bootstrap over passages.
        high: Likewise.
        by_type: Strict F1 a type.
        passages: How many were extracted.
        support: Gold mentions in them.
        failed: Passages whose answer was cut short or failed.
    """

    f1: float
    low: float
    high: float
    by_type: dict[str, float]
    passages: int
    support: int
    failed: int


def score_model(
    model: Any,
    base: Path,
    passages: Sequence[Gold],
    pool: Sequence[Gold],
    labels: LabelSet,
    *,
    prompts: Path | None = None,
    template_options: dict[str, Any] | None = None,
    batch_size: int = 8,
) -> DevScore:
    """Extract passages with a model in memory and compare with gold.

    One member alone, typed extraction only: no classification, no vote. It is a
    quick look at what training did, not an evaluation.

    Args:
        model: A PEFT model; left in evaluation mode.
        base: The folder of its tokenizer.
        passages: With gold.
        pool: Sentences that may be shown.
        labels: The label set.
        prompts: The project's own folder of templates.
        template_options: For the chat template.
        batch_size: Passages decoded together.
    """
    from agent.engines.transformers_local import TransformersEngine
    from tools.metrics import score

    engine = TransformersEngine(base, batch_size=batch_size, template_options=template_options)
    engine.adopt(model.base_model.model)
    typed = load("extract", "typed", prompts)
    member = Member(
        "dev",
        engine,
        load("pre_extract", "spans", prompts),
        typed,
        load("classify", "marked", prompts),
        load("verify", "yes_no", prompts),
        prompts=prompts,
    )
    sheet = Sheet.of(labels)
    shown = [model_text(passage.text) for passage in passages]
    requests = [
        member.extraction(
            sheet,
            text,
            "",
            [demonstration_view(pool[i].text, pool[i].spans, labels) for i in nearest(passage.text, pool)],
        )
        for text, passage in zip(shown, passages, strict=True)
    ]

    async def answers() -> list[Any]:
        try:
            return list(await engine.complete(requests))
        finally:
            await engine.close()

    # In a thread of its own: the caller may be inside an event loop, as a campaign is.
    with ThreadPoolExecutor(max_workers=1) as worker:
        given = worker.submit(asyncio.run, answers()).result()
    found: dict[str, list[Span]] = {}
    failed = 0
    for number, (text, answer) in enumerate(zip(shown, given, strict=True)):
        failed += answer.failure is not None or answer.finish != "stop"
        read = read_answer(text, answer, typed, sheet)
        found[str(number)] = [span for span in read.spans if span.label]
    gold = {str(number): list(passage.spans) for number, passage in enumerate(passages)}
    table = score(gold, found, rng=13, resamples=1000)
    interval = table.micro.f1_interval
    return DevScore(
        f1=round(table.micro.f1, 4),
        low=round(interval.low, 4) if interval else 0.0,
        high=round(interval.high, 4) if interval else 1.0,
        by_type={name: round(own.f1, 4) for name, own in table.by_label.items()},
        passages=len(passages),
        support=sum(len(passage.spans) for passage in passages),
        failed=failed,
    )


def nearest(text: str, pool: Sequence[Gold], k: int = SHOWN) -> list[int]:
    """The sentences of a pool that share most words with a text, the nearest last; none that stands in the text."""
    mine = frozenset(text.lower().split())

    def likeness(i: int) -> float:
        words = frozenset(pool[i].text.lower().split())
        return len(mine & words) / math.sqrt(1 + len(words))

    usable = [i for i in range(len(pool)) if pool[i].text not in text and len(pool[i].text) < 400]
    return sorted(usable, key=lambda i: (likeness(i), -i))[-k:]
