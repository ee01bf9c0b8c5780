"""Both graphs as LangGraph's own development server and Studio open them; named in ``langgraph.json``.

``QUORUM_STUDIO_PROJECT`` names the project's folder (the current one by default), or the run's configuration does
(``configurable.project``). Nothing is opened before a node needs it: drawing a graph starts no model and takes no lock.
Nodes open files and databases as they go, so the server is started with ``langgraph dev --allow-blocking``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent.config import ProjectConfig

if TYPE_CHECKING:
    from agent.campaign.services import Services
    from agent.extraction.graph import Graph
    from agent.extraction.quorum import Quorum

VARIABLE = "QUORUM_STUDIO_PROJECT"


class TextsState(TypedDict):
    """What the extraction takes and gives.

    Attributes:
        texts: The texts.
        documents: One a text: its entities, each with its votes, and how it ended.
    """

    texts: list[str]
    documents: NotRequired[list[dict[str, Any]]]


def project_of(config: RunnableConfig | None) -> ProjectConfig:
    """The project that a run is for; the defaults where its folder has no project file.

    Raises:
        ConfigError: The project file is wrong.
    """
    given = (config or {}).get("configurable", {}).get("project") or os.environ.get(VARIABLE) or "."
    folder = Path(str(given))
    return ProjectConfig.load(folder) if (folder / "quorum.toml").is_file() else ProjectConfig.default(root=folder)


@asynccontextmanager
async def extraction(config: RunnableConfig) -> AsyncIterator[CompiledStateGraph[Any, Any, Any, Any]]:
    """The extraction graph over texts; its steps are the inner graph."""
    # Reading files would hold the server's loop up.
    settings, inner = await asyncio.to_thread(_extraction, config)
    async with AsyncExitStack() as stack:
        opened: list[Quorum] = []
        lock = asyncio.Lock()

        async def quorum() -> Quorum:
            from agent.opening import open_quorum

            async with lock:
                if not opened:
                    opened.append(await stack.enter_async_context(open_quorum(settings, settings.label_set())))
                return opened[0]

        async def extract(state: TextsState) -> dict[str, Any]:
            from agent.api import cut, joined
            from agent.extraction.state import Work

            members = await quorum()
            documents, passages = cut(members, state["texts"])
            flat = [passage for group in passages for passage in group]
            works = tuple(Work(passage, passage.shown) for passage in flat)
            final = await inner.ainvoke({"works": works}, context=members.context(flat)) if flat else {"results": ()}
            return {"documents": [document_json(one) for one in joined(documents, passages, final["results"])]}

        graph: StateGraph[TextsState, Any, TextsState, TextsState] = StateGraph(TextsState)
        graph.add_node("extract", extract)
        graph.add_edge(START, "extract")
        graph.add_edge("extract", END)
        yield graph.compile(name="extraction")


def _extraction(config: RunnableConfig) -> tuple[ProjectConfig, Graph]:
    """A project's settings, and the graph of the steps it takes."""
    from agent.extraction.graph import build_graph

    settings = project_of(config)
    shown = settings.chroma_path.is_dir() and any(settings.demonstrations_of(member) for member in settings.members)
    return settings, build_graph(
        pre_extraction=shown and settings.demonstrations.retriever == "span",
        retrieval=shown,
        classification=settings.steps.classify,
        verification=settings.steps.verify,
    )


def document_json(found: Any) -> dict[str, Any]:
    """A text with what was found in it, as JSON values."""
    from tools.formats.writing import record_of

    return dict(record_of(found.document, found.result))


@asynccontextmanager
async def campaign(config: RunnableConfig) -> AsyncIterator[CompiledStateGraph[Any, Any, Any, Any]]:
    """The campaign graph of a project; its store is written while a run goes on.

    The interrupt shows the ids of the documents; an answer is ``{"DOCUMENT": [[start, end, "type"], ...]}``.
    """
    stack = ExitStack()
    try:
        yield await asyncio.to_thread(_campaign, config, stack)
    finally:
        await asyncio.to_thread(stack.close)


def _campaign(config: RunnableConfig, stack: ExitStack) -> CompiledStateGraph[Any, Any, Any, Any]:
    from agent.campaign.graph import build_graph

    settings = project_of(config)
    opened: list[Services] = []

    def services() -> Services:
        if not opened:
            opened.append(_services(stack, settings))
        return opened[0]

    return build_graph(services=services, suggestions=settings.campaign.suggest)


def _services(stack: ExitStack, config: ProjectConfig) -> Services:
    from agent.campaign.driver import settings_for
    from agent.campaign.opening import project_campaign
    from tools.store import Store

    store = stack.enter_context(Store.open(config.store_path))
    return stack.enter_context(project_campaign(config, store, settings_for(config, store))).services
