"""Retrievers, all with one signature, by the names that a project file uses."""

from __future__ import annotations

from tools.demonstrations.index import DemonstrationIndex
from tools.demonstrations.retrievers.base import Retriever
from tools.demonstrations.retrievers.bm25 import Bm25Retriever
from tools.demonstrations.retrievers.dense import SentenceRetriever
from tools.demonstrations.retrievers.fixed import FixedRetriever
from tools.demonstrations.retrievers.random import RandomRetriever
from tools.demonstrations.retrievers.span import SpanRetriever
from tools.errors import ConfigError

RETRIEVERS: dict[str, type[Retriever]] = {
    kind.name: kind for kind in (SpanRetriever, SentenceRetriever, Bm25Retriever, RandomRetriever, FixedRetriever)
}

__all__ = [
    "RETRIEVERS",
    "Bm25Retriever",
    "FixedRetriever",
    "RandomRetriever",
    "Retriever",
    "SentenceRetriever",
    "SpanRetriever",
    "retriever",
]


def retriever(name: str, index: DemonstrationIndex) -> Retriever:
    """The retriever of a name: ``span``, ``sentence``, ``bm25``, ``random`` or ``fixed``.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in RETRIEVERS:
        raise ConfigError(f"there is no retriever {name!r}", f"one of {', '.join(RETRIEVERS)}")
    return RETRIEVERS[name](index)
