from __future__ import annotations

from pathlib import Path

import pytest

from prompts import LabelView, catalogue, load, render
from prompts.errors import PromptError
from prompts.loader import HERE, parse

FRONT = "---\nid: mine\nstep: extract\nversion: 1\nanswer: spans\nchanged: First version.\n---\n"
BODY = '{% block system %}\nTypes\n{% include "shared/mine.md" %}\n{% endblock %}\n{% block user %}\n{{ passage }}\n{% endblock %}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("extract", "shared"):
        (tmp_path / name).mkdir()
    (tmp_path / "shared" / "mine.md").write_text("one\n")
    (tmp_path / "extract" / "mine.v1.md").write_text(FRONT + BODY)
    return tmp_path


def parsed(folder: Path, text: str, name: str = "mine.v1.md"):  # type: ignore[no-untyped-def]
    path = folder / "extract" / name
    path.write_text(text)
    return parse(path, folder)


def test_the_hash_covers_the_body_and_all_it_includes(folder: Path) -> None:
    path = folder / "extract" / "mine.v1.md"
    hashes = [parse(path, folder).hash]
    (folder / "shared" / "mine.md").write_text("two\n")
    hashes.append(parse(path, folder).hash)
    (folder / "shared" / "mine.md").write_text("two {% include 'shared/deep.md' %}\n")
    (folder / "shared" / "deep.md").write_text("three\n")
    hashes.append(parse(path, folder).hash)
    (folder / "shared" / "deep.md").write_text("four\n")
    hashes.append(parse(path, folder).hash)
    path.write_text(FRONT + BODY.replace("Types", "types"))
    hashes.append(parse(path, folder).hash)
    assert len(set(hashes)) == len(hashes)
    # What is said about it is no part of the prompt.
    path.write_text(FRONT.replace("First", "Mended") + BODY.replace("Types", "types"))
    assert parse(path, folder).hash == hashes[-1]


def test_files_that_include_each_other_are_told_with_the_circle(folder: Path) -> None:
    (folder / "shared" / "mine.md").write_text("{% include 'shared/deep.md' %}")
    (folder / "shared" / "deep.md").write_text("{% include 'shared/mine.md' %}")
    with pytest.raises(PromptError) as caught:
        parse(folder / "extract" / "mine.v1.md", folder)
    assert "shared/mine.md -> shared/deep.md -> shared/mine.md" in caught.value.message
    assert caught.value.hint
    # Included twice is no circle.
    (folder / "shared" / "deep.md").write_text("deep\n")
    (folder / "shared" / "mine.md").write_text("{% include 'shared/deep.md' %}{% include 'shared/deep.md' %}")
    assert render(parse(folder / "extract" / "mine.v1.md", folder), (), "x", extra=folder).system.count("deep") == 2


def test_a_circle_by_way_of_a_computed_name_is_told_when_it_is_rendered(folder: Path) -> None:
    (folder / "shared" / "mine.md").write_text("{% set name = 'shared/mine.md' %}{% include name %}")
    template = parse(folder / "extract" / "mine.v1.md", folder)
    with pytest.raises(PromptError, match="without end"):
        render(template, (), "x", extra=folder)


def test_the_hash_stays_the_same_from_process_to_process() -> None:
    for template in catalogue():
        assert template.hash == parse(template.path).hash


def test_a_project_brings_its_own_and_hides_ours(folder: Path) -> None:
    template = load("extract", "mine", folder)
    assert template.reference == "extract/mine.v1"
    assert render(template, (LabelView("a", "a"),), "the passage", extra=folder).user == "the passage"
    (folder / "extract" / "spans.v1.md").write_text((FRONT + BODY).replace("mine\nstep", "spans\nstep"))
    hidden = [t for t in catalogue(folder) if t.reference == "extract/spans.v1"]
    assert [t.path.parent.parent for t in hidden] == [folder]
    assert load("verify", "yes_no", folder).path.parent.parent == HERE


def test_the_newest_version_is_taken_where_none_is_named(folder: Path) -> None:
    (folder / "extract" / "mine.v2.md").write_text((FRONT + BODY).replace("version: 1", "version: 2"))
    (folder / "extract" / "mine.v10.md").write_text((FRONT + BODY).replace("version: 1", "version: 10"))
    assert load("extract", "mine", folder).version == 10
    assert load("extract", "extract/mine.v2", folder).version == 2
    with pytest.raises(PromptError, match=r"mine\.v3") as caught:
        load("extract", "mine.v3", folder)
    assert "extract/mine.v10" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (BODY, None, "no front matter"),
        ("prose\n" + FRONT + BODY, None, "no front matter"),
        (FRONT.replace("answer: spans", "anwser: spans") + BODY, 5, "anwser"),
        (FRONT.replace("answer: spans", "just words") + BODY, 5, "just words"),
        (FRONT.replace("answer: spans\n", "") + BODY, 1, "lacks answer"),
        (FRONT.replace("First version.", "") + BODY, 1, "lacks changed"),
        (FRONT.replace("answer: spans", "answer: code") + BODY, None, "'code'"),
        (FRONT.replace("step: extract", "step: verify") + BODY, None, "'verify'"),
        (FRONT.replace("version: 1", "version: 2") + BODY, None, "differs"),
        (FRONT.replace("id: mine", "id: yours") + BODY, None, "differs"),
        (FRONT + BODY.replace("Types", "{% fi %}"), 9, "fi"),
        (FRONT + BODY.replace("{{ passage }}", "{{ passage"), 14, "expected"),
        (FRONT + BODY.replace("block user", "block usr"), None, "user"),
    ],
)
def test_what_is_malformed_is_told_with_file_and_line(folder: Path, text: str, line: int | None, reason: str) -> None:
    with pytest.raises(PromptError) as caught:
        parsed(folder, text)
    where = f"{folder}/extract/mine.v1.md" + (f":{line}: " if line else ": ")
    assert caught.value.message.startswith(where)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_names_and_bytes_that_are_no_template(folder: Path) -> None:
    with pytest.raises(PromptError, match=r"NAME\.vN\.md"):
        parsed(folder, FRONT + BODY, "mine.md")
    path = folder / "extract" / "mine.v1.md"
    path.write_bytes(b"---\nid: \xff\n")
    with pytest.raises(PromptError, match="cannot be read"):
        parse(path, folder)


def test_templates_run_in_a_sandbox(folder: Path) -> None:
    for attack in ("{{ ''.__class__.__mro__ }}", "{{ labels.__init__.__globals__ }}", "{{ nothing_of_the_kind }}"):
        template = parsed(folder, FRONT + BODY.replace("{{ passage }}", attack))
        with pytest.raises(PromptError, match=r"mine\.v1\.md"):
            render(template, (LabelView("a", "a"),), "text", extra=folder)


@pytest.mark.parametrize("name", ["", "../spans", "spans.vx", "Spans", "spans v1", "verify/yes_no.v1"])
def test_what_names_no_prompt(name: str) -> None:
    with pytest.raises(PromptError, match="names no prompt"):
        load("extract", name)
