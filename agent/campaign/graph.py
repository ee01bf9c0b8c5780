"""The campaign graph.

    select -> suggest -> ask -> record -> index -> extract -> assess -> (stop | train -> turn -> select)

``record`` goes back to ``ask`` while items of the round are missing. The checkpoint holds ids and numbers;
services come with each invocation as the runtime context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent.campaign import nodes
from agent.campaign.services import Services
from agent.campaign.state import CampaignGraphState

CampaignGraph = CompiledStateGraph[CampaignGraphState, Services, CampaignGraphState, CampaignGraphState]
NODES = ("select", "suggest", "ask", "record", "index", "extract", "assess", "train", "turn")


def build_graph(
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    *,
    suggestions: bool = True,
    training: bool = False,
    services: Callable[[], Services] | None = None,
) -> CampaignGraph:
    """Compile the graph.

    Args:
        checkpointer: Where its state is kept; LangGraph's server brings its own.
        suggestions: Whether batches are extracted before they are asked.
        training: Whether there is a step that trains.
        services: Where the nodes find their surroundings, for a server that cannot hand them over; a node ``begin``
            then finds out which campaign and round it is. By default they come as the runtime context.

    Returns:
        The graph; its input is ``{"campaign": ..., "round": ...}``, its context ``Services``.
    """
    graph: StateGraph[CampaignGraphState, Services, CampaignGraphState, CampaignGraphState] = StateGraph(
        CampaignGraphState, context_schema=Services if services is None else None
    )

    def add(name: str, node: nodes.Node) -> None:
        # LangGraph's overloads know no plain functions of a state and a runtime.
        put: Any = graph.add_node
        put(name, node if services is None else _bound(node, services))

    asking = "suggest" if suggestions else "ask"
    after = "train" if training else "turn"
    add("select", nodes.select)
    if suggestions:
        add("suggest", nodes.suggest)
        graph.add_edge("suggest", "ask")
    add("ask", nodes.ask)
    add("record", nodes.record)
    add("index", nodes.index)
    add("extract", nodes.extract)
    add("assess", nodes.measure)
    if training:
        add("train", nodes.train)
        graph.add_edge("train", "turn")
    add("turn", nodes.turn)
    if services is None:
        graph.add_edge(START, "select")
    else:
        add("begin", nodes.begin)
        graph.add_edge(START, "begin")
        graph.add_conditional_edges("begin", lambda state: END if state.get("stop") else "select", ["select", END])
    graph.add_conditional_edges("select", lambda state: END if state.get("stop") else asking, [asking, END])
    graph.add_edge("ask", "record")
    graph.add_conditional_edges("record", lambda state: "ask" if state.get("waiting") else "index", ["ask", "index"])
    graph.add_edge("index", "extract")
    graph.add_edge("extract", "assess")
    graph.add_conditional_edges("assess", lambda state: END if state.get("stop") else after, [after, END])
    graph.add_edge("turn", "select")
    return graph.compile(checkpointer=checkpointer, name="campaign")


def _bound(node: nodes.Node, services: Callable[[], Services]) -> Callable[[CampaignGraphState], nodes.Update]:
    def run(state: CampaignGraphState) -> nodes.Update:
        return node(state, Runtime(context=services()))

    return run
