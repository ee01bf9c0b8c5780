"""BM25 between the items of a pool, as whole numbers: exact in whatever order they are summed.

``U(x, y)`` is the score of item y for item x as the query, as when x looks for a demonstration. The weights are bm25s'
(Lucene's variant, k1 1.5, b 0.75), rounded to 1/4096; how often a word occurs in the query counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tools.selection.protocol import Floats, Rows, SelectionError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = 4096
_BLOCK = 65_536


class LexicalSimilarity:
    """BM25 scores.

    Args:
        texts: One an item.
        words: Cuts a text into terms.

    Raises:
        SelectionError: No text holds a word.
    """

    name = "bm25"
    unit = float(UNIT)

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s
        from scipy.sparse import csc_matrix, csr_matrix

        vocabulary: dict[str, int] = {}
        corpus = [[vocabulary.setdefault(word, len(vocabulary)) for word in words] for words in _words(texts)]
        if not vocabulary:
            raise SelectionError("no text of the pool holds a word", "choose embedding as similarity")
        model = bm25s.BM25()
        model.index((corpus, vocabulary), create_empty_token=False, show_progress=False)
        scores = model.scores
        shape = (len(texts), len(vocabulary))
        weights = csc_matrix(
            (np.rint(scores["data"].astype(np.float64) * UNIT), scores["indices"], scores["indptr"]), shape
        )
        self._weights: Any = weights.tocsr()
        columns = np.fromiter((term for terms in corpus for term in terms), dtype=np.int64)
        starts = np.cumsum([0, *map(len, corpus)])
        counts = csr_matrix((np.ones(len(columns)), columns, starts), shape)
        counts.sum_duplicates()
        self._counts: Any = counts

    @property
    def size(self) -> int:
        """How many items there are."""
        return int(self._counts.shape[0])

    def side(self, others: Rows) -> Any:
        """Their term weights, sparse."""
        return self._weights[others]

    def product(self, rows: Rows, side: Any) -> Floats:
        """BM25 of ``side`` for the queries ``rows``, times ``unit``."""
        found: Floats = (self._counts[rows] @ side.T).toarray()
        return found

    def between(self, rows: Rows, others: Rows) -> Floats:
        """BM25 of ``others`` for the queries ``rows``, times ``unit``."""
        return self.product(rows, self.side(others))

    def own(self) -> Floats:
        """What an item scores for itself."""
        return np.asarray(self._counts.multiply(self._weights).sum(axis=1), dtype=np.float64).ravel()

    def totals(self, rows: Rows) -> Floats:
        """Without the n * n scores: the sum of products is the product with the sum of the weights."""
        queries, documents = self._counts[rows], self._weights[rows]
        total = np.asarray(documents.sum(axis=0)).ravel()
        own = np.asarray(queries.multiply(documents).sum(axis=1)).ravel()
        return np.asarray(queries @ total - own, dtype=np.float64)

    def distance(self, similarity: NDArray[Any]) -> Floats:
        """``1 / (1 + score)``: a score has no upper bound."""
        return 1.0 / (1.0 + np.maximum(0.0, np.asarray(similarity, dtype=np.float64)) / self.unit)


def _words(texts: Sequence[str]) -> Iterator[list[str]]:
    from tools.demonstrations.retrievers.bm25 import words

    return map(words, texts)
