"""Why a campaign asks a document, from the record that its selection left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def reason_line(record: Mapping[str, Any]) -> str:
    """A line: ``far from everything labelled so far (0.61); most like d7``; empty without a record."""
    from tools.selection.protocol import Reason

    if not record:
        return ""
    known = {field.name for field in fields(Reason)}
    kept = {key: value for key, value in record.items() if key in known}
    defaults = {"strategy": "", "stage": "chosen", "rank": 0, "meaning": ""}
    return Reason(**{**defaults, **kept, "score": kept.get("score") or 0.0}).describe()


def reason_details(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All that the record says, as names and values."""
    names = {
        "strategy": "strategy",
        "stage": "chosen by",
        "rank": "place in it",
        "meaning": "by what",
        "score": "score",
        "nearest": "nearest labelled or picked",
        "nearest_similarity": "how similar that is",
        "seconds": "expected seconds",
    }
    said = [(names.get(key, key), _plain(value)) for key, value in record.items() if key != "facts" and value != 0]
    facts = record.get("facts")
    said += [(str(key), _plain(value)) for key, value in (facts.items() if isinstance(facts, Mapping) else ())]
    return [(name, value) for name, value in said if value]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
