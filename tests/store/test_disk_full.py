from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.annotation import Document
from tools.annotation.prediction import PassageResult
from tools.store import DiskFull, Store, fsck

FILLER = """
import resource, sys
from tools.annotation import Document
from tools.store import DiskFull, Store

def documents(part):
    return [Document(f"{part}-{n}", "long text " * 100) for n in range(50)]

with Store.open(sys.argv[1]) as store:
    store.add_documents(documents(0))
    size = store.path.with_name(store.path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300_000, resource.RLIM_INFINITY))
    part = 0
    try:
        while True:
            part += 1
            store.add_documents(documents(part))
    except DiskFull as error:
        assert error.hint and "\\n" not in str(error), error
        print(part, store.document_count(), flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if sys.argv[2] == "goes on":
        store.add_documents(documents(part))
        print(part, store.document_count(), flush=True)
    else:
        import os
        os._exit(9)
"""


def test_what_was_committed_before_the_disk_was_full_is_kept(
    path: Path, documents: Callable[[int], list[Document]], result: Callable[..., PassageResult]
) -> None:
    with Store.open(path) as store:
        store.add_documents(documents(2_000))
        run = store.start_run({}, "h")
        pages = store.database.query("PRAGMA page_count")[0][0]
        store.database.connection.execute(f"PRAGMA max_page_count = {pages + 40}")
        part = 0

        def record(number: int) -> None:
            batch = [result(f"d{n}") for n in range(number * 20, number * 20 + 20)]
            store.record_part(run, number, "f", batch, {})

        with pytest.raises(DiskFull) as error:  # noqa: PT012 - which part finds the disk full is what we ask
            for part in range(100):
                record(part)
        assert part > 1
        assert "no room" in error.value.message
        assert "free some space" in error.value.hint
        assert list(store.finished_parts(run)) == list(range(part))
        with pytest.raises(DiskFull):
            store.add_documents(Document(f"more{n}", "x" * 10_000) for n in range(200))
        assert store.document_count() == 2_000
        store.database.connection.execute("PRAGMA max_page_count = 1000000")
        record(part)
        assert fsck(store) == []
    with Store.open(path, read_only=True) as store:
        assert list(store.finished_parts(run)) == list(range(part + 1))


@pytest.mark.parametrize("then", ["goes on", "dies"])
def test_a_write_that_the_system_refuses(path: Path, child: Callable[..., subprocess.Popen[str]], then: str) -> None:
    process = child(FILLER, path, then)
    out, _ = process.communicate(timeout=60)
    lines = [tuple(map(int, line.split())) for line in out.splitlines()]
    (part, count), *rest = lines
    assert part > 1
    assert count == 50 * part, "whole batches, all that came before"
    assert rest == ([(part, count + 50)] if then == "goes on" else [])
    assert process.returncode == (0 if then == "goes on" else 9)
    with Store.open(path) as store:
        assert store.document_count() == 50 * (part + len(rest))
        assert fsck(store) == []


def test_no_room_to_make_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(DiskFull, match="no room"):
        Store.open(path)
