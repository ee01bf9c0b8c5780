"""How often the approximate search finds what an exact one would, and what a batch of retrievals costs.

Three sets of vectors, each searched through the real index (Chroma, HNSW, cosine):
phrases embedded by the default model, clustered random vectors (as mentions of a
few types are), and the same clusters with one vector an occurrence, mentions
repeated as in news: what the index would be without its list of owners a mention.
Then batches of 64 queries against a pool of demonstrations, by each retriever, and
SpanSim by the index against SpanSim by a scan.

    python benchmarks/ann_recall.py [--quick] [--vectors 20000] [--demonstrations 5000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.annotation import Span
from tools.demonstrations import Demonstration, DemonstrationIndex, Query, SentenceTransformerEmbedder, retriever
from tools.demonstrations.retrievers.base import eligible
from tools.demonstrations.retrievers.span import weighted_mentions
from tools.demonstrations.similarity import span_similarities

DIMENSIONS = 384
DEPTHS = (10, 32, 100)


class TableEmbedder:
    """Vectors from a table: mentions are numbers, so that any vectors can be put into the real index."""

    name, revision, dimensions = "table", "1", DIMENSIONS

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The row that a text names; other texts get the first."""
        return self.vectors[[int(text) if text.isdigit() else 0 for text in texts]]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one, float32."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def clustered(n: int, rng: np.random.Generator) -> np.ndarray:
    """Vectors around a hundred centres, as far from them as mentions of a type are."""
    centres = rng.normal(size=(100, DIMENSIONS))
    return unit(centres[rng.integers(0, 100, n)] + 0.7 * rng.normal(size=(n, DIMENSIONS)))


def phrases(n: int, rng: random.Random) -> list[str]:
    """Distinct made-up names of one to three words."""
    syllables = ["ba", "ko", "ri", "tun", "mel", "os", "vi", "dra", "shen", "lu", "ga", "pi", "mo", "ren", "ta", "el"]
    kinds = [
        "",
        "",
        " Bank",
        " University",
        " River",
        " Corp",
        " oxide",
        " protein",
        " virus",
        " alloy",
        " (2019)",
        " Street",
    ]
    found: dict[str, None] = {}
    while len(found) < n:
        words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))).title() for _ in range(rng.randint(1, 2))]
        found[" ".join(words) + rng.choice(kinds)] = None
    return list(found)


def exact(queries: np.ndarray, vectors: np.ndarray, k: int) -> list[set[int]]:
    """The k nearest rows of each query."""
    return [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in queries @ vectors.T]


def recall(vectors: np.ndarray, queries: np.ndarray, folder: Path) -> dict[str, float]:
    """Recall at several depths of the index's own mention search."""
    items = [Demonstration(str(i), str(i), str(i), (Span(0, len(str(i))),)) for i in range(len(vectors))]
    with DemonstrationIndex(folder, TableEmbedder(vectors)) as index:
        started = time.perf_counter()
        index.add(items)
        figures = {"add_per_s": len(items) / (time.perf_counter() - started)}
        for depth in DEPTHS:
            started = time.perf_counter()
            found = index.near_mentions(queries, depth)
            figures[f"ms_at_{depth}"] = 1000 * (time.perf_counter() - started) / len(queries)
            keys = [[next(iter(hit.owners)) for hit in row] for row in found]
            numbers = {
                key: int(item.id) for key, item in index.demonstrations({k for row in keys for k in row}).items()
            }
            wanted = exact(queries, vectors, depth)
            shares = [len({numbers[key] for key in row} & want) / depth for row, want in zip(keys, wanted, strict=True)]
            figures[f"recall_at_{depth}"] = float(np.mean(shares))
    return figures


def repeated(vectors: np.ndarray, queries: np.ndarray, folder: Path, rng: np.random.Generator) -> dict[str, float]:
    """Recall when every occurrence has a vector of its own (Zipf-like counts)."""
    counts = np.maximum(1, 600 / (1 + np.arange(len(vectors))) ** 0.8).astype(int)
    rows = np.repeat(np.arange(len(vectors)), counts)
    rng.shuffle(rows)
    figures: dict[str, float] = {"occurrences": len(rows)}
    with DemonstrationIndex(folder, TableEmbedder(vectors)) as index:
        # Sentences have a vector each, equal or not: so would occurrences.
        index.add(Demonstration(f"{n}-{row}", "x", str(row), ()) for n, row in enumerate(rows.tolist()))
        for depth in DEPTHS:
            found = index.near_sentences(queries, depth)
            items = index.demonstrations({hit.key for row in found for hit in row})
            got = [{int(items[hit.key].text) for hit in row} for row in found]
            nearest = exact(queries, vectors, 1)
            figures[f"nearest_found_at_{depth}"] = float(
                np.mean([bool(g & w) for g, w in zip(got, nearest, strict=True)])
            )
    return figures


def pool(n: int, rng: random.Random) -> list[Demonstration]:
    """Made-up sentences with two or three mentions, names repeated as in news."""
    names = phrases(n, rng)
    weights = [1 / (1 + i) ** 0.8 for i in range(len(names))]
    frames = [
        "In {w}, {a} told {b} that the {x} near {c} was {y}.",
        "{a} and {b} signed a {x} on {w}.",
        "The {x} of {a} fell to {b} after {w}.",
    ]
    words = ["".join(rng.choices("aeioulnrst", k=6)) for _ in range(400)]
    items = []
    for number in range(n):
        a, b, c = rng.choices(names, weights, k=3)
        w, x, y = rng.choices(words, k=3)
        text = rng.choice(frames).format(a=a, b=b, c=c, w=w, x=x, y=y)
        spans = {Span(text.index(name), text.index(name) + len(name), "X") for name in (a, b, c) if name in text}
        items.append(Demonstration(f"d{number}", f"d{number}", text, tuple(sorted(spans))))
    return items


def batches(items: list[Demonstration], queries: list[Query], k: int, folder: Path) -> dict[str, Any]:
    """Time of a batch by each retriever, and how near SpanSim comes to a scan of the pool."""
    embedder = SentenceTransformerEmbedder()
    embedder.encode(["warm up"])
    figures: dict[str, Any] = {"batch": len(queries), "k": k}
    with DemonstrationIndex(folder, embedder) as index:
        started = time.perf_counter()
        index.add(items)
        figures["demonstrations_added_per_s"] = len(items) / (time.perf_counter() - started)
        figures["mentions"] = index.mention_count()
        for name in ("span", "sentence", "bm25", "random"):
            chooser = retriever(name, index)
            chooser.retrieve(queries[:1], k, rng=random.Random(0))
            embedder._cache.clear()
            started = time.perf_counter()
            found = chooser.retrieve(queries, k, rng=random.Random(0))
            figures[f"{name}_ms_a_batch"] = 1000 * (time.perf_counter() - started)
            started = time.perf_counter()
            chooser.retrieve(queries, k, rng=random.Random(0))
            figures[f"{name}_ms_a_batch_embeddings_known"] = 1000 * (time.perf_counter() - started)
            if name == "span":
                figures |= against_scan(index, items, queries, found, k)
    return figures


def against_scan(
    index: DemonstrationIndex, items: list[Demonstration], queries: list[Query], found: Any, k: int
) -> dict[str, float]:
    """Share of the k best scores of a scan that the retriever reached, and the time of the scan."""
    started = time.perf_counter()
    texts = {text: i for i, text in enumerate(dict.fromkeys(t for item in items for t in item.mentions))}
    stored = index.mention_vectors(list(texts))
    rows = [[texts[text] for text in item.mentions] for item in items]
    reached, shares = [], []
    for query, row in zip(queries, found, strict=True):
        weights = weighted_mentions(query, index.words)
        vectors = index.embedder.encode(list(weights))
        scores = span_similarities(vectors, np.array(list(weights.values())), stored, rows)
        best = sorted(
            (s for s, item in zip(scores.tolist(), items, strict=True) if eligible(query, item)), reverse=True
        )[:k]
        own = [r.score for r in row if r.by == "span"]
        shares.append(np.mean([any(abs(s - b) < 1e-4 or s > b for s in own[i:]) for i, b in enumerate(best)]))
        reached.append(sum(own[:k]) / sum(best))
    return {
        "span_share_of_scan_top_k": float(np.mean(shares)),
        "span_score_against_scan": float(np.mean(reached)),
        "scan_ms_a_batch": 1000 * (time.perf_counter() - started),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 vectors and 500 demonstrations")
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--demonstrations", type=int, default=5_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    n, size = (2_000, 500) if options.quick else (options.vectors, options.demonstrations)
    rng = np.random.default_rng(0)
    figures: dict[str, Any] = {"vectors": n, "demonstrations": size}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        embedded = SentenceTransformerEmbedder().encode(phrases(n + 200, random.Random(0)))
        figures["phrases"] = recall(embedded[200:], embedded[:200], folder / "phrases")
        vectors = clustered(n, rng)
        queries = unit(vectors[rng.integers(0, n, 200)] + 0.02 * rng.normal(size=(200, DIMENSIONS)))
        figures["clusters"] = recall(vectors, queries, folder / "clusters")
        few = vectors[:3000]
        asked = unit(few[rng.integers(0, len(few), 200)] + 0.02 * rng.normal(size=(200, DIMENSIONS)))
        figures["one_vector_an_occurrence"] = repeated(few, asked, folder / "repeated", rng)
        made = pool(size + 64, random.Random(1))
        asking = [Query("query", item.text, item.spans) for item in made[size:]]
        figures["retrieval"] = batches(made[:size], asking, 5, folder / "pool")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    shares = [
        f"{name} " + "/".join(f"{figures[name][f'recall_at_{depth}']:.3f}" for depth in DEPTHS)
        for name in ("phrases", "clusters")
    ]
    batch = figures["retrieval"]
    times = ", ".join(f"{name} {batch[f'{name}_ms_a_batch']:.0f} ms" for name in ("span", "sentence", "bm25", "random"))
    print(f"recall@10/32/100 of {n:,} vectors: {', '.join(shares)}; batch of 64 against {size:,}: {times};", end=" ")
    print(f"span reaches {batch['span_share_of_scan_top_k']:.3f} of a scan's top 5")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
