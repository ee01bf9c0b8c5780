"""The LangGraph state machines, the engines that complete prompts, unattended runs.

``agent.annotate(texts, labels=...)`` is the whole product as one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.api import annotate, annotate_async

__all__ = ["annotate", "annotate_async"]


def __getattr__(name: str) -> Any:
    # On demand: importing any module of the package must not load LangGraph and Chroma.
    if name in __all__:
        from agent import api

        return getattr(api, name)
    raise AttributeError(f"module 'agent' has no attribute {name!r}")
