from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.annotation.prediction import DocumentResult, Entity, Outcome, OutcomeKind, Vote
from tools.errors import OutputError
from tools.formats import read_documents, record_of, write_records

DOCUMENT = Document("d1", "Ada in Oslo", {"lang": "en", "nested": {"a": [1, None]}})
RESULT = DocumentResult(
    "d1",
    Outcome(OutcomeKind.REPAIRED, "a quote"),
    (Entity(Span(0, 3, "person"), 0.75, (Vote("m1", True, "person", 0.5), Vote("m2", False, "", 0.25)), verdict=0.5),),
    (),
)
RECORD = record_of(DOCUMENT, RESULT)


def test_the_record_of_a_document() -> None:
    assert RECORD == {
        "id": "d1",
        "text": "Ada in Oslo",
        "entities": [
            {
                "start": 0,
                "end": 3,
                "label": "person",
                "text": "Ada",
                "confidence": 0.75,
                "votes": [
                    {"member": "m1", "proposed": True, "label": "person", "probability": 0.5},
                    {"member": "m2", "proposed": False, "label": "", "probability": 0.25},
                ],
                "verdict": 0.5,
            }
        ],
        "outcome": {"kind": "repaired", "reason": "a quote"},
        "meta": {"lang": "en", "nested": {"a": [1, None]}},
    }
    beyond = DocumentResult("d1", Outcome(), (Entity(Span(5, 99, "x"), 0.5),), ())
    with pytest.raises(ValueError, match="beyond"):
        record_of(DOCUMENT, beyond)


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.parquet"])
def test_what_is_written_reads_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    second = {**RECORD, "id": "d2", "text": "", "entities": [], "meta": {}}
    assert write_records(path, iter([RECORD, second])) == 2
    one, two = read_documents(path)
    assert (one.id, one.text, one.meta["entities"], one.meta["lang"]) == ("d1", "Ada in Oslo", RECORD["entities"], "en")
    assert one.meta["outcome"] == RECORD["outcome"]
    assert (two.id, two.text, two.meta["entities"]) == ("d2", "", [])
    assert os.listdir(tmp_path) == [name]


def test_packed_output_depends_on_its_content_only(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_records(tmp_path / name, [RECORD])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert json.loads(gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes())) == RECORD


def test_lone_surrogates_survive_json_and_are_noted_in_parquet(tmp_path: Path) -> None:
    text = "A\ud800b \udc00"
    entity = {"start": 0, "end": 2, "label": "x", "text": text[:2], "confidence": 1.0, "votes": [], "verdict": None}
    record = {
        "id": "\udfff",
        "text": text,
        "entities": [entity],
        "outcome": {"kind": "ok", "reason": ""},
        "meta": {"k": "\ud801"},
    }
    write_records(tmp_path / "o.jsonl", [RECORD, record])
    lines = (tmp_path / "o.jsonl").read_bytes().splitlines()
    assert json.loads(lines[1]) == record
    assert b"\\ud800" in lines[1]
    write_records(tmp_path / "o.parquet", [RECORD, record])
    clean, replaced = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert "replaced_surrogates" not in json.loads(clean["meta"])
    assert replaced["text"] == "A\ufffdb \ufffd"
    assert replaced["text"][0:2] == replaced["entities"][0]["text"]
    assert json.loads(replaced["meta"]) == {"k": "\ud801", "replaced_surrogates": 4}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"text": st.text(st.characters(codec=None)), "meta": st.dictionaries(st.text(), JSON, max_size=3)}
        )
    )
)
def test_any_record_is_one_line_and_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "o.jsonl"
    write_records(path, records)
    assert [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] == records


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.parquet"])
def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_records(path, [RECORD])
    before = path.read_bytes()

    def records() -> Iterator[dict[str, Any]]:
        yield RECORD
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(path, records())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_a_new_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"

    def records() -> Iterator[dict[str, Any]]:
        for _ in range(1000):
            assert not path.exists()
            yield RECORD

    assert write_records(path, records()) == 1000
    assert len(path.read_bytes().splitlines()) == 1000


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.parquet"])
def test_a_full_disk_is_told_in_a_line_and_nothing_half_written_stays(tmp_path: Path, name: str) -> None:
    # The limit on the size of a file makes the system itself refuse to write on.
    script = f"""
import random, resource, signal, sys
from tools.errors import OutputError
from tools.formats import write_records
rng = random.Random(1)
records = ({{"id": str(i), "text": "%x" % rng.getrandbits(4000), "entities": [], "meta": {{}}}} for i in range(3000))
write_records("before-{name}", [])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_records("{name}", records)
except OutputError as error:
    print(error.message, "|", error.hint)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    assert ran.stdout.startswith(f"{name}: cannot be written (File too large)")
    assert ran.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == [f"before-{name}"]


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_records(tmp_path / "o.jsonl", [RECORD])
    assert "free some space" in caught.value.hint
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    for name in ("o.txt", "o", "o.parquet.gz", "o.json"):
        with pytest.raises(OutputError, match="ending"):
            write_records(tmp_path / name, [RECORD])
    with pytest.raises(OutputError, match="No such file") as caught:
        write_records(tmp_path / "none" / "o.jsonl", [RECORD])
    assert "folder" in caught.value.hint
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(OutputError, match="regular"):
        write_records(tmp_path / "pipe.jsonl", [RECORD])
    assert os.listdir(tmp_path) == ["pipe.jsonl"]


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "o.jsonl").symlink_to(tmp_path / "real" / "o.jsonl")
    write_records(tmp_path / "o.jsonl", [RECORD])
    assert (tmp_path / "o.jsonl").is_symlink()
    assert (tmp_path / "real" / "o.jsonl").exists()
