"""Cutting: the same input gives the same parts, and every document is in them once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runs.errors import RunMismatch
from agent.runs.parts import Part, cut_parts, fingerprint, in_shard, parse_shard, unfinished
from tools.annotation import Document, Passage
from tools.errors import InputError


def by_words(document: Document) -> list[Passage]:
    """A passage a word."""
    found, at = [], 0
    for word in document.text.split(" "):
        if word:
            found.append(Passage(document.id, len(found), at, word))
        at += len(word) + 1
    return found


def cut(documents: Sequence[Document], batch: int, kept: list[str] | None = None) -> list[Part]:
    parts = []
    for part in cut_parts(
        documents, by_words, lambda some: (kept if kept is not None else []).extend(d.id for d in some), batch
    ):
        if kept is not None:
            assert {p.document_id for p in part.passages} <= set(kept), "a part came before its documents were kept"
        parts.append(part)
    return parts


texts = st.lists(st.text(alphabet="ab \ud800\0é", max_size=12), max_size=30)


@given(texts, st.integers(1, 7))
def test_parts_hold_every_passage_once_and_in_order(contents: list[str], batch: int) -> None:
    documents = [Document(f"d{n}", text) for n, text in enumerate(contents)]
    kept: list[str] = []
    parts = cut(documents, batch, kept)
    assert kept == [d.id for d in documents]
    assert [p.number for p in parts] == list(range(len(parts)))
    assert all(len(p.passages) == batch for p in parts[:-1])
    assert [p for part in parts for p in part.passages] == [
        p for d in documents for p in (by_words(d) or [Passage(d.id, 0, 0, "")])
    ]
    assert sum(p.documents for p in parts) == len(documents)
    assert [p.fingerprint for p in cut(documents, batch)] == [p.fingerprint for p in parts]


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4), st.integers(0, 3), st.text(max_size=6))
def test_a_fingerprint_tells_any_change(contents: list[str], where: int, other: str) -> None:
    passages = [Passage("d", n, 0, text) for n, text in enumerate(contents)]
    changed = list(passages)
    where %= len(changed)
    changed[where] = Passage("d", where, 0, other)
    assert (fingerprint(passages) == fingerprint(changed)) == (passages == changed)


def test_a_fingerprint_is_not_fooled_by_moved_borders() -> None:
    assert fingerprint([Passage("d", 0, 0, "ab", "c")]) != fingerprint([Passage("d", 0, 0, "a", "bc")])
    assert fingerprint([Passage("d", 0, 1, "a")]) != fingerprint([Passage("d", 0, 2, "a")])
    assert fingerprint([Passage("c", 0, 1, "a")]) != fingerprint([Passage("d", 0, 1, "a")])


@given(st.lists(st.text(max_size=8), unique=True, max_size=60), st.integers(1, 9))
def test_shards_are_disjoint_and_together_the_whole(ids: list[str], shards: int) -> None:
    found = [[x for x in ids if in_shard(x, (i, shards))] for i in range(1, shards + 1)]
    assert sorted(x for shard in found for x in shard) == sorted(ids)
    assert [x for x in ids if in_shard(x, None)] == ids


def test_shards_are_of_similar_size() -> None:
    sizes = [sum(in_shard(f"doc-{n}", (i, 4)) for n in range(4000)) for i in range(1, 5)]
    assert min(sizes) > 850


@pytest.mark.parametrize("value", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", "١/٤", ""])
def test_a_bad_shard_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="shard"):
        parse_shard(value)


def test_shards_are_read() -> None:
    assert parse_shard("2/4") == (2, 4)


def done(parts: list[Part], *numbers: int) -> dict[int, str]:
    return {n: parts[n].fingerprint for n in numbers}


def test_finished_parts_are_skipped_wherever_they_are() -> None:
    parts = cut([Document(f"d{n}", "a b c") for n in range(10)], 4)
    skipped: list[Part] = []
    left = list(unfinished(parts, done(parts, 0, 2, 7), skipped.append))
    assert [p.number for p in left] == [1, 3, 4, 5, 6]
    assert [p.number for p in skipped] == [0, 2, 7]


def test_a_changed_input_is_refused() -> None:
    before = cut([Document(f"d{n}", "a b c") for n in range(10)], 4)
    after = cut([Document(f"d{n}", "a b c" if n != 5 else "a b d") for n in range(10)], 4)
    with pytest.raises(RunMismatch, match=r"input changed .* document 'd\d'") as caught:
        list(unfinished(after, done(before, 0, 1, 2, 3, 4), lambda part: None))
    assert "--fresh" in caught.value.hint


def test_a_shorter_input_is_refused() -> None:
    parts = cut([Document(f"d{n}", "a b c") for n in range(10)], 4)
    with pytest.raises(RunMismatch, match="ends before part 7"):
        list(unfinished(parts[:3], done(parts, 0, 7), lambda part: None))
