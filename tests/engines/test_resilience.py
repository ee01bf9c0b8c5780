from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engines.breaker import CircuitBreaker
from agent.engines.protocol import Accounting, Completion, Engine, FailureKind, Request
from agent.engines.resilience import Policy, ResilientEngine
from agent.engines.scripted import Fault, FaultRule, RandomFaults, ScriptedEngine
from agent.engines.vllm_server import VllmServerEngine
from tools.errors import EngineError

QUICK = Policy(backoff=0.001, backoff_cap=0.004, timeout=0.2, open_after=1000)


def ask(text: str = "x") -> Request:
    return Request((("user", text),), 8)


def echo(request: Request) -> str:
    return request.messages[0][1]


def kinds(done: Sequence[Completion]) -> list[FailureKind | None]:
    return [one.failure.kind if one.failure else None for one in done]


def wrap(engine: Engine, policy: Policy = QUICK) -> ResilientEngine:
    return ResilientEngine(engine, policy, rng=random.Random(7))


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_only_what_failed_is_tried_again(batch: int) -> None:
    faults = FaultRule(Fault.SERVER, lambda request: echo(request) in ("2", "5"), times=3)
    engine = ScriptedEngine(echo, faults=faults, preferred_batch=batch)
    resilient = wrap(engine)
    done = asyncio.run(resilient.complete([ask(str(at)) for at in range(8)]))
    assert [one.text for one in done] == [str(at) for at in range(8)]
    assert engine.requests == 8 + 3
    assert sorted(one.attempts for one in done) in ([1] * 6 + [2, 3], [1] * 6 + [1, 4])
    assert resilient.state.retried == 3
    assert resilient.state.failed == 0


@pytest.mark.parametrize(
    ("fault", "kind", "tries"),
    [
        (Fault.SERVER, FailureKind.SERVER, 4),
        (Fault.OVERLOADED, FailureKind.OVERLOADED, 4),
        (Fault.CONNECTION, FailureKind.CONNECTION, 4),
        (Fault.MALFORMED, FailureKind.BAD_RESPONSE, 4),
    ],
)
def test_what_never_works_ends_after_all_attempts(fault: Fault, kind: FailureKind, tries: int) -> None:
    engine = ScriptedEngine(echo, faults=FaultRule(fault), preferred_batch=1)
    (done,) = asyncio.run(wrap(engine).complete([ask()]))
    assert kinds([done]) == [kind]
    assert (engine.requests, done.attempts) == (tries, tries)


def test_what_cannot_help_is_not_tried_again() -> None:
    replies = {"a": FailureKind.INVALID_REQUEST, "b": FailureKind.CONTEXT_LENGTH, "c": FailureKind.REFUSED}
    engine = ScriptedEngine(lambda request: Completion.failed(replies[echo(request)], "no"))
    done = asyncio.run(wrap(engine).complete([ask(text) for text in replies]))
    assert kinds(done) == list(replies.values())
    assert engine.requests == 3


@pytest.mark.parametrize("batch", [0, 1])
def test_an_engine_that_hangs_runs_into_the_timeout(batch: int) -> None:
    engine = ScriptedEngine(echo, faults=FaultRule(Fault.HANG, times=1), preferred_batch=batch)
    start = time.perf_counter()
    done = asyncio.run(wrap(engine).complete([ask("1")]))
    assert done[0].text == "1"
    assert done[0].attempts == 2
    assert 0.15 < time.perf_counter() - start < 3


def test_the_deadline_ends_the_tries() -> None:
    engine = ScriptedEngine(echo, faults=FaultRule(Fault.HANG), preferred_batch=1)
    policy = Policy(timeout=0.1, attempts=100, backoff=0.01, deadline=0.35, open_after=1000)
    start = time.perf_counter()
    (done,) = asyncio.run(wrap(engine, policy).complete([ask()]))
    assert kinds([done]) == [FailureKind.TIMEOUT]
    assert time.perf_counter() - start < 2
    assert 2 <= engine.requests <= 4


def test_everyone_waits_as_long_as_the_engine_asks() -> None:
    told: list[float] = []

    def reply(request: Request) -> Completion | str:
        told.append(time.monotonic())
        return Completion.failed(FailureKind.OVERLOADED, "slow", retry_after=0.3) if len(told) == 1 else "ok"

    resilient = wrap(ScriptedEngine(reply, preferred_batch=1))

    async def go() -> list[Completion]:
        first = asyncio.create_task(resilient.complete([ask("1")]))
        await asyncio.sleep(0.05)
        return [*(await resilient.complete([ask("2")])), *(await first)]

    assert [one.text for one in asyncio.run(go())] == ["ok", "ok"]
    assert min(told[1:]) - told[0] >= 0.29


def test_concurrency_is_bounded_over_all_calls() -> None:
    now, most = 0, 0

    class Counting(ScriptedEngine):
        async def complete(self, requests: Sequence[Request]) -> list[Completion]:
            nonlocal now, most
            now += len(requests)
            most = max(most, now)
            await asyncio.sleep(0.005)
            now -= len(requests)
            return await super().complete(requests)

    async def go(batch: int) -> None:
        engine = wrap(Counting(echo, preferred_batch=batch), Policy(max_in_flight=6))
        await asyncio.gather(*(engine.complete([ask(str(at)) for at in range(20)]) for _ in range(3)))

    asyncio.run(go(1))
    assert most == 6
    most = 0
    asyncio.run(go(2))
    assert most == 6


def test_a_dead_engine_is_left_out_and_comes_back() -> None:
    clock = [0.0]
    faults = FaultRule(Fault.CONNECTION)
    engine = ScriptedEngine(echo, faults=faults, preferred_batch=1)
    policy = Policy(attempts=1, open_after=3, reset_after=10.0, deadline=None, timeout=None)
    resilient = ResilientEngine(engine, policy, rng=random.Random(1), clock=lambda: clock[0])

    def go(count: int = 1) -> list[FailureKind | None]:
        return kinds(asyncio.run(resilient.complete([ask(str(at)) for at in range(count)])))

    assert go() + go() == [FailureKind.CONNECTION] * 2
    assert resilient.healthy
    assert go() == [FailureKind.CONNECTION]
    assert not resilient.healthy
    assert resilient.state.status == "open"
    assert "connection" in resilient.state.last_failure
    sent = engine.requests
    assert go(50) == [FailureKind.CIRCUIT_OPEN] * 50
    assert engine.requests == sent
    # A trial, which fails: closed out for twice as long.
    clock[0] = 10.0
    assert resilient.healthy
    assert go(5).count(FailureKind.CIRCUIT_OPEN) == 4
    assert engine.requests == sent + 1
    clock[0] = 29.9
    assert go() == [FailureKind.CIRCUIT_OPEN]
    clock[0] = 30.0
    faults.times = 0
    assert go() == [None]
    assert go(5) == [None] * 5
    assert resilient.state.status == "closed"
    assert resilient.state.turned_away == 50 + 4 + 1


def test_a_trial_that_is_cancelled_leaves_room_for_another() -> None:
    clock = [0.0]
    faults = FaultRule(Fault.SERVER, times=1)
    engine = ScriptedEngine(echo, faults=faults, preferred_batch=1, latency=0.05)
    policy = Policy(attempts=1, open_after=1, reset_after=1.0)
    resilient = ResilientEngine(engine, policy, clock=lambda: clock[0])

    async def go() -> list[FailureKind | None]:
        await resilient.complete([ask()])
        clock[0] = 1.0
        trial = asyncio.create_task(resilient.complete([ask()]))
        await asyncio.sleep(0.01)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        clock[0] = 2.0
        return kinds(await resilient.complete([ask()]))

    assert asyncio.run(go()) == [None]


def test_requests_that_are_turned_down_do_not_open_the_circuit() -> None:
    engine = ScriptedEngine(lambda request: Completion.failed(FailureKind.CONTEXT_LENGTH, "long"), preferred_batch=1)
    resilient = wrap(engine, Policy(open_after=2))
    asyncio.run(resilient.complete([ask(str(at)) for at in range(20)]))
    assert resilient.healthy


def test_whatever_an_engine_raises_is_a_record() -> None:
    class Broken(ScriptedEngine):
        async def complete(self, requests: Sequence[Request]) -> list[Completion]:
            if echo(requests[0]) == "gone":
                raise EngineError("the server is gone")
            if echo(requests[0]) == "few":
                return []
            raise KeyError("bug")

    done = asyncio.run(wrap(Broken(echo, preferred_batch=1)).complete([ask("gone"), ask("few"), ask("bug")]))
    assert kinds(done) == [FailureKind.UNAVAILABLE, FailureKind.BAD_RESPONSE, FailureKind.SERVER]


def test_a_real_server_that_recovers(fault_server, make_answer, make_http) -> None:
    fault_server.replies = [
        make_http(500, b"x"),
        make_http(429, b"x", "Retry-After: 0.05"),
        make_http(200, b"garbage"),
        make_answer("ok")[:-9],
        make_answer("ok"),
    ]

    async def go() -> list[Completion]:
        engine = ResilientEngine(
            VllmServerEngine(fault_server.url, "m", context_tokens=9),
            Policy(attempts=6, backoff=0.001),
            rng=random.Random(3),
        )
        try:
            return await engine.complete([ask()])
        finally:
            await engine.close()

    (done,) = asyncio.run(go())
    assert (done.text, done.attempts) == ("ok", 5)


def test_a_dead_server_is_noticed_after_a_few_requests(closed_port) -> None:
    async def go() -> list[Completion]:
        engine = ResilientEngine(
            VllmServerEngine(f"http://127.0.0.1:{closed_port}", "m", context_tokens=9),
            Policy(max_in_flight=4, attempts=3, backoff=0.001, open_after=6),
        )
        try:
            return await engine.complete([ask(str(at)) for at in range(200)])
        finally:
            await engine.close()

    found = kinds(asyncio.run(go()))
    assert found.count(FailureKind.CONNECTION) <= 12
    assert found.count(FailureKind.CIRCUIT_OPEN) >= 188


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0, 1, 4]))
def test_every_request_ends_once_and_in_order(seed: int, count: int, batch: int) -> None:
    rng = random.Random(seed)
    faults = RandomFaults(rng, {Fault.SERVER: 0.2, Fault.OVERLOADED: 0.1, Fault.MALFORMED: 0.1, Fault.TIMEOUT: 0.1})
    engine = ResilientEngine(
        ScriptedEngine(echo, faults=faults, preferred_batch=batch),
        Policy(backoff=0.0, attempts=3, open_after=5, reset_after=0.001),
        rng=rng,
    )
    done = asyncio.run(engine.complete([ask(str(at)) for at in range(count)]))
    assert len(done) == count
    assert all(one.failure or one.text == str(at) for at, one in enumerate(done))


@given(st.lists(st.sampled_from(["ok", "bad", "odd"]), max_size=40))
def test_a_breaker_opens_exactly_after_failures_in_a_row(events: list[str]) -> None:
    breaker = CircuitBreaker(3, 1000.0, 1000.0, lambda: 0.0)
    row = 0
    for event in events:
        if breaker.status == "open":
            assert not breaker.admit()
            break
        assert breaker.admit()
        {"ok": breaker.succeeded, "bad": breaker.failed, "odd": breaker.undecided}[event]()
        row = {"ok": 0, "bad": row + 1, "odd": row}[event]
        assert (breaker.status == "open") == (row >= 3)


def test_accounting_by_tag() -> None:
    accounting = Accounting()
    accounting.add("extract/a", Completion("x", prompt_tokens=5, output_tokens=2, latency=0.5))
    accounting.add("extract/a", Completion("x", prompt_tokens=5, from_cache=True))
    accounting.add("verify/b", Completion.failed(FailureKind.SERVER, "x"))
    total = accounting.total
    assert (total.requests, total.failures, total.from_cache, total.prompt_tokens, total.output_tokens) == (
        3,
        1,
        1,
        5,
        2,
    )
    assert accounting.by_tag["extract/a"].seconds == 0.5
