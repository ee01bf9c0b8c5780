"""Prodigy JSON Lines: text, tokens, spans and an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.annotation.document import Document
from tools.formats.filing import atomic_text, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.records import Unusable, id_of, number_of, span_of
from tools.formats.report import ReadReport
from tools.formats.rows import Fault, json_lines
from tools.formats.sources import Source
from tools.formats.texts import text_rows
from tools.formats.tokens import TokenMap, cut_at, tokenize
from tools.formats.writing import encode_line

# Made anew by Prodigy, or of no meaning outside it.
_THEIRS = (
    "tokens", "_input_hash", "_task_hash", "_annotator_id", "_session_id", "_timestamp", "_view_id", "_is_binary",
    "answer", "spans",
)  # fmt: skip


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read an answer a line; answers of several annotators to one text that follow each other are one document."""
    waiting: Annotated | None = None
    for row in text_rows(source, report, json_lines):
        if isinstance(row, Fault):
            found: Annotated | Fault = row
        else:
            try:
                found = _item(dict(row.fields), f"{source.stem}:{row.line}", options, report)
            except Unusable as error:
                found = Fault(row.line, error.reason, error.hint)
        if waiting is not None and isinstance(found, Annotated) and (both := _joined(waiting, found)):
            waiting = both
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        if isinstance(found, Annotated):
            waiting = found
        else:
            yield found
    if waiting is not None:
        yield waiting


def _joined(one: Annotated, two: Annotated) -> Annotated | None:
    """Both as one document, where they are decisions of different people on one."""
    if one.document != two.document or not one.layers or not two.layers:
        return None
    if {layer.annotator for layer in one.layers} & {layer.annotator for layer in two.layers}:
        return None
    return Annotated(one.document, (*one.layers, *two.layers))


def _item(fields: dict[str, Any], default_id: str, options: ReadOptions, report: ReadReport) -> Annotated:
    text = fields.pop(options.text_column, None)
    if not isinstance(text, str):
        raise Unusable(f"no {options.text_column!r}", "name the field with --text-column, or --skip-bad")
    name = id_of(fields.pop(options.id_column, None), options.id_column) or default_id
    spans, answer = fields.get("spans"), fields.get("answer")
    who = fields.get("_annotator_id") or fields.get("_session_id") or ""
    inner = fields.pop("meta", None)
    rest = {key: value for key, value in fields.items() if key not in _THEIRS}
    document = Document(name, text, {**(inner if isinstance(inner, dict) else {}), **rest})
    if answer not in (None, "accept", "reject", "ignore"):
        raise Unusable(f"document {name!r}: unknown answer {answer!r}", "accept, reject or ignore")
    if spans is None:
        spans = []
        if answer is None:
            return Annotated(document)
    if not isinstance(spans, list) or not all(isinstance(span, Mapping) for span in spans):
        raise Unusable(f"document {name!r}: spans is no list of objects")
    mentions = {}
    for number, span in enumerate(spans, 1):
        where = f"document {name!r}, span {number}"
        if not span.get("label"):
            report.losses.add("no label", name, detail=f"span {number}")
            continue
        place = span_of(where, text, span.get("start"), span.get("end"), span.get("label"))
        quoted = span.get("text")
        if quoted is not None and quoted != (there := place.text_in(text)):
            raise Unusable(f"{where}: its text is {quoted!r}, the document has {there!r}", "check the offsets")
        mentions[place] = Mention(place, number_of(span.get("score")))
    if answer in ("reject", "ignore"):
        report.losses.add("rejected" if answer == "reject" else "ignored", name, detail=str(who))
        return Annotated(Document(name, text, {**document.meta, "answer": answer}))
    layer = Layer(tuple(mentions[s] for s in sorted(mentions)), str(who), "gold" if answer else "suggestion")
    return Annotated(document, (layer,))


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write an answer a line: gold is accepted, suggestions and undecided documents have no answer yet."""
    count = 0
    with atomic_text(path, losses.settle) as out:
        for item in items:
            data = b"".join(encode_line(record) for record in _records(item))
            with told(path):
                out.write(data)
            count += 1
    return count


def _records(item: Annotated) -> Iterator[dict[str, Any]]:
    document = item.document
    spans = {mention.span for layer in item.layers for mention in layer.mentions}
    tokens = cut_at(tokenize(document.text), spans)
    places = TokenMap(tokens)
    common: dict[str, Any] = {"text": document.text, "id": document.id, "meta": dict(document.meta)}
    common["tokens"] = [
        {
            "text": document.text[start:end], "start": start, "end": end, "id": number,
            "ws": document.text[end : end + 1] == " ",
        }
        for number, (start, end) in enumerate(tokens)
    ]  # fmt: skip
    if not item.layers:
        yield common
    for layer in item.layers:
        record = {**common, "spans": [_span(mention, places) for mention in layer.mentions]}
        if layer.annotator:
            record["_annotator_id"] = layer.annotator
        if layer.kind == "gold":
            record["answer"] = "accept"
        yield record


def _span(mention: Mention, places: TokenMap) -> dict[str, Any]:
    span, at = mention.span, places.find(mention.span)
    record: dict[str, Any] = {"start": span.start, "end": span.end, "label": span.label}
    if at is not None:
        record.update(token_start=at[0], token_end=at[1])
    if mention.confidence is not None:
        record["score"] = mention.confidence
    return record


FORMAT = Format(
    name="prodigy",
    title="Prodigy JSON Lines",
    endings=(".jsonl",),
    holds=Holds(suggestions=True, confidence=True, annotators=True, meta=True),
    reader=read,
    writer=write,
    packed=True,
    notes=(
        "An answer a line: gold as `answer: accept`, suggestions as spans without an answer, undecided documents "
        "without spans; an annotator each as `_annotator_id`. Tokens as in CoNLL columns, cut where a mention begins "
        "or ends, since Prodigy wants mentions on tokens. Nested and overlapping mentions need `spans.manual` there. "
        "On import tokens and hashes are ignored; `reject` and `ignore` are no decisions: they are counted, and kept "
        "in the meta (`answer`)."
    ),
)
