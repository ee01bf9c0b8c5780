from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engines.cache import CachedEngine, MemoryCache, ResponseCache, StoreCache, pack, unpack
from agent.engines.protocol import Completion, Failure, FailureKind, Request, TokenAlternatives
from agent.engines.scripted import Fault, FaultRule, ScriptedEngine


def ask(text: str = "x", tag: str = "") -> Request:
    return Request((("user", text),), 8, tag=tag)


def echo(request: Request) -> str:
    return request.messages[0][1]


numbers = st.floats(-50, 0, allow_nan=False)
plain = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
tokens = st.builds(TokenAlternatives, plain, numbers, st.lists(st.tuples(plain, numbers), max_size=3).map(tuple))
completions = st.builds(
    Completion,
    text=plain,
    finish=st.sampled_from(["stop", "length"]),
    prompt_tokens=st.integers(0, 9999),
    cached_tokens=st.integers(0, 9999),
    output_tokens=st.integers(0, 9999),
    logprobs=st.lists(tokens, max_size=3).map(tuple),
)


@given(completions)
def test_what_is_kept_comes_back(completion: Completion) -> None:
    back = unpack(pack(completion))
    assert back is not None
    assert back.from_cache
    assert (back.text, back.finish, back.logprobs) == (completion.text, completion.finish, completion.logprobs)
    assert (back.prompt_tokens, back.cached_tokens, back.output_tokens) == (
        completion.prompt_tokens,
        completion.cached_tokens,
        completion.output_tokens,
    )


@given(st.binary(max_size=40))
def test_what_was_not_written_by_this_version_is_passed_over(data: bytes) -> None:
    assert unpack(data) is None
    assert unpack(b"[0,1,2,3,4,5,6]") is None


def test_an_answer_is_given_again_without_the_engine() -> None:
    engine = ScriptedEngine(echo)
    cached = CachedEngine(engine, MemoryCache())
    first = asyncio.run(cached.complete([ask("a"), ask("b"), ask("a", tag="other")]))
    assert engine.requests == 2
    assert [one.from_cache for one in first] == [False, False, True]
    second = asyncio.run(cached.complete([ask("b"), ask("c"), ask("a")]))
    assert engine.requests == 3
    assert [one.text for one in second] == ["b", "c", "a"]
    assert [one.from_cache for one in second] == [True, False, True]


def test_failures_are_not_kept_and_bad_text_is_a_record() -> None:
    engine = ScriptedEngine(echo, faults=FaultRule(Fault.SERVER, times=1))
    cached = CachedEngine(engine, MemoryCache())
    first = asyncio.run(cached.complete([ask("a"), ask("lone \ud800")]))
    assert [one.failure and one.failure.kind for one in first] == [FailureKind.SERVER, FailureKind.INVALID_REQUEST]
    assert asyncio.run(cached.complete([ask("a")]))[0].text == "a"
    assert engine.requests == 2


def test_equal_requests_under_way_are_sent_once() -> None:
    engine = ScriptedEngine(echo, latency=0.05)
    cached = CachedEngine(engine, MemoryCache())

    async def go() -> list[list[Completion]]:
        return await asyncio.gather(*(cached.complete([ask("a"), ask(str(at))]) for at in range(5)))

    found = asyncio.run(go())
    assert engine.requests == 1 + 5
    assert [[one.text for one in part] for part in found] == [["a", str(at)] for at in range(5)]
    assert sum(not part[0].from_cache for part in found) == 1


def test_a_caller_that_is_cancelled_does_not_take_the_others_along() -> None:
    engine = ScriptedEngine(echo, latency=0.05)
    cached = CachedEngine(engine, MemoryCache())

    async def go() -> list[Completion]:
        first = asyncio.create_task(cached.complete([ask("a")]))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(cached.complete([ask("a")]))
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(go())[0].text == "a"
    assert engine.requests == 2


def test_what_an_engine_raises_reaches_the_caller_and_frees_the_key() -> None:
    class Broken(ScriptedEngine):
        async def complete(self, requests: Sequence[Request]) -> list[Completion]:
            if self.calls == 0:
                self.calls = 1
                raise RuntimeError("bug")
            return await super().complete(requests)

    cached = CachedEngine(Broken(echo), MemoryCache())

    async def go() -> str:
        with pytest.raises(RuntimeError, match="bug"):
            await cached.complete([ask("a")])
        return (await cached.complete([ask("a")]))[0].text

    assert asyncio.run(go()) == "a"


def test_another_model_does_not_get_the_answers() -> None:
    cache = MemoryCache()
    asyncio.run(CachedEngine(ScriptedEngine(echo, name="one"), cache).complete([ask("a")]))
    other = ScriptedEngine(lambda request: "different", name="two")
    assert asyncio.run(CachedEngine(other, cache).complete([ask("a")]))[0].text == "different"
    assert len(cache) == 2


def test_memory_forgets_what_was_not_used() -> None:
    cache = MemoryCache(max_entries=2)
    cache.put({"a": b"1", "b": b"2"})
    assert cache.get(["a"]) == {"a": b"1"}
    cache.put({"c": b"3"})
    assert cache.get(["a", "b", "c"]) == {"a": b"1", "c": b"3"}


def test_the_durable_store_is_a_cache(tmp_path) -> None:
    from tools.store import Store

    def run(engine: ScriptedEngine) -> Completion:
        with Store.open(tmp_path / "project.db") as store:
            cache = StoreCache(store)
            assert isinstance(cache, ResponseCache)
            return asyncio.run(CachedEngine(engine, cache).complete([ask("a"), ask("b")]))[0]

    first, second = ScriptedEngine(echo), ScriptedEngine(echo)
    assert not run(first).from_cache
    assert run(second) == Completion("a", prompt_tokens=0, output_tokens=1, from_cache=True, attempts=0)
    assert (first.requests, second.requests) == (2, 0)


def test_a_failure_can_be_told_from_an_answer() -> None:
    assert Completion.failed(FailureKind.TIMEOUT, "x").failure == Failure(FailureKind.TIMEOUT, "x")
