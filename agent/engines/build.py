"""From a description of an engine to the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from agent.engines.protocol import Engine
from tools.errors import EngineError

EngineKind = Literal["vllm-server", "vllm", "transformers", "openai"]


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is made from.

    Attributes:
        kind: A vLLM server; vLLM in this process; transformers in this process;
            any other server that speaks the OpenAI format.
        model: For servers the name they serve it under, otherwise a folder or id.
        url: Where the server listens; servers only.
        revision: Content hash of the weights, where known: part of the cache key.
        name: What reports call it; the model by default.
        path: The model's folder, to count tokens with; servers only.
        context_tokens: Prompt and answer together; asked of the server or the model when None.
        max_in_flight: Open HTTP requests; servers only.
        timeout: Seconds for an HTTP request; servers only.
        api_key_variable: The environment variable that holds the key; servers only.
        batch_size: Prompts a batch, where the engine makes batches; None: its default.
        device: A torch device; transformers only.
        template_options: More variables for the chat template.
        options: More of vLLM's engine arguments; vllm only.
    """

    kind: EngineKind
    model: str
    url: str | None = None
    revision: str = ""
    name: str = ""
    path: str | None = None
    context_tokens: int | None = None
    max_in_flight: int = 256
    timeout: float = 120.0
    api_key_variable: str = ""
    batch_size: int | None = None
    device: str = "auto"
    template_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def build_engine(spec: EngineSpec) -> Engine:
    """Make the engine; nothing is loaded or asked before the first request.

    Raises:
        EngineError: The description does not make an engine.
    """
    if spec.kind not in get_args(EngineKind):
        raise EngineError(f"unknown engine kind: {spec.kind!r}", f"one of {', '.join(get_args(EngineKind))}")
    if not spec.model:
        raise EngineError("an engine needs a model", "name one")
    if spec.kind in ("vllm-server", "openai"):
        return _server(spec)
    if spec.kind == "transformers":
        from agent.engines.transformers_local import TransformersEngine

        return TransformersEngine(
            spec.model,
            device=spec.device,
            batch_size=spec.batch_size or 16,
            context_tokens=spec.context_tokens,
            revision=spec.revision,
            name=spec.name,
            template_options=spec.template_options or None,
        )
    from agent.engines.vllm_offline import VllmOfflineEngine

    return VllmOfflineEngine(
        spec.model,
        context_tokens=spec.context_tokens,
        revision=spec.revision,
        name=spec.name,
        template_options=spec.template_options or None,
        engine_options=spec.options,
    )


def _server(spec: EngineSpec) -> Engine:
    from agent.engines.vllm_server import VllmServerEngine

    if not spec.url:
        raise EngineError(f"the engine {spec.name or spec.model} has no URL", "say where its server listens")
    key = os.environ.get(spec.api_key_variable, "") if spec.api_key_variable else ""
    if spec.api_key_variable and not key:
        raise EngineError(f"the environment variable {spec.api_key_variable} is empty", "put the API key into it")
    # A folder without a tokenizer file is no reason to refuse: tokens are estimated then.
    has_tokenizer = spec.path is not None and (Path(spec.path) / "tokenizer.json").exists()
    return VllmServerEngine(
        spec.url,
        spec.model,
        api_key=key or None,
        tokenizer_path=spec.path if has_tokenizer else None,
        context_tokens=spec.context_tokens,
        max_in_flight=spec.max_in_flight,
        timeout=spec.timeout,
        structured="vllm" if spec.kind == "vllm-server" else "openai",
        revision=spec.revision,
        name=spec.name,
        template_options=spec.template_options or None,
        batch_size=spec.batch_size or 1,
    )
