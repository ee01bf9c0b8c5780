"""Constraints for transformers' ``generate``: llguidance as a logits processor.

Imports torch and transformers; only ``transformers_local`` imports it, and
only when a model is about to be loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from agent.engines.constraints import compiled
from agent.engines.loops import loops
from agent.engines.protocol import Constraint, Request, TokenAlternatives


class GuidedProcessor(LogitsProcessor):
    """Masks what a row's constraint rules out, and notes log-probabilities of what is left.

    The same masks as vLLM's guidance backend, and log-probabilities normalised
    over them, as vLLM's ``processed_logprobs``.

    Args:
        requests: One a row.
        ll_tokenizer: llguidance's view of the model's tokenizer.
        eos: Token ids that end an answer.
        decode: Token id to text.
    """

    def __init__(
        self, requests: Sequence[Request], ll_tokenizer: Any, eos: frozenset[int], decode: Callable[[int], str]
    ) -> None:
        self._requests = requests
        self._tokenizer = ll_tokenizer
        self._eos = eos
        self._decode = decode
        self._matchers: list[Any] = [None if r.constraint is None else self._matcher(r.constraint) for r in requests]
        self._done = [False] * len(requests)
        self._steps = 0
        self.logprobs: list[list[TokenAlternatives]] = [[] for _ in requests]
        words = (ll_tokenizer.vocab_size + 31) // 32
        self._bits = torch.zeros((len(requests), words), dtype=torch.int32)
        self._shifts = torch.arange(32, dtype=torch.int32)

    def _matcher(self, constraint: Constraint) -> Any:
        from llguidance import LLMatcher

        return LLMatcher(self._tokenizer, compiled(constraint), log_level=0)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask one step's scores, shape (rows, vocabulary)."""
        if self._steps:
            self._consume(input_ids[:, -1].tolist())
        self._steps += 1
        scores = self._mask(scores)
        self._note(scores)
        return scores

    def _consume(self, written: list[int]) -> None:
        for row, token in enumerate(written):
            if self._done[row]:
                continue
            matcher = self._matchers[row]
            if token in self._eos or self._steps >= self._requests[row].max_tokens:
                self._done[row] = True
            elif matcher is not None and not matcher.is_stopped():
                matcher.consume_token(token)

    def _mask(self, scores: torch.FloatTensor) -> torch.FloatTensor:
        rows = [row for row, matcher in enumerate(self._matchers) if matcher is not None and not self._done[row]]
        if not rows:
            return scores
        for row in rows:
            bits = self._bits[row]
            self._matchers[row].unsafe_compute_mask_ptr(bits.data_ptr(), bits.numel() * 4)
        allowed = ((self._bits[rows].unsqueeze(-1) >> self._shifts) & 1).bool().view(len(rows), -1)
        width = scores.shape[1]
        if allowed.shape[1] < width:
            padding = torch.zeros((len(rows), width - allowed.shape[1]), dtype=torch.bool)
            allowed = torch.cat([allowed, padding], dim=1)
        masked = scores.clone()
        masked[rows] = scores[rows].masked_fill(~allowed[:, :width].to(scores.device), float("-inf"))
        return masked  # type: ignore[return-value]

    def _note(self, scores: torch.FloatTensor) -> None:
        rows = [row for row, request in enumerate(self._requests) if request.logprobs and not self._done[row]]
        if not rows:
            return
        logprobs = torch.log_softmax(scores[rows].float(), dim=-1)
        chosen = scores[rows].argmax(dim=-1)
        most = max(self._requests[row].logprobs for row in rows)
        values, ids = logprobs.topk(min(most, logprobs.shape[1]), dim=-1)
        picked = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        for at, row in enumerate(rows):
            top = tuple(
                (self._decode(token), value)
                for token, value in zip(ids[at].tolist(), values[at].tolist(), strict=True)
                if value > float("-inf")
            )
            token = self._decode(int(chosen[at]))
            self.logprobs[row].append(TokenAlternatives(token, picked[at], top[: self._requests[row].logprobs]))


class RowLimits(StoppingCriteria):
    """Ends each row at its own token limit, and all of them when nobody waits any more.

    Args:
        prompt_length: Tokens of the padded prompts.
        limits: New tokens a row may have.
        abandoned: Whether the answers are still wanted.
        stop_loops: Which rows also end when they go round in circles; none by default.
    """

    def __init__(
        self,
        prompt_length: int,
        limits: Sequence[int],
        abandoned: Callable[[], bool],
        stop_loops: Sequence[bool] = (),
    ) -> None:
        self._start = prompt_length
        self._limits = torch.tensor(limits)
        self._abandoned = abandoned
        self._loopers = [row for row, wanted in enumerate(stop_loops) if wanted]

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs: Any) -> torch.BoolTensor:
        """Which rows are done, shape (rows,)."""
        written = input_ids.shape[1] - self._start
        done = self._limits.to(input_ids.device) <= written
        for row in self._loopers:
            done[row] |= loops(input_ids[row, self._start :].tolist())
        return done | self._abandoned()  # type: ignore[return-value]
