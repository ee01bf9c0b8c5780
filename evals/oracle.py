"""Single steps given the truth, so that an error is charged to the step that made it.

``classify`` is asked about the gold spans, as if extraction had been perfect.
``verify`` is asked about gold spans with their right types, and about as many
that were made wrong on purpose: another type, a border moved by a word, a
place where no entity is. Both see the prompts and demonstrations that they see
in the whole graph, so their answers are about the step and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from agent.engines.protocol import Usage
from agent.extraction.classify import classify
from agent.extraction.quorum import Quorum
from agent.extraction.state import Candidate, Work
from agent.extraction.verify import verify
from agent.runs.extractor import merge_usage
from evals.records import OracleDocument, OracleItem, SpanRow, StepRow
from evals.tracing import PromptBook, Trace, span_row, step_rows
from tools.annotation import Span
from tools.annotation.chunks import word_chunks

PREFIX = "oracle_"


@dataclass(slots=True)
class OracleBatch:
    """What the steps answered about a batch; a document a passage, in order."""

    documents: dict[str, list[OracleDocument]] = field(default_factory=dict)
    steps: list[list[StepRow]] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)


async def ask_oracles(
    quorum: Quorum, works: Sequence[Work], gold: Sequence[Sequence[Span]], wanted: Sequence[str], book: PromptBook
) -> OracleBatch:
    """Ask single steps about a batch that has been through the graph.

    Args:
        quorum: The members.
        works: The passages after the graph, with the demonstrations they were shown.
        gold: A passage's document's gold spans, document offsets.
        wanted: ``classify`` and ``verify``, or one of them.
        book: Names the prompts.
    """
    own = [tuple(_inside(spans, work)) for work, spans in zip(works, gold, strict=True)]
    batch = OracleBatch(steps=[[] for _ in works])
    for step in wanted:
        trace = Trace()
        context = quorum.context([work.passage for work in works])
        context.accounting = trace
        # The verifier is to answer whatever the suite's settings say; members answer in the steps they take part in.
        context.steps = context.steps.model_copy(update={"verify": "on"})
        if step == "classify":
            given = tuple(
                _with_candidates(work, spans, context.members) for work, spans in zip(works, own, strict=True)
            )
            judged, _ = await classify(given, context)
            documents = [_typing(*row) for row in zip(given, judged, own, strict=True)]
        else:
            rng = random.Random(
                f"oracle/{quorum.config.run.seed}/{works[0].passage.id}".encode("utf-8", "surrogatepass")
            )
            labels = quorum.sheet.labels.names
            asked = [tuple(_questions(work, spans, labels, rng)) for work, spans in zip(works, own, strict=True)]
            given = tuple(
                replace(work, candidates=tuple(Candidate(span, (), probability=0.5) for span, _ in items))
                for work, items in zip(works, asked, strict=True)
            )
            judged, _ = await verify(given, context)
            documents = [_verdicts(work, items) for work, items in zip(judged, asked, strict=True)]
        batch.documents[step] = documents
        # A passage that failed loses its candidates; what was asked was asked about the given ones.
        for rows, more in zip(batch.steps, step_rows(trace, given, book, PREFIX), strict=True):
            rows += more
        tagged = {f"{PREFIX}{tag}": usage for tag, usage in trace.by_tag.items()}
        batch.usage = merge_usage([batch.usage, tagged])
    return batch


def _inside(spans: Sequence[Span], work: Work) -> Iterator[Span]:
    """The gold spans that lie within a passage, in its offsets."""
    start, end = work.passage.start, work.passage.end
    for span in spans:
        if start <= span.start and span.end <= end:
            yield span.shifted(-start)


def _with_candidates(work: Work, spans: Sequence[Span], members: Sequence[object]) -> Work:
    names = tuple(str(getattr(member, "name", "")) for member in members)
    places = sorted({(span.start, span.end): span for span in spans})
    candidates = tuple(Candidate(Span(*place), names) for place in places)
    return replace(work, candidates=candidates, answered=names)


def _typing(given: Work, judged: Work, spans: Sequence[Span]) -> OracleDocument:
    """One item a place and member, and one for their weighted vote (no member named)."""
    at = given.passage.start
    items = []
    answers = {(c.span.start, c.span.end): c for c in judged.candidates}
    for candidate in given.candidates:
        place = (candidate.span.start, candidate.span.end)
        right = [span.label for span in spans if (span.start, span.end) == place]
        row = span_row(candidate.span, at)

        def item(label: str, probability: float, *members: str, row: SpanRow = row, right: list[str] = right) -> None:
            # A place may have several gold types; any of them is right.
            items.append(OracleItem(row, "gold", label if label in right else right[0], label, probability, members))

        found = answers.get(place)
        if found is None or not found.votes:
            item("", 0.0)
            continue
        # More for "none" than for all types together: the step says that this is no entity.
        item(found.span.label if found.probability >= 0.5 else "", found.probability)
        for vote in found.votes:
            item(vote.label, vote.probability, vote.member)
    return OracleDocument(given.passage.document_id, tuple(items))


def _questions(
    work: Work, spans: Sequence[Span], labels: Sequence[str], rng: random.Random
) -> Iterator[tuple[Span, str]]:
    """Gold spans, and as many wrong ones: kinds take turns, what is gold by chance is passed over."""
    true = set(spans)
    pieces = _pieces(work.shown)
    first = rng.randrange(3)
    for number, span in enumerate(sorted(spans)):
        yield span, "gold"
        kinds = ("type", "border", "elsewhere")
        for kind in (*kinds[(first + number) % 3 :], *kinds[: (first + number) % 3]):
            wrong = _wrong(span, kind, true, pieces, labels, rng)
            if wrong is not None:
                true.add(wrong)
                yield wrong, kind
                break


def _pieces(text: str) -> list[tuple[int, int]]:
    """Places of a text's words."""
    found = []
    at = 0
    for piece in word_chunks(text):
        if any(char.isalnum() for char in piece):
            found.append((at, at + len(piece)))
        at += len(piece)
    return found


def _wrong(
    span: Span, kind: str, taken: set[Span], pieces: Sequence[tuple[int, int]], labels: Sequence[str],
    rng: random.Random,
) -> Span | None:  # fmt: skip
    if kind == "type":
        # A place that has several gold types is asked about none of them.
        others = [
            label
            for label in labels
            if not any((s.start, s.end, s.label) == (span.start, span.end, label) for s in taken)
        ]
        options = [span.with_label(label) for label in others]
    elif kind == "border":
        before = [p for p in pieces if p[1] <= span.start][-1:]
        after = [p for p in pieces if p[0] >= span.end][:1]
        inside = [p for p in pieces if span.start <= p[0] and p[1] <= span.end]
        options = [Span(p[0], span.end, span.label) for p in before] + [
            Span(span.start, p[1], span.label) for p in after
        ]
        if len(inside) > 1:
            options += [Span(inside[1][0], span.end, span.label), Span(span.start, inside[-2][1], span.label)]
    else:
        free = [p for p in pieces if not any(p[0] < s.end and s.start < p[1] for s in taken)]
        options = [Span(*place, span.label) for place in free]
    options = [option for option in options if option not in taken]
    return rng.choice(options) if options else None


def _verdicts(work: Work, asked: Sequence[tuple[Span, str]]) -> OracleDocument:
    items = []
    for candidate, (span, kind) in zip(work.candidates, asked, strict=True):
        if candidate.verdict is None:
            continue
        yes = candidate.verdict >= 0.5
        items.append(
            OracleItem(
                span_row(span, work.passage.start),
                kind,
                "yes" if kind == "gold" else "no",
                "yes" if yes else "no",
                candidate.verdict if yes else 1 - candidate.verdict,
            )
        )
    return OracleDocument(work.passage.document_id, tuple(items))
