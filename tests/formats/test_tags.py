"""Tag schemes against seqeval, and tokens against what is promised of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB1, IOB2, IOBES, Entities

from tests.formats.making import PIECES
from tools.annotation import Span
from tools.formats.tags import SCHEMES, Chunk, Scheme, TagFault, decode, encode, split_tag, tell
from tools.formats.tokens import TokenMap, cut_at, tokenize

THEIRS: dict[str, Any] = {"bio": IOB2, "bioes": IOBES, "iob1": IOB1}


@st.composite
def chunked(draw: Any) -> tuple[int, list[Chunk]]:
    size, chunks, at = draw(st.integers(0, 12)), [], 0
    while at < size:
        last = draw(st.integers(at, min(size - 1, at + 3)))
        if draw(st.booleans()):
            chunks.append(Chunk(at, last, draw(st.sampled_from(["a", "b-c"]))))
        at = last + 1
    return size, chunks


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tags_say_what_seqeval_reads_in_them(scheme: Scheme) -> None:
    @given(chunked())
    def check(made: tuple[int, list[Chunk]]) -> None:
        size, chunks = made
        tags = encode(size, chunks, scheme)
        theirs = {(e.start, e.end - 1, e.tag) for e in Entities([tags], THEIRS[scheme]).entities[0]}
        assert theirs == {(c.first, c.last, c.label) for c in chunks}
        assert list(decode(tags, scheme)) == chunks
        assert tell([tags]) in ((scheme,) if chunks else ("",)) or (
            scheme == "bioes" and not any(t[0] in "ES" for t in tags)
        )

    check()


@given(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), max_size=10))
def test_invalid_bio_is_read_as_conlleval_does_and_every_fault_is_told(tags: list[str]) -> None:
    found = list(decode(tags, "bio"))
    chunks = [(part.label, part.first, part.last) for part in found if isinstance(part, Chunk)]
    assert chunks == get_entities(tags)
    wrong = [n for n, tag in enumerate(tags) if tag[0] == "I" and (n == 0 or tags[n - 1][2:] != tag[2:])]
    assert [part.at for part in found if isinstance(part, TagFault)] == wrong


@given(
    st.lists(st.sampled_from(["O", "B-a", "I-a", "E-a", "S-a", "I-b", "E-b", "x", "B-", ""]), max_size=8),
    st.sampled_from(SCHEMES),
)
def test_any_tags_give_mentions_in_order_that_share_no_token(tags: list[str], scheme: Scheme) -> None:
    chunks = [part for part in decode(tags, scheme) if isinstance(part, Chunk)]
    places = [place for chunk in chunks for place in range(chunk.first, chunk.last + 1)]
    assert places == sorted(set(places))
    assert all(chunk.label for chunk in chunks)
    tagged = {n for n, tag in enumerate(tags) if (parts := split_tag(tag)) and parts[0] != "O"}
    assert set(places) == tagged


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "B-a", "I-a"], "bio"), (["I-a", "B-a"], "iob1"), (["O", "O"], ""), (["S-a"], "bioes"), (["U-a"], "bioes"),
        (["I-a", "O", "B-a"], "bio"), (["B-a", "L-a"], "bioes"), (["I-a", "I-b", "B-b"], "iob1"),
    ],
)  # fmt: skip
def test_the_scheme_is_told(tags: list[str], scheme: str) -> None:
    assert tell([["O"], tags]) == scheme


@given(
    st.lists(st.sampled_from(PIECES) | st.text(st.characters(codec=None), max_size=5), max_size=10).map("".join),
    st.data(),
)
def test_tokens_cover_all_but_white_space(text: str, data: Any) -> None:
    tokens = tokenize(text)
    covered = [at for start, end in tokens for at in range(start, end)]
    assert covered == [at for at, char in enumerate(text) if not char.isspace()]
    assert all(start < end for start, end in tokens)
    if text:
        start = data.draw(st.integers(0, len(text) - 1))
        span = Span(start, data.draw(st.integers(start + 1, len(text))), "x")
        cut = cut_at(tokens, [span])
        assert [at for a, b in cut for at in range(a, b)] == covered
        assert not any(a < border < b for a, b in cut for border in (span.start, span.end))
        if not text[span.start].isspace() and not text[span.end - 1].isspace():
            assert TokenMap(cut).find(span) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IL-2 rose, 3.5-fold.", ["IL", "-", "2", "rose", ",", "3", ".", "5", "-", "fold", "."]),
        ("東京都 in हिन्दी", ["東", "京", "都", "in", "हिन्दी"]),
        ("e\u0301tude ❤\ufe0flove", ["e\u0301tude", "❤\ufe0f", "love"]),
        ("น้ำใจ", ["น้", "ำ", "ใ", "จ"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    assert [text[a:b] for a, b in tokenize(text)] == words
