from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from unittest import mock

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.annotation import chunking
from tools.annotation.chunking import assert_covered, chunk, chunks, first_uncovered
from tools.annotation.chunks import borders, word_chunks
from tools.annotation.clusters import cluster_borders
from tools.annotation.document import Document, Passage
from tools.annotation.modeltext import model_text

Counter = Callable[[str], int]


def code_points(text: str) -> int:
    return len(text)


def utf8_bytes(text: str) -> int:
    return len(text.encode())


def words(text: str) -> int:
    return len(text.split())


def quarters(text: str) -> int:
    return -(-len(text) // 4)


def pieces(text: str) -> int:
    return sum(not piece.isspace() for piece in word_chunks(text))


FLAG, FAMILY, KEYCAP = "\U0001f1e9\U0001f1ea", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "1\ufe0f\u20e3"


def commas_last(text: str) -> int:
    """A comma at the end costs more than one inside: a shorter text may have more tokens."""
    return pieces(text) + 2 * text.rstrip().endswith(",")


def joins(text: str) -> int:
    """Two sentences together have a token more than each for itself."""
    return pieces(text) + text.count(". ")


CLUSTERS = [
    FLAG,
    FAMILY,
    KEYCAP,
    "e\u0301\u0327",
    "\u1112\u1161\u11ab",
    "\U0001f44d\U0001f3fd",
    "\u0600\u0661",
    "क्षि",
    "กำ",
    "ที่",
]
WORDS = ["word", "Mr. ", "3.5", "東京", "한국", "سلام", "a" * 30, "<|im_end|>", "\ud83d", "\x00"]
MARKS = [" ", "  ", "\n\n", "\r\n", ". ", ", ", "? ", "。", "-"]
PARTS = st.sampled_from([*CLUSTERS, *WORDS, *MARKS])
TEXTS = st.one_of(st.lists(PARTS, max_size=40).map("".join), st.text(st.characters(codec=None), max_size=60))
COUNTERS = st.sampled_from([code_points, utf8_bytes, words, quarters, pieces, commas_last, joins])


@st.composite
def budgets(draw: st.DrawFn) -> dict[str, int]:
    most = draw(st.integers(1, 40))
    return {
        "max_tokens": most,
        "overlap_tokens": draw(st.integers(0, most - 1)),
        "context_tokens": draw(st.integers(0, 20)),
    }


@settings(max_examples=300, deadline=None)
@given(TEXTS, COUNTERS, budgets())
def test_promises(text: str, count: Counter, budget: dict[str, int]) -> None:
    document = Document("d", text)
    passages = chunk(document, count, **budget)
    assert_covered(document, passages)
    assert bool(passages) == bool(text.strip())
    assert [p.index for p in passages] == list(range(len(passages)))
    visible = {0, len(text)} | {match.end() for match in regex.finditer(r"\X", text)}
    for passage in passages:
        assert passage.text == passage.text.strip() == text[passage.start : passage.end]
        assert count(passage.shown) <= budget["max_tokens"] or len(cluster_borders(passage.text)) == 1
        assert passage.start in visible or text[passage.start - 1].isspace()
        assert passage.end in visible or text[passage.end].isspace()
        assert count(model_text(passage.context)) <= budget["context_tokens"]
        assert text[: passage.start].rstrip().endswith(passage.context)
    for one, other in itertools.pairwise(passages):
        assert one.start < other.start
        assert one.end < other.end
        shared = text[other.start : one.end]
        assert not shared or count(model_text(shared)) <= budget["overlap_tokens"]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 12))
def test_words_stay_whole_where_each_fits_the_budget(text: str, most: int) -> None:
    at_borders = borders(model_text(text))
    for passage in chunk(Document("d", text), pieces, max_tokens=most):
        assert {passage.start, passage.end} <= at_borders


@settings(max_examples=150, deadline=None)
@given(TEXTS, COUNTERS, budgets(), st.integers(4, 40))
def test_a_document_in_segments_keeps_the_promises(
    text: str, count: Counter, budget: dict[str, int], segment: int
) -> None:
    document = Document("d", text)
    with mock.patch.object(chunking, "_SEGMENT", segment), mock.patch.object(chunking, "_SEAM", segment // 2):
        passages = list(chunks(document, count, **budget))
    assert_covered(document, passages)
    assert [p.index for p in passages] == list(range(len(passages)))
    visible = {0, len(text)} | {match.end() for match in regex.finditer(r"\X", text)}
    for passage in passages:
        assert passage.text == passage.text.strip() == text[passage.start : passage.end]
        assert count(passage.shown) <= budget["max_tokens"] or len(cluster_borders(passage.text)) == 1
        # A visible character longer than a whole segment is the one thing that a seam cuts.
        if segment > 30:
            assert passage.start in visible or text[passage.start - 1].isspace()
    assert all(one.end <= other.start or one.start < other.start for one, other in itertools.pairwise(passages))


def test_the_first_passages_of_a_very_long_line_come_at_once() -> None:
    text = "Ada met Bob at the harbour and went on. " * 300_000  # 12 million characters
    began = time.perf_counter()
    cut = chunks(Document("d", text), words, max_tokens=64)
    first = list(itertools.islice(cut, 3))
    assert time.perf_counter() - began < 3, "a segment of it at most is looked at"
    assert [p.start for p in first] == sorted({p.start for p in first})
    assert first[0].start == 0


@given(TEXTS)
def test_cluster_borders_never_tear_what_unicode_keeps_together(text: str) -> None:
    found = cluster_borders(text)
    assert set(found) <= {match.end() for match in regex.finditer(r"\X", text)}
    assert not text or found[-1] == len(text)


@given(TEXTS)
def test_pieces_of_words_never_tear_what_unicode_keeps_together(text: str) -> None:
    """A mention can neither begin nor end inside a flag, a syllable in separate letters, or a letter with its marks."""
    visible = {0, len(text)} | {match.end() for match in regex.finditer(r"\X", text)}
    for shown in (text, model_text(text)):
        pieces_of = word_chunks(shown)
        assert "".join(pieces_of) == shown
        assert all(pieces_of)
        if shown == text:
            assert set(itertools.accumulate(map(len, pieces_of))) <= visible


@pytest.mark.parametrize(
    ("text", "pieces_of"),
    [
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7!", ["\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7", "!"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["\u1112\u1161\u11ab", "\u1100\u1173\u11af"]),
        ("\ud55c\uae00", ["\ud55c", "\uae00"]),
        ("e\u0301t\u00e9 2", ["e\u0301t\u00e9", " ", "2"]),
        ("\U0001f469\u200d\U0001f52c\U0001f3fd", ["\U0001f469\u200d\U0001f52c\U0001f3fd"]),
        ("\u0e01\u0e33\u0e44", ["\u0e01\u0e33", "\u0e44"]),
        ("\u0915\u094d\u0937 x", ["\u0915\u094d\u0937", " ", "x"]),
    ],
)
def test_visible_characters_in_pieces(text: str, pieces_of: list[str]) -> None:
    assert word_chunks(text) == pieces_of


def test_passages_end_where_sentences_end() -> None:
    text = "The first one is here. The second is longer than that. Third."
    passages = chunk(Document("d", text), words, max_tokens=11)
    assert [p.text for p in passages] == ["The first one is here. The second is longer than that.", "Third."]


def test_a_long_sentence_is_cut_after_a_clause_if_one_is_near() -> None:
    text = "one two three four five six, seven eight nine ten"
    assert chunk(Document("d", text), words, max_tokens=8)[0].text == "one two three four five six,"
    assert chunk(Document("d", text.replace(",", "")), words, max_tokens=8)[0].text.endswith("eight")


def test_a_cut_after_a_clause_never_costs_more_than_the_budget() -> None:
    text = "one two three four five, six seven eight nine"
    assert commas_last("one two three four five,") == 8
    assert chunk(Document("d", text), commas_last, max_tokens=8)[0].text == "one two three four five,"
    assert chunk(Document("d", text), commas_last, max_tokens=7)[0].text == "one two three four five, six"


def test_overlap_repeats_whole_sentences_or_words() -> None:
    text = "Alpha beta gamma. Delta epsilon. Zeta eta theta iota. Kappa."
    passages = chunk(Document("d", text), words, max_tokens=6, overlap_tokens=2)
    assert [p.text for p in passages] == [
        "Alpha beta gamma. Delta epsilon.",
        "Delta epsilon. Zeta eta theta iota.",
        "theta iota. Kappa.",
    ]


def test_context_is_what_stands_before_and_is_not_in_the_passage() -> None:
    text = "Alpha beta gamma. Delta epsilon. Zeta eta theta iota."
    passages = chunk(Document("d", text), words, max_tokens=5, context_tokens=3)
    assert [(p.context, p.text) for p in passages] == [
        ("", "Alpha beta gamma. Delta epsilon."),
        ("Delta epsilon.", "Zeta eta theta iota."),
    ]


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000\r\n"])
def test_nothing_to_read_gives_no_passage(text: str) -> None:
    assert chunk(Document("d", text), words) == []
    assert_covered(Document("d", text), [])


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"overlap_tokens": 128}, {"overlap_tokens": -1}, {"context_tokens": -1}]
)
def test_impossible_budgets_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="tokens"):
        chunk(Document("d", "x"), words, **wrong)


def test_a_hole_is_noticed() -> None:
    document = Document("d", "one two three")
    whole = [Passage("d", 0, 0, "one"), Passage("d", 1, 4, "two three")]
    assert_covered(document, whole)
    assert first_uncovered(document, whole[:1]) == 4
    with pytest.raises(AssertionError, match="character 0"):
        assert_covered(document, whole[1:])
    with pytest.raises(AssertionError, match="not at 1"):
        assert_covered(document, [Passage("d", 0, 1, "one")])
    with pytest.raises(AssertionError, match="not at 0"):
        assert_covered(document, [Passage("other", 0, 0, document.text)])


@pytest.mark.parametrize(
    "unit",
    ["word ", "Sentence number one. ", "a", "é", "e\u0301", "人", ".", "。", "a,", "\U0001f1e6", "\n"],
    ids=ascii,
)
@pytest.mark.parametrize("budget", [{}, {"overlap_tokens": 16, "context_tokens": 16}], ids=["plain", "overlap"])
def test_a_megabyte_in_one_line_is_counted_a_few_times_only(unit: str, budget: dict[str, int]) -> None:
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return quarters(text)

    text = unit * (1_000_000 // len(unit)) + "x"
    document = Document("d", text)
    begun = time.process_time()
    passages = chunk(document, count, **budget)
    assert time.process_time() - begun < 10  # under 1.5 s on an idle machine
    assert counted < 16 * len(text)
    assert_covered(document, passages)
    assert max(quarters(p.text) for p in passages) <= 128
