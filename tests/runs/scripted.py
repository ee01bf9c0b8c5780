"""Extractors that do as they are told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

from agent.engines.protocol import Usage
from agent.runs.extractor import Extracted
from tools.annotation import Passage, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote

_NAME = re.compile(r"[A-Z][a-z]+")


def result(passage: Passage) -> PassageResult:
    """Every capitalised word is a name."""
    entities = tuple(
        Entity(
            Span(passage.start + m.start(), passage.start + m.end(), "name"),
            0.9,
            (Vote("list", True, "name", 0.9),),
            passage=passage.index,
        )
        for m in _NAME.finditer(passage.text)
    )
    return PassageResult(passage.document_id, passage.index, Outcome(), entities)


class Scripted:
    """Finds capitalised words.

    Args:
        poison: Raises for a passage, or does nothing.
        wait: Seconds a batch takes.
        down: Members it says are down.
    """

    def __init__(
        self,
        poison: Callable[[Passage], None] = lambda passage: None,
        wait: float = 0.0,
        down: tuple[str, ...] = (),
        answer: Callable[[Passage], PassageResult] = result,
    ) -> None:
        self.poison, self.wait, self.down, self.answer = poison, wait, down, answer
        self.calls: list[tuple[str, ...]] = []
        self.running = 0
        self.most_running = 0

    async def extract(self, passages: Sequence[Passage]) -> Extracted:
        self.calls.append(tuple(p.id for p in passages))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.wait)
            for passage in passages:
                self.poison(passage)
            usage = {"extract/list": Usage(requests=len(passages), prompt_tokens=10 * len(passages))}
            return Extracted(tuple(map(self.answer, passages)), usage, self.down)
        finally:
            self.running -= 1

    def count_tokens(self, text: str) -> int:
        return len(text.split())
