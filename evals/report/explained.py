"""Why a document came out as it did, for the page: who voted what, what was shown, asked and answered, what it cost.

A prompt is mostly what other prompts say as well (instructions, types,
demonstrations), so every line is kept once and prompts are lists of line
numbers. Even so it is too much to keep for all documents of a large run: there
is a most, documents with errors come first, and the page says what was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp
from typing import Any

from evals.records import CandidateRow, PassDocument, PromptText, StepRow
from tools.annotation.visible import visible

MOST_CHARACTERS = 6_000_000
"""Of all distinct lines together; about a quarter of it after compression."""
_ROW = 60  # about what a request or a candidate takes beside its lines


class Explained:
    """Collects explanations, pass by pass; every line is kept once.

    Args:
        most_documents: Of a pass.
        most_characters: Of everything.
    """

    def __init__(self, most_documents: int, most_characters: int = MOST_CHARACTERS) -> None:
        self.most_documents = most_documents
        self._left = most_characters
        self._lines: dict[str, int] = {}
        self._prompts: dict[str, int] = {}
        self._told: list[list[list[Any]]] = []
        self._passes: list[dict[int, Any]] = []
        self.complete = True

    def add_pass(
        self, documents: Iterable[PassDocument], prompts: dict[str, PromptText], places: dict[str, int]
    ) -> int | None:
        """Add a pass.

        Args:
            documents: Its documents.
            prompts: Texts of its prompts by hash.
            places: Document id to its place in the data set, of those that are to be explained.

        Returns:
            The number of the pass; None where nothing of it was kept.
        """
        kept: dict[int, Any] = {}
        for document in documents:
            place = places.get(document.id)
            if place is None:
                continue
            if self._left <= 0:
                self.complete = False
                break
            kept[place] = self._document(document, prompts)
        if not kept:
            return None
        self._passes.append(kept)
        return len(self._passes) - 1

    def _document(self, document: PassDocument, prompts: dict[str, PromptText]) -> list[Any]:
        return [
            [self._candidate(one) for one in sorted(document.candidates, key=lambda c: c.span)],
            [self._step(step, prompts) for step in document.steps],
            [self._line(id) for id in document.demonstrations],
            [self._line(text) for text in document.ungrounded],
            self._line(document.reason),
        ]

    def _candidate(self, one: CandidateRow) -> list[Any]:
        self._left -= _ROW
        votes = [[self._line(v.member), self._line(v.label), round(v.probability, 3)] for v in one.votes]
        verdict = None if one.verdict is None else round(one.verdict, 3)
        proposers = [self._line(name) for name in one.proposers]
        return [one.span[0], one.span[1], self._line(one.span[2]), proposers, votes, round(one.probability, 3), verdict]

    def _step(self, step: StepRow, prompts: dict[str, PromptText]) -> list[Any]:
        self._left -= _ROW
        alternatives = [[self._line(text), round(exp(p), 3)] for text, p in step.alternatives[:4]]
        return [
            self._line(step.step),
            self._line(step.member),
            self._prompt(prompts.get(step.prompt)),
            None if step.about is None else [step.about[0], step.about[1]],
            self._line(step.failure or step.answer),
            bool(step.failure),
            list(step.tokens),
            round(step.seconds, 3),
            step.from_cache,
            alternatives,
        ]

    def _prompt(self, prompt: PromptText | None) -> int | None:
        if prompt is None:
            return None
        if prompt.hash not in self._prompts:
            self._prompts[prompt.hash] = len(self._told)
            messages: Sequence[tuple[str, str]] = prompt.messages
            self._told.append(
                [[self._line(role), [self._line(line) for line in text.split("\n")]] for role, text in messages]
            )
        return self._prompts[prompt.hash]

    def _line(self, text: str) -> int:
        line = visible(text)
        if line not in self._lines:
            self._left -= len(line)
            self._lines[line] = len(self._lines)
        return self._lines[line]

    def to_json(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {
            "lines": list(self._lines),
            "prompts": self._told,
            "passes": [{str(place): row for place, row in kept.items()} for kept in self._passes],
            "most": self.most_documents,
        }
