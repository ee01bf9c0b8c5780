"""Label Studio JSON: tasks with annotations and predictions.

Offsets: since the end of 2021 Label Studio counts code points, as Quorum does;
before, it counted UTF-16 units, two for each character beyond U+FFFF. Files of
both kinds look alike, so each region is judged by the text it quotes; where it
quotes none, ``ReadOptions.offsets`` decides and a warning tells of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.annotation.document import Document
from tools.annotation.span import Span
from tools.formats.arrays import array_rows
from tools.formats.filing import atomic_text, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated, Kind, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.records import Unusable, id_of, number_of, span_of
from tools.formats.report import BadRecord, ReadReport
from tools.formats.rows import Fault
from tools.formats.sources import Source
from tools.formats.texts import text_rows

_UTF16 = "offsets that counted UTF-16 units"


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read the tasks of an export (JSON or JSON-MIN), one by one."""
    for row in text_rows(source, report, array_rows):
        if isinstance(row, Fault):
            yield row
            continue
        try:
            yield _Task(row.fields, row.line, source, options, report).item()
        except Unusable as error:
            yield Fault(row.line, error.reason, error.hint)


class _Task:
    """One task on its way to a document."""

    def __init__(
        self, fields: dict[str, Any], line: int, source: Source, options: ReadOptions, report: ReadReport
    ) -> None:
        self.fields, self.line, self.source, self.options, self.report = fields, line, source, options, report
        data = fields.get("data")
        self.minimal = not isinstance(data, Mapping) and "annotations" not in fields
        self.data: dict[str, Any] = dict(fields if self.minimal else data or {})
        text = self.data.pop(options.text_column, None)
        if not isinstance(text, str):
            there = ", ".join(map(str, self.data))[:100]
            raise Unusable(
                f"no text {options.text_column!r} in the task's data (there is {there or 'nothing'})",
                "Label Studio tasks are {data: {text: ...}, annotations: [...]}; see --text-column and --format",
            )
        self.text = text
        given = self.data.pop(options.id_column, None)
        self.id = id_of(fields.get("id") if given is None else given, "id") or f"{source.stem}:{line}"
        self._units: list[int] | None = None

    def item(self) -> Annotated:
        """The document with its decisions."""
        if self.minimal:
            return self._minimal()
        names = self.data.pop("annotators", None)
        made = _list(self.fields.get("annotations"))
        if not isinstance(names, list) or len(names) != len(made) or not all(isinstance(x, str) for x in names):
            if names is not None:
                self.data["annotators"] = names
            names = [_who(annotation) for annotation in made]
        layers = []
        for who, annotation in zip(names, made, strict=True):
            if annotation.get("was_cancelled"):
                self.report.losses.add("ignored", self.id, detail=f"by {who or 'somebody'}")
            else:
                layers.append(self._layer(_list(annotation.get("result")), who, "gold"))
        for prediction in _list(self.fields.get("predictions")):
            who = str(prediction.get("model_version") or "")
            layer = self._layer(_list(prediction.get("result")), who, "suggestion")
            score = number_of(prediction.get("score"))
            if score is not None and all(mention.confidence is None for mention in layer.mentions):
                # One score for all of it: the best that is known of each.
                layer = Layer(tuple(Mention(m.span, score) for m in layer.mentions), who, "suggestion")
            layers.append(layer)
        meta = self.fields.get("meta")
        return Annotated(
            Document(self.id, self.text, {**(meta if isinstance(meta, Mapping) else {}), **self.data}), tuple(layers)
        )

    def _minimal(self) -> Annotated:
        """JSON-MIN: regions right in the task, under the name of their tag."""
        who = str(self.data.pop("annotator", "") or "")
        regions: list[Mapping[str, Any]] | None = None
        for key, value in list(self.data.items()):
            if isinstance(value, list) and value and all(isinstance(x, Mapping) and "labels" in x for x in value):
                regions = [*(regions or ()), *({"type": "labels", "value": region} for region in value)]
                del self.data[key]
        for key in ("annotation_id", "created_at", "updated_at", "lead_time", "id"):
            self.data.pop(key, None)
        layers = (self._layer(regions, who, "gold"),) if regions is not None else ()
        return Annotated(Document(self.id, self.text, self.data), layers)

    def _layer(self, regions: Iterable[Mapping[str, Any]], who: str, kind: Kind) -> Layer:
        mentions = {}
        for number, region in enumerate(regions, 1):
            for mention in self._mentions(number, region):
                mentions[mention.span] = mention
        return Layer(tuple(mentions[span] for span in sorted(mentions)), who, kind)

    def _mentions(self, number: int, region: Mapping[str, Any]) -> Iterator[Mention]:
        where, value = f"document {self.id!r}, region {number}", region.get("value")
        if region.get("type") not in ("labels", "hypertextlabels") or not isinstance(value, Mapping):
            self.report.losses.add("other regions", self.id, detail=str(region.get("type")))
            return
        labels = value.get(str(region["type"])) or value.get("labels")
        if not labels or not isinstance(labels, list):
            self.report.losses.add("no label", self.id, detail=f"region {number}")
            return
        start, end = value.get("start"), value.get("end")
        if isinstance(start, str) and not start.isdigit():  # a path into HTML
            whole = value.get("globalOffsets")
            whole = whole if isinstance(whole, Mapping) else {}
            start, end = whole.get("start"), whole.get("end")
        start, end = (int(x) if isinstance(x, str) and x.isdigit() else x for x in (start, end))
        start, end = self._code_points(where, start, end, value.get("text"))
        for label in labels:
            yield Mention(span_of(where, self.text, start, end, label), number_of(region.get("score")))

    def _code_points(self, where: str, start: Any, end: Any, quoted: Any) -> tuple[Any, Any]:
        """The offsets in code points.

        Raises:
            Unusable: The quoted text stands there in neither way of counting.
        """
        if type(start) is not int or type(end) is not int:
            return start, end
        other = self._from_utf16(start, end)
        if self.options.offsets != "auto":
            chosen = (start, end) if self.options.offsets == "codepoints" else other
        elif not isinstance(quoted, str):
            if other != (start, end):
                self.report.warn(
                    f"{self.source.name}: regions quote no text; offsets are taken as code points (see --offsets)"
                )
            return start, end
        elif _same(self.text[start:end], quoted):
            return start, end
        else:
            chosen = other
        if chosen is None or (isinstance(quoted, str) and not _same(self.text[slice(*chosen)], quoted)):
            there = self.text[start:end]
            raise Unusable(f"{where}: its text is {quoted!r}, the document has {there!r}", "check the offsets")
        if chosen != (start, end):
            self.report.repair(_UTF16, BadRecord(self.source.name, self.line, where))
        return chosen

    def _from_utf16(self, start: int, end: int) -> tuple[int, int] | None:
        if self._units is None:
            self._units = [0]
            if not self.text.isascii():
                for char in self.text:
                    self._units.append(self._units[-1] + 1 + (char > "\uffff"))
        if len(self._units) == 1 or self._units[-1] == len(self.text):
            return start, end
        from bisect import bisect_left

        found = bisect_left(self._units, start), bisect_left(self._units, end)
        if max(found) >= len(self._units) or (self._units[found[0]], self._units[found[1]]) != (start, end):
            return None
        return found


def _same(there: str, quoted: str) -> bool:
    # Older releases wrote line breaks of the quoted text as backslash and n.
    return there == quoted or (
        "\\n" in quoted and there.replace("\r\n", "\n") == quoted.replace("\\r", "").replace("\\n", "\n")
    )


def _who(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("username") or who.get("id")
    return "" if who is None else str(who)


def _list(value: Any) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
        raise Unusable("annotations, predictions and results are lists of objects", "see --format")
    return value


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write an array of tasks, as *Import* of Label Studio takes it."""
    count = 0
    with atomic_text(path, losses.settle) as out:
        for item in items:
            line = _encoded(_task(item))
            with told(path):
                out.write((b",\n" if count else b"[\n") + line)
            count += 1
        with told(path):
            out.write(b"\n]\n" if count else b"[]\n")
    return count


def _encoded(task: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(task, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(task, separators=(",", ":")).encode()


def _task(item: Annotated) -> dict[str, Any]:
    document = item.document
    gold = [layer for layer in item.layers if layer.kind == "gold"]
    data: dict[str, Any] = {"text": document.text, "id": document.id}
    if any(layer.annotator for layer in gold):
        # Not as completed_by: an import with a name that the server does not know is refused.
        data["annotators"] = [layer.annotator for layer in gold]
    task: dict[str, Any] = {"data": data, "annotations": [{"result": _result(layer, document)} for layer in gold]}
    predictions = []
    for layer in item.layers:
        if layer.kind == "suggestion":
            scores = [m.confidence for m in layer.mentions if m.confidence is not None]
            mean = {"score": sum(scores) / len(scores)} if scores else {}
            predictions.append({"model_version": layer.annotator, **mean, "result": _result(layer, document)})
    if predictions:
        task["predictions"] = predictions
    if document.meta:
        task["meta"] = dict(document.meta)
    return task


def _result(layer: Layer, document: Document) -> list[dict[str, Any]]:
    return [
        {
            "id": f"r{number}", "from_name": "label", "to_name": "text", "type": "labels",
            "value": _value(mention.span, document),
            **({"score": mention.confidence} if mention.confidence is not None else {}),
        }
        for number, mention in enumerate(layer.mentions, 1)
    ]  # fmt: skip


def _value(span: Span, document: Document) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "text": span.text_in(document.text), "labels": [span.label]}


FORMAT = Format(
    name="labelstudio",
    title="Label Studio JSON",
    endings=(".json",),
    holds=Holds(suggestions=True, confidence=True, annotators=True, meta=True),
    reader=read,
    writer=write,
    packed=True,
    notes=(
        'An array of tasks for the tags `<Labels name="label" toName="text">` and `<Text name="text" '
        'value="$text">`: gold as `annotations`, suggestions as `predictions` with a score a region. JSON-MIN is '
        "read too. Offsets are written in code points, as Label Studio counts since the end of 2021; files from before "
        "count UTF-16 units, which is noticed by the quoted text, converted and counted (`--offsets` decides where "
        "nothing is quoted). Annotators' names stand in `data.annotators`, as Label Studio refuses unknown names in "
        "`completed_by`. Cancelled annotations, regions without a label, choices and relations are losses."
    ),
)
