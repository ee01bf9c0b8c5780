from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.annotation import Span
from tools.demonstrations import Demonstration, DemonstrationIndex, SentenceTransformerEmbedder


class HashEmbedder:
    """Unit vectors that depend on the text alone and mean nothing: quick, and no two texts tie."""

    name = "hash"
    revision = "1"

    def __init__(self, dimensions: int = 24) -> None:
        self.dimensions = dimensions
        self.calls = 0

    def encode(self, texts: Sequence[str]) -> Any:
        self.calls += 1
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            seed = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            vector = np.random.default_rng(int.from_bytes(seed)).normal(size=self.dimensions)
            rows[row] = vector / np.linalg.norm(vector)
        return rows


@pytest.fixture(scope="session")
def minilm() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder()


@pytest.fixture
def hashed() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def hash_embedder() -> type[HashEmbedder]:
    return HashEmbedder


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., DemonstrationIndex]]:
    """Opens indexes in a folder of the test and closes them."""
    made: list[DemonstrationIndex] = []

    def build(
        embedder: Any, items: Sequence[Demonstration] = (), name: str = "index", **more: Any
    ) -> DemonstrationIndex:
        index = DemonstrationIndex(tmp_path / name, embedder, **more)
        made.append(index)
        if items:
            index.add(items)
        return index

    yield build
    for index in made:
        index.close()


@pytest.fixture
def say() -> Callable[..., Demonstration]:
    """A demonstration from a text in which mentions stand as ``[mention|TYPE]``."""

    def build(identifier: str, marked: str, **more: Any) -> Demonstration:
        text, spans = "", []
        rest = marked
        while "[" in rest:
            before, _, rest = rest.partition("[")
            inside, _, rest = rest.partition("]")
            mention, _, label = inside.partition("|")
            text += before
            spans.append(Span(len(text), len(text) + len(mention), label or "X"))
            text += mention
        return Demonstration(identifier, more.pop("document_id", identifier), text + rest, tuple(spans), **more)

    return build


@pytest.fixture
def pool(say: Callable[..., Demonstration]) -> Callable[..., list[Demonstration]]:
    """Made-up demonstrations of invented names, reproducible, of all lengths."""

    def build(size: int, seed: int = 0, vocabulary: int = 60) -> list[Demonstration]:
        rng = random.Random(seed)
        syllables = ["ba", "ko", "ri", "tun", "mel", "os", "vi", "dra", "shen", "lu"]
        names = ["".join(rng.choices(syllables, k=3)).title() + f" {n}" for n in range(vocabulary)]
        words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(200)]
        items = []
        for number in range(size):
            parts = rng.choices(words, k=rng.randint(4, 14))
            for name in rng.sample(names, rng.randint(0, 3)):
                parts.insert(rng.randint(0, len(parts)), f"[{name}|THING]")
            items.append(say(f"d{number}", " ".join(parts)))
        return items

    return build
