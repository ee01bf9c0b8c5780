from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.annotation import Document, LabelSet
from tools.errors import StoreError
from tools.store import DamagedStore, LockedStore, Store, fsck, schema, writer_of

Child = Callable[..., "subprocess.Popen[str]"]

WRITER = """
import sys
from tools.annotation import Document
from tools.store import Store
with Store.open(sys.argv[1]) as store:
    store.add_documents([Document("child", "written by the child")])
    print("open", flush=True)
    for line in sys.stdin:
        store.add_documents([Document(line.strip(), "more")])
        print("added", flush=True)
"""


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    assert "\n" not in str(error.value)
    assert error.value.hint
    return error.value.message


def test_a_new_store_and_its_settings(path: Path) -> None:
    with Store.open(str(path)) as store:
        assert store.path == path.resolve()
        assert store.database.query("PRAGMA journal_mode") == [("wal",)]
        assert store.database.query("PRAGMA foreign_keys") == [(1,)]
        assert store.database.query("PRAGMA synchronous") == [(1,)]
        assert store.database.query("PRAGMA user_version") == [(len(schema.STEPS),)]
    with Store.open(path, durable=True) as store:
        assert store.database.query("PRAGMA synchronous") == [(2,)]


def test_closing_twice_is_harmless_and_use_after_it_is_told(path: Path) -> None:
    store = Store.open(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.document_count()
    with pytest.raises(StoreError, match="the store is closed"):
        store.add_documents([Document("a", "b")])


def test_a_second_writer_learns_who_holds_the_store(path: Path, child: Child) -> None:
    writer = child(WRITER, path)
    assert writer.stdout
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(LockedStore) as error:
        Store.open(path)
    assert f"process {writer.pid} is writing the store" in one_line(error)
    assert writer_of(path) == writer.pid
    writer.kill()
    writer.wait()
    assert writer_of(path) is None
    with Store.open(path) as store:  # the lock of a killed process holds nobody up
        assert store.document("child").text == "written by the child"
        assert fsck(store) == []


def test_the_same_file_by_another_name_is_locked_too(path: Path, tmp_path: Path) -> None:
    with Store.open(path):
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(LockedStore, match="this process is writing"):
            Store.open(tmp_path / "link")
    Store.open(tmp_path / "link").close()


def test_reading_while_another_process_writes(path: Path, child: Child) -> None:
    writer = child(WRITER, path)
    assert writer.stdin
    assert writer.stdout
    assert writer.stdout.readline() == "open\n"
    with Store.open(path, read_only=True) as reader:
        for name in ("x", "y"):
            count = reader.document_count()
            pages = reader.documents()
            next(pages)
            writer.stdin.write(f"{name}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "added\n"
            assert reader.document_count() == count + 1
            assert reader.document(name).text == "more"
        assert fsck(reader) == []


def test_reading_what_a_killed_writer_left(path: Path, child: Child) -> None:
    writer = child(WRITER, path)
    assert writer.stdout
    assert writer.stdout.readline() == "open\n"
    writer.kill()
    writer.wait()
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    with Store.open(path, read_only=True) as reader:
        assert [document.id for document in reader.documents()] == ["child"]


def test_a_reader_cannot_write(path: Path) -> None:
    Store.open(path).close()
    with Store.open(path, read_only=True) as reader:
        assert reader.read_only
        for write in (
            lambda: reader.add_documents([Document("a", "b")]),
            lambda: reader.save_label_set(LabelSet.of("a")),
            lambda: reader.start_run({}, "h"),
            lambda: reader.cache_put({"a": b"b"}),
        ):
            with pytest.raises(StoreError, match="open for reading only"):
                write()
    with Store.open(path) as store:
        assert store.document_count() == 0


def test_a_reader_makes_no_store(path: Path) -> None:
    with pytest.raises(StoreError) as error:
        Store.open(path, read_only=True)
    assert "there is no store" in one_line(error)
    assert not path.parent.exists()


def test_a_newer_store_is_refused_and_left_alone(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError) as error:
            Store.open(path, read_only=read_only)
        assert "newer release" in one_line(error)
        assert str(path) in error.value.message
    assert path.read_bytes() == before
    assert writer_of(path) is None, "a refused writer gives the lock back"


def test_an_older_store_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as store:
        store.add_documents([Document("a", "old")])
    steps = (
        *schema.STEPS,
        ("ALTER TABLE documents ADD COLUMN language TEXT", "UPDATE documents SET language = 'en'"),
        ("CREATE TABLE later (x)",),
    )
    monkeypatch.setattr(schema, "STEPS", steps)
    with pytest.raises(StoreError, match="older release"):
        Store.open(path, read_only=True)
    for _ in range(2):
        with Store.open(path) as store:
            assert store.database.query("PRAGMA user_version") == [(len(steps),)]
            assert store.database.query("SELECT id, language FROM documents") == [("a", "en")]
            assert store.database.query("SELECT * FROM later") == []
            assert fsck(store) == []


def test_a_migration_that_breaks_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as store:
        store.add_documents([Document("a", "old")])
    released = schema.STEPS
    broken = (*released, ("CREATE TABLE half (x)", "UPDATE documents SET chars = 7", "this is no SQL"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", broken)
        with pytest.raises(StoreError, match="syntax error"):
            Store.open(path)
    with Store.open(path) as store:
        assert store.database.query("PRAGMA user_version") == [(len(released),)]
        assert store.database.query("SELECT count(*) FROM sqlite_master WHERE name = 'half'") == [(0,)]
        assert fsck(store) == []


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError) as error:
        Store.open(path)
    assert "another program's" in one_line(error)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is a text file, and a long one at that. " * 100, os.urandom(5000)])
def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(DamagedStore) as error:
            Store.open(path, read_only=read_only)
        assert "damaged" in one_line(error)
    assert path.read_bytes() == content
    assert [finding.severity for finding in fsck(path)] == ["error"]


def test_a_damaged_page_is_told_when_it_is_met(path: Path, documents: Callable[[int], list[Document]]) -> None:
    with Store.open(path) as store:
        store.add_documents(documents(3000))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    with Store.open(path, read_only=True) as store, pytest.raises(DamagedStore):
        list(store.documents())
    assert any(finding.severity == "error" for finding in fsck(path))


def test_a_truncated_file(path: Path, documents: Callable[[int], list[Document]]) -> None:
    with Store.open(path) as store:
        store.add_documents(documents(3000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 3)
    findings = fsck(path)
    assert findings
    assert findings[0].severity == "error"


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a file"):
        Store.open(tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "file" / "store.db")
    assert "cannot be opened" in one_line(error)


def test_odd_file_names(tmp_path: Path) -> None:
    for name in ("a?b#c%20d.db", "Grüße 😀.db", "a b;c'.db"):
        with Store.open(tmp_path / name) as store:
            store.add_documents([Document("a", "b")])
        with Store.open(tmp_path / name, read_only=True) as store:
            assert store.document_count() == 1
        assert (tmp_path / name).is_file()
