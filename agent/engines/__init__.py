"""Engines complete prompts. Names are loaded when they are first used: none brings torch or vLLM by itself."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.engines.build import EngineSpec, build_engine
    from agent.engines.cache import CachedEngine, MemoryCache, ResponseCache, StoreCache
    from agent.engines.langchain_chat import LangChainEngine
    from agent.engines.protocol import (
        Accounting,
        Completion,
        Constraint,
        Engine,
        Failure,
        FailureKind,
        Request,
        TokenAlternatives,
        Usage,
    )
    from agent.engines.quorum_chat import QuorumChatModel
    from agent.engines.resilience import EngineState, Policy, ResilientEngine
    from agent.engines.scripted import Fault, FaultRule, RandomFaults, ScriptedEngine
    from agent.engines.transformers_local import TransformersEngine
    from agent.engines.vllm_offline import VllmOfflineEngine
    from agent.engines.vllm_server import VllmServerEngine

_HOME = {
    "Accounting": "protocol",
    "CachedEngine": "cache",
    "Completion": "protocol",
    "Constraint": "protocol",
    "Engine": "protocol",
    "EngineSpec": "build",
    "EngineState": "resilience",
    "Failure": "protocol",
    "FailureKind": "protocol",
    "Fault": "scripted",
    "FaultRule": "scripted",
    "LangChainEngine": "langchain_chat",
    "MemoryCache": "cache",
    "Policy": "resilience",
    "QuorumChatModel": "quorum_chat",
    "RandomFaults": "scripted",
    "Request": "protocol",
    "ResilientEngine": "resilience",
    "ResponseCache": "cache",
    "ScriptedEngine": "scripted",
    "StoreCache": "cache",
    "TokenAlternatives": "protocol",
    "TransformersEngine": "transformers_local",
    "Usage": "protocol",
    "VllmOfflineEngine": "vllm_offline",
    "VllmServerEngine": "vllm_server",
    "build_engine": "build",
}

__all__ = [
    "Accounting",
    "CachedEngine",
    "Completion",
    "Constraint",
    "Engine",
    "EngineSpec",
    "EngineState",
    "Failure",
    "FailureKind",
    "Fault",
    "FaultRule",
    "LangChainEngine",
    "MemoryCache",
    "Policy",
    "QuorumChatModel",
    "RandomFaults",
    "Request",
    "ResilientEngine",
    "ResponseCache",
    "ScriptedEngine",
    "StoreCache",
    "TokenAlternatives",
    "TransformersEngine",
    "Usage",
    "VllmOfflineEngine",
    "VllmServerEngine",
    "build_engine",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
