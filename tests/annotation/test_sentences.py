from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.annotation.sentences import sentence_spans


def cut(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. J. R. Smith met Mr. Lee of Acme Inc. in Berlin.", "They talked."],
        ["He left the U.S. in May.", "She stayed in the U.K. Parliament building."],
        ["It cost 3.50 dollars, i.e. too much.", "See Fig. 3 and No. 5."],
        ['"Why?" he asked.', '"Go!"', "She went..."],
        ["It ended...", "Nobody came."],
        ["The meeting on Jan. 3 was short.", "The next was on 3. Oktober."],
        ["1. First point of the list.", "2. Second one."],
        ["今天天气很好。", "我们去公园！", "好吗？", "好。"],
        ["「はい。」と言った。", "終わりです"],
        ["هل وصل القطار؟", "نعم وصل."],
        ["वह आया।", "फिर चला गया॥", "कहाँ?"],
        ["ฉันไปกรุงเทพ", "พรุ่งนี้กลับ"],
        ["A heading without a stop\n\n", "Then a text."],
        ["The vitamin is C.", "It helps."],
        ["E. coli grew at 37 °C.", "K. Müller saw it."],
        ["A. B. Chen won.", "He smiled."],
    ],
)
def test_cuts_where_sentences_end(sentences: list[str]) -> None:
    assert cut(" ".join(sentences)) == [sentence.strip() for sentence in sentences]


@pytest.mark.parametrize(
    "text",
    [
        "the file at www.example.org/a.b is 1.5 MB",
        "Prof. Dr. h.c. Anna Weber",
        "approx. 5 km from St. Louis",
        "and then ... nothing",
        "he said. but nobody listened",
        "line one\nline two of the same sentence",
        "x.\u0301",
    ],
)
def test_keeps_together(text: str) -> None:
    assert sentence_spans(text) == [(0, len(text))]


NASTY = st.text(st.one_of(st.sampled_from(".!?。…\"') \n\r\t\u0301กข1AaZ\u200d।؟\ud800"), st.characters(codec=None)))


@given(NASTY)
def test_spans_cover_the_text_without_gaps(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(spans))
    assert all(not text[start:].startswith(("\u0301", "\u200d")) for start, _ in spans[1:])


@pytest.mark.parametrize("unit", [".", '."', '"', "\n \t", "ก ", "a.", "。a", ". ", "!?"])
def test_hostile_repetition_takes_linear_time(unit: str) -> None:
    text = "." + unit * 200_000 + "x"
    begun = time.process_time()
    sentence_spans(text)
    # About 0.1 s; a rule that looks at every rest of the text anew would take minutes.
    assert time.process_time() - begun < 5
