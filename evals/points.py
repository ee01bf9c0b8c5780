"""Figures of 0 to 1 as points of 100, the way every table and page has them."""

from __future__ import annotations


def signed(value: float) -> str:
    """A difference of figures of 0 to 1 in points; one that is not 0 is not shown as 0."""
    shown_ = f"{value * 100:+.1f}"
    return f"{value * 100:+.2g}" if value and shown_ in ("+0.0", "-0.0") else shown_.replace("-0.0", "+0.0")


def points(value: float) -> str:
    """A figure of 0 to 1 in points."""
    return f"{value * 100:.1f}"
