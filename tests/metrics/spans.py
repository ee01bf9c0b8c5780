"""Random spans, and the slow and plain way to match them."""

from __future__ import annotations

from itertools import combinations, permutations

from hypothesis import strategies as st

from tools.annotation import Span

SPANS = st.lists(
    st.builds(
        lambda start, size, label: Span(start, start + size, label),
        st.integers(0, 7),
        st.integers(1, 5),
        st.sampled_from("abc"),
    ),
    max_size=5,
)
"""Nested, overlapping and doubled spans of three types."""


def credit(scheme: str, gold: Span, predicted: Span) -> float:
    """What a pair is worth under a scheme."""
    same_place = (gold.start, gold.end) == (predicted.start, predicted.end)
    if scheme == "strict":
        return float(gold == predicted)
    if scheme == "boundaries":
        return float(same_place)
    if scheme == "types":
        return float(gold.label == predicted.label and gold.overlaps(predicted))
    return 1.0 if same_place else 0.5 if gold.overlaps(predicted) else 0.0


def best_credit(scheme: str, gold: set[Span], predicted: set[Span]) -> float:
    """The best of all one-to-one assignments, tried one by one."""
    few, many = sorted((list(gold), list(predicted)), key=len)
    swapped = few == list(predicted)
    return max(
        sum(credit(scheme, b, a) if swapped else credit(scheme, a, b) for a, b in zip(few, chosen, strict=True))
        for part in combinations(many, len(few))
        for chosen in permutations(part)
    )
