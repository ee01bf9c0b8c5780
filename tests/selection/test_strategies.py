"""Every strategy picks what the plain oracle picks, in the same order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection import oracle
from tools.selection import Pool, SelectionOptions, select
from tools.selection.lexical import LexicalSimilarity

WORDS = ["ship", "harbour", "zinc", "oxide", "river", "the", "of", "bank"]


@dataclass(frozen=True)
class Case:
    """A pool, how much is wanted of it, and the numbers the oracle needs."""

    pool: Pool
    wanted: int
    seconds: list[float] | None

    @property
    def rows(self) -> list[int]:
        return self.pool.open_rows().tolist()

    @property
    def covered(self) -> list[int]:
        return list(dict.fromkeys(self.pool.labelled))


@st.composite
def cases(draw: st.DrawFn, lexical: bool = False) -> Case:
    size = draw(st.integers(1, 14))
    # Small whole numbers make zero vectors, equal vectors and ties; draws of the generator make none.
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    dimensions = draw(st.integers(1, 5))
    tied = draw(st.booleans())
    vectors = rng.integers(-2, 3, (size, dimensions)) if tied else rng.normal(size=(size, dimensions))
    texts = [" ".join(rng.choice(WORDS, rng.integers(0, 5))) for _ in range(size)]
    if lexical and not any(texts):
        texts[0] = "ship"
    marks = draw(
        st.lists(st.sampled_from(["open", "open", "open", "labelled", "excluded"]), min_size=size, max_size=size)
    )
    labelled = [row for row, mark in enumerate(marks) if mark == "labelled"]
    if draw(st.booleans()):
        labelled.reverse()
    seconds = draw(st.booleans())
    durations = [float(x) for x in rng.integers(1, 6, size)]
    pool = Pool(
        ids=[f"d{row}" for row in range(size)],
        texts=texts if lexical else None,
        embeddings=None if lexical else vectors.astype(np.float32),
        labelled=labelled,
        excluded=[row for row, mark in enumerate(marks) if mark == "excluded"],
        seconds=np.array(durations) if seconds else None,
    )
    return Case(pool, draw(st.integers(1, size + 2)), durations if seconds else None)


def picked(strategy: str, case: Case, **options: Any) -> list[int]:
    chosen = SelectionOptions(audit=0.0, near_duplicate=None, **options)
    return [
        pick.row for pick in select(strategy, case.pool, case.wanted, np.random.default_rng(5), options=chosen).picks
    ]


def similarities(case: Case) -> oracle.Matrix:
    assert case.pool.embeddings is not None
    return oracle.cosines(case.pool.embeddings)


def lexical_similarities(case: Case) -> oracle.Matrix:
    assert case.pool.texts is not None
    every = np.arange(len(case.pool))
    return LexicalSimilarity(case.pool.texts).between(every, every).astype(int).tolist()


@settings(max_examples=150, deadline=None)
@given(cases())
def test_coreset(case: Case) -> None:
    wanted = oracle.coreset(similarities(case), case.rows, case.covered, case.wanted, case.seconds)
    assert picked("coreset", case) == wanted


@settings(max_examples=60, deadline=None)
@given(cases(lexical=True))
def test_coreset_by_bm25(case: Case) -> None:
    wanted = oracle.coreset(
        lexical_similarities(case), case.rows, case.covered, case.wanted, case.seconds, lexical=True
    )
    assert picked("coreset", case, similarity="bm25") == wanted


@settings(max_examples=100, deadline=None)
@given(cases())
def test_uncertainty_without_signals_is_dissimilarity(case: Case) -> None:
    wanted = oracle.dissimilar(similarities(case), case.rows, case.covered, case.wanted, case.seconds)
    assert picked("uncertainty", case) == wanted


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 6))
def test_votek(case: Case, k: int) -> None:
    s = similarities(case)
    near = oracle.neighbours(s, k, {row for row in range(len(s)) if s[row][row] == 0})
    wanted = oracle.votek(near, case.rows, case.covered, case.wanted, case.seconds)
    assert picked("votek", case, neighbours=k) == wanted


@settings(max_examples=60, deadline=None)
@given(cases(lexical=True), st.integers(1, 6))
def test_votek_by_bm25(case: Case, k: int) -> None:
    s = lexical_similarities(case)
    near = [[o for o in row if s[v][o] > 0] for v, row in enumerate(oracle.neighbours(s, k, set()))]
    wanted = oracle.votek(near, case.rows, case.covered, case.wanted, case.seconds)
    assert picked("votek", case, neighbours=k, similarity="bm25") == wanted


@settings(max_examples=100, deadline=None)
@given(cases())
def test_facility(case: Case) -> None:
    s = similarities(case)
    near = oracle.neighbours(s, len(s), {row for row in range(len(s)) if s[row][row] == 0})
    wanted = oracle.facility(s, near, case.rows, case.covered, case.wanted, case.seconds)
    assert picked("facility", case) == wanted


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 5))
def test_facility_on_a_sparse_graph(case: Case, k: int) -> None:
    s = similarities(case)
    near = oracle.neighbours(s, k, {row for row in range(len(s)) if s[row][row] == 0})
    wanted = oracle.facility(s, near, case.rows, case.covered, case.wanted, case.seconds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.selection.facility.FULL", 0)
        assert picked("facility", case, neighbours=k) == wanted


@pytest.mark.parametrize("reading", ["ranks", "reciprocal", "similarity"])
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_similarity(reading: str, case: Case) -> None:
    values = oracle.central(similarities(case), case.rows, reading, 4000.0**2)
    assert picked("similarity", case, rank_reading=reading) == oracle.highest(values, case.wanted, case.seconds)


@settings(max_examples=40, deadline=None)
@given(cases(lexical=True))
def test_similarity_by_bm25(case: Case) -> None:
    values = oracle.central(lexical_similarities(case), case.rows, "ranks", 4096.0)
    found = picked("similarity", case, similarity="bm25")
    assert found == oracle.highest(values, case.wanted, case.seconds)


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_uncertainty_with_signals(case: Case, data: st.DataObject) -> None:
    size = len(case.pool)
    number = st.one_of(st.just(math.nan), st.sampled_from([1.0, 1.5, 2.0, 7.0]))
    values = data.draw(st.lists(number, min_size=size, max_size=size))
    pool = Pool(
        case.pool.ids,
        None,
        case.pool.embeddings,
        case.pool.labelled,
        case.pool.excluded,
        {"perplexity": np.array(values)},
    )
    known = [row for row in case.rows if not math.isnan(values[row])]
    wanted = sorted(known, key=lambda row: (-values[row], row))[: case.wanted]
    rest = [row for row in case.rows if row not in known]
    if len(wanted) < case.wanted:
        missing = case.wanted - len(wanted)
        wanted += oracle.dissimilar(similarities(case), rest, [*case.covered, *wanted], missing, None)
    assert picked("uncertainty", Case(pool, case.wanted, None)) == wanted


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from([(1, 3, 1), (1, 0, 0), (0, 2, 1), (0.5, 1.5, 0.5)]))
def test_allabel_is_its_stages(case: Case, shares: tuple[float, float, float]) -> None:
    s, rows = similarities(case), case.rows
    budget = min(case.wanted, len(rows))
    exact = [budget * share / sum(shares) for share in shares]
    parts = [math.floor(x + 1e-12) for x in exact]
    for place in sorted(range(3), key=lambda p: (parts[p] - exact[p], p))[: budget - sum(parts)]:
        parts[place] += 1
    wanted = oracle.coreset(s, rows, case.covered, parts[0], case.seconds)
    left = [row for row in rows if row not in wanted]
    wanted += oracle.highest(oracle.central(s, left, "ranks", 4000.0**2), parts[1], case.seconds) if left else []
    left = [row for row in rows if row not in wanted]
    wanted += oracle.dissimilar(s, left, [*case.covered, *wanted], parts[2], case.seconds)
    assert picked("allabel", case, shares=shares, uncertainty_reading="dissimilarity") == wanted


@settings(max_examples=60, deadline=None)
@given(cases())
def test_near_duplicates_are_passed_over(case: Case) -> None:
    """Core-set with the test for duplicates: the oracle's order without what is too near to an earlier pick."""
    pool = Pool(case.pool.ids, None, case.pool.embeddings, case.pool.labelled, case.pool.excluded)
    budget = max(1, len(case.rows) - 1)
    chosen = SelectionOptions(audit=0.0, near_duplicate=0.8)
    found = [p.row for p in select("uncertainty", pool, budget, np.random.default_rng(5), options=chosen).picks]
    units = np.array(
        [v / np.linalg.norm(v) if v.any() else v for v in np.asarray(case.pool.embeddings, dtype=np.float64)]
    )
    wanted: list[int] = []
    for row in oracle.dissimilar(similarities(case), case.rows, case.covered, len(case.rows), None):
        if len(wanted) < budget and all(units[row] @ units[other] < 0.8 for other in wanted):
            wanted.append(row)
    assert found == (wanted if len(case.rows) > budget else case.rows)
