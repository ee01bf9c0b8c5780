"""Labels and ids where a format allows only some characters."""

from __future__ import annotations

import re

from tools.annotation.span import Span
from tools.formats.loss import LossReport

_BLANKS = re.compile(r"\s")


def plain_label(span: Span, document_id: str, losses: LossReport, *, blanks: bool = True) -> str:
    """A label that stands in one line, and without blanks where none may be.

    Args:
        span: Carries the label.
        document_id: Its document.
        losses: Counts a label that had to be changed.
        blanks: Whether single blanks inside are allowed.
    """
    label = "".join(char if char.isprintable() or char.isspace() else "\ufffd" for char in span.label)
    label = "".join("_" if char.isspace() and (char != " " or not blanks) else char for char in label)
    if label != label.strip():
        label = _BLANKS.sub("_", label)
    if label != span.label:
        losses.add("label", document_id, span, f"{span.label!r} is written {label}")
    return label
