"""Annotated documents for tests: any, or only of what a format holds."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.annotation.prediction import Outcome, OutcomeKind, Vote
from tools.formats.holds import Holds, flat
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.tokens import tokenize

PIECES = [
    "Ada", "Lovelace", "New", "York", "IL-2", "naïve", "हिन्दी", "東京都", "เชียงใหม่", "👀", "👨‍👩‍👧", "مرحبا", "e\u0301", "#", "-DOCSTART-",
    " ", "  ", "\n", "\r\n", "\r", "\t", "\n\n", ". ", "\x00", "\x1b[2J", "\u2028", "\x85", "\x85\x1b", "\x1c\x01", "\ufeff", "\xa0", "\"", "\\", "''", "# id = x\n",
    "T1\tx 0 1\ty\n", "{\"a\": 1}\n", ",", "<b>", "%41",
]  # fmt: skip
LABELS = ["person", "cell line", "B-cell", "O", "組織", "a_b", "x-y-z"]
NAMES = ["ada", "bob@example.org", "Zoë Ä", 'with "quotes"', " edges ", "line\nbreak", "{x", "1"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
PROBABILITY = st.floats(0, 1)
VOTE = st.builds(Vote, st.sampled_from(["m1", "m2"]), st.booleans(), st.sampled_from(["", *LABELS]), PROBABILITY)
_SURROGATES = re.compile("[\ud800-\udfff]")


def texts(holds: Holds) -> st.SearchStrategy[str]:
    """Words, blanks and whatever is awkward."""
    any_ = st.text(
        st.characters(codec=None) if holds.any_text else st.characters(exclude_categories=["Cs"]), max_size=6
    )
    return st.lists(st.sampled_from(PIECES) | any_, max_size=12).map("".join)


def ids(holds: Holds) -> st.SearchStrategy[str]:
    """Ids, with what is awkward in files' names and lines."""
    if holds.any_id:
        return st.text(st.characters(codec=None), min_size=1, max_size=12) | st.sampled_from(
            ["a/b", "..", "-", " x ", "a\nb", '"q"']
        )
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@st.composite
def mentions(draw: Any, text: str, holds: Holds) -> tuple[Mention, ...]:
    """Mentions in a text, each span and label once."""
    tokens = tokenize(text)
    spans = set()
    for _ in range(draw(st.integers(0, 5))):
        label = draw(st.sampled_from([x for x in LABELS if holds.any_label or " " not in x]))
        if holds.any_offsets and text:
            start = draw(st.integers(0, len(text) - 1))
            spans.add(Span(start, draw(st.integers(start + 1, len(text))), label))
        elif tokens:
            first = draw(st.integers(0, len(tokens) - 1))
            last = draw(st.integers(first, min(len(tokens) - 1, first + 4)))
            spans.add(Span(tokens[first][0], tokens[last][1], label))
    found = [
        Mention(
            span,
            draw(st.none() | PROBABILITY) if holds.confidence else None,
            tuple(draw(st.lists(VOTE, max_size=2))) if holds.votes else (),
            draw(st.none() | PROBABILITY) if holds.provenance else None,
            draw(st.sampled_from(["", "human"])) if holds.provenance else "",
            draw(st.none() | st.floats(0, 2e9)) if holds.provenance else None,
        )
        for span in sorted(spans)
    ]  # fmt: skip
    return tuple(found if holds.overlapping else flat(found, "", LossReport()))


@st.composite
def items(draw: Any, holds: Holds) -> list[Annotated]:
    """Documents with unique ids that hold nothing but what a format holds."""
    made = []
    for name in draw(st.lists(ids(holds), max_size=4, min_size=1, unique=True)):
        text = draw(texts(holds))
        meta = draw(st.dictionaries(st.text(max_size=4), JSON, max_size=2)) if holds.meta else {}
        size = draw(st.integers(0 if holds.undecided else 1, 3 if holds.annotators else 1))
        names = draw(st.permutations(NAMES))
        layers = [
            Layer(
                draw(mentions(text, holds)),
                names[number] if holds.annotator and (number or draw(st.booleans())) else "",
                draw(st.sampled_from(["gold", "suggestion"])) if holds.suggestions else "gold",
                draw(st.sampled_from(["done", "flagged"])) if holds.provenance else "done",
                draw(st.none() | st.floats(0, 2e9)) if holds.provenance else None,
                draw(st.none() | st.builds(Outcome, st.sampled_from(list(OutcomeKind)), st.text(max_size=5).filter(str.isprintable))) if holds.provenance else None,
            )
            for number in range(size)
        ]  # fmt: skip
        # People first: some formats keep them apart from models.
        made.append(Annotated(Document(name, text, meta), tuple(sorted(layers, key=lambda layer: layer.kind))))
    return made
