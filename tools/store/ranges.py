"""Ranges of a document's text: pairs of offsets, half-open, in order, none touching the next.

They say which parts of a document an annotator has finished, and which parts a campaign asks about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tools.annotation import Span

Range = tuple[int, int]
Ranges = tuple[Range, ...]


def joined(ranges: Iterable[Range]) -> Ranges:
    """Ranges in order, those that touch or overlap made one; empty ones are left out."""
    found: list[Range] = []
    for start, end in sorted(one for one in ranges if one[0] < one[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def without(ranges: Iterable[Range], gone: Iterable[Range]) -> Ranges:
    """What is in some ranges and not in others."""
    left = list(joined(ranges))
    for start, end in joined(gone):
        left = [
            part for low, high in left for part in ((low, min(high, start)), (max(low, end), high)) if part[0] < part[1]
        ]
    return tuple(left)


def covers(ranges: Iterable[Range], wanted: Range) -> bool:
    """Whether a range lies wholly inside some."""
    return not without((wanted,), ranges)


def touches(ranges: Iterable[Range], wanted: Range) -> bool:
    """Whether a range has anything in common with some."""
    return any(start < wanted[1] and wanted[0] < end for start, end in ranges)


def whole(ranges: Iterable[Range], text: str) -> bool:
    """Whether nothing but blanks is left of a text outside ranges."""
    return not any(text[start:end].strip() for start, end in without(((0, len(text)),), ranges))


def inside(spans: Iterable[Span], ranges: Sequence[Range]) -> tuple[Span, ...]:
    """The spans that lie wholly inside one of the ranges, in order."""
    return tuple(sorted(s for s in spans if any(start <= s.start and s.end <= end for start, end in ranges)))
