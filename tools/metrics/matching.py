"""Matching the spans of one document under the four schemes of SemEval-2013 task 9.1.

Both sides are sets of spans; what is matched is one to one, and as much of it
as can be. Nested, overlapping and doubled spans are therefore safe, and the
order of the input means nothing. The denominators are the same under every
scheme, so strict <= boundaries <= partial and strict <= types, always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tools.annotation.span import Span

Scheme = Literal["strict", "boundaries", "types", "partial"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
"""``strict``: place and type. ``boundaries``: place. ``types``: type, and an overlap. ``partial``: the
same place counts 1, an overlap one half, types left out."""


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives, false negatives.

    Whole numbers but under ``partial``, where an overlap adds one half to each
    of the three. A ratio without a denominator is 0, as in seqeval and the
    CoNLL script: a system that finds nothing is not credited with precision.
    """

    tp: float = 0
    fp: float = 0
    fn: float = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Share of the predicted that is right."""
        return self.tp / (self.tp + self.fp) if self.tp else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold that was found."""
        return self.tp / (self.tp + self.fn) if self.tp else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp else 0.0

    @property
    def support(self) -> int:
        """How many gold spans there are."""
        return round(self.tp + self.fn)

    @property
    def predicted(self) -> int:
        """How many predicted spans there are."""
        return round(self.tp + self.fp)


def _counts(matched: float, gold: int, predicted: int) -> Counts:
    return Counts(matched, predicted - matched, gold - matched)


def count_matches(gold: Iterable[Span], predicted: Iterable[Span], *, boundaries_only: bool = False) -> Counts:
    """Compare the spans of one document, strictly or by place alone.

    Args:
        gold: What a person marked.
        predicted: What is to be judged. Doubles count once on both sides.
        boundaries_only: Whether the type is left out of the comparison. A place
            with two types is two spans, and is found by two.

    Returns:
        The counts; a match needs the same start, end and (unless left out) type.
    """
    right, guess = set(gold), set(predicted)
    matched = same_places(right, guess) if boundaries_only else len(right & guess)
    return _counts(matched, len(right), len(guess))


def count_by_label(gold: Iterable[Span], predicted: Iterable[Span]) -> dict[str, Counts]:
    """Compare the spans of one document strictly, type by type.

    Returns:
        A count for every type that occurs on either side, by name in order;
        their sum is what ``count_matches`` gives.
    """
    right, guess = set(gold), set(predicted)
    found = Counter(span.label for span in right & guess)
    of_gold, of_guess = Counter(span.label for span in right), Counter(span.label for span in guess)
    return {label: _counts(found[label], of_gold[label], of_guess[label]) for label in sorted(of_gold | of_guess)}


def count_schemes(gold: Iterable[Span], predicted: Iterable[Span]) -> dict[Scheme, Counts]:
    """Compare the spans of one document under every scheme.

    Each scheme is matched for itself, so that its credit is the largest that
    any one-to-one assignment gives.

    Returns:
        A count for each of ``SCHEMES``.
    """
    right, guess = set(gold), set(predicted)
    matched = matched_spans(right, guess)
    return {scheme: _counts(credit, len(right), len(guess)) for scheme, credit in zip(SCHEMES, matched, strict=True)}


def matched_spans(gold: set[Span], predicted: set[Span]) -> tuple[float, float, float, float]:
    """The credit under each of ``SCHEMES``, in their order.

    Args:
        gold: Distinct gold spans of one document.
        predicted: Distinct predicted spans of it.
    """
    if gold == predicted:
        full = len(gold)
        return full, full, full, full
    if not gold or not predicted:
        return 0, 0, 0, 0
    exact = gold & predicted
    strict = len(exact)
    left_gold, left_guess = gold - exact, predicted - exact
    if not left_gold or not left_guess:
        # All of one side is matched already, and no scheme can match more than that.
        return strict, strict, strict, strict
    places = strict + same_places(left_gold, left_guess)
    halves = _overlaps(*_without_same_places(left_gold, left_guess))
    return strict, places, _typed_overlaps(gold, predicted), places + halves / 2


def same_places(gold: Collection[Span], predicted: Collection[Span]) -> int:
    """How many places both sides have, each as often as both have it."""
    if len(gold) == len({(s.start, s.end) for s in gold}):
        return len({(s.start, s.end) for s in gold} & {(s.start, s.end) for s in predicted})
    return (Counter((s.start, s.end) for s in gold) & Counter((s.start, s.end) for s in predicted)).total()


def _without_same_places(gold: Iterable[Span], predicted: Iterable[Span]) -> tuple[list[Span], list[Span]]:
    """What is left of both sides when equal places are taken out, pair by pair.

    Taking them out first loses nothing under ``partial``: a pair of equal
    places is worth 1, as much as the two overlaps that it could keep apart.
    """
    common = Counter((s.start, s.end) for s in gold) & Counter((s.start, s.end) for s in predicted)
    rest: list[list[Span]] = []
    for side in (gold, predicted):
        quota, kept = Counter(common), []
        for span in side:
            place = (span.start, span.end)
            if quota[place]:
                quota[place] -= 1
            else:
                kept.append(span)
        rest.append(kept)
    return rest[0], rest[1]


def _typed_overlaps(gold: Iterable[Span], predicted: Iterable[Span]) -> int:
    """The most pairs of overlapping spans of one type.

    Equal spans are not taken out first: they can stand between two pairs that
    only overlap, and the scheme asks for no more than an overlap.
    """
    by_label: dict[str, tuple[list[Span], list[Span]]] = {}
    for side, spans in enumerate((gold, predicted)):
        for span in spans:
            by_label.setdefault(span.label, ([], []))[side].append(span)
    return sum(_overlaps(*sides) for sides in by_label.values())


def _overlaps(gold: Sequence[Span], predicted: Sequence[Span]) -> int:
    """The most pairs of overlapping spans."""
    if not gold or not predicted:
        return 0
    count = 0
    for right, guess in clusters(gold, predicted):
        # A cluster hangs together, so a side of one span overlaps the other side.
        count += 1 if min(len(right), len(guess)) == 1 else len(assign(right, guess, lambda g, p: 1.0))
    return count


def clusters(gold: Iterable[Span], predicted: Iterable[Span]) -> Iterator[tuple[list[Span], list[Span]]]:
    """Groups of spans that hang together by overlaps and have both sides in them.

    Yields:
        Gold and predicted spans, both in order.
    """
    marked = sorted(
        [(s.start, s.end, 0, s.label, s) for s in gold] + [(s.start, s.end, 1, s.label, s) for s in predicted]
    )
    sides: tuple[list[Span], list[Span]] = ([], [])
    reach = -1
    for start, end, side, _, span in marked:
        if start >= reach:
            if sides[0] and sides[1]:
                yield sides
            sides, reach = ([], []), end
        sides[side].append(span)
        reach = max(reach, end)
    if sides[0] and sides[1]:
        yield sides


def assign(
    gold: Sequence[Span], predicted: Sequence[Span], worth: Callable[[Span, Span], float]
) -> list[tuple[Span, Span]]:
    """The one-to-one assignment of overlapping spans with the largest total worth.

    Args:
        gold: Spans of one cluster, in order: among assignments of equal worth
            the order decides.
        predicted: The same of the other side.
        worth: What a pair is worth, above 0; asked of overlapping pairs only.

    Returns:
        Pairs of gold and predicted spans that overlap.
    """
    if len(gold) == 1 == len(predicted):
        return [(gold[0], predicted[0])] if gold[0].overlaps(predicted[0]) else []
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((len(gold), len(predicted)))
    for row, g in enumerate(gold):
        for column, p in enumerate(predicted):
            if g.overlaps(p):
                table[row, column] = worth(g, p)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return [(gold[row], predicted[column]) for row, column in zip(rows, columns, strict=True) if table[row, column] > 0]
