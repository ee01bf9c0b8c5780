"""Quorum's capabilities as langchain-core tools, usable by any LangChain agent.

Every tool takes JSON and gives JSON. What a caller can do wrong comes back as
a tool error of one line with a hint, never as a traceback. Offsets count
Unicode code points and are half-open; a model is not asked for them: wherever
a span is taken, its mention's text alone will do.

What lies above the tools layer (a quorum that annotates) or holds a resource
(a store, an index) is handed in; ``agent.toolkit.project_toolkit`` does that
for a project.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.tools import BaseTool

from tools.annotation import Document, LabelSet, Span, model_text
from tools.annotation.chunking import chunk
from tools.annotation.chunks import word_chunks
from tools.annotation.grounding import ground
from tools.annotation.prediction import DocumentResult, Entity
from tools.errors import InputError, LabelSetError
from tools.prompting import candidate_view, demonstration_view, label_views
from tools.toolargs import (
    AnnotateArgs,
    CutArgs,
    GroundArgs,
    ReadArgs,
    RecordArgs,
    RenderArgs,
    RetrieveArgs,
    ScoreArgs,
    SearchArgs,
)
from tools.tooling import Json, readable, span_json, spans_of, tool

__all__ = [
    "Annotate",
    "AnnotatedText",
    "DemonstrationFinder",
    "Json",
    "build_toolkit",
    "readable",
    "span_json",
    "spans_of",
]

if TYPE_CHECKING:
    from tools.demonstrations import Query, Retrieved
    from tools.store import Store


class DemonstrationFinder(Protocol):
    """Any of the retrievers of ``tools.demonstrations``."""

    def retrieve(self, queries: Sequence[Query], k: int, *, rng: random.Random) -> list[list[Retrieved]]:
        """The k best demonstrations for each query, best first."""
        ...


class AnnotatedText(Protocol):
    """A document and what was found in it, as ``agent.annotate`` gives it."""

    @property
    def document(self) -> Document:
        """The text."""
        ...

    @property
    def result(self) -> DocumentResult:
        """Entities and outcome."""
        ...


Annotate = Callable[[Sequence[str], LabelSet], Sequence[AnnotatedText]]


def build_toolkit(
    *,
    retriever: DemonstrationFinder | None = None,
    store: Store | None = None,
    annotate: Annotate | None = None,
    labels: LabelSet | None = None,
    count_tokens: Callable[[str], int] | None = None,
    prompts: Path | None = None,
    annotator: str = "agent",
    rng: random.Random | None = None,
) -> list[BaseTool]:
    """The tools whose resources are given.

    Always there: ``ground_mentions``, ``cut_into_passages``, ``render_prompt``,
    ``score_predictions``.

    Args:
        retriever: Adds ``retrieve_demonstrations``.
        store: Adds ``read_document`` and ``search_documents``, and
            ``record_gold`` where it may be written.
        annotate: Adds ``annotate_texts``; called with texts and a label set.
        labels: The project's label set: the default of tools that take one,
            and what ``record_gold`` holds labels to.
        count_tokens: A model's tokenizer; without it words and signs are counted.
        prompts: The project's own folder of templates.
        annotator: In whose name gold is recorded.
        rng: The source of chance of a random retriever.

    Returns:
        Tools with pydantic arguments; results are JSON-serialisable.
    """
    chance = rng or random.Random(0)
    tools: list[BaseTool] = [
        tool(_ground_mentions, GroundArgs),
        tool(_cutter(count_tokens), CutArgs),
        tool(_renderer(labels, prompts), RenderArgs),
        tool(_score_predictions, ScoreArgs),
    ]
    if retriever is not None:
        tools.append(tool(_finder(retriever, chance), RetrieveArgs))
    if store is not None:
        tools += [tool(_reader(store), ReadArgs), tool(_searcher(store), SearchArgs)]
        if not store.read_only:
            tools.append(tool(_recorder(store, labels, annotator), RecordArgs))
    if annotate is not None:
        tools.append(tool(_annotator(annotate, labels), AnnotateArgs))
    return tools


# -- text ------------------------------------------------------------------------------------------


def _ground_mentions(given: GroundArgs) -> Json:
    found = ground(model_text(given.text), [model_text(mention) for mention in given.mentions])
    return {
        "spans": [span_json(given.text, span) for span in found.spans],
        "ungrounded": [readable(mention) for mention in found.ungrounded],
        "repaired": found.repaired,
    }


def _cutter(count_tokens: Callable[[str], int] | None) -> Callable[[CutArgs], Json]:
    count = count_tokens or (lambda text: sum(not piece.isspace() for piece in word_chunks(text)))

    def cut_into_passages(given: CutArgs) -> Json:
        if given.overlap_tokens >= given.max_tokens:
            raise InputError("overlap_tokens must be smaller than max_tokens", "a quarter is plenty")
        passages = chunk(
            Document("text", given.text), count, max_tokens=given.max_tokens, overlap_tokens=given.overlap_tokens
        )
        return {
            "passages": [{"index": p.index, "start": p.start, "end": p.end, "text": readable(p.text)} for p in passages]
        }

    return cut_into_passages


# -- prompts and demonstrations --------------------------------------------------------------------


def _renderer(labels: LabelSet | None, folder: Path | None) -> Callable[[RenderArgs], Json]:
    def render_prompt(given: RenderArgs) -> Json:
        from prompts import load, render

        label_set = _label_set(given.labels, labels)
        template = load(given.step, given.name, folder)
        shown = model_text(given.text)
        candidate = None
        if given.step in ("classify", "verify"):
            if given.candidate is None:
                raise InputError(f"a {given.step} prompt asks about a candidate", "give candidate: its text or offsets")
            named = given.step == "verify"
            span = spans_of(given.text, [given.candidate], label_set if named else None)[0]
            candidate = candidate_view(shown, span, label_set.codes[span.label] if named else "")
        demonstrations = [
            demonstration_view(one.text, spans_of(one.text, one.entities, label_set), label_set)
            for one in given.demonstrations
        ]
        prompt = render(
            template,
            label_views(label_set),
            shown,
            demonstrations=demonstrations,
            context=model_text(given.context),
            candidate=candidate,
            extra=folder,
        )
        return {
            "prompt": template.reference,
            "hash": template.hash,
            "answer": template.answer,
            "codes": dict(label_set.codes),
            "messages": [{"role": role, "content": readable(content)} for role, content in prompt.messages],
        }

    return render_prompt


def _label_set(names: Sequence[str], default: LabelSet | None) -> LabelSet:
    if not names:
        if default is None:
            raise LabelSetError("no labels are given", "name the entity types, e.g. person, organization")
        return default
    if default is not None and all(default.resolve(name) for name in names):
        # Known names keep their descriptions.
        return default.subset(resolved for name in names if (resolved := default.resolve(name)))
    return LabelSet.of(*names)


def _finder(retriever: DemonstrationFinder, rng: random.Random) -> Callable[[RetrieveArgs], Json]:
    def retrieve_demonstrations(given: RetrieveArgs) -> Json:
        from tools.demonstrations import Query

        spans = tuple(ground(model_text(given.text), [model_text(m) for m in given.mentions]).spans)
        [found] = retriever.retrieve([Query(given.document_id, given.text, spans)], given.k, rng=rng)
        return {
            "demonstrations": [
                {
                    "id": readable(hit.demonstration.id),
                    "text": readable(hit.demonstration.text),
                    "entities": [span_json(hit.demonstration.text, span) for span in hit.demonstration.spans],
                    "score": float(hit.score),
                    "by": hit.by,
                }
                for hit in found
            ]
        }

    return retrieve_demonstrations


# -- the store -------------------------------------------------------------------------------------


def _reader(store: Store) -> Callable[[ReadArgs], Json]:
    def read_document(given: ReadArgs) -> Json:
        document = store.document(given.document_id)
        gold = store.gold(given.document_id)
        if given.start > len(document.text):
            raise InputError(f"the text ends at {len(document.text)}", "start counts code points from 0")
        text = document.text[given.start : given.start + given.length]
        return {
            "document_id": readable(document.id),
            "characters": len(document.text),
            "start": given.start,
            "text": readable(text),
            "more": given.start + len(text) < len(document.text),
            "state": str(store.state(given.document_id)),
            "gold": [span_json(document.text, span) for span in gold.spans] if gold else [],
        }

    return read_document


def _searcher(store: Store) -> Callable[[SearchArgs], Json]:
    def search_documents(given: SearchArgs) -> Json:
        # A scan with flat memory: exact in every script, and no second index that could be stale.
        wanted = given.query.casefold()
        hits = ((document, at) for document in store.documents() if (at := document.text.casefold().find(wanted)) >= 0)
        found = [_hit(document, at, given.query) for document, at in islice(hits, given.limit + 1)]
        return {"documents": found[: given.limit], "more": len(found) > given.limit}

    return search_documents


def _hit(document: Document, at: int, query: str) -> Json:
    # Folding may change lengths before the hit; the place is then near, and the snippet still around it.
    begin = max(0, min(at, len(document.text)) - 60)
    snippet = document.text[begin : begin + 120 + len(query)]
    return {
        "document_id": readable(document.id),
        "characters": len(document.text),
        "snippet": readable(model_text(snippet)),
    }


def _recorder(store: Store, labels: LabelSet | None, annotator: str) -> Callable[[RecordArgs], Json]:
    def record_gold(given: RecordArgs) -> Json:
        from tools.store import DocumentState

        document = store.document(given.document_id)
        spans = spans_of(document.text, given.spans, labels or store.label_set())
        state = DocumentState.DONE if given.done else DocumentState.IN_PROGRESS
        event = store.set_gold(given.document_id, spans, annotator, source="tool", state=state)
        return {
            "document_id": readable(document.id),
            "recorded": [span_json(document.text, span) for span in spans],
            "state": str(state),
            "annotator": annotator,
            "event": event,
        }

    return record_gold


# -- scores and annotation -------------------------------------------------------------------------


def _score_predictions(given: ScoreArgs) -> Json:
    from tools.metrics import score

    sides: list[dict[str, list[Span]]] = []
    for name, documents in (("gold", given.gold), ("predicted", given.predicted)):
        side: dict[str, list[Span]] = {}
        for document in documents:
            if document.document_id in side:
                raise InputError(f"{name}: document {document.document_id!r} occurs twice", "ids must be unique")
            side[document.document_id] = [Span(s.start, s.end, s.label) for s in document.spans]
        sides.append(side)
    try:
        table = score(sides[0], sides[1], rng=given.seed)
    except ValueError as error:
        raise InputError(str(error), "predict only on documents that have gold") from error
    return {
        "micro": _score_json(table.micro),
        "boundaries": _score_json(table.boundaries),
        "macro_f1": table.macro.f1,
        "by_label": {label: _score_json(one) for label, one in table.by_label.items()},
        "documents": len(table.documents),
    }


def _score_json(one: Any) -> Json:
    found: Json = {"precision": one.precision, "recall": one.recall, "f1": one.f1, "support": one.support}
    if one.f1_interval is not None:
        found["f1_interval"] = [one.f1_interval.low, one.f1_interval.high]
    return found


def _annotator(annotate: Annotate, labels: LabelSet | None) -> Callable[[AnnotateArgs], Json]:
    def annotate_texts(given: AnnotateArgs) -> Json:
        found = annotate(given.texts, _label_set(given.labels, labels))
        return {
            "results": [
                {
                    "outcome": str(one.result.outcome.kind),
                    "reason": readable(one.result.outcome.reason),
                    "entities": [_entity(one.document.text, entity) for entity in one.result.entities],
                }
                for one in found
            ]
        }

    return annotate_texts


def _entity(text: str, entity: Entity) -> Json:
    votes = {vote.member: vote.label or "none" for vote in entity.votes}
    return span_json(text, entity.span) | {"confidence": entity.confidence, "votes": votes}
