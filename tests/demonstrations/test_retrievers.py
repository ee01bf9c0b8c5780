from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.annotation import Span
from tools.demonstrations import Demonstration, DemonstrationIndex, Query, SentenceTransformerEmbedder, retriever
from tools.demonstrations.retrievers import RETRIEVERS
from tools.demonstrations.retrievers.base import DIGITS, eligible
from tools.demonstrations.retrievers.bm25 import words
from tools.demonstrations.retrievers.span import weighted_mentions
from tools.demonstrations.similarity import span_similarities
from tools.errors import ConfigError

Open = Callable[..., DemonstrationIndex]
Pool = Callable[..., list[Demonstration]]
Say = Callable[..., Demonstration]
NAMES = sorted(RETRIEVERS)


def asked(item: Demonstration, document: str = "query") -> Query:
    return Query(document, item.text, item.spans)


def span_sim(embedder: Any, index: DemonstrationIndex, query: Query, item: Demonstration) -> float:
    """SpanSim as the paper writes it, one cosine at a time."""
    weights = weighted_mentions(query, index.words)
    if not weights or not item.mentions:
        return -np.inf
    total = 0.0
    for text, weight in weights.items():
        own = embedder.encode([text])[0].astype(np.float64)
        total += weight * max(float(own @ embedder.encode([c])[0]) for c in item.mentions)
    return total / sum(weights.values())


def test_names_and_unknown_ones(opened: Open, hashed: Any) -> None:
    index = opened(hashed)
    assert NAMES == ["bm25", "fixed", "random", "sentence", "span"]
    with pytest.raises(ConfigError, match="no retriever 'best'"):
        retriever("best", index)


def test_similarity_matches_a_loop() -> None:
    rng = np.random.default_rng(5)
    query, vectors = rng.normal(size=(3, 8)).astype("f4"), rng.normal(size=(20, 8)).astype("f4")
    weights = np.array([4.0, 0.5, 2.0])
    candidates = [[0], [], [3, 4, 5, 6], [19, 0], []]
    found = span_similarities(query, weights, vectors, candidates)
    for score, rows in zip(found, candidates, strict=True):
        best = [max(float(q @ vectors[row]) for row in rows) if rows else -np.inf for q in query]
        assert score == pytest.approx(sum(w * b for w, b in zip(weights, best, strict=True)) / 6.5, rel=1e-5)
    assert span_similarities(query, weights, vectors, []).shape == (0,)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60), k=st.integers(1, 6), vocabulary=st.integers(3, 80))
def test_span_retrieval_equals_a_scan_of_the_pool(
    hash_embedder: Any, pool: Pool, tmp_path_factory: Any, seed: int, size: int, k: int, vocabulary: int
) -> None:
    embedder = hash_embedder()
    items = pool(size, seed, vocabulary)
    queries = [asked(item) for item in pool(8, seed + 1, vocabulary)]
    with DemonstrationIndex(tmp_path_factory.mktemp("scan") / "index", embedder) as index:
        index.add(items)
        found = retriever("span", index).retrieve(queries, k, rng=random.Random(0))
        for query, row in zip(queries, found, strict=True):
            scores = {item.id: span_sim(embedder, index, query, item) for item in items if eligible(query, item)}
            best = sorted((s for s in scores.values() if s > -np.inf), reverse=True)
            own = [r for r in row if r.by == "span"]
            for item in own:
                assert item.score == pytest.approx(scores[item.demonstration.id], abs=1e-4)
            # Near duplicates aside (the pool has none), the k best scores are those of the scan.
            assert [r.score for r in own] == pytest.approx(best[: len(own)], abs=1e-4)
            assert len(own) == min(k, len(best))
            assert len(row) == min(k, len(scores))


def test_span_retrieval_with_real_vectors_equals_a_scan(
    opened: Open, minilm: SentenceTransformerEmbedder, say: Say
) -> None:
    items = [
        say("steel", "[Thyssenkrupp|ORG] closed a mill in [Duisburg|LOC]."),
        say("film", "[Werner Herzog|PER] shot a film in [Peru|LOC]."),
        say("bank", "[Deutsche Bank|ORG] moved staff to [Frankfurt|LOC] last week."),
        say("gene", "Loss of [TP53|GENE] was seen in [liver cells|CELL]."),
        say("none", "Nothing of the kind was reported."),
    ]
    index = opened(minilm, items)
    query = asked(say("q", "[Commerzbank|ORG] will leave [Munich|LOC]."))
    found = retriever("span", index).retrieve([query], 5, rng=random.Random(0))[0]
    scan = sorted(items[:4], key=lambda item: -span_sim(minilm, index, query, item))
    assert [r.demonstration.id for r in found] == [*(item.id for item in scan), "none"]
    assert found[0].demonstration.id == "bank"
    assert [r.by for r in found] == ["span"] * 4 + ["sentence"]


def test_weights_decide(opened: Open, hashed: Any, say: Say) -> None:
    items = [say("name", "we saw [Zorvath|X] there today"), say("word", "we saw [liquid|X] again tonight")]
    index = opened(hashed, [*items, *(say(f"f{n}", f"a liquid number {n} ran out") for n in range(20))])
    query = asked(say("q", "now [Zorvath|X] and [liquid|X] meet [they|X]"))
    found = retriever("span", index).retrieve([query], 2, rng=random.Random(0))[0]
    assert [r.demonstration.id for r in found] == ["name", "word"]
    assert found[0].score > found[1].score + 0.1


def test_equal_scores_go_to_the_text_with_more_common_words(opened: Open, hashed: Any, say: Say) -> None:
    items = [say(f"d{n}", f"quite another matter number{n} for [Tessler|X] altogether") for n in range(30)]
    items.append(say("like", "the council thanked [Tessler|X] for the bridge"))
    index = opened(hashed, items)
    found = retriever("span", index).retrieve(
        [asked(say("q", "the council paid [Tessler|X] for the bridge yard"))], 1, rng=random.Random(0)
    )
    assert found[0][0].demonstration.id == "like"
    assert found[0][0].score == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("spans", [(), (Span(0, 2),), (Span(3, 4), Span(100, 120))])
def test_without_weighty_spans_the_sentence_decides_and_says_so(
    opened: Open, minilm: SentenceTransformerEmbedder, say: Say, spans: Any
) -> None:
    items = [say("rates", "The [ECB|ORG] raised interest rates."), say("frog", "A frog of [Peru|LOC] jumped.")]
    index = opened(minilm, items)
    query = Query("q", "He - and the bank lifted its key rate again", spans if spans != (Span(0, 2),) else ())
    found = retriever("span", index).retrieve([query], 1, rng=random.Random(0))[0]
    assert [(r.demonstration.id, r.by) for r in found] == [("rates", "sentence")]


def test_sentence_retrieval_is_the_exact_cosine(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(80)
    index = opened(hashed, items)
    queries = [asked(item) for item in pool(10, seed=7)]
    for query, row in zip(
        queries, retriever("sentence", index).retrieve(queries, 5, rng=random.Random(0)), strict=True
    ):
        own = hashed.encode([query.text])[0]
        best = sorted((float(own @ hashed.encode([item.text])[0]) for item in items), reverse=True)[:5]
        assert [r.score for r in row] == pytest.approx(best, abs=1e-4)


def test_bm25_prefers_rare_common_words_in_any_script(opened: Open, hashed: Any, say: Say) -> None:
    items = [
        say("a", "the river rose above the town"),
        say("b", "the mayor of the town resigned"),
        say("c", "東京大学で地震の研究が行われた"),
        say("d", "京都の寺は静かだった"),
        say("e", "ส้มตำ อยู่ในกรุงเทพ"),
    ]
    index = opened(hashed, items)
    chooser = retriever("bm25", index)
    texts = ["Mayor resigned!", "the RIVER", "東京大学の地震", "กรุงเทพ", "zzz unknown"]
    found = chooser.retrieve([Query("q", text) for text in texts], 1, rng=random.Random(0))
    assert [row[0].demonstration.id for row in found[:4]] == ["b", "a", "c", "e"]
    assert [row[0].by for row in found] == ["bm25"] * 4 + ["sentence"]
    assert words("東京") == ["東", "京", "東京"]
    assert words("A b, c") == ["a", "b", "c"]
    index.add([say("f", "zzz unknown things")])
    assert chooser.retrieve([Query("q", "zzz")], 1, rng=random.Random(0))[0][0].demonstration.id == "f"


def test_random_draws_evenly_and_repeatably(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(12)
    chooser = retriever("random", opened(hashed, items))
    queries = [Query("q", "something else")] * 400
    first = chooser.retrieve(queries, 3, rng=random.Random(4))
    again = chooser.retrieve(queries, 3, rng=random.Random(4))
    assert first == again
    counts = {item.id: sum(r.demonstration.id == item.id for row in first for r in row) for item in items}
    assert all(60 < count < 140 for count in counts.values())  # 100 expected, five standard deviations
    assert all(len({r.demonstration.id for r in row}) == 3 for row in first)
    assert chooser.retrieve(queries[:5], 3, rng=random.Random(5)) != first[:5]


@pytest.mark.parametrize("name", NAMES)
def test_one_call_of_chroma_serves_a_batch(
    opened: Open, hashed: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    index = opened(hashed, pool(300))
    calls: list[str] = []
    generation = index._generation
    for attribute in ("sentences", "mentions"):
        real = getattr(generation, attribute)

        class Counting:
            def __init__(self, collection: Any, label: str) -> None:
                self._collection, self._label = collection, label

            def __getattr__(self, what: str) -> Any:
                if what in ("query", "get"):
                    calls.append(f"{what} {self._label}")
                return getattr(self._collection, what)

        monkeypatch.setattr(generation, attribute, Counting(real, attribute))
    queries = [asked(item) for item in pool(400, seed=9) if item.spans][:64]
    chooser = retriever(name, index)
    chooser.retrieve(queries[:1], 5, rng=random.Random(0))  # bm25, random and fixed read the keys once
    calls.clear()
    index._cache.clear()
    before = hashed.calls
    found = chooser.retrieve(queries, 5, rng=random.Random(0))
    assert len(found) == 64
    assert all(len(row) == 5 for row in found)
    expected = {"span": ["query mentions"], "sentence": ["query sentences"], "bm25": [], "random": [], "fixed": []}
    assert [call for call in calls if call.startswith("query")] == expected[name]
    assert len([call for call in calls if call.startswith("get")]) <= 3
    assert hashed.calls - before <= 1


@pytest.mark.parametrize("name", NAMES)
def test_results_do_not_depend_on_the_batch_or_the_order_of_adding(
    opened: Open, hashed: Any, pool: Pool, name: str
) -> None:
    items = pool(60)
    one, other = opened(hashed, items, "one"), opened(hashed, items[::-1], "other")
    queries = [asked(item) for item in pool(6, seed=3)]
    together = retriever(name, one).retrieve(queries, 4, rng=random.Random(0))
    reverse = retriever(name, other).retrieve(queries, 4, rng=random.Random(0))
    rng = random.Random(0)
    alone = [retriever(name, one).retrieve([query], 4, rng=rng)[0] for query in queries]

    def ids(rows: Any) -> Any:
        return [[(r.demonstration.id, round(r.score, DIGITS - 1)) for r in row] for row in rows]

    assert ids(together) == ids(reverse) == ids(alone)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_find_and_hard_texts(opened: Open, minilm: SentenceTransformerEmbedder, say: Say, name: str) -> None:
    empty = retriever(name, opened(minilm, name="empty"))
    hard = [
        Query("", ""),
        Query("q", "\ud800\x00 [31m", (Span(0, 1), Span(1, 2))),
        Query("q", "👩‍🔬🏽 met 東京大学 in กรุงเทพ", (Span(0, 4), Span(9, 13), Span(17, 24))),
        Query("q", "short", (Span(3, 99), Span(50, 60))),
        Query("q", " \n\t ", (Span(0, 2),)),
    ]
    assert empty.retrieve(hard, 3, rng=random.Random(0)) == [[]] * len(hard)
    items = [
        say("tokyo", "[東京大学|ORG] is in [東京|LOC]"),
        say("\udc00", "odd \ud800 [text\x00|X] here"),
        say("e", "[🏽|X] only"),
    ]
    chooser = retriever(name, opened(minilm, items))
    found = chooser.retrieve(hard, 3, rng=random.Random(0))
    assert all(len(row) == 3 for row in found)
    assert chooser.retrieve(hard, 0, rng=random.Random(0)) == [[]] * len(hard)
    assert chooser.retrieve([], 3, rng=random.Random(0)) == []
    if name == "span":
        assert found[2][0].demonstration.id == "tokyo"


def test_demonstrations_removed_meanwhile_are_not_shown(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(40)
    index = opened(hashed, items)
    # As an interrupted change leaves it: mentions whose owner is gone.
    gone = {item.id for item in items[:20]}
    index._generation.sentences.delete(ids=[key for key, item in index.items() if item.id in gone])
    for name in NAMES:
        index._keys = None
        rows = retriever(name, index).retrieve([asked(item) for item in items[:10]], 3, rng=random.Random(0))
        assert all(len(row) == 3 and not gone & {r.demonstration.id for r in row} for row in rows)


def test_a_large_pool_is_not_scanned_and_still_found(opened: Open, hash_embedder: Any, pool: Pool) -> None:
    embedder = hash_embedder(48)
    items = pool(1200, vocabulary=500)
    index = opened(embedder, items)
    queries = [asked(item) for item in pool(60, seed=5, vocabulary=500) if len(item.spans) > 1]
    assert len(queries) > 20
    found = retriever("span", index).retrieve(queries, 5, rng=random.Random(0))
    texts = {text: row for row, text in enumerate(dict.fromkeys(text for item in items for text in item.mentions))}
    vectors = embedder.encode(list(texts))
    owned = [[texts[text] for text in item.mentions] for item in items]
    reached = 0.0
    for query, row in zip(queries, found, strict=True):
        weights = weighted_mentions(query, index.words)
        scores = span_similarities(embedder.encode(list(weights)), np.array(list(weights.values())), vectors, owned)
        best = np.sort(scores)[::-1][:5]
        reached += sum(any(abs(r.score - score) < 1e-4 for r in row) for score in best)
    assert reached / (5 * len(queries)) > 0.97
    assert len(index._cache) < len(items)
