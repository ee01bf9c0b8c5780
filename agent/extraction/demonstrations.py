"""From the demonstration index to what a prompt shows."""

from __future__ import annotations

import random
from collections.abc import Callable

from agent.extraction.member import Sheet
from agent.extraction.state import Shown, Work
from prompts import DemonstrationView
from tools.demonstrations import Demonstration, Query, Retriever
from tools.prompting import demonstration_view


class RetrievedDemonstrations:
    """Demonstrations found by a retriever, cut to a token budget.

    Args:
        retriever: Any of the retrievers over the index.
        needs_spans: Whether it looks at pre-extracted spans.
        count_tokens: The tokenizer of the members.
        budget_tokens: The most tokens all demonstrations of a prompt may take.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        needs_spans: bool,
        count_tokens: Callable[[str], int],
        budget_tokens: int,
    ) -> None:
        self._retriever = retriever
        self._needs_spans = needs_spans
        self._count = count_tokens
        self._budget = budget_tokens
        self._costs: dict[str, int] = {}

    @property
    def needs_spans(self) -> bool:
        """Whether retrieval wants pre-extracted spans."""
        return self._needs_spans

    def shown_for(self, works: tuple[Work, ...], k: int, sheet: Sheet, rng: random.Random) -> list[Shown]:
        """The best demonstrations of each passage, most similar last.

        One query serves the whole batch. A demonstration that does not fit
        into the budget any more is left out, the less similar ones first.
        """
        queries = [Query(w.passage.document_id, w.shown, w.suspected, w.passage.document_hash) for w in works]
        shown = []
        for found in self._retriever.retrieve(queries, k, rng=rng):
            views: list[DemonstrationView] = []
            ids: list[str] = []
            left = self._budget
            for hit in found:
                cost = self._cost(hit.demonstration)
                if cost > left:
                    continue
                left -= cost
                views.append(demonstration_view(hit.demonstration.text, hit.demonstration.spans, sheet.labels))
                ids.append(hit.demonstration.id)
            shown.append(Shown(tuple(reversed(views)), tuple(reversed(ids))))
        return shown

    def _cost(self, demonstration: Demonstration) -> int:
        if demonstration.id not in self._costs:
            if len(self._costs) > 100_000:
                self._costs.clear()
            mentions = " ".join(s.text_in(demonstration.text) for s in demonstration.spans)
            self._costs[demonstration.id] = self._count(f"{demonstration.text} {mentions}") + 4 * len(
                demonstration.spans
            )
        return self._costs[demonstration.id]
