"""A vLLM server, or any other server that speaks the OpenAI chat format, over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

from agent.engines import checking, wire
from agent.engines.constraints import fault
from agent.engines.protocol import Completion, Constraint, FailureKind, Request
from agent.engines.tokens import TokenCounter
from tools.errors import EngineError

_ASSUMED_CONTEXT = 4096


class VllmServerEngine:
    """Completes prompts on a server, one HTTP request a prompt.

    aiohttp costs about 0.07 ms of CPU a request, httpx 0.9 ms.

    With ``batch_size`` above 1, requests of one call that share token limit,
    constraint and log-probabilities travel together to vLLM's
    ``/v1/chat/completions/batch``. That saves the server 14 % of its HTTP work
    (1.64 to 1.41 ms a request, the client 0.15 ms), which is noise beside the
    40 ms a request takes on CPU. A group comes back when its slowest member is
    done and without counts of cached tokens, so it is off unless asked for.

    Args:
        base_url: Where the server listens, with or without ``/v1``.
        model: The model or adapter name to ask for.
        api_key: Sent as a bearer token.
        tokenizer_path: A folder or file to count tokens with; estimated without.
        context_tokens: Prompt and answer together; asked of the server when None.
        max_in_flight: How many HTTP requests may be open.
        timeout: Seconds for one HTTP request.
        structured: How constraints are sent: vLLM's ``structured_outputs``;
            OpenAI's ``response_format``, which knows JSON schemas only; or not.
            What the server does not enforce is checked, and repaired where only
            wrapping stands in the way.
        revision: Content hash of the weights, where known.
        name: What reports call it; the model's name by default.
        template_options: Passed to the chat template (``chat_template_kwargs``),
            as ``{"enable_thinking": False}``; vLLM only.
        batch_size: How many conversations may share one HTTP request.

    Raises:
        EngineError: The URL is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        tokenizer_path: str | Path | None = None,
        context_tokens: int | None = None,
        max_in_flight: int = 256,
        timeout: float = 120.0,
        structured: wire.Structured = "vllm",
        revision: str = "",
        name: str = "",
        template_options: Mapping[str, Any] | None = None,
        batch_size: int = 1,
    ) -> None:
        root = base_url.rstrip("/")
        if not root.startswith(("http://", "https://")) or not URL(root).host:
            raise EngineError(f"not a URL of a server: {base_url!r}", "write it like http://127.0.0.1:8000/v1")
        self.url = root if root.endswith("/v1") else f"{root}/v1"
        self.model = model
        self._name = name or model
        self._structured: wire.Structured = structured
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._chat = URL(f"{self.url}/chat/completions")
        self._batch = URL(f"{self.url}/chat/completions/batch")
        self._context = context_tokens
        self._count = TokenCounter(tokenizer_path)
        self._max_in_flight = max_in_flight
        self._timeout = timeout
        self._extra = {"chat_template_kwargs": dict(template_options)} if template_options else {}
        options = orjson.dumps(template_options, option=orjson.OPT_SORT_KEYS).decode() if template_options else ""
        self._revision = f"vllm:{model}@{revision or self.url}{options}"
        self._batch_size = batch_size if structured == "vllm" else 1
        self._audit = checking.Audit()
        self._session: aiohttp.ClientSession | None = None
        self._unpooled: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(max_in_flight)

    @property
    def name(self) -> str:
        """What logs and reports call it."""
        return self._name

    @property
    def model_revision(self) -> str:
        """Model name with its content hash, or with the server's address where none is known."""
        return self._revision

    @property
    def preferred_batch(self) -> int:
        """How many requests are best handed over in one call (``resilience`` reads it)."""
        return self._batch_size

    @property
    def context_tokens(self) -> int:
        """Tokens of prompt and answer together; asks the server once, blocking, where not given.

        Raises:
            EngineError: It was not given and the server does not answer, or does not serve the model.
        """
        if self._context is None:
            self._context = self.check()
        return self._context

    def count_tokens(self, text: str) -> int:
        """Tokens of a text; an upper estimate without a tokenizer."""
        return self._count(text)

    def check(self, timeout: float = 10.0) -> int:
        """Ask the server what it serves; blocking.

        Returns:
            The model's context in tokens; 4,096 where the server does not say.

        Raises:
            EngineError: No answer, not an OpenAI-compatible one, or the model is not among those served.
        """
        headers = {key: value for key, value in self._headers.items() if key == "Authorization"}
        request = urllib.request.Request(f"{self.url}/models", headers=headers)
        # No proxies: servers are on this machine or named on purpose.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                models = {str(found["id"]): found for found in orjson.loads(answer.read())["data"]}
        except urllib.error.HTTPError as error:
            hint = "check the API key" if error.code in (401, 403) else "is it an OpenAI-compatible server?"
            raise EngineError(f"{self.url}/models answers {error.code}", hint) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise EngineError(f"no server at {self.url}: {reason}", "start it, or correct the URL") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{self.url} is no OpenAI-compatible server", "does the URL end in /v1?") from error
        if self.model not in models:
            served = ", ".join(sorted(models)[:8]) or "nothing"
            raise EngineError(f"the server at {self.url} does not serve {self.model!r}", f"it serves {served}")
        return int(models[self.model].get("max_model_len") or _ASSUMED_CONTEXT)

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order; side by side up to ``max_in_flight``."""
        if self._batch_size <= 1:
            return await asyncio.gather(*(self._one(request) for request in requests))
        groups: dict[tuple[int, Constraint | None, int, bool], list[int]] = {}
        for at, request in enumerate(requests):
            groups.setdefault(
                (request.max_tokens, request.constraint, request.logprobs, request.stop_loops), []
            ).append(at)
        size = self._batch_size
        parts = [group[at : at + size] for group in groups.values() for at in range(0, len(group), size)]
        answers = await asyncio.gather(*(self._group([requests[at] for at in part]) for part in parts))
        by_place = {
            at: done for part, found in zip(parts, answers, strict=True) for at, done in zip(part, found, strict=True)
        }
        return [by_place[at] for at in range(len(requests))]

    async def close(self) -> None:
        """Close the connections."""
        sessions, self._session, self._unpooled = (self._session, self._unpooled), None, None
        for session in sessions:
            if session is not None and self._loop is asyncio.get_running_loop():
                await session.close()

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            # Connections belong to an event loop; another loop gets its own.
            self._loop, self._unpooled = loop, None
            self._slots = asyncio.Semaphore(self._max_in_flight)
            # vLLM's server closes idle connections after 5 s: whoever reuses one at that moment loses.
            self._session = self._made(aiohttp.TCPConnector(limit=0, ttl_dns_cache=600, keepalive_timeout=4.0))
        return self._session

    def _made(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
        )

    async def _sent(self, url: URL, data: bytes) -> tuple[bytes, int, Mapping[str, str]]:
        """The answer's body, status and headers; on a new connection where a kept one turns out to be closed.

        A busy event loop can take a second from choosing a kept connection to
        writing on it, and then finds all of them closed at once. A question may
        be asked twice: nothing changes by it.
        """

        async def by(session: aiohttp.ClientSession) -> tuple[bytes, int, Mapping[str, str]]:
            async with session.post(url, data=data, headers=self._headers, allow_redirects=False) as answer:
                return await answer.read(), answer.status, answer.headers

        try:
            return await by(self._open())
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            if self._unpooled is None:
                self._unpooled = self._made(aiohttp.TCPConnector(limit=0, ttl_dns_cache=600, force_close=True))
            return await by(self._unpooled)

    async def _post(self, url: URL, body: dict[str, Any]) -> tuple[dict[str, Any], float] | Completion:
        """The parsed answer and its seconds, or the failure."""
        try:
            data = orjson.dumps(body)
        except (TypeError, ValueError) as error:
            return Completion.failed(FailureKind.INVALID_REQUEST, f"the prompt is not valid Unicode: {error}")
        self._open()
        async with self._slots:
            start = time.perf_counter()
            try:
                raw, status, headers = await self._sent(url, data)
            except TimeoutError:
                return Completion.failed(FailureKind.TIMEOUT, f"no answer within {self._timeout:g} s")
            except aiohttp.ClientResponseError as error:
                return Completion.failed(FailureKind.BAD_RESPONSE, wire.clean(f"not HTTP: {error.message}"))
            except (aiohttp.ClientError, OSError) as error:
                return Completion.failed(FailureKind.CONNECTION, wire.clean(f"{type(error).__name__}: {error}"))
            seconds = time.perf_counter() - start
        if status != 200:
            return Completion(finish="error", failure=wire.read_error(status, raw, headers))
        try:
            found = orjson.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return Completion.failed(FailureKind.BAD_RESPONSE, wire.clean(f"not a JSON object: {raw[:80]!r}"))
        return found, seconds

    async def _one(self, request: Request) -> Completion:
        if request.constraint is not None and (wrong := fault(request.constraint)):
            return Completion.failed(FailureKind.INVALID_REQUEST, f"constraint: {wire.clean(wrong)}")
        body = wire.shared_fields(request, self.model, self._structured, self._extra)
        body["messages"] = wire.messages_of(request)
        answer = await self._post(self._chat, body)
        if isinstance(answer, Completion):
            return answer
        found, seconds = answer
        try:
            completion = wire.read_choice(found["choices"][0])
            prompt, cached, output = wire.read_usage(found.get("usage"))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            return _malformed(error)
        if completion.failure:
            return completion
        counted = replace(completion, prompt_tokens=prompt, cached_tokens=cached, output_tokens=output, latency=seconds)
        return self._checked(request.constraint, counted)

    async def _group(self, requests: list[Request]) -> list[Completion]:
        """Requests that share everything but their messages, in one HTTP request."""
        first = requests[0]
        if len(requests) == 1 or self._batch_size <= 1 or (first.constraint is not None and fault(first.constraint)):
            return await asyncio.gather(*(self._one(request) for request in requests))
        body = wire.shared_fields(first, self.model, self._structured, self._extra)
        body["messages"] = [wire.messages_of(request) for request in requests]
        answer = await self._post(self._batch, body)
        if isinstance(answer, Completion):
            assert answer.failure is not None
            kind, message = answer.failure.kind, answer.failure.message
            if message.startswith(("HTTP 404", "HTTP 405", "HTTP 501")):
                self._batch_size = 1
            if kind in (FailureKind.UNAVAILABLE, FailureKind.INVALID_REQUEST, FailureKind.CONTEXT_LENGTH) or (
                self._batch_size <= 1
            ):
                # One bad conversation fails its whole group: alone, only it does.
                return await asyncio.gather(*(self._one(request) for request in requests))
            return [answer] * len(requests)
        found, seconds = answer
        try:
            read = {int(choice["index"]): wire.read_choice(choice) for choice in found["choices"]}
            prompt, cached, output = wire.read_usage(found.get("usage"))
            done = [read[at] for at in range(len(requests))]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return [_malformed(error)] * len(requests)
        prompts = share(prompt, [sum(len(text) for _, text in request.messages) for request in requests])
        outputs = share(output, [len(one.logprobs) or len(one.text) for one in done])
        caches = share(cached, prompts)
        return [
            one
            if one.failure
            else self._checked(
                request.constraint,
                replace(one, prompt_tokens=p, cached_tokens=c, output_tokens=o, latency=seconds / len(requests)),
            )
            for request, one, p, c, o in zip(requests, done, prompts, caches, outputs, strict=True)
        ]

    def _checked(self, constraint: Constraint | None, completion: Completion) -> Completion:
        """Hold an answer to its constraint."""
        if constraint is None:
            return completion
        cut = completion.cut
        if constraint.kind == "choice" and cut and completion.text in constraint.choices:
            # With a limit of one token a complete choice is reported as cut.
            return replace(completion, finish="stop")
        enforced = self._structured == "vllm"
        if enforced and constraint.kind == "grammar" and not self._audit.due():
            return completion
        wrong = checking.mismatch(constraint, completion.text, cut=cut)
        if not wrong:
            return completion
        if not enforced and (better := checking.repaired(constraint, completion.text)) is not None:
            return replace(completion, text=better)
        self._audit.suspicious = True
        return replace(
            Completion.failed(FailureKind.BAD_RESPONSE, f"the answer {wrong}"),
            prompt_tokens=completion.prompt_tokens,
            cached_tokens=completion.cached_tokens,
            output_tokens=completion.output_tokens,
            latency=completion.latency,
        )


def _malformed(error: Exception) -> Completion:
    message = wire.clean(f"not a chat completion: {type(error).__name__}: {error}")
    return Completion.failed(FailureKind.BAD_RESPONSE, message)


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Split a count by weights into whole parts whose sum is the count."""
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1] * len(weights), len(weights)
    bounds, run = [0], 0
    for weight in weights:
        run += weight
        bounds.append(total * run // whole)
    return [after - before for before, after in itertools.pairwise(bounds)]
