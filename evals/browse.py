"""Documents of a cell as one looks at them: gold against prediction, errors by kind and step, changes; and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from evals.log import CellLog, RunLog
from evals.pairs import predicted_spans
from evals.records import CellDocument, PassDocument, PredictedRow, SpanRow
from tools.annotation import Span
from tools.metrics import Charge, ErrorKind, charge

STEPS = ("extract", "classify", "verify", "decide")


class Change(StrEnum):
    """How a document's prediction differs from the baseline's."""

    NONE = ""
    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of a document.

    Attributes:
        kind: Its class, see ``tools.metrics.ErrorKind``.
        gold: The gold spans it concerns.
        predicted: The predicted ones.
        steps: The steps it is charged to.
    """

    kind: ErrorKind
    gold: tuple[SpanRow, ...]
    predicted: tuple[SpanRow, ...]
    steps: tuple[str, ...]

    @property
    def spans(self) -> tuple[SpanRow, ...]:
        """All spans it concerns, in text order."""
        return tuple(sorted({*self.gold, *self.predicted}))


@dataclass(frozen=True, slots=True)
class Case:
    """What a cell made of a document.

    Attributes:
        id: The document.
        gold: Its gold spans, in text order.
        predicted: What was decided, in text order.
        outcome: How extraction ended.
        faults: Its errors, in text order.
        change: Against the baseline; NONE where there is none.
        before: What the baseline decided; None where there is none.
    """

    id: str
    gold: tuple[SpanRow, ...]
    predicted: tuple[PredictedRow, ...]
    outcome: str
    faults: tuple[Fault, ...]
    change: Change = Change.NONE
    before: tuple[PredictedRow, ...] | None = None


def cases(cell: CellLog, base: CellLog | None = None) -> list[Case]:
    """The documents of a cell, in the order of the data.

    Args:
        cell: An end-to-end cell.
        base: The cell that changes are told against.

    Raises:
        EvalLogError: A block is damaged.
    """
    before = {d.id: d for d in base.documents()} if base is not None else {}
    return [_case(document, before.get(document.id)) for document in cell.documents()]


def _case(document: CellDocument, before: CellDocument | None) -> Case:
    gold = [Span(*row) for row in document.gold]
    predicted = predicted_spans(document)
    steps: dict[tuple[int, int], list[str]] = {}
    for (start, end, _), _, step in document.charges:
        steps.setdefault((start, end), []).append(step)
    faults = tuple(_fault(one, steps) for one in charge(gold, predicted) if one.kind is not ErrorKind.CORRECT)
    return Case(
        document.id,
        tuple(sorted(document.gold)),
        tuple(sorted(document.predicted, key=lambda p: (p.start, p.end, p.label))),
        document.outcome,
        faults,
        _change(set(gold), set(predicted), set(predicted_spans(before))) if before else Change.NONE,
        tuple(sorted(before.predicted, key=lambda p: (p.start, p.end, p.label))) if before else None,
    )


def _fault(one: Charge, steps: Mapping[tuple[int, int], list[str]]) -> Fault:
    blamed = [step for span in (*one.gold, *one.predicted) for step in steps.get((span.start, span.end), ())]
    return Fault(one.kind, _rows(one.gold), _rows(one.predicted), tuple(dict.fromkeys(blamed)))


def _rows(spans: Iterable[Span]) -> tuple[SpanRow, ...]:
    return tuple((span.start, span.end, span.label) for span in spans)


def _change(gold: set[Span], now: set[Span], before: set[Span]) -> Change:
    if now == before:
        return Change.SAME
    wrong, was = len(gold ^ now), len(gold ^ before)
    return Change.BETTER if wrong < was else Change.WORSE if wrong > was else Change.OTHER


CHANGES = ("changed", "better", "worse")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents to show; what is empty asks for nothing.

    Attributes:
        kind: ``any`` for documents with an error, ``none`` for those without,
            or a class of errors.
        step: A step that an error is charged to.
        change: ``changed`` since the baseline, or only ``better`` or ``worse``.
        words: Stand in the text or the id, whatever their case.
    """

    kind: str = ""
    step: str = ""
    change: str = ""
    words: str = ""

    def passes(self, case: Case, text: str = "") -> bool:
        """Whether a document is shown.

        Args:
            case: What a cell made of it.
            text: Its text, where it is known.
        """
        faults = [fault for fault in case.faults if not self.step or self.step in fault.steps]
        if self.step and not faults:
            return False
        if (self.kind == "none" and case.faults) or (self.kind == "any" and not case.faults):
            return False
        if self.kind not in ("", "any", "none") and not any(fault.kind == self.kind for fault in faults):
            return False
        if self.change == "changed" and case.change in (Change.NONE, Change.SAME):
            return False
        if self.change in ("better", "worse") and case.change != self.change:
            return False
        return not self.words or self.words.casefold() in f"{case.id}\n{text}".casefold()


def texts_of(runs: Iterable[RunLog], cell: CellLog) -> dict[str, PassDocument]:
    """The documents of a cell with their texts and steps, by id.

    A committed baseline keeps no texts; they are then taken from any other of
    the runs that was made of the same documents.

    Args:
        runs: The cell's own run first.
        cell: The cell.

    Raises:
        EvalLogError: A block is damaged.
    """
    for run in runs:
        own = run.pass_of(cell)
        candidates = [own] if own is not None else [p for p in run.passes.values() if p.header.data == cell.header.data]
        for made in candidates[:1]:
            return {document.id: document for document in made.documents()}
    return {}
