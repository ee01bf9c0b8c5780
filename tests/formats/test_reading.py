from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.annotation.document import Document
from tools.errors import InputError
from tools.formats import ReadReport, read_documents
from tools.formats.encoding import detect


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path | str, **options: Any) -> list[Document]:
    return list(read_documents(path, **options))


def failure(path: Path | str, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def json_lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# --- the forms ---------------------------------------------------------------------------------------------------


def test_a_text_file_is_one_document_exactly_as_it_stands(tmp_path: Path) -> None:
    text = "Erste Zeile\r\n\tzweite\u2028 dritte\n\n"
    assert read(write(tmp_path, "brief.txt", text)) == [Document("brief", text)]


def test_a_line_is_a_document_where_asked(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\r\n\ntwo\u2028and a half\n  \nthree")
    assert read(path, lines=True) == [
        Document("a:1", "one"),
        Document("a:3", "two\u2028and a half"),
        Document("a:5", "three"),
    ]


def test_json_lines_keep_everything(tmp_path: Path) -> None:
    entities = [{"start": 0, "end": 1, "label": "x", "extra": [1.5, None]}]
    path = write(
        tmp_path,
        "a.jsonl",
        json_lines(
            {"text": "A b", "id": "one", "meta": {"lang": "en"}, "entities": entities, "score": 3},
            {"text": "c", "id": 7},
            {"text": ""},
        )
        + '\n{"tokens": ["d", "e"], "entities": []}\n',
    )
    one, seven, empty, tokens = read(path)
    assert one == Document("one", "A b", {"lang": "en", "entities": entities, "score": 3})
    assert seven.id == "7"
    assert empty == Document("a:3", "")
    assert tokens == Document("a:5", "d e", {"tokens": ["d", "e"], "entities": []})


def test_escapes_for_lone_surrogates_and_nuls_are_kept_exactly(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"text": "a\\ud800b\\u0000c\\ud83d\\ude00", "id": "\\udfff"}\n')
    assert read(path) == [Document("\udfff", "a\ud800b\x00c\U0001f600")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables(tmp_path: Path, delimiter: str) -> None:
    lines = [["id", "body", "year"], ["r1", '"two ""quoted""\nlines"', "1999"], ["", "plain", "2000"]]
    path = write(tmp_path, "t.csv", "\ufeff" + "\r\n".join(delimiter.join(line) for line in lines) + "\r\n")
    assert read(path, text_column="body") == [
        Document("r1", 'two "quoted"\nlines', {"year": "1999"}),
        Document("t:4", "plain", {"year": "2000"}),
    ]


def test_tsv_and_json_in_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "t.tsv", 'text\tentities\tmeta\nA, b\t[[0,1,"x"]]\t{"k":1}\nc\t[broken\tnote\n')
    report = ReadReport()
    (document,) = read(path, skip_bad=True, report=report)
    assert document == Document("t:2", "A, b", {"k": 1, "entities": [[0, 1, "x"]]})
    assert report.bad[0].line == 3


def test_parquet_in_row_groups(tmp_path: Path) -> None:
    entities = [[{"start": 0, "end": 1, "label": "x"}], None, []]
    table = pa.table({"id": ["a", None, "c"], "text": ["A", "b", "c"], "entities": entities, "n": [1, 2, 3]})
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=1)
    one, two, three = read(tmp_path / "p.parquet")
    assert one == Document("a", "A", {"entities": entities[0], "n": 1})
    assert two.id == "p:2"
    assert three.meta["n"] == 3
    (tmp_path / "p.parquet.gz").write_bytes(gzip.compress((tmp_path / "p.parquet").read_bytes()))
    assert read(tmp_path / "p.parquet.gz") == [one, two, three]
    assert "'body'" in failure(tmp_path / "p.parquet", text_column="body").message


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
def test_gzipped_reads_like_plain(tmp_path: Path, name: str) -> None:
    data = {"a.txt": "ä b\n", "a.jsonl": '{"text":"ä b"}\n', "a.csv": "text,x\nä b,1\n", "a.tsv": "text\tx\nä b\t1\n"}[
        name
    ]
    plain = write(tmp_path, name, data)
    packed = write(tmp_path / "z", f"{name}.gz", gzip.compress(data.encode()[:5]) + gzip.compress(data.encode()[5:]))
    assert read(packed) == read(plain)


def test_a_folder_in_sorted_order_with_ids_from_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/a.txt", "sub/c.jsonl", ".hidden.txt", ".git/x.txt", "notes.md"):
        write(tmp_path, name, '{"text": "x"}' if name.endswith("jsonl") else name)
    assert [d.id for d in read(tmp_path)] == ["a", "b", "sub/a", "sub/c:1"]
    assert read(tmp_path) == read(str(tmp_path))


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (b'{"text": "x", "id": "i"}\n{"text": "y"}\n', {}, [("i", "x"), ("stdin:2", "y")]),
        (b"{not json}\nb\n", {}, [("stdin", "{not json}\nb\n")]),
        (b"a\nb\n", {"lines": True}, [("stdin:1", "a"), ("stdin:2", "b")]),
        (gzip.compress(b"a\nb\n"), {"lines": True}, [("stdin:1", "a"), ("stdin:2", "b")]),
        ("ü".encode("utf-16"), {}, [("stdin", "ü")]),
    ],
)
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, data: bytes, options: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    stream = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    assert [(d.id, d.text) for d in read("-", **options)] == expected
    assert not stream.closed


# --- encodings ---------------------------------------------------------------------------------------------------

GERMAN = "Der Bürgermeister von Köln grüßte „die Gäste“ – es war schön. " * 3
RUSSIAN = "Президент встретился с премьер-министром в Москве, сообщило агентство. " * 5
JAPANESE = "東京都の知事は昨日、新しい計画を発表した。これは大きな変化をもたらすだろう。" * 5


@pytest.mark.parametrize(
    ("text", "encoding", "reported", "guessed"),
    [
        (GERMAN, "utf-8", "utf-8", False),
        (GERMAN, "utf-8-sig", "utf-8", False),
        (GERMAN, "utf-16", "utf-16-le", False),
        (GERMAN, "utf-32", "utf-32-le", False),
        (GERMAN, "utf-16-le", "utf-16-le", True),
        (GERMAN, "utf-16-be", "utf-16-be", True),
        (GERMAN, "cp1252", "cp1252", True),
        ("Käse", "latin-1", "cp1252", True),
        (RUSSIAN, "cp1251", "cp1251", True),
        (JAPANESE, "shift_jis", None, True),
        (JAPANESE, "euc_jp", None, True),
    ],
)
@pytest.mark.parametrize("form", ["txt", "lines", "csv", "jsonl"])
def test_encodings_are_found_and_reported(
    tmp_path: Path, text: str, encoding: str, reported: str | None, guessed: bool, form: str
) -> None:
    text = text.strip()
    content = {"csv": f'text\n"{text}"\n', "jsonl": json.dumps({"text": text}, ensure_ascii=False)}.get(form, text)
    path = write(tmp_path, f"a.{'txt' if form == 'lines' else form}", content.encode(encoding))
    report = ReadReport()
    (document,) = read(path, report=report, lines=form == "lines")
    assert document.text == text
    (name,) = report.encodings
    assert reported in (name, None)
    assert report.encoding_of == {str(path): name}
    assert bool(report.warnings) == guessed


def test_lines_in_another_encoding_are_named(tmp_path: Path) -> None:
    good, bad = "Grüße aus Köln", "Grüße aus Köln".encode("latin-1")
    path = write(tmp_path, "a.txt", good.encode() + b"\n" + bad + b"\n" + b"plain\n")
    for options in ({}, {"lines": True}):
        error = failure(path, **options)
        assert f"{path}:2: byte 0xFC" in error.message
        assert "--skip-bad" in error.hint
    report = ReadReport()
    assert [d.text for d in read(path, lines=True, skip_bad=True, report=report)] == [good, "plain"]
    assert (report.records, report.bad_count, report.bad[0].line) == (2, 1, 2)
    table = write(tmp_path, "a.csv", b"text\n" + good.encode() + b"\n" + bad + b"\nplain\n")
    assert f"{table}:3" in failure(table).message
    assert [d.text for d in read(table, skip_bad=True)] == [good, "plain"]


def test_a_line_far_behind_the_sample_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"text": "x"}\n' * 30_000 + b'{"text": "\xfc"}\n')
    assert f"{path}:30001" in failure(path).message
    assert len(read(path, skip_bad=True)) == 30_000


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80), st.integers(0, 10))
def test_utf8_is_never_mistaken_however_it_is_cut(text: str, cut: int) -> None:
    data = text.encode()
    assert detect(data, whole=True).name in ("utf-8", "utf-16-le", "utf-16-be") or data[:2] in (
        b"\xff\xfe",
        b"\xfe\xff",
    )
    if len(data) > 20 and data.count(0) == 0 and detect(data, whole=True).name == "utf-8":
        assert detect(data[: len(data) - cut], whole=False).name == "utf-8"


# --- what a person gets wrong ------------------------------------------------------------------------------------


def test_missing_empty_unknown(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "none.txt").message
    assert "empty" in failure(write(tmp_path, "e.txt", b"")).message
    assert "empty" in failure(write(tmp_path, "e.parquet", b"")).message
    assert "empty" in failure(write(tmp_path, "e.txt.gz", gzip.compress(b""))).message
    assert "no document" in failure(write(tmp_path, "blank.jsonl", b"\n \n")).message
    assert "no document" in failure(write(tmp_path, "header.csv", b"text,id\n")).message
    assert ".docx is not supported" in failure(write(tmp_path, "a.docx", b"x")).message
    (tmp_path / "folder").mkdir()
    assert "no file here" in failure(tmp_path / "folder").message


def test_an_empty_file_among_others_is_a_document_without_text(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", b"")
    write(tmp_path, "b.jsonl", b"")
    write(tmp_path, "c.txt", b"x")
    report = ReadReport()
    assert read(tmp_path, report=report) == [Document("a", ""), Document("c", "x")]
    assert len(report.warnings) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", b"x")
    path.chmod(0)
    assert "cannot be read" in failure(path).message


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"%PDF-1.7\n...",
        bytes(range(256)) * 8,
        b"\x00\x01\x02\x03" * 100,
        b"text \xff\xfe\x80" + b"\x00\x03" * 20 + b"x" * 100,
        gzip.compress(b"text"),
    ],
)
def test_binary(tmp_path: Path, data: bytes) -> None:
    assert "this is" in failure(write(tmp_path, "a.txt", data)).message
    assert "this is" in failure(write(tmp_path, "a.jsonl", data)).message


def test_a_nul_or_escape_now_and_then_is_text(tmp_path: Path) -> None:
    text = "a\x00b \x1b[31mred\x1b[0m " + "words " * 20
    assert read(write(tmp_path, "a.txt", text))[0].text == text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a"', "no JSON"),
        ("[1]", "a list"),
        ("null", "null"),
        ('{"id": "x"}', "no 'text'"),
        ('{"text": 5}', "no text in 'text'"),
        ('{"text": "a", "id": [1]}', "'id'"),
        ('{"text": "a", "id": true}', "'id'"),
        ('{"text": "a", "meta": 3}', "'meta'"),
        ("[" * 100_000, "too deeply"),
        ('{"text": ' + "1" * 5000 + "}", "no usable JSON"),
    ],
)
def test_a_broken_line_is_named_and_can_be_skipped(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"text": "one"}}\n\n{line}\n{{"text": "two"}}\n')
    error = failure(path)
    assert error.message.startswith(f"{path}:3: ")
    assert reason in error.message
    documents = read_documents(path)
    assert next(documents).text == "one"
    with pytest.raises(InputError):
        next(documents)
    report = ReadReport()
    assert [d.text for d in read(path, skip_bad=True, report=report)] == ["one", "two"]
    assert (report.records, report.bad_count) == (2, 1)
    assert str(report.bad[0]).startswith(f"{path}:3: ")


def test_broken_rows_of_a_table(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'id,text\n1,one\n2\n3,three,more\n4,"a "b" c"\n5,"five\nlines"\n6,six\n7,"open\n')
    report = ReadReport()
    assert [d.text for d in read(path, skip_bad=True, report=report)] == ["one", "five\nlines", "six"]
    assert [bad.line for bad in report.bad] == [3, 4, 5, 9]
    assert f"{path}:3: 1 fields, the header has 2" in failure(path).message
    error = failure(path, text_column="body")
    assert "id, text" in error.message
    assert "--text-column" in error.hint


def test_double_ids_name_both_places(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.jsonl", json_lines({"text": "x", "id": "i"}, {"text": "y", "id": 1}, {"text": "z", "id": "1"})
    )
    message = failure(path).message
    assert message.startswith(f"{path}:3: ")
    assert f"'1' was already used at {path}:2" in message
    report = ReadReport()
    assert [d.text for d in read(path, skip_bad=True, report=report)] == ["x", "y"]
    assert report.bad_count == 1


def test_double_ids_across_the_files_of_a_folder(tmp_path: Path) -> None:
    first = write(tmp_path, "a.jsonl", json_lines({"text": "x"}, {"text": "y", "id": "b"}))
    second = write(tmp_path, "b.txt", "text")
    message = failure(tmp_path).message
    assert message.startswith(f"{second}: ")
    assert f"{first}:2" in message


def test_many_ids_are_told_apart_in_little_memory(tmp_path: Path) -> None:
    from tools.formats.seen import SeenIds

    tracemalloc.start()
    seen = SeenIds()
    for number in range(50_000):
        assert seen.add(f"document {number}", number % 7, number) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) == 50_000
    assert seen.add("document 49999", 0, 0) == (49_999 % 7, 49_999)
    assert seen.add("document 0", 3, 3) == (0, 0)
    assert peak < 50_000 * 100  # strings and a dict take about twice as much


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.csv.gz"])
def test_a_truncated_gzip(tmp_path: Path, name: str) -> None:
    unit = {"a.jsonl.gz": '{{"text": "document {}"}}\n', "a.txt.gz": "document {}\n", "a.csv.gz": "document {}\n"}[name]
    content = ("text\n" if "csv" in name else "") + "".join(unit.format(hash(str(i))) for i in range(30_000))
    data = gzip.compress(content.encode())
    path = write(tmp_path, name, data[: len(data) // 2])
    for options in ({}, {"lines": True}):
        error = failure(path, **options)
        assert str(path) in error.message
        assert "gzip" in error.message
    report = ReadReport()
    kept = read(path, lines=True, skip_bad=True, report=report)
    assert 1000 < len(kept) == report.records < 30_000
    assert all(d.text.startswith("document ") for d in kept)
    assert report.bad_count == 1
    assert str(len(kept)) in report.bad[0].reason


def test_damaged_and_false_gzip(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"".join(b"line %d\n" % i for i in range(1000))))
    data[-6] ^= 0xFF  # its checksum
    assert "gzip" in failure(write(tmp_path, "a.txt.gz", bytes(data))).message
    assert "not gzip data" in failure(write(tmp_path, "b.txt.gz", b"plain text")).message
    assert "gzip" in failure(write(tmp_path, "c.parquet.gz", gzip.compress(b"x" * 100)[:20])).message
    assert "Parquet" in failure(write(tmp_path, "d.parquet", b"PAR1 no more than this")).message


def test_a_hundred_megabytes_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"many words " * 95_325 + b" ")
    (document,) = read(path, lines=True)
    assert len(document.text) == path.stat().st_size
    del document
    long = tmp_path / "a.jsonl"
    with long.open("wb") as file:
        file.write(b'{"text": "first"}\n{"text": "')
        for _ in range(100):
            file.write(b"many words " * 95_325)
        file.write(b'"}\n{"text": "last"}\n')
    tracemalloc.start()
    report = ReadReport()
    assert [d.text for d in read(long, skip_bad=True, report=report)] == ["first", "last"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 160 << 20
    assert report.bad[0].line == 2
    assert "longer than 64 MiB" in failure(long).message


def test_memory_stays_flat_over_many_records(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(40_000):
            file.write(b'{"text": "%s"}\n' % (b"some words " * 40))
    tracemalloc.start()
    assert sum(1 for _ in read_documents(path)) == 40_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(codec=None), max_size=20), min_size=1, max_size=5))
def test_any_text_survives_json_lines(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = write(tmp_path_factory.mktemp("any"), "a.jsonl", json_lines(*({"text": text} for text in texts)))
    assert [d.text for d in read(path)] == texts
