"""vLLM in this process, fed continuously: no server to start, no HTTP."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from agent.engines.constraints import fault
from agent.engines.local_prompt import ChatTokenizer, context_of, fingerprint
from agent.engines.loops import loop_fields
from agent.engines.protocol import Completion, Constraint, FailureKind, Request, TokenAlternatives
from tools.errors import EngineError

_T = TypeVar("_T")
_FIELD = {"choice": "choice", "grammar": "grammar", "regex": "regex", "json_schema": "json"}


class VllmOfflineEngine:
    """vLLM's asynchronous engine on an event loop in a thread of its own.

    Requests of all calls go into one continuous batch. The thread makes the
    engine independent of the caller's event loop, of which there may be several
    in a program's life. Nothing is loaded before the first request (``load``
    does it at once). On macOS and with CUDA vLLM starts its worker by
    ``spawn``: a script must then guard its entry with ``__main__``.

    Args:
        model_path: A folder, or the id of a model in the local cache.
        context_tokens: Prompt and answer together; the model's own when None.
        revision: Content hash of the weights, where known.
        name: What reports call it; the folder's name by default.
        template_options: More variables for the chat template.
        max_logprobs: The most alternatives a request may ask for.
        engine_options: More of vLLM's ``AsyncEngineArgs``, as
            ``gpu_memory_utilization`` or ``enforce_eager``.
    """

    # A call goes to ``complete`` as a whole; the engine schedules.
    preferred_batch = 0

    def __init__(
        self,
        model_path: str | Path,
        *,
        context_tokens: int | None = None,
        revision: str = "",
        name: str = "",
        template_options: Mapping[str, Any] | None = None,
        max_logprobs: int = 64,
        engine_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = str(model_path)
        self._context = context_tokens
        self._given_revision = revision
        self._name = name or Path(self._path).name
        self._options = template_options
        self._max_logprobs = max_logprobs
        self._engine_options = dict(engine_options or {})
        self._engine: Any = None
        self._dead = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._tokenizing = threading.Lock()
        self._ids = itertools.count()

    @property
    def name(self) -> str:
        """What logs and reports call it."""
        return self._name

    @cached_property
    def model_revision(self) -> str:
        """Name and content hash, or a fingerprint of the folder where no hash is known."""
        options = f"{sorted(self._options.items())}" if self._options else ""
        return f"vllm:{self._name}@{self._given_revision or fingerprint(self._path)}{options}"

    @property
    def context_tokens(self) -> int:
        """Tokens of prompt and answer together."""
        if self._context is None:
            self._context = context_of(self._path)
        return self._context

    @cached_property
    def _chat(self) -> ChatTokenizer:
        return ChatTokenizer(self._path, self._options)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in the model's tokenizer."""
        with self._tokenizing:
            return self._chat.count(text)

    def load(self) -> None:
        """Start the engine; the first request does it otherwise. Takes about half a minute.

        Raises:
            EngineError: vLLM is not installed or does not start.
            ModelError: The model has no tokenizer or chat template.
        """
        with self._lock:
            if self._engine is not None:
                return
            _ = self._chat
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="vllm-engine", daemon=True).start()
            self._loop = loop
            try:
                self._engine = asyncio.run_coroutine_threadsafe(self._start(), loop).result()
            except Exception as error:  # vLLM's start fails in as many ways as there are platforms
                loop.call_soon_threadsafe(loop.stop)
                self._loop = None
                line = " ".join(str(error).split())[:200]
                hint = "see the log above; the transformers engine runs the same model"
                raise EngineError(f"vLLM does not start with {self._path}: {line}", hint) from error

    async def _start(self) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        options = {
            "model": self._path,
            "max_model_len": self.context_tokens,
            "structured_outputs_config": {"backend": "guidance"},
            "logprobs_mode": "processed_logprobs",
            "max_logprobs": self._max_logprobs,
            "trust_remote_code": False,
            "load_format": "safetensors",
            "disable_log_stats": True,
            **self._engine_options,
        }
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**options))

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order.

        Raises:
            EngineError: The engine does not start.
        """
        if self._engine is None:
            await asyncio.get_running_loop().run_in_executor(None, self.load)
        return await asyncio.wrap_future(self._submit(self._all(list(requests))))

    def _submit(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        if self._loop is None:
            work.close()
            raise EngineError(f"the engine {self._name} is closed", "make a new one")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _all(self, requests: list[Request]) -> list[Completion]:
        return await asyncio.gather(*(self._one(request) for request in requests))

    async def _one(self, request: Request) -> Completion:
        if self._dead:
            return Completion.failed(FailureKind.UNAVAILABLE, self._dead)
        if request.constraint is not None and (wrong := fault(request.constraint)):
            return Completion.failed(FailureKind.INVALID_REQUEST, f"constraint: {' '.join(wrong.split())[:300]}")
        try:
            with self._tokenizing:
                ids = self._chat.ids(request)
        except ValueError as error:
            return Completion.failed(FailureKind.INVALID_REQUEST, str(error))
        room = self.context_tokens - len(ids)
        if room <= 0:
            message = f"the prompt has {len(ids)} tokens, the context {self.context_tokens}"
            return Completion.failed(FailureKind.CONTEXT_LENGTH, message)
        start = time.perf_counter()
        try:
            output = await self._generate(request, ids, min(request.max_tokens, room))
        except Exception as error:  # vLLM's errors have no common base; all end in a record
            return self._failure(error)
        return _read(output, request, time.perf_counter() - start)

    async def _generate(self, request: Request, ids: list[int], limit: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind

        sampling = SamplingParams(
            temperature=0.0,
            max_tokens=limit,
            logprobs=min(request.logprobs, self._max_logprobs) or None,
            structured_outputs=None if request.constraint is None else _structured(request.constraint),
            output_kind=RequestOutputKind.FINAL_ONLY,
            repetition_detection=RepetitionDetectionParams(**loop_fields()) if request.stop_loops else None,
        )
        last = None
        async for output in self._engine.generate({"prompt_token_ids": ids}, sampling, f"q{next(self._ids)}"):
            last = output
        return last

    def _failure(self, error: Exception) -> Completion:
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if type(error).__name__ == "EngineDeadError" or getattr(self._engine, "errored", False):
            self._dead = f"vLLM has died: {message}"
            return Completion.failed(FailureKind.UNAVAILABLE, self._dead)
        if isinstance(error, (ValueError, TypeError)):
            kind = FailureKind.CONTEXT_LENGTH if "context length" in message else FailureKind.INVALID_REQUEST
            return Completion.failed(kind, message)
        return Completion.failed(FailureKind.SERVER, message)

    async def close(self) -> None:
        """Stop the engine and its processes."""
        engine, self._engine = self._engine, None
        loop, self._loop = self._loop, None
        if engine is None or loop is None:
            return

        async def stop() -> None:
            engine.shutdown()

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(stop(), loop))
        loop.call_soon_threadsafe(loop.stop)


def _structured(constraint: Constraint) -> Any:
    from vllm.sampling_params import StructuredOutputsParams

    value: Any = list(constraint.choices) if constraint.kind == "choice" else constraint.value
    fields: dict[str, Any] = {_FIELD[constraint.kind]: value}
    return StructuredOutputsParams(**fields)


def _read(output: Any, request: Request, seconds: float) -> Completion:
    """Read vLLM's output object."""
    if output is None or not output.outputs:
        return Completion.failed(FailureKind.BAD_RESPONSE, "vLLM ended without an answer")
    said = output.outputs[0]
    constraint = request.constraint
    complete = constraint is not None and constraint.kind == "choice" and said.text in constraint.choices
    return Completion(
        text=said.text,
        finish=said.finish_reason if said.finish_reason in ("length", "repetition") and not complete else "stop",
        prompt_tokens=len(output.prompt_token_ids or ()),
        cached_tokens=output.num_cached_tokens or 0,
        output_tokens=len(said.token_ids),
        logprobs=_logprobs(said, request.logprobs),
        latency=seconds,
    )


def _logprobs(said: Any, wanted: int) -> tuple[TokenAlternatives, ...]:
    if not wanted or not said.logprobs:
        return ()
    records = []
    for token, alternatives in zip(said.token_ids, said.logprobs, strict=False):
        # What the constraint rules out has a log-probability of minus infinity.
        top = tuple(
            (found.decoded_token or "", found.logprob)
            for found in itertools.islice(alternatives.values(), wanted)
            if found.logprob > float("-inf")
        )
        chosen = alternatives[token]
        records.append(TokenAlternatives(chosen.decoded_token or "", chosen.logprob, top))
    return tuple(records)
