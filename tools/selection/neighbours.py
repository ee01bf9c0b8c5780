"""The nearest neighbours of every item: exact for small pools, cluster by cluster for large ones.

A million items have 10**12 pairs, hours of work for two processor cores. Beyond ``exact_neighbours`` items, vectors
are therefore put into about ``4 * sqrt(n)`` clusters (spherical k-means), and every item is compared, exactly, with
the items of the ``probes`` clusters whose centres are nearest to its own. What this misses is measured on a sample
of items that are compared with all, and stands in the graph and in the notes of a selection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.selection.distances import EmbeddingSimilarity, Similarity
from tools.selection.protocol import Report, Rows, SelectionError
from tools.selection.state import Graph, graph_name
from tools.selection.task import Task
from tools.selection.workers import workers

# The graph must not depend on which selection happens to make it.
SEED = 20_220_905
_ROUNDS = 3
_SAMPLE = 200
_BLOCK = 2048
_CELLS = 8_000_000


def graph_of(task: Task, neighbours: int) -> Graph:
    """The pool's graph, from the task's state where it is there.

    Raises:
        SelectionError: BM25 is asked for and the pool is too large.
    """
    options = task.options
    size = len(task.pool)
    name = graph_name(task.similarity.name, neighbours, options, size)
    if name not in task.state.graphs:
        if size <= options.exact_neighbours:
            graph = exact_graph(task.similarity, neighbours, task.state.zeros, task.report)
        elif isinstance(task.similarity, EmbeddingSimilarity):
            rng = np.random.default_rng(SEED)
            graph = clustered_graph(
                task.similarity, neighbours, options.probes, rng, task.state.zeros, report=task.report
            )
        else:
            raise SelectionError(
                f"a graph of {size:,} items by BM25 takes too long", "choose embedding as similarity, or allabel"
            )
        task.state.graphs[name] = graph
    graph = task.state.graphs[name]
    if graph.sample:
        task.notes.append(
            f"the graph of neighbours was made cluster by cluster: it has {graph.recall:.0%} of the true neighbours"
            f" (measured on {graph.sample} items)"
        )
    return graph


def exact_graph(similarity: Similarity, k: int, zeros: Rows | None = None, report: Report | None = None) -> Graph:
    """Every item compared with every other.

    Args:
        similarity: Of the items; item x's neighbours are the y with the highest U(x, y).
        k: Neighbours an item; items that are similar to nothing have none and are none.
        zeros: Rows of zero vectors.
        report: Told of progress.
    """
    size = similarity.size
    k = max(1, min(k, size - 1))
    found, values = _empty(size, k)
    every = np.arange(size)
    side = similarity.side(every)
    step = max(1, min(1024, _CELLS // size))

    def compare(begin: int) -> int:
        rows = every[begin : begin + step]
        scores = similarity.product(rows, side)
        _blank(scores, rows, rows, every, similarity, zeros)
        found[rows], values[rows] = top(scores, every, k)
        return begin + len(rows)

    with workers() as threads:
        for done in threads.map(compare, range(0, size, step)):
            if report is not None:
                report("comparing all pairs", done, size)
    return Graph(found, values, compared=size * size)


def clustered_graph(
    similarity: EmbeddingSimilarity,
    k: int,
    probes: int,
    rng: np.random.Generator,
    zeros: Rows | None = None,
    *,
    sample: int = _SAMPLE,
    report: Report | None = None,
) -> Graph:
    """Every item compared with the items of the clusters nearest to its own.

    Args:
        similarity: Of the items.
        k: Neighbours an item.
        probes: Clusters, its own among them.
        rng: For the clusters and the sample.
        zeros: Rows of zero vectors; similar to nothing.
        sample: How many items recall is measured on.
        report: Told of progress.
    """
    size = similarity.size
    k = max(1, min(k, size - 1))
    found, values = _empty(size, k)
    centres, member = clusters(similarity, max(1, round(4 * size**0.5)), rng, report)
    compared = (size + _ROUNDS * min(size, 16 * len(centres))) * len(centres)
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(len(centres) + 1))
    # By cluster, each lies in one piece: copying pieces is several times quicker than gathering rows.
    sorted_vectors = similarity.side(order)
    near = np.argsort(-(centres @ centres.T), axis=1, kind="stable")[:, :probes]

    def compare(number: int) -> tuple[int, int]:
        first, last = int(starts[number]), int(starts[number + 1])
        lists = np.unique(np.append(near[number], number)).tolist() if last > first else []
        before = sum(int(starts[n + 1] - starts[n]) for n in lists if n < number)
        others = np.concatenate([order[starts[n] : starts[n + 1]] for n in lists]) if lists else order[:0]
        side = np.concatenate([sorted_vectors[starts[n] : starts[n + 1]] for n in lists]) if lists else order[:0]
        step = max(1, _CELLS // max(1, len(others)))
        for begin in range(first, last, step):
            some = order[begin : min(begin + step, last)]
            scores = sorted_vectors[begin : begin + len(some)] @ side.T
            own = before + (begin - first) + np.arange(len(some))
            _blank(scores, own, some, others, similarity, zeros)
            found[some], values[some] = top(scores, others, k)
        return last, (last - first) * len(others)

    with workers() as threads:
        for done, pairs in threads.map(compare, range(len(centres))):
            compared += pairs
            if report is not None:
                report("looking for neighbours", done, size)
    checked = np.sort(rng.choice(size, min(sample, size), replace=False))
    compared += len(checked) * size
    return Graph(found, values, recall(similarity, found, checked, k, zeros), len(checked), compared)


def clusters(
    similarity: EmbeddingSimilarity, count: int, rng: np.random.Generator, report: Report | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Spherical k-means on a sample, then every item's cluster.

    Returns:
        The centres, unit vectors of shape (count, dimensions), and the cluster of each item.
    """
    size = similarity.size
    count = min(count, size)
    drawn = np.sort(rng.choice(size, min(size, 16 * count), replace=False))
    centres = _unit(similarity.side(np.sort(rng.choice(drawn, count, replace=False))))
    for turn in range(_ROUNDS):
        member = _nearest(similarity, drawn, centres)
        order = np.argsort(member, kind="stable")
        filled, starts = np.unique(member[order], return_index=True)
        sums = np.add.reduceat(similarity.side(drawn[order]), starts, axis=0)
        centres[filled] = _unit(sums)
        if report is not None:
            report("clustering", turn + 1, _ROUNDS + 1)
    return centres, _nearest(similarity, np.arange(size), centres)


def recall(
    similarity: EmbeddingSimilarity, neighbours: NDArray[np.int32], rows: Rows, k: int, zeros: Rows | None = None
) -> float:
    """Share of the true k nearest neighbours of some rows that a graph has."""
    every = np.arange(similarity.size)
    marks: NDArray[Any] = np.full((len(rows), 0), -np.inf, dtype=np.float32)
    names: NDArray[Any] = np.full((len(rows), 0), -1, dtype=np.int32)
    step = max(k, _CELLS // max(1, len(rows)))
    for begin in range(0, similarity.size, step):
        others = every[begin : begin + step]
        scores = similarity.between(rows, others)
        own = np.where((rows >= begin) & (rows < begin + step), rows - begin, -1)
        _blank(scores, own, rows, others, similarity, zeros)
        fresh, values = top(scores, others, k)
        names = np.concatenate([names, fresh], axis=1)
        marks = np.concatenate([marks, np.where(fresh >= 0, values, -np.inf)], axis=1)
        # Names ascend from block to block and inside each, so that ties stay in order.
        best = np.sort(np.argsort(-marks, axis=1, kind="stable")[:, :k], axis=1)
        names, marks = np.take_along_axis(names, best, axis=1), np.take_along_axis(marks, best, axis=1)
    hits = sum(int(np.isin(true[true >= 0], neighbours[row]).sum()) for row, true in zip(rows, names, strict=True))
    total = int((names >= 0).sum())
    return hits / total if total else 1.0


def top(scores: NDArray[Any], others: Rows, k: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The k highest of each row, ties to the column farther left.

    Args:
        scores: Whole numbers, shape (rows, columns), minus infinity for what is no neighbour.
        others: What each column stands for; ascending where ties are to go to the lower.
        k: At most so many a row.

    Returns:
        ``others`` of the highest, ascending, -1 behind them where there are fewer, and their scores.
    """
    height, width = scores.shape
    found, values = _empty(height, k)
    if not height or not width:
        return found, values
    wanted = min(k, width)
    bound = np.partition(scores, width - wanted, axis=1)[:, width - wanted]
    chosen = scores >= bound[:, None]
    # Only a tie at the bound makes a row hold more than it should: the columns farther right are left out.
    counts = np.count_nonzero(chosen, axis=1)
    for row in np.flatnonzero(counts > wanted).tolist():
        ties = np.flatnonzero(scores[row] == bound[row])
        chosen[row, ties[wanted - int(counts[row]) :]] = False
    # Every row holds as many now, so that the flat places fall into rows by themselves.
    columns = (np.flatnonzero(chosen) % width).reshape(height, wanted)
    names, marks = others[columns], np.take_along_axis(scores, columns, axis=1)
    none = marks == -np.inf
    # What is no neighbour goes behind.
    names = np.where(none, np.iinfo(np.int32).max, names).astype(np.int32)
    order = np.argsort(names, axis=1)
    found[:, :wanted] = np.take_along_axis(np.where(none, -1, names), order, axis=1)
    values[:, :wanted] = np.take_along_axis(np.where(none, 0, marks), order, axis=1)
    return found, values


def _empty(size: int, k: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.full((size, k), -1, dtype=np.int32), np.zeros((size, k), dtype=np.int32)


def _blank(
    scores: NDArray[Any], own: Rows, rows: Rows, others: Rows, similarity: Similarity, zeros: Rows | None
) -> None:
    """Strike out each item itself, whose column is ``own`` (-1: it has none), and what is similar to nothing."""
    if similarity.name == "bm25":
        scores[scores <= 0] = -np.inf
    elif zeros is not None and len(zeros):
        scores[np.isin(rows, zeros)] = -np.inf
        scores[:, np.isin(others, zeros)] = -np.inf
    inside = np.flatnonzero(own >= 0)
    scores[inside, own[inside]] = -np.inf


def _nearest(similarity: EmbeddingSimilarity, rows: Rows, centres: NDArray[np.float32]) -> NDArray[np.int64]:
    found = np.empty(len(rows), dtype=np.int64)

    def compare(begin: int) -> None:
        found[begin : begin + _BLOCK] = similarity.product(rows[begin : begin + _BLOCK], centres).argmax(axis=1)

    with workers() as threads:
        list(threads.map(compare, range(0, len(rows), _BLOCK)))
    return found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1.0), dtype=np.float32)
