"""No model is ever shown the answer to what it is asked."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.demonstrations import Demonstration, DemonstrationIndex, Query, may_demonstrate, retriever
from tools.demonstrations.duplicates import near_duplicate, overlap, same_text
from tools.demonstrations.retrievers import RETRIEVERS

Open = Callable[..., DemonstrationIndex]
Pool = Callable[..., list[Demonstration]]
NAMES = sorted(RETRIEVERS)
SPLITS = ["train", "train", "train", "dev", "test", "audit", "validation", "TEST ", "eval", "holdout"]

DISGUISES: list[Callable[[str], str]] = [
    lambda text: text,
    str.upper,
    lambda text: "  " + text.replace(" ", "\u00a0\n") + " ",
    lambda text: text + " !!",
    lambda text: text.replace(" ", ", "),
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in text),
]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), size=st.integers(1, 40), k=st.integers(1, 8), name=st.sampled_from(NAMES))
def test_never_its_own_document_text_or_an_evaluation_split(
    hash_embedder: Any, pool: Pool, tmp_path_factory: Any, seed: int, size: int, k: int, name: str
) -> None:
    rng = random.Random(seed)
    items = [
        replace(
            item,
            document_id=f"doc{rng.randint(0, 9)}",
            split=rng.choice(SPLITS),
            document_hash=rng.choice(["", "h1", "h2"]),
        )
        for item in pool(size, seed)
    ]
    # Copies of a text under other ids, somewhat disguised.
    items += [
        replace(item, id=f"copy{n}", document_id=f"other{n}", text=disguise(item.text), spans=(), split="train")
        for n, (item, disguise) in enumerate(zip(rng.sample(items, min(6, size)), DISGUISES, strict=False))
    ]
    queries = [
        Query(item.document_id, item.text, item.spans, item.document_hash)
        for item in rng.sample(items, min(8, len(items)))
    ]
    with DemonstrationIndex(tmp_path_factory.mktemp("leak") / "index", hash_embedder()) as index:
        index.add(items)
        found = retriever(name, index).retrieve(queries, k, rng=rng)
        for query, row in zip(queries, found, strict=True):
            for shown in (r.demonstration for r in row):
                assert shown.document_id != query.document_id
                assert not query.document_hash or shown.document_hash != query.document_hash
                assert not same_text(shown.text, query.text)
                assert not near_duplicate(shown.text, query.text)
                assert may_demonstrate(shown.split)
            texts = [r.demonstration.text for r in row]
            assert not any(near_duplicate(a, b) for i, a in enumerate(texts) for b in texts[:i])
            # And nothing that may be shown is kept back.
            allowed: list[str] = []
            for item in items:
                if (
                    may_demonstrate(item.split)
                    and item.document_id != query.document_id
                    and not (query.document_hash and item.document_hash == query.document_hash)
                    and not near_duplicate(item.text, query.text)
                    and not any(near_duplicate(item.text, text) for text in allowed)
                ):
                    allowed.append(item.text)
            assert len(row) == min(k, len(allowed))


@pytest.mark.parametrize("name", NAMES)
def test_a_large_own_document_does_not_starve_its_passages(opened: Open, hashed: Any, pool: Pool, name: str) -> None:
    own = [replace(item, document_id="book", id=f"own{item.id}") for item in pool(150, vocabulary=5)]
    others = pool(5, seed=8, vocabulary=5)
    index = opened(hashed, [*own, *others])
    found = retriever(name, index).retrieve([Query("book", own[3].text, own[3].spans)], 5, rng=random.Random(0))[0]
    assert {r.demonstration.id for r in found} == {item.id for item in others}


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_splits_are_kept_out_even_if_they_got_in(
    opened: Open, hashed: Any, pool: Pool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [replace(item, split="test" if n % 2 else "train") for n, item in enumerate(pool(30))]
    with monkeypatch.context() as patch:
        patch.setattr("tools.demonstrations.index.may_demonstrate", lambda _: True)
        index = opened(hashed, items)
    assert index.count() == 30
    found = retriever(name, index).retrieve([Query("q", items[1].text, items[1].spans)], 10, rng=random.Random(0))[0]
    assert len(found) == 10
    assert {r.demonstration.split for r in found} == {"train"}


def test_splits() -> None:
    assert all(may_demonstrate(split) for split in ("train", " Train", "", "demonstrations", "pool"))
    assert not any(
        may_demonstrate(split) for split in ("dev", "test", "audit", "valid", "tset", "train-dev", "calibration")
    )


LONG = "The committee of the northern province met in Halvard on Tuesday to discuss the repair of the old stone bridge."


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (LONG, LONG.upper(), True),
        (LONG, LONG.replace("Tuesday", "Wednesday"), False),
        (LONG * 3, (LONG * 3).replace("bridge.", "bridges.", 1), True),
        (LONG, "Earlier. " + LONG + " Nobody objected, and the meeting closed at noon.", True),
        ("Berlin", "Berlin is large", False),
        ("", "", True),
        ("...", ". . .", True),
        ("...", "!!!", False),
        ("東京は首都です", "東京は首都です。", True),
        ("東京は首都です", "京都は古都です", False),
        ("Version 1.2", "Version 1.3", False),
        ("\ud800 a", "\ud801 a", True),
    ],
)
def test_near_duplicates(a: str, b: str, expected: bool) -> None:
    assert near_duplicate(a, b) is near_duplicate(b, a) is expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_near_duplicate_is_symmetric_and_reflexive(a: str, b: str) -> None:
    assert near_duplicate(a, a)
    assert near_duplicate(a, b) == near_duplicate(b, a)
    assert 0 <= overlap(a, b) == overlap(b, a) <= 1
