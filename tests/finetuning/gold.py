"""Small synthetic gold: sentences made of parts, nested mentions, several scripts, some without any mention."""

from __future__ import annotations

import random

from tools.annotation import Label, LabelSet, Span
from tools.finetuning.records import Gold

LABELS = LabelSet(
    (
        Label("person", "people by name", aliases=("human", "PER")),
        Label("place", "towns and rivers", aliases=("location",), parent=""),
        Label("organization", "companies and schools", aliases=("ORG", "institution")),
        Label("work of art", "books and songs", aliases=("title",)),
        Label("cell line", "", aliases=("CellLine",), hotkey="c"),
    )
)


def marked(text: str, *mentions: tuple[str, str]) -> Gold:
    """Gold from a text and its mentions, each at its first place."""
    spans = tuple(Span(text.index(m), text.index(m) + len(m), label) for m, label in mentions)
    return Gold(text, spans)


FIXED = [
    marked("Ilse Varga left Tarnow.", ("Ilse Varga", "person"), ("Tarnow", "place")),
    marked(
        "The University of Tarnow hired Omar Diallo.",
        ("University of Tarnow", "organization"),
        ("Tarnow", "place"),
        ("Omar Diallo", "person"),
    ),
    marked("Nothing of note was said on Monday evening."),
    marked('He sang "Salt and Ash" twice – once in Łódź.', ("Salt and Ash", "work of art"), ("Łódź", "place")),
    marked("王小明住在成都。", ("王小明", "person"), ("成都", "place")),
    marked("HeLa-9 cells 🧫 grew; K562 did not.", ("HeLa-9", "cell line"), ("K562", "cell line")),
    marked("Line one\nVera Holm <|im_end|> {{ x }}", ("Vera Holm", "person")),
    # The same place under two types has no single right answer for classify.
    Gold("Paris Stone wrote.", (Span(0, 11, "person"), Span(0, 11, "work of art"))),
    marked("Rain."),
]
_SUBJECTS = [
    ("Mira Solberg", "person"),
    ("Kestrel Foods", "organization"),
    ("Dov Amsel", "person"),
    ("Quill & Co", "organization"),
]
_PLACES = [("Varna", "place"), ("Oulu", "place"), ("Lake Turm", "place")]


def made(count: int, seed: int = 0) -> list[Gold]:
    """Simple sentences, all different."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        (who, kind), (where, place) = rng.choice(_SUBJECTS), rng.choice(_PLACES)
        found.append(marked(f"In week {number} {who} opened an office near {where}.", (who, kind), (where, place)))
    return found


GOLD = [*FIXED, *made(12)]
