"""The extraction graph: a LangGraph state machine over batches of passages.

    pre_extract -> retrieve -> extract -> classify -> verify -> decide

A step that is switched off is not in the graph at all. The graph is compiled
once for a choice of steps; members, labels and settings come with each
invocation as its runtime context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent.extraction.classify import classify, from_typed
from agent.extraction.context import Context
from agent.extraction.decide import decide
from agent.extraction.extract import extract
from agent.extraction.retrieve import pre_extract, retrieve
from agent.extraction.state import BatchState
from agent.extraction.verify import verify

Graph = CompiledStateGraph[BatchState, Context, BatchState, BatchState]
Node = Callable[[BatchState, Runtime[Context]], Awaitable[BatchState]]


async def _pre_extract(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    return {"works": await pre_extract(state["works"], runtime.context)}


async def _retrieve(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    return {"works": await retrieve(state["works"], runtime.context)}


async def _extract(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    works, gone = await extract(state["works"], runtime.context)
    return {"works": works, "members_down": tuple(gone)}


async def _classify(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    works, gone = await classify(state["works"], runtime.context)
    return {"works": works, "members_down": _with(state, gone)}


async def _types_as_written(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    return {"works": from_typed(state["works"], runtime.context)}


async def _verify(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    works, gone = await verify(state["works"], runtime.context, state.get("members_down", ()))
    return {"works": works, "members_down": _with(state, gone)}


def _with(state: BatchState, gone: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*state.get("members_down", ()), *gone)))


async def _decide(state: BatchState, runtime: Runtime[Context]) -> BatchState:
    return {"results": decide(state["works"], runtime.context)}


@lru_cache(maxsize=16)
def build_graph(
    *,
    pre_extraction: bool = True,
    retrieval: bool = True,
    classification: bool = True,
    verification: Literal["off", "selective", "on"] = "selective",
) -> Graph:
    """Compile the graph for a choice of steps.

    Args:
        pre_extraction: List spans first, which the span retriever needs.
        retrieval: Show demonstrations.
        classification: Let members vote on types; without it, types are what
            typed extract prompts wrote.
        verification: Whether candidates are verified at all.

    Returns:
        The compiled graph; its input is ``{"works": ...}`` and its output
        carries ``results`` and ``members_down``.
    """
    nodes: list[tuple[str, Node]] = []
    if retrieval and pre_extraction:
        nodes.append(("pre_extract", _pre_extract))
    if retrieval:
        nodes.append(("retrieve", _retrieve))
    nodes.append(("extract", _extract))
    nodes.append(("classify", _classify) if classification else ("types_as_written", _types_as_written))
    if verification != "off":
        nodes.append(("verify", _verify))
    nodes.append(("decide", _decide))
    graph: StateGraph[BatchState, Context, BatchState, BatchState] = StateGraph(BatchState, context_schema=Context)
    before = START
    for name, node in nodes:
        # LangGraph's overloads know no alias of a node's type.
        add: Any = graph.add_node
        add(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(name="extraction")


def mermaid(graph: Graph) -> str:
    """The drawing of a graph, as Mermaid text."""
    return graph.get_graph().draw_mermaid()
