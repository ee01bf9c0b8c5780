"""Demonstrations that are the same for every passage."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.demonstrations import Demonstration, DemonstrationIndex, Query, SentenceTransformerEmbedder, retriever
from tools.demonstrations.retrievers.fixed import _Short, greedy, pool_of

Open = Callable[..., DemonstrationIndex]
Pool = Callable[..., list[Demonstration]]
Say = Callable[..., Demonstration]


def ids(rows: Any) -> list[list[str]]:
    return [[item.demonstration.id for item in row] for row in rows]


def value(chosen: Any, types: Any, vectors: Any) -> float:
    """The reward of a set as the docstring writes it."""
    labels = sorted({label for one in types for label in one})
    near = np.maximum(0.0, vectors @ vectors.T)
    covered = [1 - 2.0 ** -sum(types[i].get(label, 0) for i in chosen) for label in labels]
    return float(np.mean(covered) if labels else 0.0) + float(near[list(chosen)].max(axis=0).mean() if chosen else 0.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 12), count=st.integers(1, 6))
def test_every_pick_adds_most_and_says_how_much(seed: int, size: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    types = [{label: int(n) for label, n in zip("abc", rng.integers(0, 3, 3), strict=True) if n} for _ in range(size)]
    vectors = rng.normal(size=(size, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = greedy(types, vectors, count)
    assert len(found) == len({at for at, _ in found}) == min(count, size)
    assert greedy(types, vectors, count + 1)[: len(found)] == found
    for step, (at, gain) in enumerate(found):
        before = [i for i, _ in found[:step]]
        gains = [
            value([*before, i], types, vectors) - value(before, types, vectors) for i in range(size) if i not in before
        ]
        assert abs(value([*before, at], types, vectors) - value(before, types, vectors) - gain) < 2e-5
        assert gain > max(gains) - 2e-5


def test_types_are_covered_first(opened: Open, minilm: SentenceTransformerEmbedder, say: Say) -> None:
    people = [say(f"p{n}", f"[{name}|person] came home late that night.") for n, name in enumerate(("Ada", "Bo", "Cy"))]
    others = [
        say("t", "They sailed from [Turku|town] at noon."),
        say("c", "A loan from [Nordbank|company] paid for it."),
        say("n", "Nobody had thought of that before."),
    ]
    index = opened(minilm, [*people, *others])
    (row,) = retriever("fixed", index).retrieve([Query("q", "Anything at all")], 3, rng=random.Random(0))
    labels = [{span.label for span in item.demonstration.spans} for item in row]
    assert sorted(labels, key=sorted) == [{"company"}, {"person"}, {"town"}]
    assert row[0].score >= row[1].score >= row[2].score > 0
    assert {item.by for item in row} == {"fixed"}


def test_all_passages_see_the_same_but_never_their_own(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(120)
    chooser = retriever("fixed", opened(hashed, items))
    rows = chooser.retrieve([Query(f"q{n}", f"passage number {n}") for n in range(20)], 5, rng=random.Random(0))
    (usual,) = {tuple(row) for row in ids(rows)}
    own = next(item for item in items if item.id == usual[1])
    (instead,) = ids(chooser.retrieve([Query(own.document_id, own.text)], 5, rng=random.Random(9)))
    assert own.id not in instead
    assert instead[:4] == [one for one in usual if one != own.id]
    assert len(instead) == 5


def test_the_choice_follows_the_index(opened: Open, hashed: Any, say: Say, pool: Pool) -> None:
    items = pool(40)
    index = opened(hashed, items)
    chooser = retriever("fixed", index)
    query = [Query("q", "a passage")]
    (before,) = ids(chooser.retrieve(query, 3, rng=random.Random(0)))
    index.add([say("new", "tun vi [Turku|TOWN] dra shen lu ko mel os")])
    (after,) = ids(chooser.retrieve(query, 3, rng=random.Random(0)))
    assert "new" in after and "new" not in before
    assert ids(retriever("fixed", index).retrieve(query, 3, rng=random.Random(5))) == [after]
    index.remove(["new"])
    assert ids(chooser.retrieve(query, 3, rng=random.Random(0))) == [before]


def test_the_pool_leaves_out_extremes_but_no_type() -> None:
    known = {f"{n:04}": _Short(n, {"common": 1}) for n in range(1, 4001)}
    known["9999"] = _Short(100_000, {"rare": 2})
    keys = pool_of(known)
    assert "9999" in keys
    usual = [known[key].length for key in keys if key != "9999"]
    assert 600 < len(usual) <= 1000 and min(usual) > 900 and max(usual) < 3100
    few = {f"{n}": _Short(10**n, {}) for n in range(5)}
    assert pool_of(few) == sorted(few)
