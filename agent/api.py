"""Quorum as a Python call: ``agent.annotate(texts, labels=..., demonstrations=...)``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import ProjectConfig
from agent.extraction.quorum import Quorum
from agent.opening import open_quorum
from tools.annotation import Document, LabelSet, Passage, Span
from tools.annotation.chunking import chunk
from tools.annotation.labelfile import read_label_set
from tools.annotation.merging import merge
from tools.annotation.prediction import DocumentResult, PassageResult
from tools.demonstrations import Demonstration
from tools.errors import InputError

Labels = LabelSet | Sequence[str] | str | Path


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text with what the quorum found in it."""

    document: Document
    result: DocumentResult

    @property
    def spans(self) -> tuple[Span, ...]:
        """The entities' places and types."""
        return tuple(entity.span for entity in self.result.entities)


def annotate(
    texts: Sequence[str] | str,
    *,
    labels: Labels,
    demonstrations: Iterable[Demonstration | Mapping[str, Any]] = (),
    config: ProjectConfig | None = None,
) -> list[Annotated]:
    """Find the named entities of some texts.

    Starts what engines it needs and stops them again; for many calls open a
    quorum once (``agent.opening.open_quorum``) and use :func:`annotate_with`.

    Args:
        texts: One text or several.
        labels: A label set, names, or a label file.
        demonstrations: Gold examples to show: ``Demonstration`` objects, or
            mappings with ``text`` and ``entities`` (``start``, ``end``, ``label``).
        config: Members and settings; the default is three members on the starter.

    Returns:
        One item a text, in order. A text that could not be worked on has an
        outcome that says so.

    Raises:
        QuorumError: Labels, demonstrations or settings are wrong, or too few
            members can be had.
    """
    return asyncio.run(annotate_async(texts, labels=labels, demonstrations=demonstrations, config=config))


async def annotate_async(
    texts: Sequence[str] | str,
    *,
    labels: Labels,
    demonstrations: Iterable[Demonstration | Mapping[str, Any]] = (),
    config: ProjectConfig | None = None,
) -> list[Annotated]:
    """As :func:`annotate`, inside a running event loop."""
    settings = config or ProjectConfig.default()
    label_set = as_label_set(labels)
    shown = [as_demonstration(d, label_set, number) for number, d in enumerate(demonstrations, 1)]
    async with open_quorum(settings, label_set, demonstrations=shown) as quorum:
        return await annotate_with(quorum, texts)


async def annotate_with(quorum: Quorum, texts: Sequence[str] | str) -> list[Annotated]:
    """As :func:`annotate`, with a quorum that is open already and stays open.

    Args:
        quorum: From ``agent.opening.open_quorum``.
        texts: One text or several.

    Raises:
        QuorumLost: Too few members answer.
    """
    documents, passages = cut(quorum, texts)
    flat = [passage for group in passages for passage in group]
    size = quorum.config.run.batch
    batches = await asyncio.gather(*(quorum.extract(flat[i : i + size]) for i in range(0, len(flat), size)))
    return joined(documents, passages, [result for batch in batches for result in batch.results])


def cut(quorum: Quorum, texts: Sequence[str] | str) -> tuple[list[Document], list[list[Passage]]]:
    """Texts as documents, and each one's passages as the quorum reads them."""
    listed = [texts] if isinstance(texts, str) else list(texts)
    documents = [Document(f"text-{number}", text) for number, text in enumerate(listed, 1)]
    sizes = quorum.config.passages
    return documents, [
        chunk(
            document,
            quorum.count_tokens,
            max_tokens=sizes.max_tokens,
            overlap_tokens=sizes.overlap_tokens,
            context_tokens=sizes.context_tokens,
        )
        for document in documents
    ]


def joined(
    documents: Sequence[Document], passages: Sequence[Sequence[Passage]], results: Iterable[PassageResult]
) -> list[Annotated]:
    """Documents with what was found in them.

    Args:
        documents: From :func:`cut`.
        passages: Each one's passages.
        results: One a passage, in order.
    """
    left = iter(results)
    return [
        Annotated(document, merge(document, [next(left) for _ in group], group))
        for document, group in zip(documents, passages, strict=True)
    ]


def as_label_set(labels: Labels) -> LabelSet:
    """A label set from whatever names one.

    Raises:
        LabelSetError: It cannot be read or used.
    """
    if isinstance(labels, LabelSet):
        return labels
    if isinstance(labels, str | Path):
        return read_label_set(labels)
    return LabelSet.of(*labels)


def as_demonstration(given: Demonstration | Mapping[str, Any], labels: LabelSet, number: int) -> Demonstration:
    """A demonstration from a mapping with ``text`` and ``entities``.

    Args:
        given: The demonstration, or a mapping as in gold JSONL.
        labels: The label set; labels may be aliases.
        number: Its place, for messages and as an id.

    Raises:
        InputError: A span lies outside the text or has an unknown label.
    """
    if isinstance(given, Demonstration):
        return given
    text = given.get("text")
    if not isinstance(text, str):
        raise InputError(f"demonstration {number} has no text", "give a mapping with text and entities")
    spans = []
    for entity in given.get("entities", ()):
        label = labels.resolve(str(entity.get("label")))
        if label is None:
            raise InputError(
                f"demonstration {number}: unknown label {entity.get('label')!r}", f"known: {', '.join(labels.names)}"
            )
        try:
            span = Span(int(entity["start"]), int(entity["end"]), label)
            span.text_in(text)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"demonstration {number}: bad span {dict(entity)!r} ({error})", "offsets count code points"
            ) from error
        spans.append(span)
    name = str(given.get("id", f"demonstration-{number}"))
    return Demonstration(name, str(given.get("document_id", name)), text, tuple(spans))
