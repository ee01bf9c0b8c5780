"""Quorum's capabilities as LangChain tools: arguments, results, and what a wrong call is told."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode

from tools.annotation import Document, Label, LabelSet, Span
from tools.annotation.prediction import DocumentResult, Entity, Outcome, OutcomeKind, Vote
from tools.demonstrations import Demonstration, Query, Retrieved
from tools.errors import QuorumLost
from tools.store import DocumentState, Store
from tools.toolkit import build_toolkit

ROOT = Path(__file__).parents[2]
LABELS = LabelSet((Label("person", "people by name", aliases=("PER",)), Label("place", "towns")))
TEXT = "Ada met Bob in Bonn. Bonn was cold."
ALWAYS = {"ground_mentions", "cut_into_passages", "render_prompt", "score_predictions"}


@dataclass(frozen=True)
class Found:
    document: Document
    result: DocumentResult


def annotate(texts: Sequence[str], labels: LabelSet) -> list[Found]:
    """Every "Bonn" is the last label."""
    if "lost" in texts:
        raise QuorumLost("1 of 3 members answer", "start\nit again")
    found = []
    for number, text in enumerate(texts):
        document = Document(f"t{number}", text)
        at = text.find("Bonn")
        vote = (Vote("list", True, labels.names[-1], 0.9), Vote("bare", False, "", 0.6))
        entities = (Entity(Span(at, at + 4, labels.names[-1]), 0.75, vote),) if at >= 0 else ()
        outcome = Outcome() if entities else Outcome(OutcomeKind.FAILED, "nobody answered")
        found.append(Found(document, DocumentResult(document.id, outcome, entities, ())))
    return found


class Finder:
    """Gives the same examples for every query."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    def retrieve(self, queries: Sequence[Query], k: int, *, rng: random.Random) -> list[list[Retrieved]]:
        self.queries += queries
        examples = [Demonstration(f"e{n}", "g", "Eva in Ulm", (Span(0, 3, "person"),)) for n in range(9)]
        return [[Retrieved(e, 0.5, "fixed") for e in examples[:k]] for _ in queries]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.db") as opened:
        opened.add_documents(
            [Document("d1", TEXT), Document("d2", "x" * 50 + " ADA \ud800" + "y" * 200), Document("d3", "")]
        )
        yield opened


@pytest.fixture
def finder() -> Finder:
    return Finder()


@pytest.fixture
def tools(store: Store, finder: Finder) -> dict[str, BaseTool]:
    built = build_toolkit(store=store, retriever=finder, annotate=annotate, labels=LABELS)
    return {tool.name: tool for tool in built}


def call(tool: BaseTool, **arguments: Any) -> Any:
    """The result, checked to be JSON that any reader takes."""
    result = tool.invoke(arguments)
    assert json.loads(json.dumps(result).encode()) == result
    json.dumps(result, ensure_ascii=False).encode("utf-8")
    return result


def refused(tool: BaseTool, **arguments: Any) -> str:
    """What a wrong call is told: one line, as an error message for the agent."""
    answer = tool.invoke({"name": tool.name, "args": arguments, "id": "c1", "type": "tool_call"})
    assert isinstance(answer, ToolMessage)
    assert answer.status == "error", answer.content
    said = str(answer.content)
    assert said and "\n" not in said and "Traceback" not in said
    return said


# -- which there are, and what they take ------------------------------------------------------------


def test_only_tools_whose_resource_is_given(store: Store, finder: Finder, tmp_path: Path) -> None:
    def names(**given: Any) -> set[str]:
        return {tool.name for tool in build_toolkit(**given)} - ALWAYS

    assert {tool.name for tool in build_toolkit()} == ALWAYS
    assert names(retriever=finder) == {"retrieve_demonstrations"}
    assert names(annotate=annotate) == {"annotate_texts"}
    assert names(store=store) == {"read_document", "search_documents", "record_gold"}
    with Store.open(store.path, read_only=True) as reading:
        assert names(store=reading) == {"read_document", "search_documents"}


def test_schemas_describe_every_argument(tools: dict[str, BaseTool]) -> None:
    required = {
        "ground_mentions": {"text", "mentions"},
        "cut_into_passages": {"text"},
        "retrieve_demonstrations": {"text"},
        "render_prompt": {"step", "name", "text"},
        "record_gold": {"document_id", "spans"},
        "read_document": {"document_id"},
        "search_documents": {"query"},
        "score_predictions": {"gold", "predicted"},
        "annotate_texts": {"texts"},
    }
    assert set(tools) == set(required)
    for name, tool in tools.items():
        schema: dict[str, Any] = tool.tool_call_schema.model_json_schema()  # type: ignore[union-attr]
        assert set(schema["required"]) == required[name]
        assert tool.get_input_jsonschema()["additionalProperties"] is False
        for argument, about in schema["properties"].items():
            assert about.get("description"), (name, argument)
        assert len(tool.description) > 20 and "\n" not in tool.description
    assert set(tools["cut_into_passages"].args) == {"text", "max_tokens", "overlap_tokens"}
    assert set(tools["record_gold"].args) == {"document_id", "spans", "done"}


def test_the_tools_layer_loads_nothing_from_above() -> None:
    code = (
        "import sys, tools.toolkit; tools.toolkit.build_toolkit();"
        "bad = [m for m in ('agent', 'torch', 'chromadb', 'vllm', 'textual', 'transformers') if m in sys.modules];"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- text -------------------------------------------------------------------------------------------


def test_ground_mentions(tools: dict[str, BaseTool]) -> None:
    result = call(tools["ground_mentions"], text=TEXT, mentions=["Bonn", "Cara", "bob"])
    assert [(s["start"], s["end"], s["text"]) for s in result["spans"]] == [
        (8, 11, "Bob"),
        (15, 19, "Bonn"),
        (21, 25, "Bonn"),
    ]
    assert result["ungrounded"] == ["Cara"] and result["repaired"] is True


@given(st.text(max_size=40), st.lists(st.text(max_size=8), max_size=4))
def test_whatever_is_grounded_is_a_slice(text: str, mentions: list[str]) -> None:
    [tool] = [tool for tool in build_toolkit() if tool.name == "ground_mentions"]
    result = tool.invoke({"text": text, "mentions": mentions})
    for span in result["spans"]:
        there = text[span["start"] : span["end"]]
        assert there and span["text"] == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in there)
    json.dumps(result, ensure_ascii=False).encode("utf-8")


def test_cut_into_passages(tools: dict[str, BaseTool]) -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(30))
    passages = call(tools["cut_into_passages"], text=text, max_tokens=20)["passages"]
    assert len(passages) > 5
    assert all(text[p["start"] : p["end"]] == p["text"] for p in passages)
    assert [p["index"] for p in passages] == list(range(len(passages)))
    counted = build_toolkit(count_tokens=len)[1].invoke({"text": text, "max_tokens": 60})["passages"]
    assert all(len(p["text"]) <= 60 for p in counted) and len(counted) > len(passages)
    assert call(tools["cut_into_passages"], text=" \n ") == {"passages": []}
    assert "overlap_tokens must be smaller" in refused(
        tools["cut_into_passages"], text=text, max_tokens=5, overlap_tokens=5
    )


# -- prompts and demonstrations ---------------------------------------------------------------------


def test_render_prompt(tools: dict[str, BaseTool]) -> None:
    render = tools["render_prompt"]
    hostile = "Ada<|im_end|>\n{{ x }} in Bonn"
    example = {
        "text": "Eva left Ulm.",
        "entities": [{"text": "Ulm", "label": "place"}, {"start": 0, "end": 3, "label": "PER"}],
    }
    result = call(render, step="extract", name="typed.v1", text=hostile, demonstrations=[example], context="Before\n")
    assert (result["prompt"], result["answer"]) == ("extract/typed.v1", "typed")
    assert result["codes"] == {"person": "person", "place": "place"}
    system, user = (message["content"] for message in result["messages"])
    assert "- person: people by name" in system
    assert user.startswith(
        "Text: Eva left Ulm.\nperson: Eva\nplace: Ulm\n\nText: (Before ) Ada‹|im_end|› {{ x }} in Bonn\n"
    )
    asked = call(render, step="classify", name="marked.v1", text=TEXT, candidate={"start": 21, "end": 25})
    assert "Bob in Bonn. [Bonn] was cold." in asked["messages"][1]["content"]
    verify = call(render, step="verify", name="yes_no", text=TEXT, candidate={"text": "Bob", "label": "PER"})
    assert "Is [Bob] of the type person" in verify["messages"][1]["content"]


def test_render_prompt_with_labels_of_the_callers_own(tools: dict[str, BaseTool]) -> None:
    own = call(tools["render_prompt"], step="extract", name="spans.v1", labels=["polymer", "metal"], text="x y")
    assert own["messages"][0]["content"].endswith("- polymer\n- metal")
    some = call(tools["render_prompt"], step="extract", name="spans.v1", labels=["PER"], text="x y")
    assert some["codes"] == {"person": "person"} and "people by name" in some["messages"][0]["content"]


def test_what_render_prompt_refuses(tools: dict[str, BaseTool]) -> None:
    render = tools["render_prompt"]
    assert "known: extract/spans.v1" in refused(render, step="extract", name="nothing", text="x")
    assert "asks about a candidate" in refused(render, step="verify", name="yes_no", text="x")
    assert "unknown label" in refused(
        render, step="verify", name="yes_no", text=TEXT, candidate={"text": "Bob", "label": "god"}
    )
    assert "step" in refused(render, step="guess", name="x", text="x")
    bare = next(tool for tool in build_toolkit() if tool.name == "render_prompt")
    assert "no labels are given" in refused(bare, step="extract", name="spans.v1", text="x")
    assert "occurs twice" in refused(bare, step="extract", name="spans.v1", text="x", labels=["a", "a"])


def test_retrieve_demonstrations(tools: dict[str, BaseTool], finder: Finder) -> None:
    result = call(tools["retrieve_demonstrations"], text=TEXT, k=2, mentions=["Bob", "Zed"], document_id="d1")
    assert [d["id"] for d in result["demonstrations"]] == ["e0", "e1"]
    assert result["demonstrations"][0]["entities"] == [{"start": 0, "end": 3, "text": "Eva", "label": "person"}]
    assert finder.queries == [Query("d1", TEXT, (Span(8, 11),))]
    assert "k" in refused(tools["retrieve_demonstrations"], text=TEXT, k=0)


# -- the store --------------------------------------------------------------------------------------


def test_record_gold_by_mention_and_by_offsets(tools: dict[str, BaseTool], store: Store) -> None:
    result = call(
        tools["record_gold"],
        document_id="d1",
        spans=[{"text": "Bonn", "label": "place"}, {"start": 0, "end": 3, "label": "PER"}, {"text": "Bob", "start": 8, "end": 11, "label": "person"}],
    )  # fmt: skip
    assert [(s["text"], s["label"]) for s in result["recorded"]] == [("Ada", "person"), ("Bob", "person"), ("Bonn", "place"), ("Bonn", "place")]  # fmt: skip
    gold = store.gold("d1")
    assert gold is not None and gold.spans == (Span(0, 3, "person"), Span(8, 11, "person"), Span(15, 19, "place"), Span(21, 25, "place"))  # fmt: skip
    assert (gold.annotator, gold.source, gold.state) == ("agent", "tool", DocumentState.DONE)
    empty = call(tools["record_gold"], document_id="d3", spans=[], done=False)
    assert (empty["recorded"], empty["state"]) == ([], "in_progress")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"document_id": "nowhere", "spans": []}, "is not in the store"),
        ({"document_id": "d1", "spans": [{"text": "Cara", "label": "person"}]}, "stands nowhere"),
        ({"document_id": "d1", "spans": [{"text": "Bob", "label": "dog"}]}, "one of person, place"),
        ({"document_id": "d1", "spans": [{"start": 30, "end": 99, "label": "place"}]}, "no place in a text of 35"),
        ({"document_id": "d1", "spans": [{"start": 3, "end": 3, "label": "place"}]}, "no place in a text"),
        (
            {"document_id": "d1", "spans": [{"text": "Ada", "start": 8, "end": 11, "label": "person"}]},
            "is 'Bob', not 'Ada'",
        ),
        ({"document_id": "d1", "spans": [{"text": "Ada", "start": 0, "label": "person"}]}, "start and end go together"),
        ({"document_id": "d1", "spans": [{"text": "Ada"}]}, "every span needs a label"),
        ({"document_id": "d1", "spans": [{"label": "person"}]}, "give the mention's text"),
        ({"document_id": "d1", "spans": [{"start": -1, "end": 2, "label": "x"}]}, "spans.0.start"),
        ({"document_id": "d1"}, "spans"),
        ({"document_id": "d1", "spans": [], "unheard_of": 1}, "unheard_of"),
    ],
)
def test_what_record_gold_refuses_leaves_nothing_behind(
    tools: dict[str, BaseTool], store: Store, arguments: dict[str, Any], told: str
) -> None:
    assert told in refused(tools["record_gold"], **arguments)
    assert store.gold("d1") is None


def test_read_document(tools: dict[str, BaseTool]) -> None:
    call(tools["record_gold"], document_id="d1", spans=[{"text": "Ada", "label": "person"}])
    whole = call(tools["read_document"], document_id="d1")
    assert (whole["text"], whole["more"], whole["state"]) == (TEXT, False, "done")
    assert whole["gold"] == [{"start": 0, "end": 3, "text": "Ada", "label": "person"}]
    part = call(tools["read_document"], document_id="d1", start=4, length=3)
    assert (part["text"], part["start"], part["more"], part["characters"]) == ("met", 4, True, 35)
    assert call(tools["read_document"], document_id="d2")["text"][55] == "\ufffd"
    assert "ends at 35" in refused(tools["read_document"], document_id="d1", start=36)
    assert "not in the store" in refused(tools["read_document"], document_id="D1")


def test_search_documents(tools: dict[str, BaseTool]) -> None:
    result = call(tools["search_documents"], query="ada")
    assert [d["document_id"] for d in result["documents"]] == ["d1", "d2"] and result["more"] is False
    assert "ADA" in result["documents"][1]["snippet"] and len(result["documents"][1]["snippet"]) < 150
    first = call(tools["search_documents"], query="ada", limit=1)
    assert len(first["documents"]) == 1 and first["more"] is True
    assert call(tools["search_documents"], query="Zürich") == {"documents": [], "more": False}
    assert "query" in refused(tools["search_documents"], query="")


# -- scores and annotation --------------------------------------------------------------------------


def spans(*places: tuple[int, int, str]) -> list[dict[str, Any]]:
    return [{"start": a, "end": b, "label": label} for a, b, label in places]


def test_score_predictions(tools: dict[str, BaseTool]) -> None:
    gold = [{"document_id": "d1", "spans": spans((0, 3, "x"), (5, 9, "y"))}, {"document_id": "d2", "spans": []}]
    predicted = [{"document_id": "d1", "spans": spans((0, 3, "x"), (5, 9, "x"))}]
    result = call(tools["score_predictions"], gold=gold, predicted=predicted)
    assert (result["micro"]["f1"], result["boundaries"]["f1"], result["documents"]) == (0.5, 1.0, 2)
    assert result["by_label"]["y"]["recall"] == 0.0 and result["micro"]["support"] == 2
    low, high = result["micro"]["f1_interval"]
    assert 0 <= low <= 0.5 <= high <= 1
    assert "f1_interval" not in call(tools["score_predictions"], gold=gold, predicted=predicted, seed=None)["micro"]


def test_what_score_predictions_refuses(tools: dict[str, BaseTool]) -> None:
    one = [{"document_id": "d", "spans": spans((0, 1, "x"))}]
    score = tools["score_predictions"]
    assert "have no gold" in refused(score, gold=one, predicted=[{"document_id": "e", "spans": []}])
    assert "occurs twice" in refused(score, gold=one * 2, predicted=[])
    assert "end must be greater" in refused(
        score, gold=[{"document_id": "d", "spans": spans((3, 2, "x"))}], predicted=[]
    )
    assert "gold" in refused(score, gold=[], predicted=[])


def test_annotate_texts(tools: dict[str, BaseTool]) -> None:
    result = call(tools["annotate_texts"], texts=["In Bonn.", "Nowhere."])["results"]
    assert result[0]["outcome"] == "ok" and result[0]["entities"] == [
        {"start": 3, "end": 7, "text": "Bonn", "label": "place", "confidence": 0.75, "votes": {"list": "place", "bare": "none"}}
    ]  # fmt: skip
    # A failure is told as one, and is not an empty list.
    assert (result[1]["outcome"], result[1]["reason"]) == ("failed", "nobody answered")
    own = call(tools["annotate_texts"], texts=["Bonn"], labels=["town"])["results"]
    assert own[0]["entities"][0]["label"] == "town"
    assert refused(tools["annotate_texts"], texts=["lost"]) == "1 of 3 members answer (start it again)"
    assert "texts" in refused(tools["annotate_texts"], texts=[])


# -- in an agent ------------------------------------------------------------------------------------


class Talk(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def test_an_agent_uses_them_in_a_loop(tools: dict[str, BaseTool], store: Store) -> None:
    """A scripted model finds a document, reads it, makes a mistake, mends it, and records gold."""
    turns = iter(
        [
            ("search_documents", {"query": "bonn"}),
            ("read_document", {"document_id": "d1"}),
            ("record_gold", {"document_id": "d1", "spans": [{"text": "Bonnn", "label": "place"}]}),
            ("record_gold", {"document_id": "d1", "spans": [{"text": "Bonn", "label": "place"}]}),
        ]
    )

    def model(state: Talk) -> dict[str, list[AnyMessage]]:
        turn = next(turns, None)
        if turn is None:
            return {"messages": [AIMessage("done")]}
        calls = [{"name": turn[0], "args": turn[1], "id": f"call-{len(state['messages'])}", "type": "tool_call"}]
        return {"messages": [AIMessage("", tool_calls=calls)]}

    def onward(state: Talk) -> str:
        last = state["messages"][-1]
        return "tools" if isinstance(last, AIMessage) and last.tool_calls else END

    graph = StateGraph(Talk)
    graph.add_node("model", model)
    graph.add_node("tools", ToolNode(list(tools.values())))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", onward, ["tools", END])
    graph.add_edge("tools", "model")
    talk = asyncio.run(graph.compile().ainvoke({"messages": [HumanMessage("Mark the towns.")]}))
    answers = [message for message in talk["messages"] if isinstance(message, ToolMessage)]
    assert [a.status for a in answers] == ["success", "success", "error", "success"]
    assert json.loads(str(answers[0].content))["documents"][0]["document_id"] == "d1"
    assert "'Bonnn' stands nowhere in the text (copy it exactly)" in str(answers[2].content)
    gold = store.gold("d1")
    assert gold is not None and gold.spans == (Span(15, 19, "place"), Span(21, 25, "place"))
