"""Showing where a text was found."""

from __future__ import annotations


def around(text: str, at: int, before: int = 24, after: int = 160) -> str:
    """The text around an offset in one line; cut at words where there are any near."""
    start = max(0, at - before)
    if start:
        blank = text.find(" ", start, at)
        start = blank + 1 if blank >= 0 else start
    return ("\u2026" if start else "") + " ".join(text[start : at + after].split())
