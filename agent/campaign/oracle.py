"""A simulated annotator: answers from gold, with slips at a given rate.

What it answers about a document depends on the seed, its name and the document only: killed and begun
again it says the same, and two oracles of different names slip at different places.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.campaign.errors import CampaignError
from tools.annotation import Document, LabelSet, Span
from tools.annotation.chunks import borders
from tools.store import Store


@dataclass(frozen=True, slots=True)
class Oracle:
    """Someone who knows the gold.

    Attributes:
        gold: Document id to its spans.
        labels: Type names, for slips of type.
        annotator: Its name.
        noise: Probability that it slips on a mention: forgets it, takes another type, or moves a border by a word.
        seed: Where chance begins.
        left_out: Documents in the file that the project does not have.
        without: Documents of the project that the file says nothing about.
    """

    gold: Mapping[str, tuple[Span, ...]]
    labels: tuple[str, ...]
    annotator: str = "oracle"
    noise: float = 0.0
    seed: int = 13
    left_out: int = 0
    without: int = 0

    def answer(self, document: Document) -> tuple[Span, ...]:
        """The spans that it marks in a document, in order.

        Raises:
            CampaignError: It has no gold for the document.
        """
        if document.id not in self.gold:
            raise CampaignError(f"the oracle has no gold for document {document.id!r}", "the oracle's file changed")
        spans = self.gold[document.id]
        if not self.noise:
            return spans
        rng = random.Random(f"{self.seed}/{self.annotator}/{document.id}".encode("utf-8", "surrogatepass"))
        kept = (self._slip(span, document.text, rng) if rng.random() < self.noise else span for span in spans)
        return tuple(sorted({span for span in kept if span is not None}))

    def _slip(self, span: Span, text: str, rng: random.Random) -> Span | None:
        kind = rng.choice(("forget", "type", "border"))
        others = [label for label in self.labels if label != span.label]
        if kind == "type" and others:
            return span.with_label(rng.choice(others))
        if kind == "border" and (moved := _moved(span, text, rng)) is not None:
            return moved
        return None


def _moved(span: Span, text: str, rng: random.Random) -> Span | None:
    """A span with one border moved to one of the nearest other word borders."""
    edges = borders(text)
    choices = [Span(start, span.end, span.label) for start in edges if start != span.start and start < span.end]
    choices += [Span(span.start, end, span.label) for end in edges if end != span.end and end > span.start]
    near = sorted(choices, key=lambda one: (abs(len(one) - len(span)), one))
    return rng.choice(near[:4]) if near else None


def read_oracle(
    path: Path, store: Store, labels: LabelSet, *, annotator: str = "oracle", noise: float = 0.0, seed: int = 13
) -> Oracle:
    """Read an oracle's gold and hold it against the project's documents.

    Args:
        path: Records with ``text`` and ``entities``.
        store: The project's store.
        labels: The project's label set.
        annotator: The oracle's name.
        noise: How often it slips, 0 to 1.
        seed: Where its chance begins.

    Returns:
        The oracle, with what of the project it can answer.

    Raises:
        InputError: The file cannot be read, or a record has no entities or wrong ones.
        CampaignError: A text differs from the project's, or no document is in the project.
    """
    from tools.errors import InputError
    from tools.formats.gold import gold_spans
    from tools.formats.reading import read_documents

    gold: dict[str, tuple[Span, ...]] = {}
    unknown: list[str] = []
    for document in read_documents(path):
        if "entities" not in document.meta:
            raise InputError(
                f"{path}: document {document.id!r} has no entities",
                'an oracle needs a list "entities" in every record, empty where nothing is to be found',
            )
        spans = tuple(sorted(set(gold_spans(document, labels))))
        if not store.has_document(document.id):
            unknown.append(document.id)
            continue
        if store.document(document.id).hash != document.hash:
            raise CampaignError(
                f"{path}: document {document.id!r} has another text than in the project",
                "offsets would not fit; give the gold of the documents that were imported",
            )
        gold[document.id] = spans
    if not gold:
        first = f", the first is {unknown[0]!r}" if unknown else ""
        raise CampaignError(
            f"{path}: none of its {len(unknown)} documents is in the project{first}",
            f"read them in first: quorum import {path}",
        )
    return Oracle(gold, labels.names, annotator, noise, seed, len(unknown), store.document_count() - len(gold))
