"""An engine that answers from a function: for tests, benchmarks and fault injection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from agent.engines.protocol import Completion, FailureKind, Request
from agent.engines.tokens import estimate_tokens


class Fault(StrEnum):
    """What goes wrong with a request."""

    HANG = "hang"
    """Never answers; only a timeout around the engine ends it."""
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER = "server"
    OVERLOADED = "overloaded"
    GARBAGE = "garbage"
    """An answer that has nothing to do with the question."""
    HALF = "half"
    """The first half of the answer, said to be complete."""
    NOTHING = "nothing"
    """An empty answer, said to be complete."""
    MALFORMED = "malformed"
    """What came back is no completion at all."""


class FaultSource(Protocol):
    """Decides what goes wrong with a request."""

    def __call__(self, request: Request) -> Fault | None:
        """The fault of this try of the request; None when it goes well."""
        ...


@dataclass(slots=True)
class FaultRule:
    """The same fault for every request that matches.

    Attributes:
        fault: What goes wrong.
        match: Which requests; all by default.
        times: For how many tries, then all goes well; None: for ever.
    """

    fault: Fault
    match: Callable[[Request], bool] = lambda request: True
    times: int | None = None

    def __call__(self, request: Request) -> Fault | None:
        """The fault, while there are times left."""
        if self.times == 0 or not self.match(request):
            return None
        if self.times is not None:
            self.times -= 1
        return self.fault


class RandomFaults:
    """Faults with a probability each, drawn for every try from a generator.

    Args:
        rng: Where to draw from; one with a seed makes a run repeatable.
        probabilities: Fault to probability; their sum is at most 1.

    Raises:
        ValueError: The probabilities are none.
    """

    def __init__(self, rng: random.Random, probabilities: Mapping[Fault, float]) -> None:
        if min(probabilities.values(), default=0.0) < 0 or sum(probabilities.values()) > 1 + 1e-9:
            raise ValueError("probabilities of faults must be positive and sum to at most 1")
        self._rng = rng
        self._probabilities = dict(probabilities)

    def __call__(self, request: Request) -> Fault | None:
        """Draw for one try."""
        draw = self._rng.random()
        for fault, probability in self._probabilities.items():
            draw -= probability
            if draw < 0:
                return fault
        return None


_FAILURES = {
    Fault.TIMEOUT: (FailureKind.TIMEOUT, "scripted timeout"),
    Fault.CONNECTION: (FailureKind.CONNECTION, "scripted: connection refused"),
    Fault.SERVER: (FailureKind.SERVER, "scripted: HTTP 500"),
    Fault.OVERLOADED: (FailureKind.OVERLOADED, "scripted: HTTP 429"),
    Fault.MALFORMED: (FailureKind.BAD_RESPONSE, "scripted: not a chat completion"),
}


class ScriptedEngine:
    """Answers every request with what a function says.

    Without faults and latency a request costs about 2 us beside the function,
    so that what is measured with it is the pipeline. Token counts are a quarter
    of the characters.

    Args:
        reply: The answer to a request: a text, or a whole completion.
        name: What reports call it; also its revision.
        latency: Seconds a request takes, or a function that says so; requests
            of a call run side by side.
        faults: What goes wrong.
        context_tokens: A prompt and its answer may take; longer prompts fail.
        preferred_batch: How many requests ``resilience`` hands over at once.
    """

    def __init__(
        self,
        reply: Callable[[Request], Completion | str],
        *,
        name: str = "scripted",
        latency: float | Callable[[Request], float] = 0.0,
        faults: FaultSource | None = None,
        context_tokens: int = 8192,
        preferred_batch: int = 0,
    ) -> None:
        self._reply = reply
        self._name = name
        self._latency = latency
        self._faults = faults
        self._context = context_tokens
        self.preferred_batch = preferred_batch
        self.calls = 0
        self.requests = 0

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name

    @property
    def model_revision(self) -> str:
        """Its name: the same script is taken to answer the same."""
        return f"scripted:{self._name}"

    @property
    def context_tokens(self) -> int:
        """As given."""
        return self._context

    def count_tokens(self, text: str) -> int:
        """The estimate that engines without a tokenizer use."""
        return estimate_tokens(text)

    async def close(self) -> None:
        """Nothing is held."""

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order, after the longest of their latencies."""
        self.calls += 1
        self.requests += len(requests)
        faults = self._faults
        if faults is None:
            results = [self._answer(request) for request in requests]
        else:
            drawn = [faults(request) for request in requests]
            results = [
                self._answer(request) if fault is None else self._faulty(request, fault)
                for request, fault in zip(requests, drawn, strict=True)
            ]
            if Fault.HANG in drawn:
                await asyncio.Event().wait()
        if self._latency:
            await asyncio.sleep(self._longest(requests))
        return results

    def _longest(self, requests: Sequence[Request]) -> float:
        latency = self._latency
        return max(map(latency, requests), default=0.0) if callable(latency) else latency

    def _answer(self, request: Request) -> Completion:
        length = 0
        for _, content in request.messages:
            length += len(content)
        if length >> 2 > self._context:
            message = f"the prompt has {length >> 2} tokens, the context {self._context}"
            return Completion.failed(FailureKind.CONTEXT_LENGTH, message)
        said = self._reply(request)
        if isinstance(said, Completion):
            return said
        return Completion(said, "stop", length >> 2, 0, (len(said) >> 2) + 1)

    def _faulty(self, request: Request, fault: Fault) -> Completion:
        if fault in _FAILURES:
            return Completion.failed(*_FAILURES[fault])
        answer = self._answer(request)
        if answer.failure or fault is Fault.HANG:
            return answer
        if fault is Fault.GARBAGE:
            return replace(answer, text="\ufffd{]} lorem \x1b[31mipsum", logprobs=())
        text = answer.text[: len(answer.text) // 2] if fault is Fault.HALF else ""
        return replace(answer, text=text, logprobs=answer.logprobs[: len(answer.logprobs) // 2] if text else ())
