from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Span
from tools.demonstrations.weights import NAME, NUMBER, OPENING_NAME, PRONOUN, WordStatistics, span_weight


def statistics(*texts: str) -> WordStatistics:
    made = WordStatistics()
    made.add(texts)
    return made


POOL = statistics(*(f"the cell was put in a well number{n} with water" for n in range(50)), "rare perovskite seen")


def weigh(marked: str, known: WordStatistics = POOL) -> float:
    before, _, rest = marked.partition("[")
    inside, _, after = rest.partition("]")
    return span_weight(before + inside + after, Span(len(before), len(before) + len(inside)), known)


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("he met [Ada Lovelace] there", NAME),
        ("seen in [the European Union] again", NAME),
        ("a [BRCA1] gene", NAME),
        ("some [p53] was", NAME),
        ("an [iPhone] here", NAME),
        ("[Profits] fell", OPENING_NAME),
        ("It ended. [Profits] fell", OPENING_NAME),
        ("[Acme Corp] fell", NAME),
        ("[NATO] fell", NAME),
        ("the [US] army", NAME),
        ("give [us] time", PRONOUN),
        ("[He] left", PRONOUN),
        ("[It] left and [x]", PRONOUN),
        ("left [the] town", 0.0),
        ("left [of the] town", 0.0),
        ("in [1996] then", NUMBER),
        ("cost [3.5] there", NUMBER),
        ("what [...] ever", 0.0),
        ("say [ ] it", 0.0),
    ],
)
def test_shapes(marked: str, expected: float) -> None:
    assert weigh(marked) == expected


def test_order_of_the_classes() -> None:
    rare, common = weigh("a [perovskite] layer"), weigh("a [cell] layer")
    assert NAME > OPENING_NAME > rare > NUMBER > PRONOUN > common > 0
    assert weigh("a [perovskite cell] layer") == rare
    assert weigh("他去了[東京]。") > 2
    assert weigh("ذهب إلى [القاهرة] أمس") > 2
    assert 2 < weigh("[THE CELL] RISES") < weigh("[PEROVSKITE] RISES") <= NAME


def test_common_words_of_any_language_weigh_little() -> None:
    known = statistics(*(f"der Zug fährt nach Ort{n}" for n in range(100)))
    assert weigh("heute [der] abend", known) < 0.05 < weigh("heute [abend] der", known)


def test_statistics_go_in_and_out_and_survive_a_file(tmp_path: Path) -> None:
    known = statistics("a b", "b c", "b")
    assert known.rarity("b") == 0
    assert known.rarity("zz") == 1
    assert known.rarity("a") == pytest.approx(0.5)
    known.save(tmp_path / "words.npy")
    again = WordStatistics.load(tmp_path / "words.npy")
    assert (again.texts, again.rarity("a")) == (3, known.rarity("a"))
    again.add(["b c", "b"], by=-1)
    assert (again.texts, again.rarity("c"), again.rarity("a")) == (1, 1, 0)
    (tmp_path / "words.npy").write_bytes(b"")
    with pytest.raises((ValueError, EOFError)):
        WordStatistics.load(tmp_path / "words.npy")


@given(st.text(max_size=30), st.integers(0, 35), st.integers(1, 20))
def test_any_span_has_a_weight(text: str, start: int, length: int) -> None:
    assert 0 <= span_weight(text, Span(start, start + length), POOL) <= NAME
