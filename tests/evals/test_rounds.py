"""Strategies that ask the models: signals of a bounded part of the pool, a batch, labels, and again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.engines.protocol import Completion, Request
from evals.data import GoldDocument, load_data
from evals.errors import SuiteError
from evals.log import read_run
from evals.rounds import Recipe, Results, choose_in_rounds
from evals.slices import Slice
from evals.suite import load_suite
from tests.evals.script import Heard, ScriptedModels, figures, frozen, measure, reply, texts, weigh, write_lines
from tests.evals.script import write_suite as written
from tests.evals.test_slices import over_after
from tests.extraction.script import read
from tools.annotation import Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.selection.allabel import shared_out

HARD = "Tartu"


def recipe(strategy: str, count: int, **other: Any) -> Recipe:
    return Recipe(**{"strategy": strategy, "count": count, "seed": 3, "measure": "mixed", "batch": 4, "extract": 10,
                     "basis": "pool", **other})  # fmt: skip


def pool(tmp_path: Path, count: int = 40) -> list[GoldDocument]:
    write_lines(tmp_path / "pool.jsonl", texts(count, 60))
    loaded = load_suite(frozen(written(tmp_path, data='pool = "pool.jsonl"')))
    return list(load_data(loaded, loaded.suite.data[0], None).pool)


class Models:
    """Two members that do not agree about one town; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[str]]] = []

    async def __call__(self, labelled: Any, reading: Any) -> Results:
        self.asked.append(([d.id for d in labelled], [d.id for d in reading]))
        return [(d.id, [_found(d)]) for d in reading]


def _found(document: GoldDocument) -> PassageResult:
    split = HARD in document.document.text
    votes = (Vote("a", True, "place", 0.9), Vote("b", True, "person" if split else "place", 0.9))
    entity = Entity(Span(0, 3, "place"), 0.9, votes)
    return PassageResult(document.id, 0, Outcome(), (entity,))


def chosen(found: Any) -> set[str]:
    return {d.id for d in found.documents}


def test_uncertainty_takes_what_members_disagree_about(tmp_path: Path) -> None:
    documents, models = pool(tmp_path), Models()
    vectors = np.eye(len(documents), dtype=np.float32)
    made = recipe("uncertainty", 6, measure="votes", extract=100)
    found = asyncio.run(choose_in_rounds(made, documents, vectors, models, tmp_path / "kept"))
    hard = {d.id for d in documents if HARD in d.document.text}
    assert len(hard) >= 6 and chosen(found) <= hard and (found.rounds, found.read) == (2, 40 + 36)
    assert [len(labelled) for labelled, _ in models.asked] == [0, 4], "what is labelled is shown in the next round"
    assert not set(models.asked[1][0]) & set(models.asked[1][1]), "what is labelled is not read again"


def test_the_models_read_no_more_than_the_cap(tmp_path: Path) -> None:
    documents, models = pool(tmp_path), Models()
    vectors = np.eye(len(documents), dtype=np.float32)
    found = asyncio.run(choose_in_rounds(recipe("uncertainty", 12), documents, vectors, models, tmp_path / "kept"))
    assert [len(reading) for _, reading in models.asked] == [10, 10, 10] and found.read == 30
    assert len(found.documents) == 12
    again = Models()
    once_more = asyncio.run(choose_in_rounds(recipe("uncertainty", 12), documents, vectors, again, tmp_path / "kept"))
    assert chosen(once_more) == chosen(found) and again.asked == [], "a round that is known is not asked again"
    less = asyncio.run(choose_in_rounds(recipe("uncertainty", 8), documents, vectors, again, tmp_path / "kept"))
    assert chosen(less) < chosen(found) and again.asked == [], "a smaller budget is the beginning of a larger one"


def test_allabel_asks_for_its_last_fifth_only(tmp_path: Path) -> None:
    documents, models = pool(tmp_path), Models()
    vectors = np.random.default_rng(1).normal(size=(len(documents), 8)).astype(np.float32)
    found = asyncio.run(choose_in_rounds(recipe("allabel", 30, batch=3), documents, vectors, models, tmp_path / "kept"))
    assert shared_out(30, (1, 3, 1)) == (6, 18, 6)
    assert [len(labelled) for labelled, _ in models.asked] == [24, 27] and len(found.documents) == 30
    assert recipe("allabel", 30).family != recipe("allabel", 20).family, "stages are shares of the whole budget"
    assert recipe("uncertainty", 30).family == recipe("uncertainty", 20).family
    assert recipe("uncertainty", 30).digest != recipe("uncertainty", 20).digest


def test_a_round_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    documents, models = pool(tmp_path), Models()
    vectors = np.eye(len(documents), dtype=np.float32)
    made = recipe("uncertainty", 4)
    first = asyncio.run(choose_in_rounds(made, documents, vectors, models, tmp_path / "kept"))
    [kept] = (tmp_path / "kept").glob("*.json")
    kept.write_text(kept.read_text(encoding="utf-8")[:20], encoding="utf-8")
    again = asyncio.run(choose_in_rounds(made, documents, vectors, models, tmp_path / "kept"))
    assert chosen(again) == chosen(first) and len(models.asked) == 2


# -- in a suite ---------------------------------------------------------------------------------------------------

SUITE = """
[rounds]
batch = 4
extract = 12

[[matrix]]
"demonstrations.k" = [2]
"selection.strategy" = ["random", "facility", "uncertainty", "allabel"]
"selection.budget" = ["10%", "20%", "100%"]
"""


def unsure(request: Request) -> Completion | str:
    """Member b does not know one town."""
    asked = read(request)
    if asked.step == "classify" and asked.mention == HARD and asked.member == "b":
        return weigh(person=0.45, place=0.44, none=0.11)
    return reply(request)


def suite_of(tmp_path: Path, text: str = SUITE) -> Path:
    write_lines(tmp_path / "s" / "pool.jsonl", texts(40, 60))
    head = text[: text.index("[[matrix]]")]
    path = written(tmp_path / "s", text[len(head) :], data='pool = "pool.jsonl"', count=6)
    path.write_text(path.read_text(encoding="utf-8").replace("[[data]]", head + "[[data]]", 1), encoding="utf-8")
    return frozen(path)


def test_a_suite_with_strategies_that_ask(tmp_path: Path) -> None:
    suite, models, heard = suite_of(tmp_path), ScriptedModels(unsure), Heard()
    result = measure(suite, tmp_path / "into", models, heard)
    assert len(result.cells) == 12 and not result.left
    keys = [request.key("m") for request in models.requests]
    assert len(keys) == len(set(keys)), "rounds and budgets share the cache"
    run = read_run(result.log)
    pools = {
        (cell.header.settings["selection.strategy"], cell.header.settings["selection.budget"]): made.header.pool
        for cell in run.cells
        if (made := run.pass_of(cell)) is not None
    }
    assert {key: value["documents"] for key, value in pools.items()} == {
        (strategy, budget): count
        for strategy in ("random", "facility", "uncertainty", "allabel")
        for budget, count in (("10%", 4), ("20%", 8), ("100%", 40))
    }
    assert all(value["demonstrations"] > 0 for value in pools.values())
    assert (pools["uncertainty", "10%"]["rounds"], pools["uncertainty", "10%"]["read"]) == (1, 12)
    assert (pools["uncertainty", "20%"]["rounds"], pools["uncertainty", "20%"]["read"]) == (2, 24)
    assert "rounds" not in pools["facility", "20%"] and pools["allabel", "20%"]["rounds"] == 1
    assert "rounds" not in pools["uncertainty", "100%"], "the whole pool needs no choice"
    assert result.estimate.read == 12 + 12 + 12 + 12, "two rounds of uncertainty, one of either ALLabel"
    assert heard.documents == result.estimate.read + 6 * len(run.passes)
    again = measure(suite, tmp_path / "into", fresh_models := ScriptedModels(unsure))
    assert again.shared == 12 and fresh_models.requests == []
    remade = measure(suite, tmp_path / "into", fresh_models, fresh=True)
    assert fresh_models.requests == [] and figures(remade) == figures(result)


def test_what_uncertainty_is_read_from_can_vary(tmp_path: Path) -> None:
    text = SUITE.replace('["random", "facility", "uncertainty", "allabel"]', '["uncertainty"]').replace(
        '["10%", "20%", "100%"]',
        '["10%"]\n"selection.measure" = ["mixed", "votes", "verifier"]\n"steps.verify" = ["on"]',
    )
    result = measure(suite_of(tmp_path, text), tmp_path / "into", ScriptedModels(unsure))
    run = read_run(result.log)
    assert [cell.header.settings["selection.measure"] for cell in run.cells] == ["mixed", "votes", "verifier"]
    assert len({cell.id for cell in run.cells}) == 3 and len(run.passes) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('"selection.measure" = ["mood"]', "'mood' is not allowed"),
        ('"selection.measure" = ["verifier"]', "needs verification"),
        ('"selection.measure" = ["votes"]\n"steps.classify" = [false]', "nobody votes"),
    ],
)
def test_measures_that_cannot_be(tmp_path: Path, line: str, says: str) -> None:
    text = f'[[matrix]]\n"demonstrations.k" = [2]\n"selection.strategy" = ["uncertainty"]\n"selection.budget" = [4]\n{line}\n'
    with pytest.raises(SuiteError, match=says) as caught:
        suite_of(tmp_path, text)
    assert "small.toml:" in caught.value.message and caught.value.hint


def test_rounds_are_left_in_their_middle_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = suite_of(tmp_path)
    whole = measure(suite, tmp_path / "whole", ScriptedModels(unsure))
    asked: set[str] = set()
    for _ in range(60):
        over_after(9, monkeypatch)
        models = ScriptedModels(unsure)
        result = measure(suite, tmp_path / "into", models, slice=Slice(max_minutes=60))
        keys = {request.key("m") for request in models.requests}
        assert not keys & asked
        asked |= keys
        if not result.left:
            break
    assert figures(result) == figures(whole)


def test_the_shipped_suite_asks_for_every_strategy() -> None:
    from evals.matrix import expand

    loaded = load_suite("allabel")
    cells = [cell for cell in expand(loaded) if cell.data.name == "wnut17"]
    strategies = {cell.strategy for cell in cells}
    assert strategies == {"random", "coreset", "similarity", "votek", "facility", "uncertainty", "allabel"}
    seeds = {strategy: {cell.seed for cell in cells if cell.strategy == strategy} for strategy in strategies}
    assert len(seeds.pop("random")) == len(seeds.pop("allabel")) == 5
    assert all(found == {1} for found in seeds.values())
    budgets = {cell.budget for cell in cells if cell.strategy == "allabel"}
    assert budgets == {"1%", "2%", "5%", "10%", "20%", "100%"} and loaded.suite.rounds.extract == 100
