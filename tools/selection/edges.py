"""A graph of neighbours read backwards: who has an item among their neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.selection.state import Graph


@dataclass(frozen=True, slots=True)
class Voters:
    """For each item the rows that have it among their neighbours, ascending.

    Attributes:
        starts: Item i's voters are ``rows[starts[i]:starts[i + 1]]``.
        rows: The voters.
        weights: Their similarity with the item; None where it was not asked for.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.int32] | None = None

    def of(self, item: int) -> NDArray[np.int32]:
        """One item's voters."""
        return self.rows[self.starts[item] : self.starts[item + 1]]

    def weights_of(self, item: int) -> NDArray[np.int32]:
        """Their similarities."""
        assert self.weights is not None
        return self.weights[self.starts[item] : self.starts[item + 1]]


def voters_of(graph: Graph, *, weighted: bool = False) -> Voters:
    """Turn a graph around, in one pass over its edges (scipy's counting sort)."""
    from scipy.sparse import csr_matrix

    size, k = graph.neighbours.shape
    filled = graph.neighbours >= 0
    whole = bool(filled.all())
    columns = graph.neighbours.reshape(-1) if whole else graph.neighbours[filled]
    starts = np.arange(0, size * k + 1, k) if whole else np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    if weighted:
        data = graph.similarities.reshape(-1) if whole else graph.similarities[filled]
    else:
        data = np.ones(len(columns), dtype=np.int8)
    # 32-bit positions halve the memory; a million items of 150 neighbours stay far below their limit.
    kind = np.int32 if len(columns) < 2**31 else np.int64
    turned = csr_matrix((data, columns, starts.astype(kind)), shape=(size, size)).tocsc()
    return Voters(turned.indptr.astype(np.int64), turned.indices, turned.data if weighted else None)
