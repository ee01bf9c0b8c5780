from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config import ProjectConfig, write_template
from tools.annotation import Document, LabelSet, Span
from tools.store import Store
from tui.main import run

TEXTS = {
    "one": "Thyssenkrupp closed a mill in Duisburg. The union of steel workers protested.",
    "two": "Deutsche Bank moved staff to Frankfurt last week.",
    "three": "Loss of TP53 was seen in \x1b[31mliver\x1b[0m cells \ud800 again.",
    "held": "Commerzbank will leave Munich next spring.",
}
NAMES = re.compile("Thyssenkrupp|Duisburg|Deutsche Bank|Frankfurt|TP53|Commerzbank|Munich")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write_template(folder, LabelSet.of("thing"))
    config = ProjectConfig.load(folder)
    config.store_path.parent.mkdir(exist_ok=True)
    with Store.open(config.store_path) as store:
        store.add_documents(Document(i, t, {"split": "test"} if i == "held" else {}) for i, t in TEXTS.items())
        for identifier, text in TEXTS.items():
            store.set_gold(identifier, [Span(*m.span(), "thing") for m in NAMES.finditer(text)], "me", "test")
    return folder


@pytest.fixture
def quorum(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    def call(*arguments: str) -> tuple[int, Any, str]:
        status = run(["demos", *arguments, "--project", str(project)])
        said = capsys.readouterr()
        return status, json.loads(said.out) if "--json" in arguments and said.out else said.out, said.err

    return call


def test_rebuild_list_and_search(quorum: Callable[..., tuple[int, Any, str]], project: Path) -> None:
    status, _, told = quorum("list")
    assert status == 2
    assert "there is no demonstration index" in told
    assert "quorum demos rebuild" in told
    assert "Traceback" not in told

    status, facts, told = quorum("rebuild", "--json")
    assert (status, facts["demonstrations"], facts["held_out"], facts["matches_store"]) == (0, 4, 1, True), told
    assert (facts["mentions"], facts["embedder"]) == (5, "minilm")

    status, listed, _ = quorum("list", "--json")
    assert (status, listed["total"]) == (0, 4)
    by_id = {item["id"]: item for item in listed["demonstrations"]}
    assert by_id["one#0"]["entities"][1] == {"start": 30, "end": 38, "label": "thing", "text": "Duisburg"}
    assert by_id["three#0"]["text"] == TEXTS["three"]
    assert "held#0" not in by_id

    text = "Commerzbank will leave Munich next spring."
    status, found, _ = quorum("search", text, "-k", "2", "--json")
    assert status == 0
    assert set(found) == {"span", "sentence", "bm25", "random", "fixed"}
    assert found["span"][0]["id"] == found["sentence"][0]["id"] == "two#0"
    assert found["span"][0]["by"] == "span"
    assert all(len(row) == 2 for row in found.values())

    status, found, _ = quorum("search", "what of TP53 now", "--mention", "TP53", "-r", "span", "-k", "1", "--json")
    assert [(item["id"], item["score"]) for item in found["span"]] == [("three#0", 1.0)]


def test_text_for_people_is_safe_for_terminals(quorum: Callable[..., tuple[int, Any, str]]) -> None:
    assert quorum("rebuild")[0] == 0
    status, out, told = quorum("list", "-n", "0")
    assert status == 0
    assert "\x1b" not in out
    assert "TP53 [thing]" in out
    assert "4 of 4 demonstrations" in told
    status, out, _ = quorum("search", "Loss of cells", "-r", "bm25", "-r", "span")
    assert status == 0
    assert "\x1b" not in out
    assert {line.split("\t")[0] for line in out.splitlines()} == {"retriever", "bm25", "span"}


def test_what_a_person_did_wrong_is_one_line(quorum: Callable[..., tuple[int, Any, str]], project: Path) -> None:
    quorum("rebuild")
    for arguments, message in (
        (("search", "a text", "-r", "best"), "there is no retriever 'best'"),
        (("search", "a text", "-m", "Bonn"), "does not contain the mention 'Bonn'"),
    ):
        status, out, told = quorum(*arguments)
        assert (status, out) == (2, "")
        assert message in told
        assert "Traceback" not in told
    config = (project / "quorum.toml").read_text()
    (project / "quorum.toml").write_text(re.sub(r"(?m)^#?\s*embedder\s*=.*$", 'embedder = "no/such-model"', config))
    assert ProjectConfig.load(project).demonstrations.embedder == "no/such-model"
    status, _, told = quorum("list")
    assert status == 2
    assert "no/such-model" in told


def test_a_rebuild_while_another_writes_is_refused(
    quorum: Callable[..., tuple[int, Any, str]], project: Path, minilm: Any
) -> None:
    from tools.demonstrations import DemonstrationIndex

    quorum("rebuild")
    with DemonstrationIndex(ProjectConfig.load(project).chroma_path, minilm):
        status, _, told = quorum("rebuild")
        assert status == 2
        assert "is being written" in told
        assert quorum("list", "--json")[1]["total"] == 4
