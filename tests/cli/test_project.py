"""A project's way through init, import, status, fsck, config, with a real store."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import process, quorum
from tools.annotation import Span
from tools.store import DocumentState, Store

RECORDS: list[dict[str, Any]] = [
    {
        "id": "a",
        "text": "Mira Castell moved to Ostrava.",
        "entities": [
            {"start": 0, "end": 12, "label": "PER"},
            {"start": 22, "end": 29, "label": "location", "text": "Ostrava"},
        ],
    },
    {"id": "b", "text": "Nothing to see here.", "entities": []},
    {"id": "c", "text": "Not looked at 👀 yet.", "source": "mail"},
]
LABELS = """
[[labels]]
name = "person"
aliases = ["PER"]
[[labels]]
name = "location"
"""


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def json_of(*arguments: str | Path, status: int = 0) -> Any:
    ended, out, err = quorum(*arguments, "--json")
    assert ended == status, err
    return json.loads(out)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    labels = tmp_path / "types.toml"
    labels.write_text(LABELS, encoding="utf-8")
    status, _, err = quorum("init", tmp_path / "project", "--labels", labels)
    assert status == 0, err
    return tmp_path / "project"


def store_of(project: Path) -> Store:
    return Store.open(project / ".quorum" / "store.db", read_only=True)


def test_init_makes_a_project_that_checks(tmp_path: Path) -> None:
    status, out, err = quorum("init", tmp_path / "p", "--labels", "gene, cell line")
    assert (status, out) == (0, "")
    assert "gene, cell line" in err
    checked = json_of("config", "check", "--project", tmp_path / "p")
    assert checked["labels"] == ["gene", "cell line"]
    assert checked["members"] == ["list", "typed", "bare"]
    assert (tmp_path / "p" / ".quorum" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    with store_of(tmp_path / "p") as store:
        kept = store.label_set()
        assert kept is not None
        assert kept.names == ("gene", "cell line")


def test_init_without_labels_begins_with_three(tmp_path: Path) -> None:
    made = json_of("init", tmp_path / "p")
    assert made["labels"] == ["person", "organization", "location"]


def test_init_refuses_to_overwrite_and_bad_labels(tmp_path: Path, project: Path) -> None:
    before = (project / "quorum.toml").read_bytes()
    status, _, err = quorum("init", project)
    assert status == 2
    assert "exists already" in err
    assert (project / "quorum.toml").read_bytes() == before
    for labels, message in (("a,b,a", "'a' occurs twice"), ("a,,b", "has no name"), ("no.toml", "no such label file")):
        status, _, err = quorum("init", tmp_path / "new", "--labels", labels)
        assert status == 2
        assert message in err
        assert not (tmp_path / "new").exists()


def test_init_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    status, _, err = quorum("init", tmp_path / "file" / "p")
    assert status == 2
    assert len(err.splitlines()) == 2
    assert "cannot be written" in err


def test_import_with_gold_and_again(tmp_path: Path, project: Path) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    first = json_of("import", source, "--project", project, "--gold")
    expected = {"added": 3, "skipped": 0, "gold": 2, "gold_skipped": 0, "without_gold": 1, "bad": 0, "documents": 3}
    assert {key: first[key] for key in expected} == expected
    with store_of(project) as store:
        gold = store.gold("a")
        assert gold is not None
        assert gold.spans == (Span(0, 12, "person"), Span(22, 29, "location"))
        assert (gold.annotator, gold.source) == ("import", "import")
        empty = store.gold("b")
        assert empty is not None
        assert empty.nothing_here
        assert store.gold("c") is None
        assert store.state("c") is DocumentState.NEW
        assert store.document("c").text == RECORDS[2]["text"]
        assert store.document("a").meta == {}
        assert store.document("c").meta == {"source": "mail"}
        events = len(list(store.events()))
    again = json_of("import", source, "--project", project, "--gold")
    assert (again["added"], again["skipped"], again["gold"], again["gold_skipped"]) == (0, 3, 0, 2)
    with store_of(project) as store:
        assert len(list(store.events())) == events


def test_import_without_gold_keeps_the_entities_as_they_came(tmp_path: Path, project: Path) -> None:
    source = tmp_path / "in.jsonl.gz"
    with gzip.open(source, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in RECORDS)
    done = json_of("import", source, "--project", project)
    assert (done["added"], done["gold"]) == (3, 0)
    with store_of(project) as store:
        assert store.gold("a") is None
        assert store.document("a").meta["entities"] == RECORDS[0]["entities"]


def test_import_without_gold_says_that_annotations_were_not_taken(tmp_path: Path, project: Path) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    assert json_of("import", source, "--project", project)["unused"] == 2
    _, _, err = quorum("import", source, "--project", project)
    assert "2 documents carried annotations" in err and "--gold takes them as gold" in err
    assert "carried annotations" not in quorum("import", source, "--project", project, "--gold")[2]


def test_import_of_a_folder_lists_what_it_takes_and_what_it_leaves(tmp_path: Path, project: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    for name in ("a.txt", "more/b.txt", "c.docx", "notes", ".hidden.txt"):
        (folder / name).write_text(f"Text of {name}.", encoding="utf-8")
    write(folder / "d.jsonl", [{"id": "d", "text": "One."}])
    status, _, err = quorum("import", folder, "--project", project)
    assert status == 0, err
    assert "read 3 files: a.txt, d.jsonl, more/b.txt" in err
    assert "left alone: 2 (1 .docx, 1 no ending): c.docx, notes" in err
    files = json_of("import", folder, "--project", project)["files"]
    assert files == {"taken": ["a.txt", "d.jsonl", "more/b.txt"], "left": ["c.docx", "notes"], "taken_more": 0}
    assert json_of("import", folder / "d.jsonl", "--project", project)["files"] is None


def test_import_of_a_folder_without_a_file_names_each_ending_once(tmp_path: Path, project: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, _, err = quorum("import", tmp_path / "empty", "--project", project)
    endings = err.splitlines()[1].split("ending in ")[1].removesuffix(" there").split(", ")
    assert status == 2 and len(endings) == len(set(endings)) and ".json" in endings


def test_status_always_names_a_next_step(tmp_path: Path, project: Path) -> None:
    def steps() -> str:
        return " | ".join(json_of("status", "--project", project)["next"])

    assert "quorum import FILE" in steps()
    json_of("import", write(tmp_path / "in.jsonl", RECORDS), "--project", project)
    assert "label a first batch, chosen for you: quorum run" in steps() and "quorum label" in steps()
    json_of("import", write(tmp_path / "in.jsonl", RECORDS), "--project", project, "--gold")
    assert "label what helps the models most" in steps() and "quorum extract" in steps()
    with Store.open(project / ".quorum" / "store.db") as store:
        store.set_gold("a", [Span(0, 4, "person")], "bo")
        store.set_gold("c", [], "bo")
    assert "1 document with two opinions: quorum review" in steps()
    assert "quorum export --output GOLD.jsonl" in steps() and "label what" not in steps()


def test_wrong_keys_are_told_by_config_check(project: Path) -> None:
    with (project / "quorum.toml").open("a", encoding="utf-8") as file:
        file.write('\n[keys.on.campaign]\nlabl = "x"\n')
    status, _, err = quorum("config", "check", "--project", project)
    assert status == 2 and "[keys.on.campaign]: there is no command 'labl'" in err and len(err.splitlines()) == 2


def test_import_adds_gold_to_documents_that_are_there(tmp_path: Path, project: Path) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    json_of("import", source, "--project", project)
    done = json_of("import", source, "--project", project, "--gold")
    assert (done["added"], done["skipped"], done["gold"]) == (0, 3, 2)


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"start": 0, "end": 4, "label": "planet"}, "unknown label 'planet'"),
        ({"start": 0, "end": 400, "label": "person"}, "no range"),
        ({"start": 0, "end": 4, "label": "person", "text": "Mora"}, "its text is 'Mora'"),
    ],
)
def test_bad_gold_names_its_record_and_can_be_left_out(
    tmp_path: Path, project: Path, entity: dict[str, Any], message: str
) -> None:
    records = [RECORDS[0], {"id": "bad one", "text": "Mira slept.", "entities": [entity]}, RECORDS[1]]
    source = write(tmp_path / "in.jsonl", records)
    status, _, err = quorum("import", source, "--project", project, "--gold")
    assert status == 2
    assert len(err.splitlines()) == 2
    assert "'bad one'" in err
    assert message in err
    with store_of(project) as store:
        assert store.document_count() == 0
    done = json_of("import", source, "--project", project, "--gold", "--skip-bad")
    assert (done["added"], done["gold"], done["bad"]) == (2, 2, 1)


def test_broken_line_is_named_and_can_be_left_out(tmp_path: Path, project: Path) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    source.write_text(source.read_text(encoding="utf-8") + '{"id": "x", "text": \n', encoding="utf-8")
    status, _, err = quorum("import", source, "--project", project)
    assert status == 2
    assert "in.jsonl:4" in err
    done = json_of("import", source, "--project", project, "--skip-bad")
    assert (done["added"] + done["skipped"], done["bad"]) == (3, 1)


def test_another_text_under_a_known_id_is_refused(tmp_path: Path, project: Path) -> None:
    json_of("import", write(tmp_path / "in.jsonl", RECORDS), "--project", project)
    other = write(tmp_path / "other.jsonl", [{"id": "a", "text": "Another text."}])
    status, _, err = quorum("import", other, "--project", project)
    assert status == 2
    assert "'a' is already there with another text" in err


def test_import_from_standard_input_by_line(project: Path) -> None:
    status, out, err = process("import", "-", "--lines", "--project", project, "--json", stdin="One.\nTwo.\n")
    assert status == 0, err
    assert json.loads(out)["added"] == 2


def test_import_while_another_process_writes(tmp_path: Path, project: Path) -> None:
    source = write(tmp_path / "in.jsonl", RECORDS)
    with Store.open(project / ".quorum" / "store.db"):
        status, _, err = quorum("import", source, "--project", project)
        assert status == 2
        assert len(err.splitlines()) == 2
        assert json_of("status", "--project", project)["writer"]
    assert json_of("status", "--project", project)["writer"] is None


def test_status_says_what_is_there_and_what_to_do(tmp_path: Path, project: Path) -> None:
    empty = json_of("status", "--project", project)
    assert (empty["documents"], empty["runs"]) == (0, [])
    assert any("quorum import" in step for step in empty["next"])
    json_of("import", write(tmp_path / "in.jsonl", RECORDS), "--project", project, "--gold")
    with Store.open(project / ".quorum" / "store.db") as store:
        store.start_run({}, "hash")
    found = json_of("status", "--project", project)
    assert found["documents"] == 3
    assert (found["states"]["done"], found["states"]["new"]) == (2, 1)
    assert found["runs"][0]["state"] == "running"
    assert any("unfinished" in step for step in found["next"])
    (project / "labels.toml").write_text(LABELS + '[[labels]]\nname = "river"\n', encoding="utf-8")
    assert json_of("status", "--project", project)["labels_changed"]
    status, out, err = quorum("status", "--project", project)
    assert status == 0
    assert "3 (1 new, 2 done)" in out
    assert "next: " in err


def test_status_of_a_folder_that_was_copied_without_its_store(project: Path) -> None:
    for path in (project / ".quorum").iterdir():
        path.unlink()
    assert json_of("status", "--project", project)["documents"] == 0


def test_fsck_finds_damage(tmp_path: Path, project: Path) -> None:
    json_of("import", write(tmp_path / "in.jsonl", RECORDS), "--project", project, "--gold")
    assert json_of("fsck", "--project", project) == {"ok": True, "findings": []}
    with sqlite3.connect(project / ".quorum" / "store.db") as connection:
        connection.execute("UPDATE gold SET stop = 9999 WHERE start = 22")
    connection.close()
    found = json_of("fsck", "--project", project, status=1)
    assert not found["ok"]
    assert any(finding["id"] == "a" and finding["severity"] == "error" for finding in found["findings"])
    status, out, err = quorum("fsck", "--project", project)
    assert status == 1
    assert "a" in out
    assert "error" in err


def test_fsck_without_a_store(tmp_path: Path, project: Path) -> None:
    for path in (project / ".quorum").iterdir():
        path.unlink()
    status, _, err = quorum("fsck", "--project", project)
    assert status == 2
    assert "no such store" in err


def test_config_commands(project: Path) -> None:
    schema = json.loads(quorum("config", "schema")[1])
    assert schema["properties"]["run"]["$ref"].endswith("RunConfig")
    shown = json_of("config", "show", "--project", project)
    assert shown["run"]["batch"] == 64
    status, out, _ = quorum("config", "show", "--project", project, QUORUM_RUN__BATCH="3")
    assert status == 0
    assert "batch = 3\n" in out
    (project / "quorum.toml").write_text("[run]\nbach = 1\n", encoding="utf-8")
    status, _, err = quorum("config", "check", "--project", project)
    assert status == 2
    assert err.splitlines()[0].endswith("quorum.toml:2: 'run.bach' is not a known key")
    assert err.splitlines()[1] == "hint: did you mean 'batch'?"


def test_config_check_reads_the_labels(project: Path) -> None:
    (project / "labels.toml").write_text("[[labels]]\nname = 3\n", encoding="utf-8")
    status, _, err = quorum("config", "check", "--project", project)
    assert status == 2
    assert "labels.toml" in err
