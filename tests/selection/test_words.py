"""Reasons in plain words, one passage a document, and the audit among them."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from tools.annotation import Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.selection import STRATEGIES, Pool, SelectionError, SelectionOptions, select, signals_for
from tools.selection.audit import draw
from tools.selection.words import apart, typical, unsure


def entity(*labels: str, verdict: float | None = None) -> Entity:
    votes = tuple(Vote(f"m{n}", True, label, 0.6) for n, label in enumerate(labels))
    return Entity(Span(0, 3, "person"), 0.5, votes, verdict)


def results(*entities: Entity) -> list[PassageResult]:
    return [PassageResult("d", 0, Outcome(), entities)]


def pool(count: int = 40, *, groups: bool = False) -> Pool:
    rng = np.random.default_rng(3)
    seen = [
        (f"d{n}", results(entity("person", "place" if n % 3 else "person"), entity("person"))) for n in range(count)
    ]
    ids = [f"d{n}" for n in range(count)]
    return Pool.of(
        ids,
        texts=[f"text {n} of {rng.integers(99)}" for n in range(count)],
        embeddings=rng.normal(size=(count, 8)),
        labelled=["d0", "d1"],
        signals=signals_for(ids, seen),
        groups=[f"g{n // 4}" for n in range(count)] if groups else None,
    )


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_reason_is_short_and_tells_its_figure(strategy: str) -> None:
    options = SelectionOptions(near_duplicate=None, audit=0.2)
    for pick in select(strategy, pool(), 10, np.random.default_rng(1), options=options).picks:
        said = pick.reason.describe()
        assert len(said) < 120 and "sum_rank" not in said and "cosine" not in said
        assert re.search(r"\d", said) or strategy == "random"
        if pick.audit:
            assert said == "drawn at random, for the estimates (2 of 38)"


def test_the_figure_that_decided_is_the_one_that_is_told() -> None:
    found = select("coreset", pool(), 4, np.random.default_rng(1), options=SelectionOptions(audit=0.0))
    for pick in found.picks:
        assert pick.reason.describe().startswith(f"far from everything labelled so far ({1 - pick.reason.score:.2f})")
    options = SelectionOptions(audit=0.0, measure="votes")
    [pick] = select("uncertainty", pool(), 1, np.random.default_rng(1), options=options).picks
    assert pick.reason.describe() == "members disagree on 1 of 1 spans"


def test_words_for_what_is_not_known() -> None:
    class Cosine:
        name, unit = "embedding", 2.0

    assert apart(Cosine(), float("-inf")) == "nothing is labelled yet"  # type: ignore[arg-type]
    assert apart(Cosine(), 0.5) == "far from everything labelled so far (0.75)"  # type: ignore[arg-type]
    assert typical("ranks", 0.87) == "typical of what is unlabelled (nearer to it than 87% of the others)"
    assert unsure("mixed", 0.9, {}) == "the models are unsure (less sure than 90% of the pool)"
    known = {"candidates": 5.0, "disputed": 2.0, "perplexity": 1.8, "verifier": 0.4}
    assert unsure("mixed", 0.9, known).startswith("members disagree on 2 of 5 spans, they hesitate between 1.8 types")


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_one_item_a_group_and_batch(strategy: str) -> None:
    options = SelectionOptions(near_duplicate=None, audit=0.3)
    found = select(strategy, pool(groups=True), 10, np.random.default_rng(2), options=options)
    groups = Counter(pick.row // 4 for pick in found.picks)
    assert max(groups.values()) == 1 and len(found.picks) == 10
    more = select(strategy, pool(groups=True), 20, np.random.default_rng(2), options=options)
    assert len(more.picks) == 10 and any("one passage a batch" in note for note in more.notes)


def test_the_audit_is_uniform_where_one_is_drawn() -> None:
    groups = ["a"] * 3 + ["b"]
    rows = np.arange(4)
    drawn = Counter(int(draw(rows, 1, np.random.default_rng(n), groups)[0]) for n in range(4000))
    assert all(abs(drawn[row] - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5 for row in range(4))
    assert sorted(groups[row] for row in draw(rows, 4, np.random.default_rng(0), groups)) == ["a", "b"]


def test_groups_must_fit() -> None:
    with pytest.raises(SelectionError, match="groups"):
        select("random", Pool(["a", "b"], groups=["x"]), 1, np.random.default_rng(0))
