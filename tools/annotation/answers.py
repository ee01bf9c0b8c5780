"""The forms in which a model answers: written for training, read after decoding.

One entity a line; a lone dash says that there is none. The delimiter is a line
break because no passage holds one (``model_text``), so no mention can run on.
"""

from __future__ import annotations

from collections.abc import Iterable

NOTHING = "-"


def write_spans(mentions: Iterable[str]) -> str:
    """Mentions one a line, each distinct text once, or a dash."""
    lines = list(dict.fromkeys(mentions))
    return "".join(f"{line}\n" for line in lines) or NOTHING


def write_typed(entities: Iterable[tuple[str, str]]) -> str:
    """Lines ``code: mention``, each distinct pair once, or a dash."""
    lines = list(dict.fromkeys(entities))
    return "".join(f"{code}: {mention}\n" for code, mention in lines) or NOTHING


def read_spans(answer: str) -> list[str]:
    """The mentions of an answer, in order, doubles kept; empty lines are passed over."""
    if answer.strip() == NOTHING:
        return []
    return [line for line in answer.split("\n") if line.strip()]


def read_typed(answer: str) -> list[tuple[str, str]]:
    """(code, mention) pairs of an answer, in order; a line without a colon has no code."""
    pairs = []
    for line in read_spans(answer):
        code, colon, mention = line.partition(": ")
        pairs.append((code, mention) if colon else ("", line))
    return pairs
