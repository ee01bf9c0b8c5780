from __future__ import annotations

from typing import Any

import pytest

from tools.annotation import Document, Label, LabelSet, Span
from tools.errors import InputError
from tools.formats import gold_spans

LABELS = LabelSet((Label("person", aliases=("PER",)), Label("place")))


def test_objects_and_lists_in_text_order_each_once() -> None:
    entities = [
        {"start": 7, "end": 11, "label": "Place", "text": "Oslo"},
        {"start": 0, "end": 3, "label": "PER", "confidence": 0.5},
        [0, 3, "person"],
        [0, 11, "person"],
    ]
    document = Document("d", "Ada in Oslo", {"entities": entities})
    assert gold_spans(document, LABELS) == (Span(0, 3, "person"), Span(0, 11, "person"), Span(7, 11, "place"))
    assert gold_spans(Document("d", "x"), LABELS) == ()
    assert gold_spans(Document("d", "x", {"entities": []}), LABELS) == ()


@pytest.mark.parametrize(
    ("entities", "reason"),
    [
        ({"start": 0}, "no list"),
        (["x"], "entity 1"),
        ([[0, 1, "person"], [0, 1]], "entity 2"),
        ([[0, 0, "person"]], "no range"),
        ([[-1, 1, "person"]], "no range"),
        ([[0, 12, "person"]], "no range"),
        ([[0, True, "person"]], "no range"),
        ([["0", 1, "person"]], "no range"),
        ([[0, 1.0, "person"]], "no range"),
        ([{"end": 1, "label": "person"}], "no range"),
        ([[0, 1, "thing"]], "unknown label 'thing'"),
        ([[0, 1, None]], "unknown label"),
        ([{"start": 0, "end": 3, "label": "person", "text": "Bob"}], "'Bob'"),
    ],
)
def test_what_is_wrong_is_told_with_document_and_entity(entities: Any, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        gold_spans(Document("d7", "Ada in Oslo", {"entities": entities}), LABELS)
    assert "'d7'" in caught.value.message
    assert reason in caught.value.message
    assert caught.value.hint
