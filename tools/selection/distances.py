"""How alike two items are, in whole numbers, so that no result depends on block sizes, threads or the BLAS.

Unit vectors are scaled to length 4,000 and rounded to whole numbers, two bytes each. By Cauchy-Schwarz every partial
sum of a product of two of them stays below 2**24 in size, and float32 holds all whole numbers up to there: a float32
matrix product of them is exact in whatever order it is summed. A cosine is off by about 0.0001 from that of the
vectors as they came (at worst, with 384 dimensions, by 0.005); in exchange equal similarities are equal everywhere, so
that ties can be broken by index, and half the bytes of float32 have to be read.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tools.selection.protocol import Floats, Pool, Rows, SelectionError

Whole = NDArray[np.int16]
# (4000 + sqrt(d) / 2)**2 must not pass 2**24: true up to 36,000 dimensions.
LENGTH = 4000
BLOCK = 8192


class Similarity(Protocol):
    """Similarities U(x, y) between the items of a pool, as whole numbers.

    ``x`` is the one that looks for a demonstration, ``y`` the one that would be shown: for BM25 they differ.
    """

    @property
    def size(self) -> int:
        """How many items there are."""

    @property
    def unit(self) -> float:
        """The whole number that stands for a similarity of 1."""

    @property
    def name(self) -> str:
        """``embedding`` or ``bm25``."""

    def side(self, others: Rows) -> Any:
        """Items made ready to be compared with, to be given to ``product``."""

    def product(self, rows: Rows, side: Any) -> NDArray[Any]:
        """U(row, other) for the others in ``side``, exact whole numbers in floats, shape (len(rows), others)."""

    def between(self, rows: Rows, others: Rows) -> NDArray[Any]:
        """``product`` with ``side``."""

    def own(self) -> Floats:
        """U(row, row) of every item."""

    def totals(self, rows: Rows) -> Floats:
        """Sum of U(row, other) over all other members of ``rows``, shape (len(rows),)."""

    def distance(self, similarity: NDArray[Any]) -> Floats:
        """What is left to gain at a similarity (whole numbers): falls as it rises, never below 0."""


class EmbeddingSimilarity:
    """Cosines.

    Args:
        vectors: From ``whole_vectors``; may be memory-mapped.
    """

    name = "embedding"
    unit = float(LENGTH * LENGTH)

    def __init__(self, vectors: Whole) -> None:
        # Without the memory map's own class, which makes every look-up several times dearer.
        self.vectors = np.asarray(vectors)

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self.vectors)

    def side(self, others: Rows) -> NDArray[np.float32]:
        """The vectors as float32."""
        return self.vectors[others].astype(np.float32)

    def product(self, rows: Rows, side: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines times ``unit``."""
        return np.asarray(self.side(rows) @ side.T, dtype=np.float32)

    def between(self, rows: Rows, others: Rows) -> NDArray[np.float32]:
        """Cosines times ``unit``."""
        return self.product(rows, self.side(others))

    def own(self) -> Floats:
        """About ``unit``; 0 for a zero vector."""
        found = np.empty(self.size, dtype=np.float64)
        for begin in range(0, self.size, BLOCK):
            block = self.vectors[begin : begin + BLOCK].astype(np.float64)
            found[begin : begin + BLOCK] = np.square(block).sum(axis=1)
        return found

    def totals(self, rows: Rows) -> Floats:
        """Without the n * n cosines: the sum of products is the product with the sum. Exact: below 2**53."""
        total = np.zeros(self.vectors.shape[1], dtype=np.float64)
        for begin in range(0, len(rows), BLOCK):
            total += self.vectors[rows[begin : begin + BLOCK]].sum(axis=0, dtype=np.int64)
        found = np.empty(len(rows), dtype=np.float64)
        for begin in range(0, len(rows), BLOCK):
            block = self.vectors[rows[begin : begin + BLOCK]].astype(np.float64)
            found[begin : begin + BLOCK] = block @ total - np.square(block).sum(axis=1)
        return found

    def distance(self, similarity: NDArray[Any]) -> Floats:
        """One minus the cosine."""
        return np.maximum(0.0, 1.0 - np.asarray(similarity, dtype=np.float64) / self.unit)


def whole_vectors(pool: Pool, out: Whole | None = None) -> tuple[Whole, Rows]:
    """A pool's embeddings as whole numbers.

    Args:
        pool: With embeddings of shape (items, dimensions); read block by block.
        out: Where to write, e.g. a memory map, same shape; a new array by default.

    Returns:
        The vectors, and the rows whose vector is zero.

    Raises:
        SelectionError: There are no embeddings, one holds something that is not a number, or they are too long.
    """
    if pool.embeddings is None:
        raise SelectionError("the pool has no embeddings", "embed the items, or choose bm25 as similarity")
    size, dimensions = pool.embeddings.shape
    if not 1 <= dimensions <= 36_000:
        raise SelectionError(f"embeddings of {dimensions} dimensions cannot be used", "1 to 36,000 dimensions")
    whole = np.empty((size, dimensions), dtype=np.int16) if out is None else out
    empty: list[NDArray[np.int64]] = []
    for begin in range(0, size, BLOCK):
        block = np.asarray(pool.embeddings[begin : begin + BLOCK], dtype=np.float64)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            name = pool.ids[begin + int(np.argmin(finite))]
            raise SelectionError(f"the vector of item {name!r} holds a value that is no number", "embed it again")
        # Divided by the largest entry first: squares of very small or large numbers would leave the range.
        largest = np.abs(block).max(axis=1, keepdims=True)
        zero = largest[:, 0] == 0
        block /= np.where(largest > 0, largest, 1.0)
        block *= LENGTH / np.where(zero[:, None], 1.0, np.linalg.norm(block, axis=1, keepdims=True))
        whole[begin : begin + BLOCK] = np.rint(block)
        empty.append(begin + np.flatnonzero(zero))
    return whole, np.concatenate(empty)
