"""What the screen reads and writes beside the store: label files, filters, lists of documents, the documentation."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.configtemplate import labels_toml
from agent.models.serve import Endpoint
from tests.tui.conftest import LABELS, Bench
from tools.annotation import Document, Label, LabelSet
from tools.annotation.labelfile import read_label_set
from tools.errors import EngineError, InputError, LabelSetError, OutputError
from tools.store import DocumentState, Store
from tools.store.browsing import Filter
from tui.keymap import help_markdown
from tui.labelling.child import Child
from tui.labelling.filters import parse_filter
from tui.labelling.labeledit import with_fields, write_label
from tui.labelling.meaning import Vectors
from tui.labelling.project import Project
from tui.labelling.queue import ListQueue
from tui.labelling.search import around

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "text",
    [
        labels_toml(LABELS),
        '# top\n[[labels]]\nname = "person"  # here\n\n[[labels]]\nname = "organization"\ndescription = "x" # why\n[[labels]]\nname = "location"\n',
        '[[labels]]\nname = "person"\nexamples = [\n  "a",  # one\n  "b",\n]\n[[labels]]\nname = "organization"\n[[labels]]\nname = "location"\n',
        'labels = [{name = "person"}, {name = "organization"}, {name = "location"}]\n',
    ],
)  # fmt: skip
def test_a_changed_type_is_what_the_file_says_afterwards(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(text, encoding="utf-8")
    labels = read_label_set(path)
    for name in labels.names:
        changed = with_fields(labels[name], f' a "{name}" \\ with\nlines ', "one; two;one", "")
        labels = write_label(path, labels, changed)
        assert read_label_set(path) == labels
        assert labels[name].description == f'a "{name}" \\ with lines'
        assert labels[name].examples == ("one", "two")
    assert ("# top" in text) <= ("# top" in path.read_text())


def test_a_label_file_that_somebody_else_changed_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_text('[[labels]]\nname = "person"\ndescription = "mine"\n')
    with pytest.raises(LabelSetError, match="changed meanwhile"):
        write_label(path, LabelSet.of("person"), Label("person", "yours"))
    assert "mine" in path.read_text()
    with pytest.raises(OutputError, match="cannot be written"):
        write_label(tmp_path / "no" / "labels.toml", LabelSet.of("person"), Label("person", "yours"))


def test_the_filter_line() -> None:
    assert parse_filter("") == Filter() and parse_filter("", run=3).empty
    found = parse_filter("state:done type:person below:60 disagree by:ada  two words", ["person"], run=2)
    assert found == Filter(DocumentState.DONE, "ada", "person", 0.6, True, 2, "two words")
    assert parse_filter("below:0.5").below == 0.5 and parse_filter("below:0,5%").below == 0.005
    assert parse_filter("http://x state:").text == "http://x state:", "what is no filter is text"
    for line in ("state:old", "type:dog", "below:much", "below:200"):
        with pytest.raises(InputError):
            parse_filter(line, ["person"])


def test_a_list_that_is_empty_or_names_unknown_documents(bench: Bench) -> None:
    for ids in ([], ["nowhere"]):
        with pytest.raises(InputError):
            ListQueue(bench.store, "ada", ids)


def test_showing_where_something_was_found() -> None:
    text = "word " * 20 + "needle\nin " + "hay " * 100
    assert around(text, text.index("needle")).startswith("…word word") and "needle in hay" in around(text, 100)


class Words:
    name, revision, dimensions = "words", "1", 4

    def encode(self, texts: Any) -> Any:
        found = np.array([[len(t), t.count("a"), t.count("e"), 1] for t in texts], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_vectors_are_kept_grown_and_dropped_with_their_model(tmp_path: Path) -> None:
    words = Words()
    vectors = Vectors(tmp_path, words)
    assert vectors.best(words.encode(["a"])[0], 3) == []
    vectors.add(["aaaa", "eeee"])
    with (tmp_path / "meaning.f32").open("ab") as file:
        file.write(b"half")  # a kill in the middle of a vector
    again = Vectors(tmp_path, words)
    assert again.count == 2
    again.add(["xyzw"])
    assert again.count == 3
    assert again.best(words.encode(["aaaa"])[0], 2)[0][0] == 0
    other = Words()
    other.revision = "2"
    assert Vectors(tmp_path, other).count == 0


def test_a_helper_ends_when_nobody_talks_to_it_any_more(tmp_path: Path) -> None:
    (tmp_path / "echoing.py").write_text(
        "from tui.labelling.child import messages, tell\nprint('chatter')\nfor m in messages():\n    tell(got=m['say'])\n"
    )
    heard: list[dict[str, Any]] = []
    more = threading.Event()

    def told(message: dict[str, Any]) -> None:
        heard.append(message)
        more.set()

    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    try:
        child = Child("echoing", [], told, tmp_path / "log")
    finally:
        os.environ["PYTHONPATH"] = path
    assert child.send({"say": "hé"}) and more.wait(20)
    assert heard == [{"got": "hé"}]
    more.clear()
    child.close()
    assert more.wait(20) and heard[-1] == {"ended": 0}
    assert not child.send({"say": "more"})
    assert (tmp_path / "log").read_text() == ""


def test_a_helper_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(EngineError, match="cannot be started"):
        Project("p", tmp_path, LABELS, tmp_path).helper("tui.labelling.live", lambda message: None)


@pytest.mark.vllm
def test_real_models_suggest_while_one_labels(
    tmp_path: Path, vllm_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / ".quorum").mkdir()
    (tmp_path / "labels.toml").write_text(labels_toml(LABELS))
    (tmp_path / "quorum.toml").write_text(
        f'[models.here]\nsource = "{vllm_endpoint.url}"\n[[members]]\nname = "one"\nmodel = "here"\n'
    )
    heard: list[dict[str, Any]] = []
    ready = threading.Event()

    def told(message: dict[str, Any]) -> None:
        heard.append(message)
        if {"ready", "gone", "ended"} & set(message):
            ready.set()

    project = Project("p", tmp_path, LABELS, tmp_path / "labels.toml")
    with Store.open(tmp_path / ".quorum" / "store.db", shared=True) as store:
        store.add_documents([Document("a", "Grace Hopper met John Backus in New York.")])
        child = project.helper("tui.labelling.live", told)
        child.send({"ask": ["a"]})
        assert ready.wait(200), heard
        assert {"ready": "a"} in heard, heard
        run = store.run_of("a")
        assert run is not None and store.run(run).kind == "suggest"
        [result] = store.passage_results(run, "a")
        assert result.outcome.kind.value in ("ok", "repaired")
        project.close()
        assert child.wait(60) == 0
        assert store.run(run).state.value == "complete"


@pytest.mark.skipif(not (ROOT / "docs" / "labelling.md").is_file(), reason="installed without its documentation")
def test_the_documentation_has_the_table_of_keys() -> None:
    assert help_markdown("default") in (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8")
