"""Documents as records of JSON: the product's own form, and the plain one of id, text and entities."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tools.annotation.document import Document
from tools.annotation.prediction import Outcome, OutcomeKind, Vote
from tools.annotation.span import Span
from tools.formats.format import ReadOptions
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.rows import Fault, Row

_SKIP_HINT = "mend it, or go on without it: --skip-bad"
_KEPT_HINT = "offsets count code points from 0; end is exclusive"


class Unusable(Exception):
    """A record that cannot be used, and why; becomes a ``Fault``."""

    def __init__(self, reason: str, hint: str = _SKIP_HINT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def record_of_item(item: Annotated) -> dict[str, Any]:
    """The product's own record of a document.

    ``id``, ``text`` and ``meta`` always. A document with a decision has ``entities``
    (``start``, ``end``, ``label``, ``text`` and what else is known) and ``layers``, one
    a decision (``annotator``, ``kind``, ``state``, ...); an entity of another layer than
    the first names it by its number (``layer``).
    """
    document = item.document
    record: dict[str, Any] = {"id": document.id, "text": document.text}
    if item.layers:
        record["entities"] = [
            _entity(document.text, mention, number)
            for number, layer in enumerate(item.layers)
            for mention in layer.mentions
        ]
        record["layers"] = [_layer(layer) for layer in item.layers]
    record["meta"] = dict(document.meta)
    return record


def _entity(text: str, mention: Mention, layer: int) -> dict[str, Any]:
    span = mention.span
    entity: dict[str, Any] = {
        "start": span.start, "end": span.end, "label": span.label, "text": span.text_in(text),
    }  # fmt: skip
    if mention.confidence is not None:
        entity["confidence"] = mention.confidence
    if mention.votes:
        entity["votes"] = [
            {"member": v.member, "proposed": v.proposed, "label": v.label, "probability": v.probability}
            for v in mention.votes
        ]
    if mention.verdict is not None:
        entity["verdict"] = mention.verdict
    if mention.source:
        entity["source"] = mention.source
    if mention.created is not None:
        entity["created"] = mention.created
    if layer:
        entity["layer"] = layer
    return entity


def _layer(layer: Layer) -> dict[str, Any]:
    form: dict[str, Any] = {"annotator": layer.annotator, "kind": layer.kind, "state": layer.state}
    if layer.updated is not None:
        form["updated"] = layer.updated
    if layer.outcome is not None:
        form["outcome"] = {"kind": layer.outcome.kind.value, "reason": layer.outcome.reason}
    return form


def item_of_row(row: Row, default_id: str, options: ReadOptions, *, packed: bool) -> Annotated | Fault:
    """A document from a row of JSON Lines, Parquet, CSV or text.

    Args:
        row: The row; its fields are used up.
        default_id: For rows without an id.
        options: How to read.
        packed: Whether lists and objects may be written as JSON in a text (CSV, Parquet).
    """
    if row.plain:
        return Annotated(Document(default_id, row.fields["text"]))
    try:
        return _item(dict(row.fields), default_id, options, packed=packed)
    except Unusable as error:
        return Fault(row.line, error.reason, error.hint)


def _item(fields: dict[str, Any], default_id: str, options: ReadOptions, *, packed: bool) -> Annotated:
    if packed:
        _unpack(fields)
    tokens = fields.get("tokens")
    text = fields.pop(options.text_column, None)
    if text is None and isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
        text = " ".join(tokens)
    if not isinstance(text, str):
        what = "no" if text is None else "no text in"
        raise Unusable(f"{what} {options.text_column!r}", "name the field with --text-column, or --skip-bad")
    name = id_of(fields.pop(options.id_column, None), options.id_column) or default_id
    inner = fields.pop("meta", None)
    if isinstance(inner, dict):
        inner = dict(inner)
    elif inner is None or packed:
        inner = {"meta": inner} if inner not in (None, "") else {}
    else:
        raise Unusable("'meta' is no object")
    layers: tuple[Layer, ...] = ()
    if options.annotations:
        layers = layers_of(name, text, fields.pop("entities", None), fields.get("layers"))
        if is_layers(fields.get("layers")):
            del fields["layers"]
    if packed:
        fields = {key: value for key, value in fields.items() if value is not None}
    return Annotated(Document(name, text, {**inner, **fields}), layers)


def _unpack(fields: dict[str, Any]) -> None:
    for name in ("entities", "layers", "tokens", "meta"):
        value = fields.get(name)
        if isinstance(value, str) and value[:1] in ("[", "{"):
            try:
                fields[name] = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise Unusable(f"{name} is no JSON: {error}") from error


def id_of(given: Any, column: str) -> str:
    """An id as text; empty where there is none.

    Raises:
        Unusable: It is neither text nor a whole number.
    """
    if isinstance(given, bool) or not isinstance(given, (str, int, type(None))):
        raise Unusable(f"{column!r} is neither text nor a whole number")
    return "" if given is None else str(given)


def is_layers(value: Any) -> bool:
    """Whether a field called ``layers`` is ours."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(part, Mapping) and "kind" in part for part in value)
    )


def layers_of(name: str, text: str, entities: Any, layers: Any) -> tuple[Layer, ...]:
    """The decisions that a record carries; none where it has no entities.

    Raises:
        Unusable: They are not of the form, or do not fit the text.
    """
    ours = is_layers(layers)
    if entities is None and not ours:
        return ()
    if not isinstance(entities, list):
        raise Unusable(f"document {name!r}: entities is no list", "write [{start, end, label}, ...]")
    found: list[list[Mention]] = [[] for _ in range(len(layers) if ours else 1)]
    for number, entity in enumerate(entities, 1):
        at = entity.get("layer") or 0 if ours and isinstance(entity, Mapping) else 0
        if type(at) is not int or not 0 <= at < len(found):
            raise Unusable(f"document {name!r}, entity {number}: there is no layer {at!r}")
        found[at].append(mention_of(name, text, number, entity))
    made = [tuple(sorted(mentions, key=lambda m: m.span)) for mentions in found]
    if not ours:
        return (Layer(made[0]),)
    return tuple(_layer_of(name, form, mentions) for form, mentions in zip(layers, made, strict=True))


def _layer_of(name: str, form: Mapping[str, Any], mentions: tuple[Mention, ...]) -> Layer:
    kind, state, who = form.get("kind"), form.get("state") or "done", form.get("annotator") or ""
    updated, outcome = form.get("updated"), form.get("outcome")
    if kind not in ("gold", "suggestion") or not isinstance(state, str) or not isinstance(who, str):
        raise Unusable(f"document {name!r}: a layer has no usable kind, state or annotator")
    ended = None
    if isinstance(outcome, Mapping) and outcome.get("kind") is not None:
        try:
            ended = Outcome(OutcomeKind(outcome["kind"]), str(outcome.get("reason") or ""))
        except ValueError as error:
            raise Unusable(f"document {name!r}: unknown outcome {outcome['kind']!r}") from error
    return Layer(mentions, who, kind, state, number_of(updated), ended)


def mention_of(name: str, text: str, number: int, entity: Any) -> Mention:
    """A mention from an object or from ``[start, end, label]``, checked against the text.

    Raises:
        Unusable: It has no usable offsets or label, or quotes another text.
    """
    where = f"document {name!r}, entity {number}"
    if isinstance(entity, (list, tuple)) and len(entity) == 3:
        entity = dict(zip(("start", "end", "label"), entity, strict=True))
    if not isinstance(entity, Mapping):
        raise Unusable(f"{where}: neither an object nor [start, end, label]", "write {start, end, label}")
    span = span_of(where, text, entity.get("start"), entity.get("end"), entity.get("label"))
    quoted = entity.get("text")
    if quoted is not None and quoted != (there := text[span.start : span.end]):
        raise Unusable(f"{where}: its text is {quoted!r}, the document has {there!r}", "check the offsets")
    source = entity.get("source")
    return Mention(
        span, number_of(entity.get("confidence")), _votes(where, entity.get("votes")), number_of(entity.get("verdict")),
        source if isinstance(source, str) else "", number_of(entity.get("created")),
    )  # fmt: skip


def span_of(where: str, text: str, start: Any, end: Any, label: Any) -> Span:
    """A span, checked against the text.

    Raises:
        Unusable: The offsets are no range of the text, or the label is no text.
    """
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise Unusable(f"{where}: {start!r} to {end!r} is no range in a text of {len(text)} characters", _KEPT_HINT)
    if not isinstance(label, str) or not label:
        raise Unusable(f"{where}: unknown label {label!r}", "a label is a text")
    return Span(start, end, label)


def number_of(value: Any) -> float | None:
    """A number, or None where it is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _votes(where: str, votes: Any) -> tuple[Vote, ...]:
    if not votes:
        return ()
    if not isinstance(votes, Sequence) or not all(isinstance(vote, Mapping) for vote in votes):
        raise Unusable(f"{where}: votes is no list of objects")
    return tuple(
        Vote(
            str(vote.get("member") or ""), bool(vote.get("proposed")), str(vote.get("label") or ""),
            number_of(vote.get("probability")) or 0.0,
        )
        for vote in votes
    )  # fmt: skip
