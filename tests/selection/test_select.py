"""``select`` as its callers meet it: the audit stream, reasons, near duplicates, chance, and what people get wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.selection import STRATEGIES, Pool, Selection, SelectionError, SelectionOptions, select
from tools.selection.allabel import shared_out, stage_shares
from tools.selection.audit import audit_count
from tools.selection.lexical import LexicalSimilarity

TEXTS = ["zinc oxide", "the harbour of Rome", "a river bank", "the bank of Rome", "oxide of zinc", "ships at sea"]


def pool(size: int = 60, **more: Any) -> Pool:
    vectors = np.random.default_rng(0).normal(size=(size, 8)).astype(np.float32)
    return Pool.of([f"d{row}" for row in range(size)], embeddings=vectors, **more)


def choose(strategy: str, of: Pool, budget: int, seed: int = 1, **options: Any) -> Selection:
    return select(strategy, of, budget, np.random.default_rng(seed), options=SelectionOptions(**options))


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_strategy_gives_whole_picks(strategy: str) -> None:
    texts = [f"item {row} {TEXTS[row % len(TEXTS)]}" for row in range(60)]
    given = pool(texts=texts, labelled=["d3", "d9"], excluded=["d5"], seconds=np.linspace(1, 9, 60))
    found = choose(strategy, given, 20, near_duplicate=None)
    assert len(found.picks) == 20
    assert len(set(found.ids)) == 20
    assert not {"d3", "d9", "d5"} & set(found.ids)
    assert [pick.position for pick in found.picks] == list(range(20))
    assert sum(pick.audit for pick in found.picks) == 2
    for pick in found.picks:
        assert given.ids[pick.row] == pick.id
        assert pick.reason.strategy == ("audit" if pick.audit else strategy)
        assert pick.reason.seconds == pytest.approx(given.seconds[pick.row], abs=1e-3)  # type: ignore[index]
    stages = Counter(pick.reason.stage for pick in found.picks)
    for stage, count in stages.items():
        assert [p.reason.rank for p in found.picks if p.reason.stage == stage] == list(range(1, count + 1))
    # The log is plain JSON, and says it all.
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [one["id"] for one in record["picks"]] == list(found.ids)
    assert all(one["reason"]["meaning"] for one in record["picks"])


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_the_same_seed_gives_the_same_picks(strategy: str) -> None:
    assert choose(strategy, pool(), 20).to_dict() == choose(strategy, pool(), 20).to_dict()
    assert choose(strategy, pool(), 20, seed=2).ids != choose(strategy, pool(), 20).ids


def test_threads_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from threadpoolctl import threadpool_limits

    usual = {
        name: choose(name, pool(400), 50, audit=0.0).ids for name in ("coreset", "votek", "facility", "similarity")
    }
    for module, name, value in (
        ("coreset", "_BLOCK", 3), ("coreset", "_STEP", 2), ("coreset", "_FRONT", 16), ("neighbours", "_CELLS", 5000),
        ("distances", "BLOCK", 7), ("similarity", "_BLOCK", 33), ("similarity", "_CELLS", 900), ("votek", "_BLOCK", 11),
    ):  # fmt: skip
        monkeypatch.setattr(f"tools.selection.{module}.{name}", value)
    with threadpool_limits(1):
        assert {name: choose(name, pool(400), 50, audit=0.0).ids for name in usual} == usual


def test_nearest_is_labelled_or_an_earlier_pick() -> None:
    given = pool(labelled=["d3", "d9"])
    found = choose("coreset", given, 12, audit=0.25)
    units = np.asarray(given.embeddings, dtype=np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    known = [3, 9]
    for pick in found.picks:
        cosines = units[pick.row] @ units[known].T
        assert pick.reason.nearest == f"d{known[int(cosines.argmax())]}"
        assert pick.reason.nearest_similarity == pytest.approx(cosines.max(), abs=5e-4)
        known.append(pick.row)


def test_the_audit_is_a_simple_random_sample() -> None:
    """Each open item is drawn as often as any other, whatever the strategy and however alike items are."""
    vectors = np.repeat(np.random.default_rng(0).normal(size=(10, 4)), 2, axis=0)
    given = Pool([f"d{row}" for row in range(20)], embeddings=vectors, labelled=[0], excluded=[1])
    drawn: Counter[int] = Counter()
    places: Counter[int] = Counter()
    for seed in range(600):
        found = choose("random", given, 8, seed, audit=0.25)
        audits = [pick for pick in found.picks if pick.audit]
        if seed < 10:
            # Drawn before the strategy chooses: it makes no difference which.
            other = choose("coreset", given, 8, seed, audit=0.25)
            assert {pick.row for pick in other.picks if pick.audit} == {pick.row for pick in audits}
        assert len(audits) == 2
        assert all(pick.reason.facts == {"population": 18, "drawn": 2} for pick in audits)
        drawn.update(pick.row for pick in audits)
        places.update(pick.position for pick in audits)
    assert set(drawn) == set(range(2, 20))
    # 1,200 draws over 18 items: chi-squared with 17 degrees of freedom is below 40.8 in 999 of 1,000 cases.
    assert sum((drawn[row] - 1200 / 18) ** 2 / (1200 / 18) for row in range(2, 20)) < 40.8
    assert sum((places[place] - 150) ** 2 / 150 for place in range(8)) < 24.3


def test_small_batches_get_their_share_of_audits_by_chance() -> None:
    counts = [audit_count(5, 0.1, np.random.default_rng(seed)) for seed in range(400)]
    assert set(counts) == {0, 1}
    assert 150 < sum(counts) < 250
    assert {audit_count(10, 0.1, np.random.default_rng(seed)) for seed in range(50)} == {1}
    assert {audit_count(30, 0.1, np.random.default_rng(seed)) for seed in range(50)} == {3}


def test_all_or_nothing_of_a_batch_may_be_audit() -> None:
    assert all(pick.audit for pick in choose("allabel", pool(), 10, audit=1.0).picks)
    assert not any(pick.audit for pick in choose("allabel", pool(), 10, audit=0.0).picks)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_near_duplicates_do_not_share_a_batch(strategy: str) -> None:
    base = np.random.default_rng(0).normal(size=(30, 8))
    twins = np.concatenate([base, base + 1e-3])
    given = Pool([f"d{row}" for row in range(60)], embeddings=twins)
    found = choose(strategy, given, 25)
    assert len({pick.row % 30 for pick in found.picks}) == 25
    assert any("near duplicates" in line for line in found.notes) or strategy in ("coreset", "facility")
    kept = choose("similarity", given, 25, near_duplicate=None)
    assert len({pick.row % 30 for pick in kept.picks}) < 25


def test_near_duplicates_are_known_by_their_words_too() -> None:
    texts = ["The harbour office of Lagos closed the old plant near the river."] * 3
    texts[1] = texts[1].upper() + "!"
    texts[2] = "Zinc oxide was measured in the evening by somebody else entirely."
    found = choose("random", Pool(["a", "b", "c"], texts=texts), 2, audit=0.0)
    assert set(found.ids) & {"c"}
    assert choose("random", Pool(["a", "b"], texts=texts[:2]), 1).ids
    short = choose("random", Pool(["a", "b", "x"], texts=[texts[0], texts[1], texts[0]]), 2, audit=0.0)
    assert len(short.picks) == 1
    assert "1 picks are missing for it" in " ".join(short.notes)


def test_more_than_there_are_means_all() -> None:
    given = pool(6, labelled=["d1"])
    found = choose("allabel", given, 50)
    assert sorted(found.ids) == ["d0", "d2", "d3", "d4", "d5"]
    assert "50 were asked for, 5 are left: all of them are picked" in found.notes


def test_nothing_left() -> None:
    found = choose("coreset", pool(2, labelled=["d0"], excluded=["d1"]), 3)
    assert found.picks == ()
    assert "every item is labelled or set aside: nothing is left to pick" in found.notes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choose("nope", pool(), 3), "there is no strategy 'nope'"),
        (lambda: choose("random", Pool([]), 3), "the pool is empty"),
        (lambda: choose("random", pool(), 0), "a budget of 0 picks nothing"),
        (lambda: choose("random", Pool(["a", "a"]), 1), "item 'a' is twice"),
        (lambda: choose("random", Pool(["a"], texts=[]), 1), "1 ids and 0 texts"),
        (lambda: choose("random", Pool(["a"], embeddings=np.zeros((2, 3))), 1), "embeddings of shape 2x3"),
        (lambda: choose("random", Pool(["a"], labelled=[1]), 1), "lies outside the pool"),
        (lambda: choose("random", Pool(["a"], seconds=np.zeros(1)), 1), "a duration is not a positive number"),
        (lambda: choose("random", Pool(["a"], signals={"votes": np.zeros(2)}), 1), "2 values of votes"),
        (lambda: choose("coreset", Pool(["a", "b"]), 1, audit=0), "the pool has no embeddings"),
        (lambda: choose("coreset", Pool(["a"]), 1, audit=0, similarity="bm25"), "the pool has no texts"),
        (lambda: choose("coreset", Pool(["a"], texts=["?!"]), 1, audit=0, similarity="bm25"), "no text of the pool"),
        (lambda: choose("random", pool(), 1, audit=1.5), "an audit share of 1.5"),
        (lambda: choose("allabel", pool(), 1, shares=(0, 0, 0)), "the shares are not three numbers"),
        (lambda: choose("allabel", pool(), 1, shares=(1, float("nan"), 0)), "the shares are not three numbers"),
        (lambda: choose("random", pool(), 1, similarity="bm24"), "similarity 'bm24' is unknown"),
        (lambda: choose("random", pool(), 1, near_duplicate=2), "near_duplicate is a cosine"),
        (lambda: Pool.of(["a"], labelled=["b"]), "item 'b' is not in the pool"),
    ],
)
def test_mistakes_are_told_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(SelectionError, match=message) as told:
        make()
    assert told.value.hint
    assert told.value.exit_code == 2
    assert "\n" not in told.value.message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_named(value: float) -> None:
    vectors = np.ones((5, 3))
    vectors[3, 1] = value
    with pytest.raises(SelectionError, match="the vector of item 'd3'"):
        choose("coreset", Pool([f"d{row}" for row in range(5)], embeddings=vectors), 2, audit=0.0)


def test_unknown_strategies_are_answered_with_all_names() -> None:
    with pytest.raises(SelectionError) as told:
        choose("nope", pool(), 3)
    assert all(name in told.value.hint for name in STRATEGIES)


def test_zero_vectors_are_similar_to_nothing_and_said() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    vectors[[4, 7]] = 0
    given = Pool([f"d{row}" for row in range(30)], embeddings=vectors)
    for strategy in ("coreset", "votek", "facility", "similarity"):
        found = choose(strategy, given, 5, audit=0.0)
        assert "2 of the vectors are zero, similar to nothing: 'd4', 'd7'" in found.notes
    # Nobody's neighbours: in vote-k they have no votes, and come after all that have some.
    every = choose("votek", given, 30, audit=0.0, neighbours=3, near_duplicate=None)
    scores = {pick.row: pick.reason.score for pick in every.picks}
    assert scores[4] == scores[7] == 0
    order = [pick.reason.score > 0 for pick in every.picks]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_length_of_vectors_does_not_matter(scale: float) -> None:
    given = pool()
    scaled = Pool(given.ids, embeddings=np.asarray(given.embeddings, dtype=np.float64) * scale)
    assert choose("coreset", scaled, 20, audit=0.0).ids == choose("coreset", given, 20, audit=0.0).ids


@given(st.integers(0, 500), st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any))
def test_shares_are_whole_and_near(budget: int, shares: list[int]) -> None:
    parts = shared_out(budget, shares)
    assert sum(parts) == budget
    assert all(abs(part - budget * share / sum(shares)) < 1 for part, share in zip(parts, shares, strict=True))


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any),
)
def test_stages_follow_each_other_over_a_campaign(batches: list[int], shares: Sequence[int]) -> None:
    total, done = sum(batches), 0
    spent = np.zeros(3, dtype=int)
    for size in batches:
        parts = np.array(stage_shares(size, done, total, shares))
        assert parts.sum() == size
        # No later stage begins before an earlier one has had its share.
        quota = np.array(shared_out(total, shares))
        for stage in range(3):
            if parts[stage]:
                assert all((spent + parts)[:stage] == quota[:stage])
        spent += parts
        done += size
    assert tuple(spent) == shared_out(total, shares)


def test_paper_shares() -> None:
    assert shared_out(50, (1, 3, 1)) == (10, 30, 10)
    stages = Counter(pick.reason.stage for pick in choose("allabel", pool(), 50, audit=0.0, near_duplicate=None).picks)
    assert stages == {"diversity": 10, "similarity": 30, "uncertainty": 10}
    early = choose("allabel", pool(), 5, audit=0.0, near_duplicate=None, campaign_total=50, campaign_done=5)
    assert {pick.reason.stage for pick in early.picks} == {"diversity"}


def test_falling_back_is_said() -> None:
    found = choose("uncertainty", pool(labelled=["d1"]), 3)
    assert any("no item has the models' perplexity" in line for line in found.notes)


def test_bm25_is_lucenes() -> None:
    words = [text.casefold().split() for text in TEXTS]
    mean = sum(map(len, words)) / len(words)
    every = np.arange(len(TEXTS))
    found = LexicalSimilarity(TEXTS)
    scores = found.between(every, every) / found.unit
    for q, query in enumerate(words):
        for d, document in enumerate(words):
            score = 0.0
            for term in query:
                df, tf = sum(term in other for other in words), document.count(term)
                idf = np.log(1 + (len(words) - df + 0.5) / (df + 0.5))
                score += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
            assert scores[q, d] == pytest.approx(score, abs=1e-3)
    assert found.totals(every) == pytest.approx(found.between(every, every).sum(axis=1) - found.own())
