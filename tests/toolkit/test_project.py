"""The tools of a project: what is opened, what is left out, what is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import agent.opening
from agent.config import ProjectConfig
from agent.extraction.quorum import Quorum
from agent.toolkit import blocking, project_toolkit
from tests.extraction.script import Asked, Script, weighed
from tools.annotation import Document, LabelSet, Span
from tools.demonstrations import DemonstrationIndex, SentenceTransformerEmbedder
from tools.demonstrations.gold import demonstrations_of
from tools.errors import ConfigError, StoreError
from tools.store import Store

GOLD = Document("g1", "The ferry to Split left Ancona. Ivo Brandt paid.")
SPANS = (Span(13, 18, "location"), Span(24, 30, "location"), Span(32, 42, "person"))


@pytest.fixture
def filled(tmp_project: Path) -> Path:
    """A project with two documents, one of them gold and in the index."""
    config = ProjectConfig.load(tmp_project)
    config.store_path.parent.mkdir()
    with Store.open(config.store_path) as store:
        store.add_documents([GOLD, Document("d1", "A ferry to Bari.")])
        store.set_gold("g1", SPANS, "me")
    with DemonstrationIndex(config.chroma_path, SentenceTransformerEmbedder()) as index:
        index.add(demonstrations_of(GOLD, SPANS))
    return tmp_project


def test_a_bare_project_has_what_needs_no_store(tmp_project: Path) -> None:
    with project_toolkit(tmp_project) as tools:
        names = {tool.name for tool in tools}
    assert names == {"ground_mentions", "cut_into_passages", "render_prompt", "score_predictions", "annotate_texts"}
    with pytest.raises(ConfigError), project_toolkit(tmp_project / "nowhere"):
        pass


def test_a_filled_project_reads_finds_and_records(filled: Path) -> None:
    with project_toolkit(filled, annotator="robot") as built:
        tools = {tool.name: tool for tool in built}
        assert len(tools) == 9
        found = tools["retrieve_demonstrations"].invoke({"text": "Boats to Bari.", "k": 1, "mentions": ["Bari"]})
        assert found["demonstrations"][0]["id"].startswith("g1#")
        none = tools["retrieve_demonstrations"].invoke({"text": "Boats.", "document_id": "g1"})
        assert none == {"demonstrations": []}
        recorded = tools["record_gold"].invoke({"document_id": "d1", "spans": [{"text": "Bari", "label": "Location"}]})
        assert recorded["recorded"] == [{"start": 11, "end": 15, "text": "Bari", "label": "location"}]
        with pytest.raises(StoreError):
            Store.open(ProjectConfig.load(filled).store_path)
    with Store.open(ProjectConfig.load(filled).store_path) as store:
        gold = store.gold("d1")
        assert gold is not None and gold.annotator == "robot"


def test_reading_only_leaves_the_writers_lock_alone(filled: Path) -> None:
    with project_toolkit(filled, write=False) as built:
        names = {tool.name for tool in built}
        assert "record_gold" not in names and "read_document" in names
        Store.open(ProjectConfig.load(filled).store_path).close()


def test_annotate_texts_opens_the_projects_quorum_also_inside_a_running_loop(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[ProjectConfig, LabelSet, dict[str, Any]]] = []

    def answer(asked: Asked) -> Any:
        if asked.step == "extract":
            return "location: Bari\n" if asked.member == "typed" else "Bari\n"
        return weighed({"location": 1.0} if asked.step == "classify" else {"yes": 1.0})

    @asynccontextmanager
    async def scripted(config: ProjectConfig, labels: LabelSet, **options: Any) -> AsyncIterator[Quorum]:
        opened.append((config, labels, options))
        yield Quorum(config, labels, {"starter": Script(otherwise=answer).engine()})

    monkeypatch.setattr(agent.opening, "open_quorum", scripted)
    with project_toolkit(filled, write=False, models_at="http://127.0.0.1:1/v1") as built:
        tool = next(tool for tool in built if tool.name == "annotate_texts")

        async def inside() -> Any:
            return tool.invoke({"texts": ["To Bari."]}), await tool.ainvoke({"texts": ["To Bari."]})

        results = [*asyncio.run(inside()), tool.invoke({"texts": ["To Bari."]})]
    assert len(opened) == 3 and opened[0][2] == {"models_at": "http://127.0.0.1:1/v1"}
    assert opened[0][1].names == ("person", "organization", "location")
    for result in results:
        [one] = result["results"]
        assert [(e["text"], e["label"], e["start"]) for e in one["entities"]] == [("Bari", "location", 3)]
        assert one["outcome"] == "ok" and set(one["entities"][0]["votes"]) == {"list"}


def test_blocking_carries_results_and_errors_out_of_a_running_loop() -> None:
    async def fine() -> int:
        await asyncio.sleep(0)
        return 7

    async def wrong() -> int:
        raise ConfigError("no", "do")

    async def inside() -> int:
        return blocking(fine())

    async def inside_wrong() -> int:
        return blocking(wrong())

    assert (blocking(fine()), asyncio.run(inside())) == (7, 7)
    with pytest.raises(ConfigError):
        asyncio.run(inside_wrong())
    with pytest.raises(ConfigError):
        blocking(wrong())


def test_an_embedder_in_the_projects_folder_is_found_from_anywhere(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(SentenceTransformerEmbedder()._find(), filled / "small")
    config = ProjectConfig.load(filled)
    text = (filled / "quorum.toml").read_text()
    (filled / "quorum.toml").write_text(
        text.replace("\n[demonstrations]\n", '\n[demonstrations]\nembedder = "small"\n')
    )
    shutil.rmtree(config.chroma_path)
    own = ProjectConfig.load(filled)
    with DemonstrationIndex(own.chroma_path, SentenceTransformerEmbedder("small", root=filled)) as index:
        index.add(demonstrations_of(GOLD, SPANS))
    monkeypatch.chdir(tmp_path)
    with project_toolkit(filled, write=False) as built:
        tools = {tool.name: tool for tool in built}
        found = tools["retrieve_demonstrations"].invoke({"text": "Boats to Split.", "k": 1})
    assert found["demonstrations"][0]["id"].startswith("g1#")
