"""Any LangChain chat model as an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from agent.engines import checking, wire
from agent.engines.constraints import fault
from agent.engines.protocol import Completion, Constraint, FailureKind, Request, TokenAlternatives
from agent.engines.tokens import TokenCounter

_MESSAGE = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
_TIMEOUTS = ("timeout",)
_CONNECTIONS = ("connect", "network", "transport", "protocol")
_REFUSALS = frozenset({"content_filter", "refusal", "safety", "prohibited_content"})
_LENGTHS = frozenset({"length", "max_tokens", "model_length"})


class LangChainEngine:
    """Sends requests through a chat model and holds its answers to their constraints.

    Such a model decodes freely, so that a constraint is checked afterwards; what
    only wrapping keeps from matching (a code fence, bullets, quotation marks) is
    unwrapped, anything else is a ``BAD_RESPONSE``.

    Args:
        chat_model: Any chat model of langchain-core, configured to be greedy.
        model_revision: Identifies the model; its class and name by default.
        name: What reports call it.
        context_tokens: Prompt and answer together: the model cannot be asked.
        tokenizer_path: A folder or file to count tokens with; estimated without.
        max_in_flight: How many calls run side by side.
        timeout: Seconds for one call.
        limit_argument: How the model calls the token limit; None when it takes none.
        arguments: More keyword arguments for every call.
    """

    def __init__(
        self,
        chat_model: BaseChatModel,
        *,
        model_revision: str = "",
        name: str = "",
        context_tokens: int = 8192,
        tokenizer_path: str | Path | None = None,
        max_in_flight: int = 32,
        timeout: float = 120.0,
        limit_argument: str | None = "max_tokens",
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.chat_model = chat_model
        model = next((str(found) for key in ("model_name", "model") if (found := getattr(chat_model, key, None))), "")
        self._name = name or model or type(chat_model).__name__
        self._revision = model_revision or f"langchain:{type(chat_model).__name__}:{model}"
        self._context = context_tokens
        self._count = TokenCounter(tokenizer_path)
        self._max_in_flight = max_in_flight
        self._timeout = timeout
        self._limit_argument = limit_argument
        self._arguments = dict(arguments or {})
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(max_in_flight)

    @property
    def name(self) -> str:
        """What logs and reports call it."""
        return self._name

    @property
    def model_revision(self) -> str:
        """As given, or class and name of the model."""
        return self._revision

    @property
    def context_tokens(self) -> int:
        """As given."""
        return self._context

    def count_tokens(self, text: str) -> int:
        """Tokens of a text; an upper estimate without a tokenizer."""
        return self._count(text)

    async def close(self) -> None:
        """The model belongs to whoever gave it."""

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order; side by side up to ``max_in_flight``."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._slots = loop, asyncio.Semaphore(self._max_in_flight)
        return await asyncio.gather(*(self._one(request) for request in requests))

    async def _one(self, request: Request) -> Completion:
        constraint = request.constraint
        if constraint is not None and (wrong := fault(constraint)):
            return Completion.failed(FailureKind.INVALID_REQUEST, f"constraint: {wire.clean(wrong)}")
        messages = [_MESSAGE[role](content=content) for role, content in request.messages]
        arguments = dict(self._arguments)
        if self._limit_argument:
            arguments[self._limit_argument] = request.max_tokens
        if request.logprobs:
            arguments |= {"logprobs": True, "top_logprobs": request.logprobs} if self._takes_logprobs else {}
        async with self._slots:
            start = time.perf_counter()
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self.chat_model.ainvoke(messages, **arguments)
            except TimeoutError:
                return Completion.failed(FailureKind.TIMEOUT, f"no answer within {self._timeout:g} s")
            except Exception as error:  # every provider has an error tree of its own
                return failure_of(error)
            seconds = time.perf_counter() - start
        completion = replace(read_message(answer), latency=seconds)
        return completion if constraint is None or completion.failure else _held(constraint, completion)

    @property
    def _takes_logprobs(self) -> bool:
        """OpenAI's models and those made after them have a field for it; others may refuse the argument."""
        return "logprobs" in type(self.chat_model).model_fields


def _held(constraint: Constraint, completion: Completion) -> Completion:
    wrong = checking.mismatch(constraint, completion.text, cut=completion.cut)
    if not wrong:
        return completion
    better = checking.repaired(constraint, completion.text)
    if better is not None:
        # The tokens that were written are not those of the repaired text.
        return replace(completion, text=better, logprobs=())
    failed = Completion.failed(FailureKind.BAD_RESPONSE, wire.clean(f"the answer {wrong}"))
    return replace(
        failed,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        output_tokens=completion.output_tokens,
        latency=completion.latency,
    )


def read_message(answer: BaseMessage) -> Completion:
    """A chat model's answer as a completion."""
    said = answer.response_metadata
    reason = str(said.get("finish_reason") or said.get("stop_reason") or said.get("done_reason") or "").lower()
    if reason in _REFUSALS:
        return Completion.failed(FailureKind.REFUSED, f"the provider stopped it: {reason}")
    usage: Mapping[str, Any] = getattr(answer, "usage_metadata", None) or {}
    finish: Literal["stop", "length"] = "length" if reason in _LENGTHS else "stop"
    return Completion(
        text=str(answer.text),
        finish=finish,
        prompt_tokens=usage.get("input_tokens", 0),
        cached_tokens=(usage.get("input_token_details") or {}).get("cache_read") or 0,
        output_tokens=usage.get("output_tokens", 0),
        logprobs=_logprobs(said.get("logprobs")),
    )


def _logprobs(found: Any) -> tuple[TokenAlternatives, ...]:
    content = found.get("content") if isinstance(found, dict) else None
    try:
        return wire.read_logprobs(content) if content else ()
    except (KeyError, TypeError):
        # A form of its own: the answer is none the worse.
        return ()


def failure_of(error: Exception) -> Completion:
    """What an exception of a provider's client means, by its HTTP status or its name."""
    message = wire.clean(f"{type(error).__name__}: {error}")
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if isinstance(status, int) and status >= 400:
        headers = getattr(response, "headers", None) or {}
        failure = wire.read_error(status, str(error).encode("utf-8", "replace"), headers)
        return Completion(finish="error", failure=failure)
    name = " ".join(kind.__name__.lower() for kind in type(error).__mro__)
    if any(word in name for word in _TIMEOUTS):
        return Completion.failed(FailureKind.TIMEOUT, message)
    if any(word in name for word in _CONNECTIONS):
        return Completion.failed(FailureKind.CONNECTION, message)
    if isinstance(error, (ValueError, TypeError, NotImplementedError)):
        return Completion.failed(FailureKind.INVALID_REQUEST, message)
    return Completion.failed(FailureKind.SERVER, message)
