"""Dead members, lost quorums, single bad requests: what is left decides, and nothing is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agent.config import MemberConfig
from agent.engines.protocol import Completion, Engine, FailureKind, Request
from agent.engines.resilience import Policy, ResilientEngine
from agent.engines.scripted import Fault, FaultRule, ScriptedEngine
from tests.extraction.script import Asked, Script, config, found, one, quorum, work
from tools.annotation.prediction import OutcomeKind
from tools.errors import EngineError, QuorumLost

TEXT = "Ada met Bob in Bonn."
TYPES = {"Ada": {"person": 1.0}, "Bob": {"person": 1.0}}
VOTERS = tuple(MemberConfig(name=name, model=f"m{name}") for name in "abc")


def engines(script: Script, **others: Engine) -> dict[str, Engine]:
    """An engine a member, all of one script, some replaced."""
    return {f"m{name}": others.get(name) or script.engine() for name in "abc"}


def answering() -> Script:
    return Script(extract={"*": "Ada\n"}, types=TYPES)


@pytest.mark.parametrize("fault", [Fault.CONNECTION, Fault.TIMEOUT, Fault.SERVER, Fault.OVERLOADED])
def test_a_dead_member_is_left_out_and_named_and_the_rest_decide(fault: Fault) -> None:
    script = answering()
    dead = script.engine(faults=FaultRule(fault))
    batch = work(quorum(engines(script, b=dead), config(*VOTERS)), TEXT, "Ada again.")
    assert batch.members_down == ("b",)
    for result in batch.results:
        assert result.outcome.kind is OutcomeKind.OK
        assert [v.member for v in result.entities[0].votes] == ["a", "c"]


def test_a_member_that_dies_between_the_steps_is_named_too() -> None:
    script = answering()
    dying = script.engine(faults=FaultRule(Fault.CONNECTION, lambda r: r.tag.startswith("classify")))
    batch = work(quorum(engines(script, c=dying), config(*VOTERS)), TEXT)
    assert batch.members_down == ("c",)
    assert [v.member for v in batch.results[0].entities[0].votes] == ["a", "b"]


class Unusable(ScriptedEngine):
    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        raise EngineError("no such model\nat all", "pull it")


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_engine_that_cannot_be_used_at_all_is_a_dead_member(wrapped: bool) -> None:
    script = answering()
    broken: Engine = Unusable(script)
    if wrapped:
        broken = ResilientEngine(broken, Policy(attempts=1))
    batch = work(quorum(engines(script, a=broken), config(*VOTERS)), TEXT)
    assert batch.members_down == ("a",)
    assert found(batch.results[0], TEXT) == [("Ada", "person")]


@pytest.mark.parametrize("step", ["extract", "classify"])
def test_fewer_members_than_the_quorum_stop_the_batch_with_one_line(step: str) -> None:
    script = answering()
    messages = iter(("refused\nby the host", "no\r\nroute"))

    def dead() -> Engine:
        said = next(messages)

        def reply(request: Request) -> Completion | str:
            if request.tag.startswith(step):
                return Completion.failed(FailureKind.CONNECTION, said)
            return script(request)

        return ScriptedEngine(reply)

    opened = quorum(engines(script, a=dead(), b=dead()), config(*VOTERS))
    with pytest.raises(QuorumLost) as caught:
        work(opened, TEXT, TEXT)
    assert caught.value.message.startswith("1 of 3 members answer, the quorum is 2")
    assert "a: connection: refused by the host" in caught.value.message and "b: connection" in caught.value.message
    assert "\n" not in caught.value.message and "\n" not in caught.value.hint and caught.value.hint
    assert caught.value.exit_code == 3


def test_with_a_quorum_of_one_a_single_member_may_decide() -> None:
    script = answering()
    dead = FaultRule(Fault.CONNECTION)
    opened = quorum(
        engines(script, a=script.engine(faults=dead), b=script.engine(faults=dead)), config(*VOTERS, quorum=1)
    )
    batch = work(opened, TEXT)
    assert batch.members_down == ("a", "b")
    assert found(batch.results[0], TEXT) == [("Ada", "person")]


def test_a_passage_too_long_fails_alone() -> None:
    script = answering()
    batch = work(quorum({"m": script.engine(context_tokens=200)}), TEXT, "word " * 2000, "Ada again.")
    kinds = [r.outcome.kind for r in batch.results]
    assert kinds == [OutcomeKind.OK, OutcomeKind.FAILED, OutcomeKind.OK]
    assert "context_length" in batch.results[1].outcome.reason
    assert all(name in batch.results[1].outcome.reason for name in "abc")
    assert (batch.results[1].entities, batch.results[1].rejected) == ((), ())
    assert batch.members_down == ()


def test_a_single_connection_failure_fails_its_passage_and_not_the_member() -> None:
    script = answering()
    batch = work(quorum({"m": script.engine(faults=FaultRule(Fault.CONNECTION, lambda r: "Bob" in r.messages[1][1]))}),
                 TEXT, "Ada again.")  # fmt: skip
    assert [r.outcome.kind for r in batch.results] == [OutcomeKind.FAILED, OutcomeKind.OK]
    assert batch.members_down == ()


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_a_member_abstains_from_a_candidate_it_fails_on(names: str) -> None:
    """With as many members as the quorum needs the candidate is left out and said so; with one more, the others vote."""

    def failing(asked: Asked) -> Completion | None:
        if asked.step == "classify" and asked.member == "a" and asked.mention == "Bob":
            return Completion.failed(FailureKind.BAD_RESPONSE, "half an\nanswer")
        return None

    script = Script(extract={"*": "Ada\nBob\n"}, types=TYPES, otherwise=failing)
    voters = tuple(MemberConfig(name=name, model="m") for name in names)
    result = one(quorum(script, config(*voters, quorum=min(2, len(names)))), TEXT)
    if names == "abc":
        assert found(result, TEXT) == [("Ada", "person"), ("Bob", "person")]
        assert [vote.member for vote in result.entities[1].votes] == ["b", "c"]
        assert result.outcome.kind is OutcomeKind.OK
    else:
        assert found(result, TEXT) == [("Ada", "person")]
        assert result.outcome.kind is OutcomeKind.TRUNCATED
        assert result.outcome.reason == "1 candidate(s) left out for too few votes: a: bad_response: half an answer"


def test_a_passage_fails_when_no_candidate_of_it_can_be_judged() -> None:
    def failing(asked: Asked) -> Completion | None:
        if asked.step == "classify" and asked.passage == TEXT and asked.member != "c":
            return Completion.failed(FailureKind.BAD_RESPONSE, "nothing")
        return None

    script = Script(extract={"*": "Ada\n"}, types=TYPES, otherwise=failing)
    batch = work(quorum(script), TEXT, "Ada again.")
    assert [r.outcome.kind for r in batch.results] == [OutcomeKind.FAILED, OutcomeKind.OK]
    assert batch.results[0].outcome.reason.startswith("too few votes: ")
    assert batch.results[0].entities == batch.results[0].rejected == ()


def test_a_dead_member_does_not_lower_the_share_that_proposed() -> None:
    from agent.extraction.confidence import Calibrator

    by_share = Calibrator(vote=0.0, proposed=4.0, verdict=0.0)
    script = answering()
    whole = work(quorum(engines(script), config(*VOTERS), calibrator=by_share), TEXT).results[0]
    dead = engines(script, b=script.engine(faults=FaultRule(Fault.CONNECTION)))
    without = work(quorum(dead, config(*VOTERS), calibrator=by_share), TEXT).results[0]
    assert whole.entities[0].confidence == without.entities[0].confidence > 0.8


def test_a_refusal_is_told_and_what_the_others_found_is_kept() -> None:
    def refusing(asked: Asked) -> Completion | None:
        if asked.member == "b" and asked.step == "extract":
            return Completion.failed(FailureKind.REFUSED, "I will not\nread this")
        return None

    script = Script(extract={"*": "Ada\n"}, types=TYPES, otherwise=refusing)
    result = one(quorum(script), TEXT)
    assert result.outcome.kind is OutcomeKind.REFUSED
    assert result.outcome.reason == "b: refused: I will not read this"
    assert found(result, TEXT) == [("Ada", "person")]


def test_refused_by_too_many_is_failed() -> None:
    script = Script(
        otherwise=lambda asked: Completion.failed(FailureKind.REFUSED, "no") if asked.member != "a" else None
    )
    assert one(quorum(script), TEXT).outcome.kind is OutcomeKind.FAILED


def test_garbage_from_all_members_is_a_typed_outcome() -> None:
    script = answering()
    result = one(quorum({"m": script.engine(faults=FaultRule(Fault.GARBAGE))}), TEXT)
    assert result.entities == () and result.outcome.kind in (OutcomeKind.UNGROUNDED, OutcomeKind.FAILED)


def test_pre_extraction_that_fails_costs_nothing() -> None:
    from tests.extraction.script import Shelf

    script = answering()
    opened = quorum(
        {"m": script.engine(faults=FaultRule(Fault.CONNECTION, lambda r: r.tag.startswith("pre_extract")))},
        source=Shelf([], needs_spans=True),
    )
    batch = work(opened, TEXT)
    assert found(batch.results[0], TEXT) == [("Ada", "person")] and batch.members_down == ()


def test_closing_a_quorum_closes_what_it_owns() -> None:
    from agent.extraction.quorum import Quorum
    from tests.extraction.script import LABELS

    closed: list[str] = []

    class Closing(ScriptedEngine):
        async def close(self) -> None:
            closed.append(self.name)

    engine = Closing(answering(), name="own")

    async def use() -> None:
        async with Quorum(config(), LABELS, {"m": engine}, owns=(engine,)) as opened:
            await opened.extract([])

    asyncio.run(use())
    assert closed == ["own"]
