"""Demonstrations in prompts: how many, in which order, and the prefix that an engine's cache lives on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from agent.config import DemonstrationsConfig, MemberConfig, ProjectConfig, StepsConfig
from agent.engines.protocol import Request
from agent.extraction.demonstrations import RetrievedDemonstrations
from agent.extraction.member import Sheet
from agent.extraction.state import Shown, Work
from prompts import DemonstrationView
from tests.extraction.script import LABELS, Script, Shelf, config, members, one, passage, quorum, work
from tools.annotation import Span
from tools.demonstrations import Demonstration, Query, Retrieved

TEXT = "Ada met Bob in Bonn."
GOLD = [
    Demonstration("far", "g1", "Rain fell on Ulm.", (Span(13, 16, "place"),)),
    Demonstration("near", "g2", "Eva left.", (Span(0, 3, "person"),)),
    Demonstration("nearest", "g3", "Nobody came.", ()),
]
TYPES = {"Ada": {"person": 0.6, "none": 0.4}, "Bonn": {"place": 0.6, "none": 0.4}}
ON = StepsConfig(verify="on", calibrate=False)


def played() -> Script:
    return Script(extract={"*": "Ada\nBonn\n"}, types=TYPES)


def user(request: Request) -> str:
    return request.messages[1][1]


def test_the_most_similar_stands_last_and_its_answer_has_the_form_of_an_answer() -> None:
    script = played()
    result = one(quorum(script, config(*members("a")), source=Shelf(GOLD)), TEXT)
    assert user(script.requests[0]).startswith(
        "Text: Rain fell on Ulm.\nplace: Ulm\n\nText: Eva left.\nperson: Eva\n\nText: Nobody came.\n-\n\nText: Ada met"
    )
    assert result.demonstrations == ("far", "near", "nearest")


def test_members_may_be_shown_different_numbers_and_get_the_most_similar() -> None:
    script, shelf = played(), Shelf(GOLD)
    voters = [MemberConfig(name=f"m{n}", model="m", demonstrations=n) for n in (0, 1, 2, 5)]
    one(quorum(script, config(*voters, steps=ON), source=shelf), TEXT)
    texts = [d.text for d in GOLD]
    expected = {"m0": [], "m1": texts[2:], "m2": texts[1:], "m5": texts}
    for asked in script.asked:
        assert list(asked.demonstrations) == expected[asked.member], asked.step
    assert [k for _, k in shelf.calls] == [5]


@pytest.mark.parametrize("count", range(5))
def test_last_takes_the_most_similar(count: int) -> None:
    views = tuple(DemonstrationView(f"t{n}", ()) for n in range(3))
    assert Shown(views).last(count) == views[max(0, 3 - count) :]


def test_with_k_zero_or_retrieval_off_nothing_is_looked_up_or_shown() -> None:
    for settings in (
        config(*members("a", "b", demonstrations=0)),
        config(steps=StepsConfig(retrieve=False, verify="off")),
        ProjectConfig.default(
            environment={},
            members=members("a"),
            demonstrations=DemonstrationsConfig(k=0),
            steps=StepsConfig(verify="off"),
        ),
    ):
        script, shelf = played(), Shelf(GOLD, needs_spans=True)
        result = one(quorum(script, settings, source=shelf), TEXT)
        assert shelf.calls == [] and result.demonstrations == ()
        assert all(asked.demonstrations == () and asked.step != "pre_extract" for asked in script.asked)


def test_pre_extraction_gives_the_retriever_spans_and_costs_one_request_a_passage() -> None:
    script, shelf = played(), Shelf(GOLD, needs_spans=True)
    work(quorum(script, source=shelf), TEXT, "Bonn again.")
    works, _ = shelf.calls[0]
    assert [w.suspected for w in works] == [(Span(0, 3), Span(15, 19)), (Span(0, 4),)]
    asked = [a for a in script.asked if a.step == "pre_extract"]
    assert len(asked) == 2 and all(a.demonstrations == () for a in asked)
    assert [a.step for a in script.asked[:2]] == ["pre_extract"] * 2


@pytest.mark.parametrize("context", ["", "It was the year before."])
def test_members_of_one_engine_share_everything_but_the_question(context: str) -> None:
    """The prefix cache saves what stands in front, so only the last lines may differ."""
    script = played()
    voters = (
        MemberConfig(name="list", model="m"),
        MemberConfig(name="typed", model="m", extract="typed.v1", classify="asked.v1"),
    )
    opened = quorum(script, config(*voters, steps=ON), source=Shelf(GOLD))
    asyncio.run(opened.extract([passage(TEXT, context=context)]))
    steps = {asked.step for asked in script.asked}
    assert steps == {"extract", "classify", "verify"} and len(script.requests) >= 8
    assert len({request.messages[0] for request in script.requests}) == 1
    prompts = [user(request) for request in script.requests]
    low, high = min(prompts), max(prompts)
    common = low[: next(i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)]
    shown = f"Text: ({context}) {TEXT}\n" if context else f"Text: {TEXT}\n"
    prefix = common[: common.index(shown) + len(shown)]
    assert all(d.text in prefix for d in GOLD)
    for prompt in prompts:
        rest = prompt.removeprefix(prefix).split("\n")
        assert 1 <= len(rest) <= 2, rest
        assert all("Text:" not in line for line in rest)


def test_a_batch_needs_one_call_of_the_source() -> None:
    shelf = Shelf(GOLD)
    work(quorum(played(), source=shelf), *[TEXT] * 9)
    assert [len(works) for works, _ in shelf.calls] == [9]


class Ranked:
    """A retriever that gives everything, best first."""

    def __init__(self, *found: Demonstration) -> None:
        self.found = found
        self.queries: list[Query] = []

    def retrieve(self, queries: Sequence[Query], k: int, *, rng: random.Random) -> list[list[Retrieved]]:
        self.queries += queries
        return [[Retrieved(d, 1.0, "ranked") for d in self.found[:k]] for _ in queries]


def retrieved(retriever: Any, budget: int) -> list[Shown]:
    source = RetrievedDemonstrations(retriever, needs_spans=False, count_tokens=len, budget_tokens=budget)
    works = (Work(passage(TEXT), passage(TEXT).shown, suspected=(Span(0, 3),)),)
    return source.shown_for(works, 3, Sheet.of(LABELS), random.Random(0))


def test_best_first_from_the_retriever_becomes_most_similar_last() -> None:
    ranked = Ranked(*GOLD)
    shown = retrieved(ranked, 10_000)[0]
    assert shown.ids == ("nearest", "near", "far")
    assert [v.text for v in shown.views] == [d.text for d in reversed(GOLD)]
    assert ranked.queries == [Query("d", TEXT, (Span(0, 3),))]


def test_what_does_not_fit_the_budget_is_left_out_and_the_most_similar_kept() -> None:
    long = Demonstration("long", "g4", "word " * 100, ())
    assert retrieved(Ranked(GOLD[0], long, GOLD[1]), 60)[0].ids == ("near", "far")
    assert retrieved(Ranked(*GOLD), 26)[0].ids == ("far",)
    assert retrieved(Ranked(*GOLD), 0)[0].ids == ()
