"""Gold spans out of the entities that a record carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.annotation.document import Document
from tools.annotation.labels import LabelSet
from tools.annotation.span import Span
from tools.errors import InputError


def gold_spans(document: Document, labels: LabelSet) -> tuple[Span, ...]:
    """The spans of ``document.meta["entities"]``, checked.

    Entities are objects with ``start``, ``end`` (exclusive, code points),
    ``label`` and perhaps ``text``, or lists ``[start, end, label]``. Labels
    may be any name or alias that the label set knows.

    Args:
        document: A document as ``read_documents`` gives it.
        labels: The label set that the spans get their types from.

    Returns:
        Spans in text order, each once; empty when there are no entities.

    Raises:
        InputError: An entity has no usable offsets, another text than the
            document has there, or an unknown label; names document and entity.
    """
    entities = document.meta.get("entities")
    if entities is None:
        return ()
    if not isinstance(entities, list):
        raise InputError(f"document {document.id!r}: entities is no list", "write [{start, end, label}, ...]")
    return tuple(sorted({_span(document, number, entity, labels) for number, entity in enumerate(entities, 1)}))


def _span(document: Document, number: int, entity: Any, labels: LabelSet) -> Span:
    where = f"document {document.id!r}, entity {number}"
    if isinstance(entity, (list, tuple)) and len(entity) == 3:
        entity = dict(zip(("start", "end", "label"), entity, strict=True))
    if not isinstance(entity, Mapping):
        raise InputError(f"{where}: neither an object nor [start, end, label]", "write {start, end, label}")
    start, end, label = entity.get("start"), entity.get("end"), entity.get("label")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(document.text):
        raise InputError(
            f"{where}: {start!r} to {end!r} is no range in a text of {len(document.text)} characters",
            "offsets count code points from 0; end is exclusive",
        )
    name = labels.resolve(label) if isinstance(label, str) else None
    if name is None:
        raise InputError(f"{where}: unknown label {label!r}", f"the label set has {', '.join(labels.names)}"[:300])
    text = entity.get("text")
    if text is not None and text != document.text[start:end]:
        there = document.text[start:end]
        raise InputError(f"{where}: its text is {text!r}, the document has {there!r}", "check the offsets")
    return Span(start, end, name)
