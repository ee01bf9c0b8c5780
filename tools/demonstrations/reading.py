"""Reading a collection of Chroma: neighbours, and vectors as they were stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.demonstrations import codec
from tools.demonstrations.embedder import Vectors
from tools.demonstrations.records import Hit


def hits_of(collection: Any, vectors: Vectors, n: int, *, owners: bool) -> list[list[Hit]]:
    """The nearest entries of each vector, best first, in one query for all.

    Args:
        collection: Of Chroma, in cosine space.
        vectors: Unit vectors, shape (queries, dimensions).
        n: How many for each; fewer come back if there are fewer.
        owners: Whether entries are mentions, whose metadata names what holds them.
    """
    size = min(n, collection.count())
    if not len(vectors) or size < 1:
        return [[] for _ in vectors]
    include = ["distances", "metadatas"] if owners else ["distances"]
    found = collection.query(query_embeddings=vectors, n_results=size, include=include)
    metadatas = found["metadatas"] if owners else [[None] * len(row) for row in found["ids"]]
    return [
        [
            Hit(key, 1.0 - float(distance), codec.owners_of(metadata) if owners else ())
            for key, distance, metadata in zip(ids, distances, row, strict=True)
        ]
        for ids, distances, row in zip(found["ids"], found["distances"], metadatas, strict=True)
    ]


def stored_vectors(collection: Any, keys: Sequence[str], dimensions: int) -> tuple[Vectors, list[int]]:
    """The vectors of some entries, shape (len(keys), dimensions), and the positions of those that are not there.

    Rows of what is not there are zeros; of equal keys the last gets the vector.
    """
    place = {key: at for at, key in enumerate(keys)}
    vectors = np.zeros((len(keys), dimensions), dtype=np.float32)
    found = collection.get(ids=list(place), include=["embeddings"]) if place else {"ids": []}
    if found["ids"]:
        vectors[[place.pop(key) for key in found["ids"]]] = found["embeddings"]
    return vectors, list(place.values())
