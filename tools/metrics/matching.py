"""Strict matching as a comparison of sets: nested and overlapping spans, any order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from tools.annotation.span import Span


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives, false negatives.

    A ratio without a denominator is 0, as in seqeval and the CoNLL script: a
    system that finds nothing is not credited with precision.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

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
        return self.tp + self.fn


def _compare(gold: set[Hashable], predicted: set[Hashable]) -> Counts:
    right = len(gold & predicted)
    return Counts(right, len(predicted) - right, len(gold) - right)


def count_matches(gold: Iterable[Span], predicted: Iterable[Span], *, boundaries_only: bool = False) -> Counts:
    """Compare the spans of one document.

    Args:
        gold: What a person marked.
        predicted: What is to be judged. Doubles count once on both sides.
        boundaries_only: Whether the type is left out of the comparison; spans
            of one place with several types are one place then.

    Returns:
        The counts; a match needs the same start, end and (unless left out) type.
    """
    if boundaries_only:
        return _compare({(s.start, s.end) for s in gold}, {(s.start, s.end) for s in predicted})
    return _compare(set(gold), set(predicted))


def count_by_label(gold: Iterable[Span], predicted: Iterable[Span]) -> dict[str, Counts]:
    """Compare the spans of one document type by type.

    Returns:
        A count for every type that occurs on either side, by name in order;
        their sum is what ``count_matches`` gives.
    """
    by_label: dict[str, tuple[set[Hashable], set[Hashable]]] = {}
    for side, spans in enumerate((gold, predicted)):
        for span in spans:
            by_label.setdefault(span.label, (set(), set()))[side].add(span)
    return {label: _compare(*by_label[label]) for label in sorted(by_label)}
