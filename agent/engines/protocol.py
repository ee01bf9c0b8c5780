"""What every engine promises: requests in, completions out, failures as records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

import orjson

ConstraintKind = Literal["grammar", "json_schema", "choice", "regex"]
Finish = Literal["stop", "length", "repetition", "error"]

# (shortest, longest, times): an answer loops when its last tokens are a pattern
# of so many tokens, so many times in a row. Two tokens are the shortest entity
# line; a name that says itself twice is no loop.
LOOP = (2, 96, 3)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the answer must look like; enforced while decoding where the engine can.

    Attributes:
        kind: grammar (llguidance Lark text), json_schema (JSON text), choice or regex.
        value: The grammar, schema or expression; empty for choice.
        choices: The alternatives of a choice, in order.
    """

    kind: ConstraintKind
    value: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to complete, greedily.

    Attributes:
        messages: (role, content) pairs; roles are system, user, assistant.
        max_tokens: The most tokens to write.
        constraint: What the answer must look like, or None for free text.
        logprobs: How many alternatives a token to report (0: none).
        tag: What asked for it (step or step/member), for accounting only; not
            part of the cache key.
        stop_loops: End the answer when it goes round in circles (``LOOP``),
            where the engine can see it while decoding.
    """

    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    constraint: Constraint | None = None
    logprobs: int = 0
    tag: str = ""
    stop_loops: bool = False

    def key(self, model_revision: str) -> str:
        """Content address of the answer: model, prompt, constraint, parameters (hex, 40 digits)."""
        c = self.constraint
        what = orjson.dumps(
            [
                model_revision,
                self.messages,
                self.max_tokens,
                [c.kind, c.value, c.choices] if c else None,
                self.logprobs,
                *([LOOP] if self.stop_loops else []),
            ],
        )
        return hashlib.blake2b(what, digest_size=20).hexdigest()


class FailureKind(StrEnum):
    """Why there is no answer; decides whether to try again."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    OVERLOADED = "overloaded"
    SERVER = "server"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH = "context_length"
    BAD_RESPONSE = "bad_response"
    CIRCUIT_OPEN = "circuit_open"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self in (self.TIMEOUT, self.CONNECTION, self.OVERLOADED, self.SERVER, self.BAD_RESPONSE)

    @property
    def infrastructure(self) -> bool:
        """Whether it speaks against the engine and not against the request: opens a circuit breaker.

        ``UNAVAILABLE`` is an engine that turns everything away: a wrong key, a model it does not serve.
        """
        return self in (self.TIMEOUT, self.CONNECTION, self.SERVER, self.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that ended without an answer.

    Attributes:
        kind: What went wrong; decides whether to try again.
        message: One line for a person.
        retry_after: Seconds the engine asked to wait before the next try, where it said so.
    """

    kind: FailureKind
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TokenAlternatives:
    """One written token and the alternatives the model weighed there.

    Attributes:
        token: The text of the token that was written.
        logprob: Its natural-log probability among what the constraint allowed.
        top: Alternatives (text, log-probability), the written one among them.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to one request, or why there is none.

    Attributes:
        text: What the model wrote; empty on failure.
        finish: stop, length (cut at ``max_tokens``), repetition (cut because it
            went round in circles) or error.
        prompt_tokens: Tokens read, cached ones included.
        cached_tokens: Of those, answered from the engine's prefix cache.
        output_tokens: Tokens written.
        logprobs: A record a written token, where asked for.
        latency: Seconds from sending to answer; 0 from the response cache.
        failure: Set when there is no answer.
        from_cache: Answered by the response cache without an engine.
        attempts: How often it was sent.
    """

    text: str = ""
    finish: Finish = "stop"
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    logprobs: tuple[TokenAlternatives, ...] = ()
    latency: float = 0.0
    failure: Failure | None = None
    from_cache: bool = False
    attempts: int = 1

    @property
    def cut(self) -> bool:
        """Whether the model had not ended its answer."""
        return self.finish in ("length", "repetition")

    @classmethod
    def failed(
        cls, kind: FailureKind, message: str, *, attempts: int = 1, retry_after: float | None = None
    ) -> Completion:
        """A completion that says why there is none."""
        return cls(finish="error", failure=Failure(kind, message, retry_after), attempts=attempts)


@dataclass(slots=True)
class Usage:
    """Token and time accounting, summed over completions.

    ``seconds`` adds up the latencies of requests that ran side by side, so it
    is larger than wall time.
    """

    requests: int = 0
    failures: int = 0
    from_cache: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def add(self, completion: Completion) -> None:
        """Count one completion."""
        self.requests += 1
        self.failures += completion.failure is not None
        self.from_cache += completion.from_cache
        if not completion.from_cache:
            self.prompt_tokens += completion.prompt_tokens
            self.cached_tokens += completion.cached_tokens
            self.output_tokens += completion.output_tokens
            self.seconds += completion.latency

    def merge(self, other: Usage) -> None:
        """Add another sum to this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@runtime_checkable
class Engine(Protocol):
    """Something that completes prompts.

    Implementations never raise for a single request: a request that cannot be
    answered comes back as a completion with a ``failure``. They raise
    ``EngineError`` only when the engine as a whole cannot be used.
    """

    @property
    def name(self) -> str:
        """What logs and reports call it."""
        ...

    @property
    def model_revision(self) -> str:
        """Identifies the weights (name and content hash where known): part of the cache key."""
        ...

    @property
    def context_tokens(self) -> int:
        """How many tokens a prompt and its answer may take together."""
        ...

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order; one completion a request."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in this engine's tokenizer (an upper estimate where unknown)."""
        ...

    async def close(self) -> None:
        """Give back what the engine holds; calling twice is harmless."""
        ...


@dataclass(slots=True)
class Accounting:
    """Usage by tag (step/member)."""

    by_tag: dict[str, Usage] = field(default_factory=dict)

    def add(self, tag: str, completion: Completion) -> None:
        """Count one completion under its tag."""
        self.by_tag.setdefault(tag, Usage()).add(completion)

    def asked(self, request: Request, key: tuple[int, ...], completion: Completion) -> None:
        """Count one answer to a request.

        Args:
            request: What was asked.
            key: The asker's own: the passage's place in its batch, then the
                candidate's; for those who keep more than sums.
            completion: The answer.
        """
        self.add(request.tag, completion)

    @property
    def total(self) -> Usage:
        """All tags together."""
        total = Usage()
        for usage in self.by_tag.values():
            total.merge(usage)
        return total
