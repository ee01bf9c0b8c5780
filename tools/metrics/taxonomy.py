"""What kind of mistake each span is; every gold and every predicted span is charged once.

In this order, each step on what the steps before have left over:

1. ``correct``: the same place and type.
2. ``wrong type``: the same place.
3. ``split``: two or more predicted spans lie side by side inside one gold span; ``merged``: two or more
   gold spans lie side by side inside one predicted span. The tightest outer span is taken first.
4. Overlapping spans are paired by optimal assignment (the same type is worth 1, an overlap 1 and its
   share of the union): ``too long``, ``too short`` and ``shifted`` are of the right type,
   ``wrong both`` is not.
5. ``missed`` and ``spurious``: what overlaps nothing that is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tools.annotation.span import Span
from tools.metrics.matching import assign, clusters


class ErrorKind(StrEnum):
    """What a span, or a pair of them, is charged with."""

    CORRECT = "correct"
    WRONG_TYPE = "wrong type"
    TOO_LONG = "too long"
    TOO_SHORT = "too short"
    SHIFTED = "shifted"
    WRONG_BOTH = "wrong both"
    SPLIT = "split"
    MERGED = "merged"
    MISSED = "missed"
    SPURIOUS = "spurious"


@dataclass(frozen=True, slots=True)
class Charge:
    """Spans that are charged together.

    Attributes:
        kind: With what.
        gold: One gold span; several where they were merged; none where spurious.
        predicted: One predicted span; several where they split one; none where missed.
    """

    kind: ErrorKind
    gold: tuple[Span, ...] = ()
    predicted: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The charges of many documents, counted.

    Attributes:
        gold: How many gold spans are charged with each kind; sums to all of them.
        predicted: The same of predicted spans.
        cases: How many charges there are of each kind (a split is one, however many parts).
        confusion: (gold type, predicted type) of the spans that stand at one
            place or were paired, to their number; an empty name is "nothing".
        charges: Document id to its charges without the correct ones, in text
            order; empty where they were not to be kept.
    """

    gold: Counter[ErrorKind] = field(default_factory=Counter)
    predicted: Counter[ErrorKind] = field(default_factory=Counter)
    cases: Counter[ErrorKind] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    charges: dict[str, tuple[Charge, ...]] = field(default_factory=dict)

    def rows(self) -> list[tuple[ErrorKind, int, int, int]]:
        """Kind, cases, gold spans, predicted spans: a row a kind, in a fixed order, zeros too."""
        return [(kind, self.cases[kind], self.gold[kind], self.predicted[kind]) for kind in ErrorKind]


def charge(gold: Iterable[Span], predicted: Iterable[Span]) -> list[Charge]:
    """Charge the spans of one document.

    Args:
        gold: What a person marked; doubles count once.
        predicted: What is to be judged; doubles count once.

    Returns:
        Charges in text order; every distinct span is in exactly one.
    """
    right, guess = set(gold), set(predicted)
    exact = right & guess
    charges = [Charge(ErrorKind.CORRECT, (span,), (span,)) for span in exact]
    if len(exact) < len(right) or len(exact) < len(guess):
        charges += _faults(sorted(right - exact), sorted(guess - exact))
    return sorted(charges, key=_place)


def taxonomy(
    gold: Mapping[str, Sequence[Span]], predicted: Mapping[str, Sequence[Span]], *, keep: bool = True
) -> Taxonomy:
    """Charge and count the spans of many documents.

    Args:
        gold: Document id to gold spans.
        predicted: Document id to predicted spans; a missing document has none.
        keep: Whether the charges themselves are kept, for looking at them.

    Returns:
        The counts over all documents in ``gold``.
    """
    found = Taxonomy()
    cases, of_gold, of_guess, confusion = found.cases, found.gold, found.predicted, found.confusion
    correct = 0
    for document, spans in gold.items():
        right, guess = set(spans), set(predicted.get(document, ()))
        exact = right & guess
        correct += len(exact)
        for span in exact:
            confusion[span.label, span.label] += 1
        if len(exact) == len(right) == len(guess):
            continue
        charges = sorted(_faults(sorted(right - exact), sorted(guess - exact)), key=_place)
        for one in charges:
            cases[one.kind] += 1
            of_gold[one.kind] += len(one.gold)
            of_guess[one.kind] += len(one.predicted)
            _confuse(confusion, one)
        if keep:
            found.charges[document] = tuple(charges)
    for counter in (cases, of_gold, of_guess):
        counter[ErrorKind.CORRECT] = correct
    return found


def _place(one: Charge) -> tuple[int, int, str]:
    first = min((*one.gold, *one.predicted))
    return first.start, first.end, one.kind


def _confuse(confusion: Counter[tuple[str, str]], one: Charge) -> None:
    if len(one.gold) == len(one.predicted) == 1:
        confusion[one.gold[0].label, one.predicted[0].label] += 1
        return
    # The parts of a split or merged span have no single partner.
    for span in one.gold:
        confusion[span.label, ""] += 1
    for span in one.predicted:
        confusion["", span.label] += 1


def _faults(gold: list[Span], predicted: list[Span]) -> list[Charge]:
    """Charges of sorted spans of which none are equal."""
    charges: list[Charge] = []
    if gold and predicted:
        gold, predicted = _same_place(gold, predicted, charges)
    if gold and predicted:
        missed, spurious = set(gold), set(predicted)
        for right, guess in clusters(gold, predicted):
            for one in _cluster(right, guess):
                charges.append(one)
                missed.difference_update(one.gold)
                spurious.difference_update(one.predicted)
        gold, predicted = list(missed), list(spurious)
    charges += [Charge(ErrorKind.MISSED, gold=(span,)) for span in gold]
    charges += [Charge(ErrorKind.SPURIOUS, predicted=(span,)) for span in predicted]
    return charges


def _same_place(gold: list[Span], predicted: list[Span], charges: list[Charge]) -> tuple[list[Span], list[Span]]:
    """Take out pairs that differ in the type alone."""
    at: dict[tuple[int, int], list[Span]] = {}
    for span in gold:
        at.setdefault((span.start, span.end), []).append(span)
    left: list[Span] = []
    taken: set[Span] = set()
    for span in predicted:
        if partners := at.get((span.start, span.end)):
            partner = partners.pop(0)
            taken.add(partner)
            charges.append(Charge(ErrorKind.WRONG_TYPE, (partner,), (span,)))
        else:
            left.append(span)
    return [span for span in gold if span not in taken], left


def _cluster(gold: list[Span], predicted: list[Span]) -> list[Charge]:
    """Charges of spans that hang together by overlaps; what is missed or spurious is left out."""
    charges: list[Charge] = []
    right, guess = list(gold), list(predicted)
    if len(gold) + len(predicted) > 2:
        outer = [(span, True) for span in gold] + [(span, False) for span in predicted]
        for span, is_gold in sorted(outer, key=lambda one: (len(one[0]), one[0], one[1])):
            own, others = (right, guess) if is_gold else (guess, right)
            if span not in own or len(parts := _side_by_side(span, others)) < 2:
                continue
            own.remove(span)
            for part in parts:
                others.remove(part)
            charges.append(
                Charge(ErrorKind.SPLIT, (span,), parts) if is_gold else Charge(ErrorKind.MERGED, parts, (span,))
            )
    if right and guess:
        charges += [Charge(_kind(g, p), (g,), (p,)) for g, p in assign(right, guess, _worth)]
    return charges


def _side_by_side(outer: Span, spans: Iterable[Span]) -> tuple[Span, ...]:
    """The most spans inside another that do not overlap each other (earliest end first)."""
    parts: list[Span] = []
    inside = (span for span in spans if outer.start <= span.start and span.end <= outer.end)
    for span in sorted(inside, key=lambda one: (one.end, -one.start, one.label)):
        if not parts or span.start >= parts[-1].end:
            parts.append(span)
    return tuple(parts)


def _worth(gold: Span, predicted: Span) -> float:
    shared = min(gold.end, predicted.end) - max(gold.start, predicted.start)
    union = max(gold.end, predicted.end) - min(gold.start, predicted.start)
    return 1.0 + (gold.label == predicted.label) + shared / union


def _kind(gold: Span, predicted: Span) -> ErrorKind:
    if gold.label != predicted.label:
        return ErrorKind.WRONG_BOTH
    if predicted.start <= gold.start and gold.end <= predicted.end:
        return ErrorKind.TOO_LONG
    if gold.start <= predicted.start and predicted.end <= gold.end:
        return ErrorKind.TOO_SHORT
    return ErrorKind.SHIFTED
