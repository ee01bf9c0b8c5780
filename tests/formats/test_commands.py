"""quorum import and quorum export on real projects."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import process, quorum
from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult, Vote
from tools.formats.annotated import read_annotated
from tools.formats.registry import FORMATS, WRITABLE
from tools.store import DocumentState, RunState, Store
from tui.report.counting import counting

RECORDS: list[dict[str, Any]] = [
    {
        "id": "a",
        "text": "Mira Castell moved to Ostrava 👀.",
        "entities": [[0, 12, "PER"], [5, 12, "cell line"], [22, 29, "location"]],
    },
    {"id": "b", "text": "Nothing to see here.", "entities": []},
    {"id": "c", "text": "Not looked at yet.", "source": "mail"},
]
LABELS = (
    '[[labels]]\nname = "person"\naliases = ["PER"]\n[[labels]]\nname = "location"\n[[labels]]\nname = "cell line"\n'
)
GOLD_A = (Span(0, 12, "person"), Span(5, 12, "cell line"), Span(22, 29, "location"))


def json_of(*arguments: str | Path, status: int = 0) -> Any:
    ended, out, err = quorum(*arguments, "--json")
    assert ended == status, err
    return json.loads(out)


def told(*arguments: str | Path) -> str:
    status, _, err = quorum(*arguments)
    assert status == 2, err
    assert len(err.splitlines()) == 2, err
    assert err.splitlines()[1].startswith("hint: ")
    return err


def made(folder: Path, name: str = "project") -> Path:
    (folder / "types.toml").write_text(LABELS, encoding="utf-8")
    status, _, err = quorum("init", folder / name, "--labels", folder / "types.toml")
    assert status == 0, err
    return folder / name


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = made(tmp_path)
    json_of("import", write(tmp_path / "in.jsonl", RECORDS), "--project", folder, "--gold")
    return folder


def store_of(project: Path, *, read_only: bool = True) -> Store:
    return Store.open(project / ".quorum" / "store.db", read_only=read_only)


def golds(project: Path) -> dict[str, Any]:
    with store_of(project) as store:
        return {d.id: (d.text, gold.spans if gold else None) for d in store.documents() for gold in [store.gold(d.id)]}


@pytest.mark.parametrize("name", WRITABLE)
def test_export_then_import_makes_the_same_project(tmp_path: Path, project: Path, name: str) -> None:
    format_ = FORMATS[name]
    if format_.extra:
        pytest.importorskip(format_.extra)
    output = tmp_path / ("out" if format_.folder else f"out{format_.endings[0]}")
    done = json_of("export", "--project", project, "--output", output, "--format", name, "--undecided")
    entities = 2 if name == "conll" else 3
    assert (done["documents"], done["entities"], done["undecided"], done["format"]) == (3, entities, 1, name)
    other = made(tmp_path, "other")
    back = json_of("import", output, "--project", other, "--gold")
    assert (back["added"], back["gold"], back["without_gold"], back["bad"]) == (3, 2, 1, 0)
    expected = golds(project)
    if name == "conll":
        assert done["losses"]["nested"]["count"] == 1
        assert done["losses"]["nested"]["examples"][0] | {"detail": ""} == {
            "document": "a",
            "start": 5,
            "end": 12,
            "detail": "",
        }
        expected["a"] = (expected["a"][0], (GOLD_A[0], GOLD_A[2]))
    assert golds(other) == expected


def test_losses_are_told_and_strict_refuses(tmp_path: Path, project: Path) -> None:
    output = tmp_path / "o.conll"
    status, out, err = quorum("export", "--project", project, "--output", output)
    assert (status, out) == (0, "")
    assert "2 documents with 2 mentions" in err
    assert "lost: 1 mentions inside another, left out: 'a' 5:12 cell line (kept: 0:12 person)" in err
    assert "not written: 2 documents' sources, times" in err
    before = output.read_bytes()
    err = told("export", "--project", project, "--output", output, "--strict")
    assert "--strict allows no loss" in err
    assert output.read_bytes() == before
    assert "nested" not in err and "1 mentions inside another" in err and "sources" not in err
    done = json_of("export", "--project", project, "--output", tmp_path / "o.jsonl.gz", "--strict")
    assert done["losses"] == {}
    done = json_of("export", "--project", project, "--output", tmp_path / "o.json", "--strict")
    assert list(done["losses"]) == ["provenance"]


def test_annotators(tmp_path: Path, project: Path) -> None:
    with store_of(project, read_only=False) as store:
        store.set_gold("a", [Span(0, 4, "person")], "zoe")
        store.set_gold("b", [], "zoe", state=DocumentState.IN_PROGRESS)
    output = tmp_path / "o.jsonl"
    json_of("export", "--project", project, "--output", output, "--annotator", "all")
    one, two = read_annotated(output)
    assert [(layer.annotator, len(layer.mentions)) for layer in one.layers] == [("import", 3), ("zoe", 1)]
    assert [layer.annotator for layer in two.layers] == ["import"]
    assert json_of("export", "--project", project, "--output", output, "--annotator", "zoe")["documents"] == 1
    assert "by 'eve' yet" in told("export", "--project", project, "--output", output, "--annotator", "eve")
    lost = json_of("export", "--project", project, "--output", tmp_path / "o.conll", "--annotator", "all")["losses"]
    assert lost["annotators"]["examples"][0]["detail"] == "zoe (kept: import)"
    json_of("export", "--project", project, "--output", output, "--annotator", "all")
    other = made(tmp_path, "other")
    assert "several annotators (import, zoe)" in told(
        "import", output, "--project", other, "--gold", "--annotator", "x"
    )
    json_of("import", output, "--project", other, "--gold")
    with store_of(other) as store:
        assert store.annotators("a") == ["import", "zoe"]
        assert store.gold("a", "zoe").spans == (Span(0, 4, "person"),)  # type: ignore[union-attr]
    third = made(tmp_path, "third")
    json_of("import", tmp_path / "in.jsonl", "--project", third, "--gold", "--annotator", "kim")
    with store_of(third) as store:
        assert store.annotators("a") == ["kim"]


@pytest.fixture
def with_run(project: Path) -> Path:
    with store_of(project, read_only=False) as store:
        run = store.start_run({"output": "o"}, "h", "extract")
        entity = Entity(Span(0, 12, "person"), 0.75, (Vote("m", True, "person", 0.5),), 0.5)
        store.record_part(run, 0, "f", [PassageResult("a", 0, Outcome(), (entity,)), PassageResult("b", 0, Outcome(OutcomeKind.FAILED, "no answer"))], {})  # fmt: skip
        store.finish_run(run, RunState.COMPLETE)
    return project


def test_suggestions_of_a_run(tmp_path: Path, with_run: Path) -> None:
    for what in ("suggestions", "run:1", "run 1", "1"):
        done = json_of("export", "--project", with_run, "--output", tmp_path / "o.jsonl", "--what", what)
        assert (done["documents"], done["entities"], done["losses"]) == (2, 1, {})
    one, two = read_annotated(tmp_path / "o.jsonl")
    (mention,) = one.layers[0].mentions
    assert (one.layers[0].kind, one.layers[0].annotator, mention.confidence) == ("suggestion", "run 1", 0.75)
    assert mention.votes == (Vote("m", True, "person", 0.5),)
    assert two.layers[0].outcome == Outcome(OutcomeKind.FAILED, "no answer")
    lost = json_of("export", "--project", with_run, "--output", tmp_path / "o.json", "--what", "run:1")["losses"]
    assert lost["failed"]["examples"][0]["document"] == "b"
    assert {kind: loss["count"] for kind, loss in lost.items()} == {"provenance": 1, "votes": 1, "failed": 1}
    one, two = read_annotated(tmp_path / "o.json")
    assert (one.layers[0].kind, two.layers) == ("suggestion", ())
    back = json_of("import", tmp_path / "o.json", "--project", made(tmp_path, "other"), "--gold")
    assert (back["gold"], back["without_gold"], back["losses"]["not gold"]["count"]) == (0, 2, 1)
    done = json_of(
        "export", "--project", with_run, "--output", tmp_path / "o.parquet", "--what", "suggestions", "--undecided"
    )
    assert (done["documents"], done["undecided"]) == (3, 1)


def test_what_cannot_be_exported(tmp_path: Path, project: Path) -> None:
    out = tmp_path / "o.jsonl"
    assert "no run has made suggestions yet" in told(
        "export", "--project", project, "--output", out, "--what", "suggestions"
    )
    assert "no run 9" in told("export", "--project", project, "--output", out, "--what", "run:9")
    assert "nothing that can be exported" in told("export", "--project", project, "--output", out, "--what", "dreams")
    assert "names no format" in told("export", "--project", project, "--output", tmp_path / "o.xyz")
    assert "no format 'word'" in told("export", "--project", project, "--output", out, "--format", "word")
    assert "no tag scheme 'bmew'" in told("export", "--project", project, "--output", out, "--scheme", "bmew")
    empty = made(tmp_path, "empty")
    assert "quorum.toml" in told("export", "--project", tmp_path / "nowhere", "--output", out)
    assert "no document has been decided yet" in told("export", "--project", empty, "--output", out)
    assert not out.exists()


def test_unknown_labels_are_named_with_counts_and_added_where_asked(tmp_path: Path) -> None:
    project = made(tmp_path)
    records = [
        {"id": "x", "text": "Ada Bob", "entities": [[0, 3, "planet"], [4, 7, "planet"]]},
        {"id": "y", "text": "Ada", "entities": [[0, 3, "Mo\"on"]]},
    ]  # fmt: skip
    source = write(tmp_path / "u.jsonl", records)
    err = told("import", source, "--project", project, "--gold")
    assert (
        "unknown labels 'planet' (2 mentions, first in document 'x'), 'Mo\"on' (1 mention, first in document 'y')"
        in err
    )
    assert "--add-labels" in err
    with store_of(project) as store:
        assert store.document_count() == 0
    before = (project / "labels.toml").read_text(encoding="utf-8")
    done = json_of("import", source, "--project", project, "--gold", "--add-labels")
    assert (done["labels_added"], done["gold"]) == (["planet", 'Mo"on'], 2)
    assert (project / "labels.toml").read_text(encoding="utf-8").startswith(before.rstrip("\n"))
    assert json_of("config", "check", "--project", project)["labels"] == [
        "person",
        "location",
        "cell line",
        "planet",
        'Mo"on',
    ]
    with store_of(project) as store:
        assert store.label_set().names[-2:] == ("planet", 'Mo"on')  # type: ignore[union-attr]


def test_invalid_tags_stop_the_import_or_are_repaired_and_counted(tmp_path: Path) -> None:
    project = made(tmp_path)
    path = tmp_path / "x.conll"
    path.write_text("# scheme = bio\n\nMira I-PER\nmoved O\n\nOslo B-location\n", encoding="utf-8")
    err = told("import", path, "--project", project, "--gold")
    assert "x.conll:3: 'I-PER' follows no PER" in err
    assert "--repair" in err
    status, _, err = quorum("import", path, "--project", project, "--gold", "--repair")
    assert status == 0
    assert "repaired: 1 I- that goes on with nothing (first: " in err
    assert golds(project) == {
        "x:3": ("Mira moved", (Span(0, 4, "person"),)),
        "x:6": ("Oslo", (Span(0, 4, "location"),)),
    }
    done = json_of("import", path, "--project", made(tmp_path, "other"), "--gold", "--skip-bad")
    assert (done["added"], done["bad"], len(done["bad_records"])) == (1, 1, 1)


def test_strict_import_takes_nothing_where_something_is_lost(tmp_path: Path) -> None:
    project = made(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "d.txt").write_text("Mira met Bo in Oslo", encoding="utf-8")
    (tmp_path / "c" / "d.ann").write_text("T1\tperson 0 4;9 11\tMira Bo\nT2\tcell_line 15 19\tOslo\n", encoding="utf-8")
    assert "discontinuous" in told("import", tmp_path / "c", "--project", project, "--gold", "--strict")
    with store_of(project) as store:
        assert store.document_count() == 0
    status, _, err = quorum("import", tmp_path / "c", "--project", project, "--gold")
    assert status == 0
    assert "lost: 1 discontinuous mentions, left out: 'd' 0:11 person 0 4;9 11" in err
    assert golds(project)["d"][1] == (Span(15, 19, "cell line"),)


def test_standard_input_in_any_format(tmp_path: Path) -> None:
    project = made(tmp_path)
    text = "Mira\tB-PER\nmoved\tO\n"
    status, out, err = process("import", "-", "--format", "conll", "--gold", "--project", project, "--json", stdin=text)
    assert status == 0, err
    assert json.loads(out)["gold"] == 1
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    status, out, err = process("import", "-", "--gold", "--project", project, "--json", stdin=lines)
    assert status == 0, err
    assert json.loads(out)["gold"] == 2


def test_what_is_told_holds_no_terminal_escapes(tmp_path: Path) -> None:
    project = made(tmp_path)
    records = [
        {"id": "\x1b[31m", "text": "Ada", "entities": [[0, 3, "person"], [0, 2, "location"]], "meta": {"\x1b]0;": 1}}
    ]
    status, _, err = quorum("import", write(tmp_path / "e.jsonl", records), "--project", project, "--gold")
    assert status == 0
    status, _, more = quorum("export", "--project", project, "--output", tmp_path / "o", "--format", "brat")
    assert status == 0
    assert "meta" in more
    assert "\x1b" not in err + more


def test_without_gold_mentions_stay_in_the_meta(tmp_path: Path, project: Path) -> None:
    output = tmp_path / "o.conll"
    json_of("export", "--project", project, "--output", output)
    other = made(tmp_path, "other")
    json_of("import", output, "--project", other)
    with store_of(other) as store:
        assert store.gold("a") is None
        assert store.document("a").meta["entities"][0] == {
            "start": 0,
            "end": 12,
            "label": "person",
            "text": "Mira Castell",
        }


def test_export_while_another_process_writes(tmp_path: Path, project: Path) -> None:
    with store_of(project, read_only=False):
        assert json_of("export", "--project", project, "--output", tmp_path / "o.jsonl")["documents"] == 2


def test_without_spacy_the_error_says_how_to_get_it(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    monkeypatch.setitem(sys.modules, "spacy.tokens", None)
    err = told("export", "--project", project, "--output", tmp_path / "o.spacy")
    assert "quorum-ner[spacy]" in err
    (tmp_path / "in.spacy").write_bytes(b"x")
    assert "quorum-ner[spacy]" in told("import", tmp_path / "in.spacy", "--project", project)
    assert not (tmp_path / "o.spacy").exists()


def test_wrong_options(tmp_path: Path, project: Path) -> None:
    source = tmp_path / "in.jsonl"
    assert "no format 'word'" in told("import", source, "--project", project, "--format", "word")
    assert "no tag scheme" in told("import", source, "--project", project, "--scheme", "x")
    assert "--offsets 'bytes'" in told("import", source, "--project", project, "--offsets", "bytes")


def test_the_published_table_is_current() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
    try:
        import generate

        page = Path(__file__).parents[2] / "docs" / "formats.md"
        assert generate.texts()[page] == page.read_text(encoding="utf-8"), "run: make docs"
    finally:
        sys.path.pop(0)
        sys.modules.pop("generate", None)


def test_counting_is_quiet_for_two_seconds_and_then_says_what_is_left() -> None:
    out, now = io.StringIO(), [0.0]
    with counting("read", 1280, out, lambda: now[0]) as step:
        for _ in range(640):
            step()
            now[0] += 0.01
    assert out.getvalue().splitlines() == ["read: 256 of 1,280 documents, 100 a second, 10s left"]


def test_documents_are_kept_in_order(tmp_path: Path) -> None:
    project = made(tmp_path)
    with store_of(project, read_only=False) as store:
        store.add_documents(Document(f"d{n}", "Ada") for n in range(700))
        for n in range(0, 700, 3):
            store.set_gold(f"d{n}", [Span(0, 3, "person")], "ada")
    json_of("export", "--project", project, "--output", tmp_path / "o.jsonl", "--undecided")
    found = [(item.document.id, bool(item.layers)) for item in read_annotated(tmp_path / "o.jsonl")]
    assert found == [(f"d{n}", n % 3 == 0) for n in range(700)]
