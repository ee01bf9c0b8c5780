"""The filter line of the queue browser: ``state:done type:person below:60 disagree by:ada some words``."""

from __future__ import annotations

from collections.abc import Collection

from tools.errors import InputError
from tools.store.browsing import Filter
from tools.store.records import DocumentState

SYNTAX = "state:new|in_progress|done|flagged  type:NAME  below:60  disagree  by:NAME  words"


def parse_filter(line: str, labels: Collection[str] = (), run: int | None = None) -> Filter:
    """A filter from what a person typed.

    Args:
        line: Words, some of the form ``name:value``; the others are text to occur.
        labels: The types there are.
        run: The run whose suggestions count.

    Raises:
        InputError: A value is not one of its kind.
    """
    fields: dict[str, object] = {"run": run}
    words: list[str] = []
    for word in line.split():
        name, colon, value = word.partition(":")
        if word == "disagree":
            fields["disagreement"] = True
        elif not colon or not value or name not in ("state", "type", "below", "by"):
            words.append(word)
        elif name == "state":
            if value not in tuple(DocumentState):
                raise InputError(f"there is no state {value!r}", f"one of {', '.join(DocumentState)}")
            fields["state"] = DocumentState(value)
        elif name == "type":
            if labels and value not in labels:
                raise InputError(f"there is no type {value!r}", f"one of {', '.join(labels)}")
            fields["label"] = value
        elif name == "by":
            fields["annotator"] = value
        else:
            fields["below"] = _share(value)
    return Filter(text=" ".join(words), **fields)  # type: ignore[arg-type]


def _share(value: str) -> float:
    try:
        share = float(value.rstrip("%").replace(",", "."))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 100:
        raise InputError(f"{value!r} is no confidence", "a number from 0 to 100, or from 0 to 1")
    return share if share <= 1 and "%" not in value else share / 100
