"""What people do to files: each is one line that names file and line, with a hint; nothing is guessed in silence."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.annotation import Document, Span
from tools.errors import InputError, OutputError, QuorumError
from tools.formats.annotated import read_annotated, write_annotated
from tools.formats.format import ReadOptions
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.registry import FORMATS, WRITABLE, format_named, format_of_output
from tools.formats.report import ReadReport

GOOD = [Annotated(Document("d", "Ada wrote."), (Layer((Mention(Span(0, 3, "person")),)),))]


def lines(*records: object) -> bytes:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records).encode()


def written(folder: Path, name: str) -> bytes:
    write_annotated(folder / name, GOOD)
    return (folder / name).read_bytes()


OUT = {"text": "Ada", "entities": [{"start": 0, "end": 9, "label": "x"}]}
TASK = {
    "data": {"text": "Ada"},
    "annotations": [{"result": [{"type": "labels", "value": {"start": 0, "end": 9, "labels": ["x"]}}]}],
}
Bytes = bytes | Callable[[Path], bytes]
CASES: list[tuple[str, Bytes, str, str]] = [
    # spans out of range
    ("a.jsonl", lines({"text": "x"}, OUT), "a.jsonl:2: document 'a:2', entity 1: 0 to 9 is no range", "code points"),
    ("p.jsonl", lines({"text": "Ada", "answer": "accept", "spans": [{"start": 0, "end": 9, "label": "x"}]}), "p.jsonl:1: document", "code points"),
    ("t.json", json.dumps([TASK]).encode(), "t.json:1: document 't:1', region 1: 0 to 9", "code points"),
    # another text than is quoted
    ("a.jsonl", lines({"text": "Ada", "entities": [{"start": 0, "end": 3, "label": "x", "text": "Eve"}]}), "its text is 'Eve', the document has 'Ada'", "offsets"),
    # broken JSON
    ("a.jsonl", lines({"text": "x"}, '{"text": '), "a.jsonl:2: no JSON", "--skip-bad"),
    ("t.json", b'[\n{"data": {"text": "x"}},\n{"data" {"text": "x"}}]', "t.json:3: no JSON", "again"),
    ("t.json", b'[\n{"data": {"text": "x"}},\n{"data": {"text": "x"', "t.json:3: no JSON", "again"),
    ("t.json", b'[{"data": {"text": "x"}}\n{"data": {"text": "x"}}]', "t.json:2: no JSON: a comma or ] is expected", "again"),
    ("t.json", b'[{"data": {"text": "x"}}', "the file ends inside the array", "again"),
    ("t.json", b'[{"data": {"text": "x"}}] tail', "behind the array's end", ""),
    ("t.json", b"[1]", "a JSON object is expected", ""),
    # truncated gzip
    ("a.jsonl.gz", gzip.compress(lines(*({"text": "x" * 50, "n": n} for n in range(500))))[:-90], "gzip data ends early", "again"),
    ("a.conll.gz", b"Ada B-x\n", "not gzip data", "again"),
    # mixed encodings
    ("a.conll", b"Ada B-x\n" + "Zoë B-x\n\n".encode() + b"Zo\xeb B-x\n", "a.conll:4: byte 0xEB is not UTF-8", "UTF-8"),
    ("t.json", '[{"data": {"text": "é"}},\n{"data": {"text": "'.encode() + b'\xe9"}}]', "t.json:2: byte 0xE9 is not UTF-8", "UTF-8"),
    # DocBins that are none
    ("d.spacy", b"hello", "no DocBin: this is something else", "--format"),
    ("d.spacy", zlib.compress(b"hello"), "no DocBin", "--format"),
    ("d.spacy", lambda folder: written(folder, "x.spacy")[:-20], "no DocBin: it is damaged or cut off", "--format"),
    ("d.spacy", gzip.compress(b"x"), "no DocBin", "--format"),
    # columns
    ("a.conll", b"Ada B-x\nwrote\n", "a.conll:2: one column", "word and a tag"),
    ("a.conll", b"Ada\tB-x\nwrote O\n", "a.conll:2: blanks between the columns, tabs before", "throughout"),
    ("a.conll", b"Ada N B-x\nwrote O\n", "a.conll:2: 2 columns, 3 before", "--tag-column"),
    ("a.conll", b"\tB-x\n", "a.conll:1: an empty word", "word"),
    ("a.conll", b'# id = d\n# text = "Ada slept"\nAda\tB-x\nwrote\tO\n', "a.conll:4: 'wrote' is not the next word", "mend"),
    ("a.conll", b"Ada I-x\nBob B-y\n", "a.conll:1: 'I-x' follows no x", "--repair"),
    # another format under the wrong name
    ("a.conll", lines({"text": "x"}), "a.conll:1: this is JSON, not columns", "--format"),
    ("a.jsonl", b"[1, 2]\n", "a JSON array, and its ending says JSON Lines", "--format labelstudio"),
    ("a.json", lines({"text": "x"}, {"text": "y"}), "may be JSON Lines", "name it .jsonl"),
    ("a.json", lines({"data": {"text": "x"}}, {"data": {"text": "y"}}), "several objects without an array", "name it .jsonl"),
    ("a.json", b'[{"text_": 1}]', "no text 'text' in the task's data", "--text-column"),
    ("a.json", b"Ada wrote.", "no JSON: an array of tasks is expected", "--format"),
    ("a.jsonl", lambda folder: written(folder, "x.parquet"), "this is a Parquet file", "--format"),
    ("a.parquet", b"Ada wrote.", "no usable Parquet", "again"),
    ("a.txt", b"Ada B-x\nwrote O\n", "this looks like CoNLL columns", "--format conll"),
    ("a.tsv", b"Ada\tB-x\nwrote\tO\n", "this looks like CoNLL columns", "--format conll"),
    ("a.jsonl", lines({"text": "x", "entities": [], "answer": "accept"}), "entities as well as spans or answers", "--format prodigy"),
    ("a.docx", b"PK\x03\x04", ".docx is not supported", "--format"),
    # the same id twice
    ("a.jsonl", lines({"id": 1, "text": "x"}, {"id": "1", "text": "y"}), "the id '1' is used twice", "unique"),
    # nothing
    ("a.conll", b"", "empty", "at least one"),
    ("a.conll", b"\n\n# nothing = here\n", "no document in it", "at least one"),
    ("t.json", b"[]", "no document in it", "at least one"),
    # fields of other types
    ("a.jsonl", lines({"text": "x", "entities": {"start": 0}}), "entities is no list", "write"),
    ("a.jsonl", lines({"text": "x", "meta": 1}), "'meta' is no object", "--skip-bad"),
    ("a.jsonl", lines({"text": "x", "entities": [], "layers": [{"kind": "odd"}]}), "no usable kind", "--skip-bad"),
    ("a.jsonl", lines({"text": "x", "entities": [[0, 1, "a"]], "layers": [{"kind": "gold", "outcome": {"kind": "odd"}}]}), "unknown outcome", "--skip-bad"),
    ("p.jsonl", lines({"text": "x", "answer": "maybe"}), "unknown answer 'maybe'", "accept"),
    ("p.jsonl", lines({"text": "x", "answer": "accept", "spans": [1]}), "spans is no list of objects", "--skip-bad"),
    ("t.json", b'[{"data": {"text": "x"}, "annotations": {}}]', "lists of objects", "--format"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "message", "hint"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)])
def test_one_line_and_a_hint(tmp_path: Path, name: str, data: Bytes, message: str, hint: str) -> None:
    if name.endswith(".spacy"):
        pytest.importorskip("spacy")
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data(tmp_path))
    with pytest.raises(InputError) as told:
        list(read_annotated(path))
    assert message in told.value.message
    assert "\n" not in told.value.message
    assert hint in told.value.hint
    assert told.value.hint


@pytest.mark.parametrize(
    ("text", "notes", "message"),
    [
        (None, b"T1\tx 0 1\ta\n", "there is no d.txt beside it"),
        (b"Ada", b"T1\tx 0 9\tAda\n", "d.ann:1: T1: 0 to 9 is no range"),
        (b"Ada", b"\nT1\tx 0 3\tEve\n", "d.ann:2: T1: its text is 'Eve', the .txt has 'Ada'"),
        (b"Ada", b"T1 x 0 3 Ada\n", "d.ann:1: 'T1 x 0 3 Ada' is not: T1, tab"),
        (b"Ada", b"T1\tx 3 0\tAda\n", "d.ann:1: T1: 3 to 0 is no range"),
        (b"Ada", b"hello\n", "d.ann:1: 'hello' is no annotation"),
        (b"Zo\xeb", b"", "d.txt:1: byte 0xEB is not UTF-8"),
        (b"Ada", b"\nT1\tx 0 3\t\xeb\n", "d.ann:2: byte 0xEB is not UTF-8"),
    ],
)
def test_brat_folders(tmp_path: Path, text: bytes | None, notes: bytes, message: str) -> None:
    if text is not None:
        (tmp_path / "d.txt").write_bytes(text)
    (tmp_path / "d.ann").write_bytes(notes)
    with pytest.raises(InputError) as told:
        list(read_annotated(tmp_path))
    assert message in told.value.message
    assert told.value.hint
    (tmp_path / "good.txt").write_bytes(b"x")
    report = ReadReport()
    assert [i.document.id for i in read_annotated(tmp_path, options=ReadOptions(skip_bad=True), report=report)] == [
        "good"
    ]
    assert report.bad_count == 1


def test_bad_documents_are_left_out_and_counted_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_bytes(b"a B-x\n\nb I-x\n\nc\n\nd X\n\ne B-x\n")
    report = ReadReport()
    found = list(read_annotated(path, options=ReadOptions(skip_bad=True, scheme="bio"), report=report))
    assert [item.document.text for item in found] == ["a", "e"]
    assert [bad.line for bad in report.bad] == [3, 5, 7]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*({"text": "x" * 50, "n": n} for n in range(500))))[:-90])
    report = ReadReport()
    found = list(read_annotated(path, options=ReadOptions(skip_bad=True), report=report))
    assert 0 < len(found) < 500
    assert "before the fault are kept" in report.bad[0].reason


def test_files_and_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        list(read_annotated(tmp_path / "no.conll"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file here can be read"):
        list(read_annotated(tmp_path / "empty"))
    with pytest.raises(InputError, match=r"no \.txt and \.ann"):
        list(read_annotated(tmp_path / "empty", FORMATS["brat"]))


@pytest.mark.parametrize("name", WRITABLE)
def test_outputs_that_cannot_be(tmp_path: Path, name: str) -> None:
    format_ = FORMATS[name]
    if format_.extra:
        pytest.importorskip(format_.extra)
    ending = "" if format_.folder else format_.endings[0]
    with pytest.raises(OutputError) as told:
        write_annotated(tmp_path / "no" / f"o{ending}", GOOD, format_)
    assert "cannot be written" in told.value.message
    (tmp_path / f"o{ending}").mkdir()
    (tmp_path / f"o{ending}" / "letter.doc").write_bytes(b"mine")
    with pytest.raises(OutputError):
        write_annotated(tmp_path / f"o{ending}", GOOD, format_)
    assert (tmp_path / f"o{ending}" / "letter.doc").read_bytes() == b"mine"


def test_an_old_folder_is_replaced_only_where_asked(tmp_path: Path) -> None:
    from tools.formats.format import WriteOptions

    write_annotated(tmp_path / "o", GOOD, FORMATS["brat"])
    with pytest.raises(OutputError, match="not empty") as told:
        write_annotated(tmp_path / "o", GOOD, FORMATS["brat"])
    assert "--overwrite" in told.value.hint
    other = [Annotated(Document("e", "x"))]
    write_annotated(tmp_path / "o", other, FORMATS["brat"], WriteOptions(overwrite=True))
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["e.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_names_and_endings_of_formats() -> None:
    assert format_named("CoNLL") is FORMATS["conll"]
    assert format_of_output(Path("x.JSONL.gz")) is FORMATS["jsonl"]
    for call in (
        lambda: format_named("word"), lambda: format_named("text", writing=True), lambda: format_of_output(Path("x.txt")),
        lambda: format_of_output(Path("folder")),
    ):  # fmt: skip
        with pytest.raises(QuorumError) as told:
            call()
        assert "jsonl" in told.value.hint
