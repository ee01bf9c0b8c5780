"""A content-addressed response cache around any engine."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import orjson

from agent.engines.protocol import Completion, Engine, FailureKind, Request, TokenAlternatives

_FORM = 1


@runtime_checkable
class ResponseCache(Protocol):
    """Where answers are kept, by content address."""

    def get(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """What there is of the keys; unknown ones are left out."""
        ...

    def put(self, answers: Mapping[str, bytes], /) -> None:
        """Keep answers; the same key always has an equivalent value."""
        ...


class MemoryCache:
    """Keeps the most recently used answers in memory.

    Args:
        max_entries: How many; an answer takes about 200 bytes, 5 kB with log-probabilities.
    """

    def __init__(self, max_entries: int = 100_000) -> None:
        self._max = max_entries
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What there is of the keys."""
        found = {key: self._kept[key] for key in keys if key in self._kept}
        for key in found:
            self._kept.move_to_end(key)
        return found

    def put(self, answers: Mapping[str, bytes]) -> None:
        """Keep answers, forgetting the least recently used."""
        for key, answer in answers.items():
            self._kept[key] = answer
            self._kept.move_to_end(key)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)


class SupportsCache(Protocol):
    """The part of the durable store that keeps answers."""

    def cache_get(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """What there is of the keys."""
        ...

    def cache_put(self, answers: Mapping[str, bytes], /) -> None:
        """Keep answers."""
        ...


class StoreCache:
    """The durable store as a response cache."""

    def __init__(self, store: SupportsCache) -> None:
        self._store = store

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What the store has of the keys."""
        return self._store.cache_get(keys)

    def put(self, answers: Mapping[str, bytes]) -> None:
        """Keep answers in the store, in one transaction."""
        self._store.cache_put(answers)


def pack(completion: Completion) -> bytes:
    """A successful completion as compact JSON."""
    c = completion
    tokens = [[t.token, t.logprob, t.top] for t in c.logprobs]
    return orjson.dumps([_FORM, c.text, c.finish, c.prompt_tokens, c.cached_tokens, c.output_tokens, tokens])


def unpack(data: bytes) -> Completion | None:
    """The completion again, marked as from the cache; None for what this version did not write."""
    try:
        form, text, finish, prompt, cached, output, tokens = orjson.loads(data)
        if form != _FORM:
            return None
        logprobs = tuple(
            TokenAlternatives(token, logprob, tuple((other, value) for other, value in top))
            for token, logprob, top in tokens
        )
    except (ValueError, TypeError):
        return None
    return Completion(
        text=text,
        finish=finish,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        logprobs=logprobs,
        from_cache=True,
        attempts=0,
    )


class CachedEngine:
    """Answers what was answered before; sends the rest, each distinct request once.

    Only successes are kept. A request that is under way already, in this call
    or another, is waited for and not sent again. What the engine itself raises
    reaches the caller.

    Args:
        engine: What answers the rest.
        cache: Where answers are kept.
    """

    def __init__(self, engine: Engine, cache: ResponseCache) -> None:
        self.engine = engine
        self._cache = cache
        self._under_way: dict[str, asyncio.Future[Completion]] = {}

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    @property
    def model_revision(self) -> str:
        """The engine's."""
        return self.engine.model_revision

    @property
    def context_tokens(self) -> int:
        """The engine's."""
        return self.engine.context_tokens

    @property
    def preferred_batch(self) -> int:
        """The engine's."""
        return int(getattr(self.engine, "preferred_batch", 1))

    def count_tokens(self, text: str) -> int:
        """The engine's."""
        return self.engine.count_tokens(text)

    async def close(self) -> None:
        """Close the engine; the cache belongs to whoever gave it."""
        await self.engine.close()

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order."""
        revision = self.model_revision
        keys = [_key(request, revision) for request in requests]
        done: dict[str, Completion] = {"": Completion.failed(FailureKind.INVALID_REQUEST, "not valid Unicode")}
        wanted = {key: request for key, request in zip(keys, requests, strict=True) if key}
        owned: set[str] = set()
        while wanted:
            done.update(self._look_up([key for key in wanted if key not in self._under_way]))
            mine = {key: r for key, r in wanted.items() if key not in done and key not in self._under_way}
            theirs = {key: self._under_way[key] for key in wanted if key in self._under_way and key not in done}
            if mine:
                owned.update(mine)
                done.update(await self._send(mine))
            if theirs:
                await asyncio.wait(theirs.values())
                # Where the call that had sent it was cancelled, the next turn of the loop sends it.
                done.update({key: _again(f.result()) for key, f in theirs.items() if not f.cancelled()})
            wanted = {key: request for key, request in wanted.items() if key not in done}
        return self._in_order(keys, done, owned)

    def _look_up(self, keys: list[str]) -> dict[str, Completion]:
        found = self._cache.get(keys) if keys else {}
        read = ((key, unpack(data)) for key, data in found.items())
        return {key: completion for key, completion in read if completion is not None}

    async def _send(self, mine: Mapping[str, Request]) -> dict[str, Completion]:
        loop = asyncio.get_running_loop()
        futures = {key: loop.create_future() for key in mine}
        self._under_way.update(futures)
        try:
            answers = dict(zip(mine, await self.engine.complete(list(mine.values())), strict=True))
            self._cache.put({key: pack(answer) for key, answer in answers.items() if answer.failure is None})
            for key, future in futures.items():
                future.set_result(answers[key])
        finally:
            for key, future in futures.items():
                del self._under_way[key]
                future.cancel()
        return answers

    @staticmethod
    def _in_order(keys: Iterable[str], done: Mapping[str, Completion], owned: set[str]) -> list[Completion]:
        """One completion a request; of equal requests only the first counts as sent."""
        seen: set[str] = set()
        results = []
        for key in keys:
            completion = done[key]
            results.append(_again(completion) if key in seen and key in owned else completion)
            seen.add(key)
        return results


def _key(request: Request, revision: str) -> str:
    """The content address; empty for a prompt that no JSON can hold (lone surrogates)."""
    try:
        return request.key(revision)
    except (TypeError, ValueError):
        return ""


def _again(completion: Completion) -> Completion:
    """An answer that was given to another request of the same content."""
    return completion if completion.failure else replace(completion, from_cache=True, latency=0.0, attempts=0)
