"""The OpenAI chat format: requests to bodies, answers and errors back to completions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import orjson

from agent.engines.loops import loop_fields
from agent.engines.protocol import Completion, Constraint, Failure, FailureKind, Request, TokenAlternatives

Structured = Literal["vllm", "openai", "none"]

# vLLM writes -9999 for tokens that the constraint ruled out.
_RULED_OUT = -9990.0
_OPENAI_TOP = 20
_CONTEXT = ("context length", "context_length", "maximum model length", "prompt is too long", "context window")
_VLLM_FIELD = {"grammar": "grammar", "regex": "regex", "json_schema": "json"}


def shared_fields(request: Request, model: str, structured: Structured, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a request's body but its messages: what a batch must have in common."""
    body: dict[str, Any] = {"model": model, "max_tokens": request.max_tokens, "temperature": 0, **extra}
    if structured == "vllm":
        # Greedy means greedy: a model's own generation_config may bring a penalty.
        body["repetition_penalty"] = 1.0
        if request.stop_loops:
            body["repetition_detection"] = loop_fields()
    if request.logprobs:
        body["logprobs"] = True
        body["top_logprobs"] = request.logprobs if structured == "vllm" else min(request.logprobs, _OPENAI_TOP)
    if request.constraint is not None:
        body.update(_constraint_fields(request.constraint, structured))
    return body


def messages_of(request: Request) -> list[dict[str, str]]:
    """The messages as the format has them."""
    return [{"role": role, "content": content} for role, content in request.messages]


def _constraint_fields(constraint: Constraint, structured: Structured) -> dict[str, Any]:
    if structured == "vllm":
        if constraint.kind == "choice":
            return {"structured_outputs": {"choice": constraint.choices}}
        return {"structured_outputs": {_VLLM_FIELD[constraint.kind]: constraint.value}}
    if structured == "openai" and constraint.kind == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": orjson.loads(constraint.value)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {}


def read_choice(choice: Mapping[str, Any]) -> Completion:
    """One choice of an answer as a completion, without token counts.

    Raises:
        KeyError, TypeError, ValueError: It is not of the format.
    """
    message = choice["message"]
    reason = choice.get("finish_reason")
    refusal = message.get("refusal")
    if refusal or reason == "content_filter":
        return Completion.failed(FailureKind.REFUSED, clean(str(refusal or "the provider's filter stopped it")))
    text = message["content"]
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    logprobs = choice.get("logprobs")
    return Completion(
        text=text,
        finish=reason if reason in ("length", "repetition") else "stop",
        logprobs=read_logprobs(logprobs["content"]) if logprobs and logprobs.get("content") else (),
    )


def read_logprobs(content: list[dict[str, Any]]) -> tuple[TokenAlternatives, ...]:
    """Token records of an answer; alternatives that the constraint ruled out are dropped."""
    return tuple(
        TokenAlternatives(
            entry["token"],
            entry["logprob"],
            tuple(
                (top["token"], top["logprob"])
                for top in entry.get("top_logprobs") or ()
                if top["logprob"] is not None and top["logprob"] > _RULED_OUT
            ),
        )
        for entry in content
    )


def read_usage(usage: Mapping[str, Any] | None) -> tuple[int, int, int]:
    """(prompt, cached, output) tokens; zeros where the server does not say."""
    if not usage:
        return 0, 0, 0
    details = usage.get("prompt_tokens_details") or {}
    return usage.get("prompt_tokens") or 0, details.get("cached_tokens") or 0, usage.get("completion_tokens") or 0


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> Failure:
    """What an HTTP answer other than 200 means."""
    message = f"HTTP {status}: {_error_text(body)}"
    lowered = message.lower()
    if status in (400, 413, 422) and any(phrase in lowered for phrase in _CONTEXT):
        kind = FailureKind.CONTEXT_LENGTH
    elif status in (401, 403, 404):
        kind = FailureKind.UNAVAILABLE
    elif status in (408, 504):
        kind = FailureKind.TIMEOUT
    elif status in (409, 425, 429, 529):
        kind = FailureKind.OVERLOADED
    elif status >= 500:
        kind = FailureKind.SERVER
    elif status >= 400:
        kind = FailureKind.INVALID_REQUEST
    else:
        kind = FailureKind.BAD_RESPONSE
    return Failure(kind, message, retry_after(headers.get("Retry-After", "")))


def retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header, in either of its two forms; None when it says nothing."""
    value = value.strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return None


def _error_text(body: bytes) -> str:
    try:
        found = orjson.loads(body)
        error = found.get("error", found)
        text = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = body[:300].decode("utf-8", "replace")
    return clean(str(text)) or "no message"


def clean(text: str, limit: int = 300) -> str:
    """One printable line of at most ``limit`` characters: a server's message may hold anything."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    return " ".join(shown.split())[:limit]
