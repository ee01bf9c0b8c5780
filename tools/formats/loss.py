"""What a format cannot hold, counted by kind, with the first few cases by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools.annotation.span import Span
from tools.errors import OutputError

KEPT = 5
KINDS: dict[str, str] = {
    # --- what a format has no place for -----------------------------------------------------------------------------
    "overlapping": "mentions that overlap another, left out",
    "nested": "mentions inside another, left out",
    "same span": "second types of the same span, left out",
    "tokens": "mentions whose borders fall inside a token, left out",
    "line break": "mentions that begin or end with a line break, left out",
    "confidence": "confidences, left out",
    "votes": "votes of members, left out",
    "provenance": "documents' sources, times, states, verdicts or outcomes, left out (they stay in the project)",
    "annotator": "annotators' names, left out",
    "annotators": "further annotators' decisions, left out",
    "suggestion": "suggestions written as if a person had decided them",
    "failed": "documents whose run failed, written as undecided",
    "undecided": "documents nobody has decided on, written as if they held nothing",
    "meta": "further fields of documents (meta), left out",
    "id": "document ids that had to be changed",
    "label": "labels that had to be changed",
    "text": "characters that had to be replaced (U+FFFD)",
    # --- what a file holds and Quorum does not -----------------------------------------------------------------------
    "discontinuous": "discontinuous mentions, left out",
    "no label": "regions without a label, left out",
    "other regions": "annotations that are no mentions (choices, relations and the like), left out",
    "in meta": "notes, attributes, relations, events or normalisations, kept in the document's meta only",
    "rejected": "rejected answers, not taken as decisions",
    "ignored": "ignored or cancelled answers, not taken as decisions",
    "not gold": "suggestions, not taken as gold",
}
"""Every kind of loss and what it says after its number."""

TOLD_ONLY = ("provenance",)
"""What ``--strict`` lets pass: nearly no format has a place for it, and it is in the project still."""

MENTIONS = ("overlapping", "nested", "same span", "tokens", "line break")
"""Kinds that count mentions which are not in the output."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One case.

    Attributes:
        document_id: The document.
        start: Where the mention begins; None when it is no mention.
        end: Where it ends.
        detail: What was lost, in a few words.
    """

    document_id: str
    start: int | None = None
    end: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        where = repr(self.document_id) if self.start is None else f"{self.document_id!r} {self.start}:{self.end}"
        return f"{where} {self.detail}".rstrip()


@dataclass(slots=True)
class LossReport:
    """Filled while converting; memory stays flat, counts are exact.

    Attributes:
        strict: Whether to refuse rather than lose anything.
        counts: Kind (see ``KINDS``) to how often.
        examples: Kind to its first cases.
    """

    strict: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Loss]] = field(default_factory=dict)

    def add(self, kind: str, document_id: str, span: Span | None = None, detail: str = "", count: int = 1) -> None:
        """Count a loss.

        Args:
            kind: One of ``KINDS``.
            document_id: The document.
            span: The mention, where it is one.
            detail: What else a person wants to know.
            count: How many at once.
        """
        self.counts[kind] += count
        cases = self.examples.setdefault(kind, [])
        if len(cases) < KEPT:
            if span is not None and not detail:
                detail = span.label
            cases.append(Loss(document_id, span.start if span else None, span.end if span else None, detail))

    @property
    def total(self) -> int:
        """How many losses, without what is told only (``TOLD_ONLY``)."""
        return sum(count for kind, count in self.counts.items() if kind not in TOLD_ONLY)

    def settle(self) -> None:
        """End the conversion.

        Raises:
            OutputError: It is strict and something was lost.
        """
        if self.strict and self.total:
            counted = {kind: count for kind, count in self.counts.items() if kind not in TOLD_ONLY}
            kind = next(iter(counted))
            what = "; ".join(f"{count:,} {KINDS[name]}" for name, count in counted.items())
            raise OutputError(
                f"not everything can be held, and --strict allows no loss: {what} (first: {self.examples[kind][0]})",
                "choose another format (see docs/formats.md), or leave --strict out",
            )

    def lines(self) -> list[str]:
        """The report for a person, a line a kind."""
        found = []
        for kind, count in self.counts.items():
            if kind in TOLD_ONLY:
                found.append(f"not written: {count:,} {KINDS[kind]}")
                continue
            first = ", ".join(str(case) for case in self.examples[kind])
            more = ", ..." if count > len(self.examples[kind]) else ""
            found.append(f"lost: {count:,} {KINDS[kind]}: {first}{more}")
        return found

    def as_json(self) -> dict[str, Any]:
        """The report for machines: kind to ``count``, ``what`` and ``examples``."""
        return {
            kind: {
                "count": count,
                "what": KINDS[kind],
                "examples": [
                    {"document": case.document_id, "start": case.start, "end": case.end, "detail": case.detail}
                    for case in self.examples[kind]
                ],
            }
            for kind, count in self.counts.items()
        }
