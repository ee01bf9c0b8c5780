"""Registering a member: comments and layout stay, what is written is valid, twice is once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.config import MemberConfig, ProjectConfig, write_template
from agent.configedit import add_member
from tools.annotation import LabelSet
from tools.errors import ConfigError

ENTRY = {"source": "starter-base", "adapter": "adapters/mine"}
MINE = MemberConfig(name="mine", model="mine")


def project(folder: Path, text: str) -> Path:
    (folder / "quorum.toml").write_bytes(text.encode())
    return folder


def text_of(folder: Path) -> str:
    return (folder / "quorum.toml").read_bytes().decode()


def loaded(folder: Path) -> ProjectConfig:
    return ProjectConfig.load(folder, environment={})


def test_a_new_project_keeps_its_default_members_and_every_comment(tmp_path: Path) -> None:
    write_template(tmp_path, LabelSet.of("person"))
    before = text_of(tmp_path)
    said = add_member(tmp_path, MINE, ENTRY)
    after = text_of(tmp_path)
    assert after.startswith(before.rstrip()) and "written out" in said and "member mine added" in said
    config = loaded(tmp_path)
    assert [m.name for m in config.members] == ["list", "typed", "bare", "mine"]
    assert config.members[2].demonstrations == 0 and config.members[1].extract == "typed.v1"
    assert config.models["mine"].source == "starter-base" and config.models["mine"].adapter == "adapters/mine"
    assert (tmp_path / "quorum.toml.bak").read_text() == before


def test_twice_is_once(tmp_path: Path) -> None:
    write_template(tmp_path, LabelSet.of("person"))
    add_member(tmp_path, MINE, ENTRY)
    once = text_of(tmp_path)
    assert add_member(tmp_path, MINE, ENTRY) == "" and text_of(tmp_path) == once


WRITTEN = """# mine
[models."my.big"]   # quoted
source = "a/b" # the base

[[members]]
name = "one"      # first
model = "my.big"
[[members]]
name = 'two'
weight = 2.0

[run] # settings
quorum = 1 # one is enough
"""


def test_named_members_stay_as_they_are(tmp_path: Path) -> None:
    project(tmp_path, WRITTEN)
    add_member(tmp_path, MINE, ENTRY)
    assert text_of(tmp_path).startswith(WRITTEN.rstrip())
    assert [m.name for m in loaded(tmp_path).members] == ["one", "two", "mine"]
    assert loaded(tmp_path).run.quorum == 1


def test_a_member_of_the_name_is_pointed_at_the_model(tmp_path: Path) -> None:
    project(tmp_path, WRITTEN)
    said = add_member(tmp_path, MemberConfig(name="two", model="two"), ENTRY)
    config = loaded(tmp_path)
    assert said == "[models.two] added, member two uses two"
    assert [m.name for m in config.members] == ["one", "two"] and config.members[1].model == "two"
    assert config.members[1].weight == 2.0 and "name = 'two'\n" in text_of(tmp_path)
    assert "# one is enough" in text_of(tmp_path)


def test_members_of_the_base_can_be_pointed_at_it_together(tmp_path: Path) -> None:
    project(tmp_path, WRITTEN + '[[members]]\nname = "three"\nmodel = "my.big"  # too\n')
    add_member(tmp_path, MINE, ENTRY, instead_of="my.big")
    assert [(m.name, m.model) for m in loaded(tmp_path).members] == [
        ("one", "mine"),
        ("two", "starter"),
        ("three", "mine"),
    ]
    assert 'model = "mine"  # too' in text_of(tmp_path)
    fresh = tmp_path / "fresh"
    write_template(fresh, LabelSet.of("x"))
    add_member(fresh, MINE, ENTRY, instead_of="starter")
    assert [(m.name, m.model) for m in loaded(fresh).members] == [("list", "mine"), ("typed", "mine"), ("bare", "mine")]


def test_an_entry_that_is_there_is_changed_in_place(tmp_path: Path) -> None:
    project(
        tmp_path,
        '[models.mine]\nsource = "old"\n# a comment\n[[members]]\nname = "mine"\nmodel = "mine"\n[run]\nquorum = 1\n',
    )
    add_member(tmp_path, MINE, ENTRY)
    assert "# a comment" in text_of(tmp_path) and text_of(tmp_path).count("[models.mine]") == 1
    assert loaded(tmp_path).models["mine"].model_dump(exclude_unset=True) == ENTRY


def test_line_ends_of_the_file_stay(tmp_path: Path) -> None:
    project(tmp_path, WRITTEN.replace("\n", "\r\n"))
    add_member(tmp_path, MemberConfig(name="two", model="two"), ENTRY)
    add_member(tmp_path, MINE, ENTRY)
    text = text_of(tmp_path)
    assert text.count("\n") == text.count("\r\n") and len(loaded(tmp_path).members) == 3


def test_options_for_the_chat_template_are_written(tmp_path: Path) -> None:
    project(tmp_path, WRITTEN)
    entry: dict[str, Any] = {**ENTRY, "template_options": {"enable_thinking": False}}
    add_member(tmp_path, MINE, entry)
    assert loaded(tmp_path).models["mine"].template_options == {"enable_thinking": False}


@pytest.mark.parametrize(
    "text",
    [
        'members = [{name = "a"}]\n[run]\nquorum = 1\n',
        'models = {mine = {source = "x"}}\n[[members]]\nname = "a"\n[run]\nquorum = 1\n',
        'models.mine.source = """x"""\n[[members]]\nname = "a"\n[run]\nquorum = 1\n',
    ],
)
def test_what_cannot_be_edited_is_told_and_left_as_it_was(tmp_path: Path, text: str) -> None:
    project(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        add_member(tmp_path, MINE, ENTRY)
    assert "write" in caught.value.hint and caught.value.exit_code == 2
    assert text_of(tmp_path) == text and tomllib.loads(text)
    assert [p.name for p in tmp_path.iterdir()] == ["quorum.toml"]


def test_a_default_member_s_name_cannot_be_taken(tmp_path: Path) -> None:
    write_template(tmp_path, LabelSet.of("x"))
    with pytest.raises(ConfigError, match="name of a member by default"):
        add_member(tmp_path, MemberConfig(name="typed", model="typed"), ENTRY)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, WRITTEN)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ConfigError, match="No space left"):
        add_member(tmp_path, MINE, ENTRY)
    assert text_of(tmp_path) == WRITTEN and not list(tmp_path.glob(".*"))
