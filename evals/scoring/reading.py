"""Annotated documents of any tool, read from files and checked before they are scored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evals.errors import EvalDataError
from tools.annotation.labels import LabelSet
from tools.annotation.prediction import OutcomeKind
from tools.annotation.span import Span
from tools.errors import InputError
from tools.formats.annotated import read_annotated
from tools.formats.format import ReadOptions
from tools.formats.items import Annotated, Layer
from tools.formats.report import ReadReport

Side = Literal["gold", "predictions"]
# Nothing is left out of an evaluation, and no column renamed.
_ELSEWHERE = re.compile(r"[,;:]?[^,;:]*:? ?--(skip-bad|format|text-column|id-column).*$")
Tick = Callable[[int], object]
"""Is told how many documents have been read."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A document with the spans that one side marked in it.

    Attributes:
        id: Its id; ``document 7`` where the file gives none and the position counts.
        text: Its text.
        spans: Distinct spans, in text order.
        confidences: Of spans that have one, 0 to 1.
        meta: What else its record says, as text where it is a text or a number.
        outcome: How a model's work on it ended, where the record says so.
    """

    id: str
    text: str
    spans: tuple[Span, ...]
    confidences: dict[Span, float]
    meta: dict[str, str]
    outcome: OutcomeKind | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file held.

    Attributes:
        path: The file.
        documents: By id, in the order of the file.
        notes: What a person should know of how it was read.
    """

    path: Path
    documents: dict[str, Marked]
    notes: tuple[str, ...] = ()


def read_marked(
    path: Path,
    side: Side,
    *,
    labels: LabelSet | None = None,
    repair: bool = False,
    tick: Tick | None = None,
) -> Reading:
    """Read a file of annotated documents.

    Args:
        path: JSON Lines (``id``, ``text``, ``entities``), CoNLL columns (BIO,
            BIOES, IOB1), both also gzipped, or any other annotated form that can be imported.
        side: Gold, or what is to be judged: of a record with several layers
            the one that fits is taken.
        labels: Types and their aliases; other types are then an error.
        repair: Read invalid tag sequences as conlleval does.
        tick: Told of every thousandth document.

    Raises:
        EvalDataError: The file is missing, empty, of another form; a record is
            broken, without entities, or has the id of another; a span is out of
            range; a type is not of the label set.
    """
    report = ReadReport()
    stem = Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem
    documents: dict[str, Marked] = {}
    numbered = True
    for item in _items(path, repair, report):
        one = _marked(path, item, side, labels)
        if one.id in documents:
            raise EvalDataError(f"{path}: the id {one.id!r} occurs twice", "ids must be unique in a file")
        documents[one.id] = one
        # Ids that the reader made of the file's name and a line say nothing about the other file.
        numbered = numbered and one.id.startswith(f"{stem}:") and one.id[len(stem) + 1 :].isdigit()
        if tick and len(documents) % 1000 == 0:
            tick(len(documents))
    if numbered:
        documents = {name: _named(name, one) for name, one in zip(_positions(), documents.values(), strict=False)}
    repaired = f"{sum(report.repairs.values()):,} invalid tags read as conlleval reads them" if report.repairs else ""
    notes = tuple(note for note in (*report.warnings, f"{path}: {repaired}" if repaired else "") if note)
    return Reading(path, documents, notes)


def _items(path: Path, repair: bool, report: ReadReport) -> Iterator[Annotated]:
    """Annotated documents of a file; its faults are ours, without remedies that a score does not offer."""
    try:
        yield from read_annotated(path, options=ReadOptions(repair=repair), report=report)
    except InputError as error:
        hint = _ELSEWHERE.sub("", error.hint)
        raise EvalDataError(error.message, hint or "records hold an id, a text and entities") from error


def _marked(path: Path, item: Annotated, side: Side, labels: LabelSet | None) -> Marked:
    document, layer = item.document, _layer(path, item, side)
    spans: set[Span] = set()
    confidences: dict[Span, float] = {}
    for mention in layer.mentions:
        span = mention.span
        if labels is not None:
            name = labels.resolve(span.label)
            if name is None:
                raise EvalDataError(
                    f"{path}: document {document.id!r}: unknown type {span.label!r}",
                    f"the label set has {', '.join(labels.names)}"[:300],
                )
            span = span.with_label(name)
        spans.add(span)
        if mention.confidence is not None:
            if not 0 <= mention.confidence <= 1:
                raise EvalDataError(
                    f"{path}: document {document.id!r}: confidence {mention.confidence:g} is no probability",
                    "confidences lie between 0 and 1",
                )
            confidences[span] = mention.confidence
    meta = {key: str(value) for key, value in document.meta.items() if isinstance(value, (str, int, float))}
    return Marked(document.id, document.text, tuple(sorted(spans)), confidences, meta, _outcome(item, layer))


def _layer(path: Path, item: Annotated, side: Side) -> Layer:
    if not item.layers:
        raise EvalDataError(
            f"{path}: document {item.document.id!r} has no entities", "write an empty list where there are none"
        )
    wanted = [layer for layer in item.layers if layer.kind == ("gold" if side == "gold" else "suggestion")]
    if side == "gold" and len(wanted) > 1:
        who = ", ".join(layer.annotator or "?" for layer in wanted)
        raise EvalDataError(
            f"{path}: document {item.document.id!r} has the gold of several annotators ({who})", "give the gold of one"
        )
    return (wanted or item.layers)[0]


def _outcome(item: Annotated, layer: Layer) -> OutcomeKind | None:
    if layer.outcome is not None:
        return layer.outcome.kind
    said = item.document.meta.get("outcome")
    kind = said.get("kind") if isinstance(said, dict) else said
    return OutcomeKind(kind) if kind in {str(one) for one in OutcomeKind} else None


def _positions() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"document {number}"


def _named(name: str, one: Marked) -> Marked:
    return Marked(name, one.text, one.spans, one.confidences, one.meta, one.outcome)
