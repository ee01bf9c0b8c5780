"""``langgraph.json``: both graphs compile through the entry points it names, and run as a server runs them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import agent.opening
from agent.campaign.graph import NODES
from agent.config import ProjectConfig
from agent.extraction.quorum import Quorum
from tests.campaign.world import LABELS, answer, corpus, engines, make_project, opened, types
from tests.demonstrations.conftest import HashEmbedder
from tests.extraction.script import Script
from tools.store import Store

ROOT = Path(__file__).parents[2]
NAMED = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"]


def entry(name: str) -> Callable[..., Any]:
    """The function that ``langgraph.json`` names, loaded from its file as the server does."""
    path, function = NAMED[name].split(":")
    spec = importlib.util.spec_from_file_location(f"entry_{name}", ROOT / path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, function)
    return found


def settings(folder: Path) -> dict[str, Any]:
    return {"configurable": {"project": str(folder), "thread_id": "t"}}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("extraction", {"extract"}),
        ("campaign", {"begin", *NODES} - {"train"}),
    ],
)
def test_drawing_a_graph_opens_nothing(tmp_path: Path, name: str, nodes: set[str]) -> None:
    config = make_project(tmp_path / "p")

    async def draw() -> tuple[set[str], set[str]]:
        async with entry(name)(settings(tmp_path / "p")) as graph:
            with Store.open(config.store_path):  # the writer's lock is free
                return set(graph.get_graph().nodes), set(graph.get_graph(xray=True).nodes)

    plain, deep = asyncio.run(draw())
    assert plain - {"__start__", "__end__"} == nodes
    if name == "extraction":
        assert {"extract:extract", "extract:classify", "extract:decide"} <= deep


def test_extraction_from_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "p")

    @asynccontextmanager
    async def scripted(config: ProjectConfig, labels: Any) -> Any:
        assert labels.names == LABELS.names
        yield Quorum(config, labels, {"m": Script(extract={"*": answer}, types=types()).engine()})

    monkeypatch.setattr(agent.opening, "open_quorum", scripted)

    async def run() -> Any:
        async with entry("extraction")(settings(tmp_path / "p")) as graph:
            graph.checkpointer = InMemorySaver()
            return await graph.ainvoke({"texts": ["Ada went to Lagos.", ""]}, settings(tmp_path / "p"))

    documents = asyncio.run(run())["documents"]
    assert [[(e["text"], e["label"]) for e in d["entities"]] for d in documents] == [
        [("Ada", "person"), ("Lagos", "place")],
        [],
    ]
    json.dumps(documents)


def test_the_campaign_is_answered_through_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tools.demonstrations as demonstrations

    monkeypatch.setattr(agent.opening, "open_engines", lambda given, **k: engines(given))
    monkeypatch.setattr(demonstrations, "SentenceTransformerEmbedder", lambda *a, **k: HashEmbedder())
    config = make_project(tmp_path / "p")
    gold = {document.id: [[s.start, s.end, s.label] for s in spans] for document, spans in corpus()}
    saver = InMemorySaver()

    async def turn(given: Any) -> Any:
        # A server opens the graph anew for every run; only the checkpoint stays.
        async with entry("campaign")(settings(tmp_path / "p")) as graph:
            graph.checkpointer = saver
            return await graph.ainvoke(given, settings(tmp_path / "p"))

    out = asyncio.run(turn({"campaign": 0}))
    rounds = 0
    while "__interrupt__" in out:
        [asked] = out["__interrupt__"]
        rounds += 1
        out = asyncio.run(turn(Command(resume={name: gold[name] for name in asked.value["items"]})))
    assert (rounds, out["labels"], out["stop"]) == (4, 24, "budget")
    with Store.open(config.store_path, read_only=True) as store:
        assert {gold.annotator for _, gold in store.iter_gold()} == {"person"}
    # The command goes on from what the server did.
    with opened(config, budget=30) as session:
        assert len(session.advance().waiting) == 6


def test_an_agent_that_asks_is_interrupted(tmp_path: Path) -> None:
    """``ask_human`` inside a graph: the graph stops with the question, and goes on with what was answered."""
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    from agent.campaign.tools import campaign_tools

    class State(TypedDict, total=False):
        said: Any

    config = make_project(tmp_path / "p")
    gold = {document.id: [[s.start, s.end, s.label] for s in spans] for document, spans in corpus()}
    names = ["doc-03", "doc-04"]
    with opened(config, budget=4) as session:
        [ask] = [
            one
            for one in campaign_tools(session.services, session.campaign, lambda: nullcontext(None))
            if one.name == "ask_human"
        ]

        def node(state: State) -> State:
            return {"said": ask.invoke({"document_ids": names})}

        graph = StateGraph(State).add_node("node", node).add_edge(START, "node").add_edge("node", END)
        compiled = graph.compile(checkpointer=InMemorySaver())
        thread: Any = {"configurable": {"thread_id": "a"}}
        out: Any = compiled.invoke({}, thread)
        assert out["__interrupt__"][0].value["items"] == names
        out = compiled.invoke(Command(resume={names[0]: gold[names[0]], names[1]: [[0, 1, "fish"]]}), thread)
        assert out["said"]["answered"] == [names[0]] and out["said"]["waiting"] == [names[1]]
        assert "fish" in out["said"]["refused"][names[1]]
        assert [item.document_id for item in session.services.store.items(session.campaign)] == names
