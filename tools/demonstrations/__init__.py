"""Demonstrations: gold examples in Chroma and the retrievers that choose among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.demonstrations.model import Demonstration, Query, Retrieved, may_demonstrate

if TYPE_CHECKING:
    from tools.demonstrations.embedder import Embedder, SentenceTransformerEmbedder
    from tools.demonstrations.index import DemonstrationIndex
    from tools.demonstrations.records import Added, Verification
    from tools.demonstrations.retrievers import Retriever, retriever

_LAZY = {
    "Added": "records",
    "DemonstrationIndex": "index",
    "Embedder": "embedder",
    "Retriever": "retrievers",
    "SentenceTransformerEmbedder": "embedder",
    "Verification": "records",
    "retriever": "retrievers",
}

__all__ = [
    "Added",
    "Demonstration",
    "DemonstrationIndex",
    "Embedder",
    "Query",
    "Retrieved",
    "Retriever",
    "SentenceTransformerEmbedder",
    "Verification",
    "may_demonstrate",
    "retriever",
]


def __getattr__(name: str) -> Any:
    """Load what needs numpy only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
