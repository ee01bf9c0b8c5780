"""``quorum prompts`` and ``quorum graph``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prompts import catalogue
from tests.cli.run import quorum


def test_prompts_are_listed() -> None:
    status, out, _ = quorum("prompts", "list")
    assert status == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["prompt", *(t.reference for t in catalogue())]
    listed = json.loads(quorum("prompts", "list", "--json")[1])
    assert [entry["hash"] for entry in listed] == [t.hash for t in catalogue()]


@pytest.mark.parametrize("template", catalogue(), ids=lambda t: t.reference)
def test_each_prompt_is_shown_and_rendered(template) -> None:
    status, out, _ = quorum("prompts", "show", template.reference)
    assert (status, out) == (0, template.source)
    arguments = ["--text", "Ilse Brandt {{ 7*7 }} left Turku.", "--labels", "person,place", "--mention", "Turku"]
    status, out, err = quorum("prompts", "render", template.reference, *arguments, "--label", "place", "--json")
    assert status == 0, err
    rendered = json.loads(out)
    assert [message["role"] for message in rendered["messages"]] == ["system", "user"]
    assert "{{ 7*7 }}" in rendered["messages"][1]["content"]
    assert "place" in rendered["messages"][0]["content"]


def test_prompts_that_differ_give_status_1() -> None:
    assert quorum("prompts", "diff", "extract/spans.v1", "extract/spans.v1")[:2] == (0, "")
    status, out, _ = quorum("prompts", "diff", "extract/spans.v1", "extract/typed.v1")
    assert status == 1
    assert out.startswith("--- extract/spans.v1\n+++ extract/typed.v1\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "extract/none.v1"], "there is no prompt extract/none.v1"),
        (["show", "spans.v1"], "names no prompt"),
        (["render", "extract/spans.v1", "--text", "x"], "no label set is named"),
        (["render", "verify/yes_no.v1", "--text", "x", "--labels", "a,b"], "does not contain the mention"),
        (
            ["render", "verify/yes_no.v1", "--text", "x", "--labels", "a,b", "--mention", "x", "--label", "c"],
            "there is no label 'c'",
        ),
    ],
)
def test_prompt_mistakes(arguments: list[str], message: str) -> None:
    status, out, err = quorum("prompts", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 2


def test_a_projects_own_prompts_count(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "extract"
    own.mkdir(parents=True)
    front = "---\nid: spans\nstep: extract\nversion: 2\nanswer: spans\nchanged: Mine.\n---\n"
    body = "{% block system %}S{% endblock %}{% block user %}{{ passage }}{% endblock %}\n"
    (own / "spans.v2.md").write_text(front + body, encoding="utf-8")
    (tmp_path / "quorum.toml").write_text('prompts = "mine"\n', encoding="utf-8")
    (tmp_path / "labels.toml").write_text('[[labels]]\nname = "a"\n', encoding="utf-8")
    assert "extract/spans.v2" in quorum("prompts", "list", "--project", tmp_path)[1]
    assert "extract/spans.v2" not in quorum("prompts", "list")[1]
    status, out, _ = quorum("prompts", "render", "extract/spans.v2", "--text", "hello", "--project", tmp_path)
    assert (status, out) == (0, "--- system\nS\n--- user\nhello\n")


def test_graph_follows_the_steps(tmp_path: Path) -> None:
    (tmp_path / "quorum.toml").write_text('[steps]\nverify = "selective"\n', encoding="utf-8")
    status, out, err = quorum("graph", "--project", tmp_path)
    assert status == 0, err
    for step in ("pre_extract", "retrieve", "extract", "classify", "verify", "decide"):
        assert f"{step}({step})" in out
    (tmp_path / "quorum.toml").write_text("[steps]\nretrieve = false\nverify = 'off'\n", encoding="utf-8")
    drawing = json.loads(quorum("graph", "--project", tmp_path, "--json")[1])["mermaid"]
    assert "classify(classify)" in drawing
    for step in ("pre_extract", "retrieve", "verify"):
        assert step not in drawing
