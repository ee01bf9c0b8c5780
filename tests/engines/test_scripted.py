from __future__ import annotations

import asyncio
import random
import time

import pytest

from agent.engines.protocol import Completion, Engine, FailureKind, Request
from agent.engines.scripted import Fault, FaultRule, RandomFaults, ScriptedEngine


def ask(text: str = "x") -> Request:
    return Request((("user", text),), 8)


def test_it_answers_from_the_function_and_counts() -> None:
    engine = ScriptedEngine(lambda request: request.messages[0][1].upper())
    assert isinstance(engine, Engine)
    done = asyncio.run(engine.complete([ask("ab"), ask("c" * 40)]))
    assert [one.text for one in done] == ["AB", "C" * 40]
    assert done[1].prompt_tokens == 10
    assert (engine.calls, engine.requests) == (1, 2)


def test_a_whole_completion_may_be_the_reply() -> None:
    reply = Completion("x", "length", 1, 0, 9)
    assert asyncio.run(ScriptedEngine(lambda request: reply).complete([ask()])) == [reply]


def test_a_prompt_longer_than_the_context_fails() -> None:
    (done,) = asyncio.run(ScriptedEngine(lambda request: "x", context_tokens=10).complete([ask("y" * 100)]))
    assert done.failure is not None
    assert done.failure.kind is FailureKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("fault", "text"), [(Fault.HALF, "0123"), (Fault.NOTHING, ""), (Fault.GARBAGE, "\ufffd{]} lorem \x1b[31mipsum")]
)
def test_answers_can_be_spoilt(fault: Fault, text: str) -> None:
    (done,) = asyncio.run(ScriptedEngine(lambda request: "01234567", faults=FaultRule(fault)).complete([ask()]))
    assert (done.text, done.failure) == (text, None)


def test_random_faults_repeat_with_their_seed() -> None:
    def run(seed: int) -> list[str]:
        faults = RandomFaults(random.Random(seed), {Fault.SERVER: 0.3, Fault.HALF: 0.2})
        engine = ScriptedEngine(lambda request: "0123", faults=faults)
        return [repr(one) for one in asyncio.run(engine.complete([ask()] * 200))]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 30 < sum("SERVER" in one for one in run(1)) < 90
    with pytest.raises(ValueError, match="sum to at most 1"):
        RandomFaults(random.Random(1), {Fault.SERVER: 0.9, Fault.HALF: 0.9})


def test_requests_of_a_call_run_side_by_side() -> None:
    engine = ScriptedEngine(lambda request: "x", latency=lambda request: 0.1 if request.messages[0][1] == "slow" else 0)
    start = time.perf_counter()
    asyncio.run(engine.complete([ask("slow")] * 20))
    assert 0.09 < time.perf_counter() - start < 1.0


def test_it_is_cheap_enough_to_measure_pipelines_with() -> None:
    engine = ScriptedEngine(lambda request: "-")
    requests = [ask("x" * 300)] * 20_000
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        asyncio.run(engine.complete(requests))
        best = min(best, time.process_time() - start)
    # It takes about 2 us; the bound leaves room for slow and busy machines.
    assert best / len(requests) < 20e-6
