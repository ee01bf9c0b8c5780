"""What is kept between batches changes nothing but the time, and no distance is computed twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.errors import OutputError
from tools.selection import Pool, SelectionOptions, SelectionState, select
from tools.selection.distances import EmbeddingSimilarity, whole_vectors
from tools.selection.edges import voters_of
from tools.selection.neighbours import clustered_graph, exact_graph, recall, top
from tools.selection.state import CoreState, Graph

VECTORS = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
IDS = [f"d{row}" for row in range(300)]


def batch(strategy: str, labelled: list[int], state: SelectionState | None, **options: Any) -> list[int]:
    given = Pool(IDS, texts=[f"word{row % 9} thing" for row in range(300)], embeddings=VECTORS, labelled=labelled)
    chosen = SelectionOptions(audit=0.0, near_duplicate=None, **options)
    return [
        pick.row for pick in select(strategy, given, 12, np.random.default_rng(3), options=chosen, state=state).picks
    ]


@pytest.mark.parametrize("strategy", ["coreset", "votek", "facility", "allabel", "uncertainty"])
@pytest.mark.parametrize("kept", ["memory", "folder"])
def test_going_on_gives_what_beginning_anew_gives(strategy: str, kept: str, tmp_path: Path) -> None:
    state = SelectionState(tmp_path if kept == "folder" else None)
    labelled: list[int] = []
    for turn in range(4):
        found = batch(strategy, labelled, state, neighbours=10)
        assert found == batch(strategy, labelled, None, neighbours=10)
        # One pick of each batch is never labelled; once, a label is taken back.
        labelled += found[:-1]
        if turn == 2:
            labelled.pop(5)
        if kept == "folder":
            state.save()
            state = SelectionState.load(tmp_path)
            assert state.pools


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_history_of_labels(data: st.DataObject) -> None:
    state = SelectionState()
    for _ in range(3):
        labelled = data.draw(st.lists(st.integers(0, 39), max_size=15, unique=True))
        given = Pool(IDS[:40], embeddings=VECTORS[:40], labelled=labelled)
        options = SelectionOptions(audit=0.0)
        strategy = data.draw(st.sampled_from(["coreset", "uncertainty"]))
        found = select(strategy, given, 6, np.random.default_rng(3), options=options, state=state)
        fresh = select(strategy, given, 6, np.random.default_rng(3), options=options)
        assert found.to_dict() == fresh.to_dict()


def test_no_distance_is_computed_twice() -> None:
    """Over all batches of a campaign together, at most one product a pair of an item and a centre."""
    seen: set[tuple[int, int]] = set()

    class Counting(EmbeddingSimilarity):
        def product(self, rows: Any, side: Any) -> Any:
            names = [int(np.flatnonzero((self.vectors == whole).all(axis=1))[0]) for whole in side.astype(np.int16)]
            for row in np.asarray(rows).tolist():
                for other in names:
                    assert (row, other) not in seen
                    seen.add((row, other))
            return super().product(rows, side)

    from tools.selection.coreset import choose
    from tools.selection.task import Distinct, Task

    given = Pool(IDS, embeddings=VECTORS)
    whole, _ = whole_vectors(given)
    state = SelectionState()
    labelled: list[int] = []
    for _ in range(5):
        now = Pool(IDS, embeddings=VECTORS, labelled=labelled)
        task = Task(
            now,
            SelectionOptions(),
            np.random.default_rng(0),
            state,
            now.open_rows(),
            list(labelled),
            Distinct(now, None),
        )
        task._similarity = Counting(whole)
        labelled += [choice.row for choice in choose(task, 15)]
    assert len(labelled) == 75
    assert state.core["embedding"].compared == len(seen)
    assert len(seen) < 300 * 75


def test_another_pool_is_noticed() -> None:
    state = SelectionState()
    batch("coreset", [], state)
    other = Pool(IDS, embeddings=VECTORS[::-1].copy())
    found = select("coreset", other, 5, np.random.default_rng(0), options=SelectionOptions(audit=0), state=state)
    assert any("the pool has changed" in line for line in found.notes)
    fresh = select("coreset", other, 5, np.random.default_rng(0), options=SelectionOptions(audit=0))
    assert found.ids == fresh.ids
    assert not fresh.notes


def test_similarities_do_not_disturb_each_other() -> None:
    state = SelectionState()
    for _ in range(2):
        assert batch("coreset", [1, 2], state) == batch("coreset", [1, 2], None)
        assert batch("coreset", [1, 2], state, similarity="bm25") == batch("coreset", [1, 2], None, similarity="bm25")
    assert set(state.core) == {"embedding", "bm25"}


@pytest.mark.parametrize("harm", ["cut", "gone", "nonsense"])
def test_a_harmed_folder_is_an_empty_one(harm: str, tmp_path: Path) -> None:
    state = SelectionState(tmp_path)
    batch("votek", [], state, neighbours=10)
    batch("coreset", [], state)
    state.save()
    if harm == "cut":
        data = (tmp_path / "core-embedding-best.npy").read_bytes()
        (tmp_path / "core-embedding-best.npy").write_bytes(data[:50])
    elif harm == "gone":
        (tmp_path / "vectors.npy").unlink()
    else:
        (tmp_path / "state.json").write_text("[1, 2")
    again = SelectionState.load(tmp_path)
    assert again.vectors is None
    assert batch("votek", [4], again, neighbours=10) == batch("votek", [4], None, neighbours=10)


def test_new_vectors_make_the_old_facts_void_at_once(tmp_path: Path) -> None:
    """Killed between writing vectors and saving, a folder must not pair old facts with new vectors."""
    state = SelectionState(tmp_path)
    batch("coreset", [], state)
    state.save()
    other = SelectionState.load(tmp_path)
    select("coreset", Pool(IDS[:9], embeddings=VECTORS[:9]), 3, np.random.default_rng(0), state=other)
    assert SelectionState.load(tmp_path).pools == {}


def test_saving_without_a_folder_or_into_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        SelectionState().save()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        SelectionState(tmp_path / "file" / "below").save()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 400), st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_top_is_what_sorting_gives(height: int, width: int, k: int, seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, (height, width)) if tied else rng.integers(-(2**24), 2**24, (height, width))
    scores = np.where(rng.random((height, width)) < 0.2, -np.inf, scores).astype(np.float32)
    others = np.sort(rng.choice(10_000, width, replace=False))
    found, values = top(scores, others, k)
    for row in range(height):
        best = sorted((-scores[row, c], c) for c in range(width) if scores[row, c] > -np.inf)[:k]
        wanted = sorted((int(others[c]), int(-mark)) for mark, c in best)
        filled = found[row] >= 0
        assert list(zip(found[row][filled].tolist(), values[row][filled].tolist(), strict=True)) == wanted
        assert not filled[len(wanted) :].any()


def similarity(size: int = 3000, dimensions: int = 16) -> EmbeddingSimilarity:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(40, dimensions))
    vectors = centres[rng.integers(0, 40, size)] + 0.4 * rng.normal(size=(size, dimensions))
    return EmbeddingSimilarity(whole_vectors(Pool([str(i) for i in range(size)], embeddings=vectors))[0])


def test_the_clustered_graph_tells_the_truth_about_itself() -> None:
    items = similarity()
    exact = exact_graph(items, 20)
    graph = clustered_graph(items, 20, 8, np.random.default_rng(0), sample=500)
    shares = [np.isin(exact.neighbours[row], graph.neighbours[row]).mean() for row in range(items.size)]
    assert graph.sample == 500
    assert graph.recall == pytest.approx(np.mean(shares), abs=0.05)
    assert 0.6 < graph.recall < 1
    everything = clustered_graph(items, 20, 200, np.random.default_rng(0), sample=100)
    assert everything.recall == 1
    assert recall(items, exact.neighbours, np.arange(0, 3000, 7), 20) == 1
    # What it has is exact: each pair's similarity is the true one.
    row = 17
    there = graph.neighbours[row][graph.neighbours[row] >= 0]
    assert graph.similarities[row][: len(there)].tolist() == items.between(np.array([row]), there)[0].tolist()


def test_a_large_pool_says_how_good_its_graph_is() -> None:
    found = batch("votek", [], None, neighbours=10)
    given = Pool(IDS, embeddings=VECTORS)
    options = SelectionOptions(audit=0.0, near_duplicate=None, neighbours=10, exact_neighbours=100, probes=300)
    large = select("votek", given, 12, np.random.default_rng(3), options=options)
    assert [pick.row for pick in large.picks] == found
    assert any("it has 100% of the true neighbours (measured on 200 items)" in line for line in large.notes)


def test_voters_are_the_graph_turned_around() -> None:
    neighbours = np.array([[1, 2], [0, -1], [1, -1]], dtype=np.int32)
    graph = Graph(neighbours, np.array([[5, 6], [7, 0], [8, 0]], dtype=np.int32))
    voters = voters_of(graph, weighted=True)
    assert [voters.of(item).tolist() for item in range(3)] == [[1], [0, 2], [0]]
    assert [voters.weights_of(item).tolist() for item in range(3)] == [[7], [5, 8], [6]]


def test_products_are_exact_whole_numbers() -> None:
    """The claim that all else rests on: float32 products of these vectors are those of whole numbers."""
    rng = np.random.default_rng(0)
    for dimensions in (1, 3, 384, 4096):
        vectors = np.concatenate([rng.normal(size=(20, dimensions)), np.ones((2, dimensions)), np.eye(1, dimensions)])
        whole, _ = whole_vectors(Pool([str(i) for i in range(23)], embeddings=vectors))
        every = np.arange(23)
        found = EmbeddingSimilarity(whole).between(every, every)
        assert (found.astype(np.int64) == whole.astype(np.int64) @ whole.astype(np.int64).T).all()
        assert np.abs(found).max() < 2**24
        cosines = vectors @ vectors.T / np.outer(np.linalg.norm(vectors, axis=1), np.linalg.norm(vectors, axis=1))
        wrong = np.abs(found / 4000**2 - cosines)
        assert wrong[:20, :20].max() < 1e-3
        # At worst, every entry of both is rounded by a half in the same direction.
        assert wrong.max() <= np.sqrt(dimensions) / 4000 + dimensions / 4 / 4000**2 + 1e-6


def test_a_fresh_core_state_knows_nothing() -> None:
    state = CoreState.fresh(3)
    assert state.centres == [] and state.compared == 0
    assert (state.nearest == -1).all() and np.isneginf(state.best).all()
