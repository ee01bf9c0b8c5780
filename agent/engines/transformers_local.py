"""Models in this process with transformers: where there is no vLLM."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from agent.engines.constraints import fault
from agent.engines.local_prompt import ChatTokenizer, context_of, fingerprint
from agent.engines.loops import loop_end
from agent.engines.protocol import Completion, FailureKind, Request
from tools.errors import ModelError


class TransformersEngine:
    """Greedy ``generate`` in batches of similar length, in a thread of its own.

    The same constraints as vLLM's, enforced by the same llguidance. Nothing is
    loaded before the first request (``load`` does it at once).

    Args:
        model_path: A folder with safetensors weights, or the id of a model in the local cache.
        device: A torch device, or auto: the GPU where there is one.
        batch_size: Prompts a ``generate`` call; halved where memory runs out.
        context_tokens: Prompt and answer together; the model's own when None.
        revision: Content hash of the weights, where known.
        name: What reports call it; the folder's name by default.
        template_options: More variables for the chat template.
    """

    # A call goes to ``complete`` as a whole, so that batches can be made of it.
    preferred_batch = 0

    def __init__(
        self,
        model_path: str | Path,
        *,
        device: str = "auto",
        batch_size: int = 16,
        context_tokens: int | None = None,
        revision: str = "",
        name: str = "",
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = str(model_path)
        self._device = device
        self._batch_size = max(1, batch_size)
        self._context = context_tokens
        self._given_revision = revision
        self._name = name or Path(self._path).name
        self._options = template_options
        self._model: Any = None
        self._ll_tokenizer: Any = None
        self._eos: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="transformers")

    @property
    def name(self) -> str:
        """What logs and reports call it."""
        return self._name

    @cached_property
    def model_revision(self) -> str:
        """Name and content hash, or a fingerprint of the folder where no hash is known."""
        options = f"{sorted(self._options.items())}" if self._options else ""
        return f"transformers:{self._name}@{self._given_revision or fingerprint(self._path)}{options}"

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
        with self._lock:
            return self._chat.count(text)

    async def close(self) -> None:
        """Give the model's memory back."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._model = self._ll_tokenizer = None

    def load(self) -> None:
        """Load the model; the first request does it otherwise.

        Raises:
            ModelError: It cannot be loaded, or only from files that may hold code.
        """
        if self._model is not None:
            return
        import torch
        from transformers import AutoModelForCausalLM

        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                self._path, dtype="auto", trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            line = " ".join(str(error).split())[:200]
            hint = "weights must be safetensors of an architecture that transformers knows"
            raise ModelError(f"cannot load {self._path}: {line}", hint) from error
        self.adopt(model.to(device))

    def adopt(self, model: Any) -> None:
        """Use a model that is in memory already, for example one in training, with the tokenizer at ``model_path``.

        Args:
            model: A causal model of transformers, or a PEFT model around one; put into evaluation mode.
        """
        from llguidance import hf
        from transformers import GenerationConfig

        config_class: Any = GenerationConfig
        model.eval()
        tokenizer = self._chat.tokenizer
        given = model.generation_config.eos_token_id
        ends = given if isinstance(given, list) else [given]
        self._eos = frozenset(int(end) for end in (*ends, tokenizer.eos_token_id) if end is not None)
        # A model's own generation_config may bring sampling or penalties; greedy means greedy.
        model.generation_config = config_class(
            do_sample=False,
            eos_token_id=sorted(self._eos),
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(self._eos),
        )
        width = max(model.get_output_embeddings().weight.shape[0], len(tokenizer))
        self._ll_tokenizer = hf.from_tokenizer(tokenizer, width)
        self._decode = lru_cache(maxsize=8192)(lambda token: str(tokenizer.decode([token])))
        self._model = model

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in order.

        Raises:
            ModelError: The model cannot be loaded.
        """
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._worker, self._complete, list(requests), abandoned)
        except asyncio.CancelledError:
            # A thread cannot be cancelled; it stops at the next token.
            abandoned.set()
            raise

    def _complete(self, requests: list[Request], abandoned: threading.Event) -> list[Completion]:
        self.load()
        results: list[Completion | None] = [None] * len(requests)
        ready: list[tuple[int, list[int], Request]] = []
        for at, request in enumerate(requests):
            prepared = self._prepare(request)
            if isinstance(prepared, Completion):
                results[at] = prepared
            else:
                ready.append((at, prepared, request))
        # Similar lengths together: less padding, and rows that end at about the same time.
        ready.sort(key=lambda item: (item[2].max_tokens, len(item[1])))
        for start in range(0, len(ready), self._batch_size):
            part = ready[start : start + self._batch_size]
            for (at, _, _), answer in zip(part, self._generate([p[1:] for p in part], abandoned), strict=True):
                results[at] = answer
        return [result for result in results if result is not None]

    def _prepare(self, request: Request) -> list[int] | Completion:
        """Prompt ids, or why the request cannot be sent."""
        if request.constraint is not None and (wrong := fault(request.constraint)):
            return Completion.failed(FailureKind.INVALID_REQUEST, f"constraint: {' '.join(wrong.split())[:300]}")
        try:
            with self._lock:
                ids = self._chat.ids(request)
        except ValueError as error:
            return Completion.failed(FailureKind.INVALID_REQUEST, str(error))
        if len(ids) >= self.context_tokens:
            message = f"the prompt has {len(ids)} tokens, the context {self.context_tokens}"
            return Completion.failed(FailureKind.CONTEXT_LENGTH, message)
        return ids

    def _generate(self, part: list[tuple[list[int], Request]], abandoned: threading.Event) -> list[Completion]:
        import torch

        if abandoned.is_set():
            return [Completion.failed(FailureKind.TIMEOUT, "abandoned by the caller")] * len(part)
        try:
            return self._generate_once(part, abandoned)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        if len(part) == 1:
            return [Completion.failed(FailureKind.OVERLOADED, "the device has too little memory for this prompt")]
        self._batch_size = max(1, len(part) // 2)
        half = len(part) // 2
        return self._generate(part[:half], abandoned) + self._generate(part[half:], abandoned)

    def _generate_once(self, part: list[tuple[list[int], Request]], abandoned: threading.Event) -> list[Completion]:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        from agent.engines.guided import GuidedProcessor, RowLimits

        start = time.perf_counter()
        requests = [request for _, request in part]
        longest = max(len(ids) for ids, _ in part)
        pad = self._model.generation_config.pad_token_id
        device = self._model.device
        rows = torch.tensor([[pad] * (longest - len(ids)) + ids for ids, _ in part], device=device)
        seen = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids, _ in part], device=device)
        limits = [min(request.max_tokens, self.context_tokens - len(ids)) for ids, request in part]
        processor = GuidedProcessor(requests, self._ll_tokenizer, self._eos, self._decode)
        with torch.inference_mode():
            output = self._model.generate(
                rows,
                attention_mask=seen,
                max_new_tokens=max(limits),
                logits_processor=LogitsProcessorList([processor]),
                stopping_criteria=StoppingCriteriaList(
                    [RowLimits(longest, limits, abandoned.is_set, [request.stop_loops for request in requests])]
                ),
            )
        seconds = time.perf_counter() - start
        if abandoned.is_set():
            return [Completion.failed(FailureKind.TIMEOUT, "abandoned by the caller")] * len(part)
        return [
            self._read(written[longest:], ids, request, limit, processor.logprobs[at], seconds)
            for at, (written, (ids, request), limit) in enumerate(zip(output.tolist(), part, limits, strict=True))
        ]

    def _read(
        self, written: list[int], ids: list[int], request: Request, limit: int, logprobs: list[Any], seconds: float
    ) -> Completion:
        end = next((at for at, token in enumerate(written) if token in self._eos), None)
        loop = loop_end(written[:limit]) if request.stop_loops else None
        if loop is not None and (end is None or loop <= end):
            # A row that has ended is padded, with a token that may be the end of answers.
            end, limit = None, loop
        answer = written[:limit] if end is None else written[: min(end, limit)]
        stopped = end is not None and end < limit
        text = self._chat.tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if not stopped:
            # The limit may fall in the middle of a character.
            text = text.rstrip("\ufffd")
        constraint = request.constraint
        complete = constraint is not None and constraint.kind == "choice" and text in constraint.choices
        tokens = len(answer) + stopped
        return Completion(
            text=text,
            finish="stop" if stopped or complete else "length" if loop is None else "repetition",
            prompt_tokens=len(ids),
            output_tokens=tokens,
            logprobs=tuple(logprobs[:tokens]),
            latency=seconds,
        )
