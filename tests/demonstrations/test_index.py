from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.annotation import Span
from tools.demonstrations import Demonstration, DemonstrationIndex, SentenceTransformerEmbedder
from tools.demonstrations.records import content_digest
from tools.errors import DemonstrationIndexError, QuorumError

Open = Callable[..., DemonstrationIndex]
Pool = Callable[..., list[Demonstration]]

HARD = [
    Demonstration("\ud800id", "doc\x00", "lone \ud83d surrogate \x00 and NUL", (Span(0, 4, "A"), Span(5, 6, "\udfff"))),
    Demonstration("emoji", "e", "👩‍🔬🏽 works at 東京大学.", (Span(13, 17, "ORG"), Span(13, 15, "LOC"))),
    Demonstration("nested", "n", "the University of Bonn", (Span(4, 22, "ORG"), Span(18, 22, "LOC"))),
    Demonstration("none", "x", "nothing in here at all", ()),
    Demonstration("", "", "", ()),
    Demonstration("esc", "x", "\x1b[31mred\x1b[0m {{ jinja }} <|im_end|>", (Span(5, 8, "C"),)),
]


def stored(index: DemonstrationIndex) -> dict[str, Demonstration]:
    return {item.id: item for _, item in index.items()}


def test_everything_comes_back_exactly(opened: Open, minilm: SentenceTransformerEmbedder) -> None:
    index = opened(minilm, HARD)
    assert stored(index) == {item.id: item for item in HARD}
    assert index.get(["none", "unknown", "\ud800id"]) == [HARD[3], HARD[0]]
    assert index.verify(HARD).ok
    index.close()
    assert stored(opened(minilm)) == {item.id: item for item in HARD}


texts = st.text(st.characters(), max_size=30)
demonstrations = st.builds(
    lambda i, d, text, cuts: Demonstration(
        i, d, text, tuple(Span(min(a, b), max(a, b), "X") for a, b in cuts if a != b and max(a, b) <= len(text))
    ),
    st.sampled_from(["a", "b", "c", "\ud800", ""]),
    texts,
    texts,
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=3),
)
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(demonstrations, max_size=4)),
    st.tuples(st.just("remove"), st.lists(st.sampled_from(["a", "b", "c", "\ud800", "z"]), max_size=3)),
    st.tuples(st.just("rebuild"), st.lists(demonstrations, max_size=4)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=5))
def test_any_changes_leave_what_a_dictionary_would(hash_embedder: Any, tmp_path_factory: Any, changes: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "index"
    expected: dict[str, Demonstration] = {}
    with DemonstrationIndex(path, hash_embedder()) as index:
        for what, given_items in changes:
            if what == "remove":
                assert index.remove(given_items) == len(expected.keys() & set(given_items))
                expected = {key: item for key, item in expected.items() if key not in given_items}
            else:
                expected = {} if what == "rebuild" else expected
                getattr(index, what)(given_items)
                expected |= {item.id: item for item in given_items}
            assert stored(index) == expected
            assert index.count() == len(expected)
            assert index.mention_count() == len({text for item in expected.values() for text in item.mentions})
            assert index.digest == content_digest(expected.values())
            assert index.words.texts == len(expected)
            for item in expected.values():
                for text, vector in zip(item.mentions, index.mention_vectors(item.mentions), strict=True):
                    hit = index.near_mentions(vector[None], 100)[0]
                    owners = {d.id for d in index.demonstrations(hit[0].owners).values()}
                    assert owners == {d.id for d in expected.values() if text in d.mentions}


def test_verify_names_what_differs(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(30)
    index = opened(hashed, items[:28])
    changed = replace(items[3], text=items[3].text + " more")
    check = index.verify([*items[:3], changed, *items[5:]])
    assert (check.matching, check.missing, check.changed, check.unexpected) == (26, 2, 1, 1)
    assert set(check.examples) == {"d3", "d28", "d29"}
    assert not check.ok
    index._generation.mentions.delete(ids=index._generation.mentions.get(limit=1)["ids"])
    assert index.verify(items[:28]).lost_mentions == 1


def test_another_embedding_model_is_refused(opened: Open, hash_embedder: Any, pool: Pool, tmp_path: Path) -> None:
    opened(hash_embedder(), pool(5)).close()
    for field, value in (("name", "other"), ("revision", "2"), ("dimensions", 32)):
        wrong = hash_embedder()
        setattr(wrong, field, value)
        for read_only in (False, True):
            with pytest.raises(DemonstrationIndexError, match="was made with hash") as told:
                DemonstrationIndex(tmp_path / "index", wrong, read_only=read_only)
            assert "quorum demos rebuild" in told.value.hint
        with DemonstrationIndex.rebuilt(tmp_path / "other", wrong, pool(3)) as index:
            assert index.count() == 3
    assert opened(hash_embedder()).count() == 5  # refusals let go of the lock


def test_evaluation_splits_never_enter_and_leave_when_moved(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(6)
    index = opened(hashed, items)
    moved = [replace(items[0], split="audit"), replace(items[1], split="Test"), replace(items[2], split="tset")]
    added = index.add([*moved, items[3]])
    assert (added.indexed, added.held_out) == (1, 3)
    assert set(stored(index)) == {"d3", "d4", "d5"}
    assert index.digest == content_digest([*items, *moved])


def test_a_second_writer_is_refused_in_one_line_and_readers_are_not(
    opened: Open, hashed: Any, pool: Pool, tmp_path: Path
) -> None:
    items = pool(20)
    index = opened(hashed, items)
    with pytest.raises(DemonstrationIndexError, match="written by this process already") as told:
        opened(hashed)
    assert "\n" not in told.value.message
    reader = opened(hashed, read_only=True)
    index.remove(["d0"])
    assert (index.count(), reader.count(), opened(hashed, read_only=True).count()) == (19, 20, 19)
    for change in (lambda: reader.add(items), lambda: reader.remove(["d1"]), lambda: reader.rebuild([])):
        with pytest.raises(DemonstrationIndexError, match="for reading only"):
            change()
    index.close()
    assert opened(hashed).count() == 19
    reader.close()
    reader.close()


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib.util
spec = importlib.util.spec_from_file_location("support", sys.argv[2]); support = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support)
from tools.demonstrations import Demonstration, DemonstrationIndex
from tools.annotation import Span
from tools.errors import DemonstrationIndexError
try:
    index = DemonstrationIndex(sys.argv[3], support.HashEmbedder(), read_only=sys.argv[4] == "read")
except DemonstrationIndexError as error:
    print("refused:", error.message); raise SystemExit(2)
if sys.argv[4] == "read":
    print("count", index.count(), flush=True)
    if len(sys.argv) > 5: import time; time.sleep(60)
    raise SystemExit(0)
print("open", flush=True)
for n in range(100000):
    text = f"Text {n} about Name {n % 50}."
    at = text.index("Name")
    index.add([Demonstration(f"k{n}", f"k{n}", text, (Span(at, len(text) - 1, "X"),))])
    print(n, flush=True)
"""


def child(path: Path, *how: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    arguments = [sys.executable, "-c", CHILD, str(root), str(Path(__file__).with_name("conftest.py")), str(path), *how]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_another_process_may_read_but_not_write(opened: Open, hashed: Any, pool: Pool, tmp_path: Path) -> None:
    opened(hashed, pool(20))
    pid = os.getpid()
    writer, reader = child(tmp_path / "index", "write"), child(tmp_path / "index", "read")
    said, _ = writer.communicate(timeout=60)
    assert writer.returncode == 2
    assert (
        said == f"refused: the demonstration index {tmp_path / 'index'} is being written by another process ({pid})\n"
    )
    said, trouble = reader.communicate(timeout=60)
    assert (reader.returncode, said) == (0, "count 20\n"), trouble


def test_copies_of_killed_readers_are_swept(opened: Open, hashed: Any, pool: Pool, tmp_path: Path) -> None:
    opened(hashed, pool(5))
    reader = child(tmp_path / "index", "read", "stay")
    assert reader.stdout is not None
    assert reader.stdout.readline() == "count 5\n"
    copies = tmp_path / "index" / "readers"
    other = opened(hashed, read_only=True)
    assert len([path for path in copies.iterdir() if path.is_dir()]) == 2
    reader.kill()
    reader.communicate()
    third = opened(hashed, read_only=True)
    assert len([path for path in copies.iterdir() if path.is_dir()]) == 2
    assert other.count() == third.count() == 5
    other.close()
    third.close()
    assert list(copies.iterdir()) == []


def test_a_killed_writer_leaves_a_whole_index_or_one_that_says_so(tmp_path: Path, hashed: Any) -> None:
    outcomes = []
    for attempt in range(4):
        path = tmp_path / f"index{attempt}"
        writer = child(path, "write")
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        for _ in range(3 + attempt):
            last = writer.stdout.readline()
        time.sleep(0.003 * attempt)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        done = int(([last, *rest.split()])[-1])
        try:
            index = DemonstrationIndex(path, hashed)
        except DemonstrationIndexError as error:
            outcomes.append(error.message)
            index = DemonstrationIndex.rebuilt(path, hashed, [])
            assert index.count() == 0
        else:
            # What was confirmed is there, and of the one in the making all or nothing.
            assert index.count() in (done + 1, done + 2)
            assert index.near_sentences(hashed.encode(["Text 0 about Name 0."]), 1)[0][0].similarity > 0.999
        index.close()
    assert all("cut off" in message for message in outcomes)


@pytest.mark.parametrize(
    "victim", ["data_level0.bin", "header.bin", "chroma.sqlite3", "index_metadata.pickle", "words.npy", "state.json"]
)
@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_damaged_files_are_told_not_crashed_on(
    opened: Open, hashed: Any, pool: Pool, tmp_path: Path, victim: str, damage: str
) -> None:
    opened(hashed, pool(1100)).close()  # beyond 1,000 the vectors are on disk
    found = [path for path in (tmp_path / "index").rglob(victim) if path.stat().st_size]
    assert found
    if damage == "gone":
        found[0].unlink()
    else:
        os.truncate(found[0], found[0].stat().st_size // 3)
    for read_only in (False, True):
        with pytest.raises(DemonstrationIndexError) as told:
            opened(hashed, read_only=read_only)
        assert "quorum demos rebuild" in told.value.hint
    with DemonstrationIndex.rebuilt(tmp_path / "index", hashed, pool(10)) as index:
        assert index.verify(pool(10)).ok


def test_junk_of_the_same_size_is_told(opened: Open, hashed: Any, pool: Pool, tmp_path: Path) -> None:
    opened(hashed, pool(5)).close()
    database = next((tmp_path / "index").rglob("chroma.sqlite3"))
    database.write_bytes(b"junk" * (database.stat().st_size // 4))
    with pytest.raises(DemonstrationIndexError, match="cannot be used"):
        opened(hashed)


def test_missing_deleted_and_foreign_folders(opened: Open, hashed: Any, pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(DemonstrationIndexError, match="there is no demonstration index"):
        opened(hashed, read_only=True)
    assert not (tmp_path / "index").exists()
    opened(hashed, pool(5)).close()
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(DemonstrationIndexError, match="there is no demonstration index") as told:
        opened(hashed, read_only=True)
    assert "quorum demos rebuild" in told.value.hint
    index = opened(hashed, pool(5))
    shutil.rmtree(next((tmp_path / "index").glob("generation-*")))
    with pytest.raises(DemonstrationIndexError, match="deleted while in use"):
        index.add(pool(6))
    index.close()
    with pytest.raises(DemonstrationIndexError, match="lost its data"):
        opened(hashed)
    with DemonstrationIndex.rebuilt(tmp_path / "index", hashed, pool(5)) as mended:
        assert mended.count() == 5
    (tmp_path / "file").write_text("x")
    with pytest.raises(DemonstrationIndexError, match="cannot write"):
        DemonstrationIndex(tmp_path / "file", hashed)


def test_a_state_of_another_version_is_refused(opened: Open, hashed: Any, pool: Pool, tmp_path: Path) -> None:
    opened(hashed, pool(2)).close()
    state = next((tmp_path / "index").rglob("state.json"))
    state.write_text(json.dumps({**json.loads(state.read_text()), "format": 99}))
    with pytest.raises(DemonstrationIndexError, match="another version"):
        opened(hashed)


def test_a_failed_rebuild_leaves_the_old_index(opened: Open, hashed: Any, pool: Pool, tmp_path: Path) -> None:
    items = pool(20)
    index = opened(hashed, items)

    def failing() -> Any:
        yield from pool(300, seed=1)
        raise QuorumError("the store is gone")

    with pytest.raises(QuorumError, match="the store is gone"):
        index.rebuild(failing())
    assert index.verify(items).ok
    index.close()
    with pytest.raises(QuorumError, match="the store is gone"):
        DemonstrationIndex.rebuilt(tmp_path / "index", hashed, failing())
    assert opened(hashed).verify(items).ok
    assert len(list((tmp_path / "index").glob("generation-*"))) == 1


def test_ensured_makes_an_index_once(tmp_path: Path, hashed: Any, pool: Pool) -> None:
    items = [*pool(20), replace(pool(1)[0], id="held", split="dev")]
    with DemonstrationIndex.ensured(tmp_path / "run", hashed, items) as first:
        assert first.count() == 20
    before = hashed.calls
    with (
        DemonstrationIndex.ensured(tmp_path / "run", hashed, items[::-1]) as second,
        DemonstrationIndex.ensured(tmp_path / "run", hashed, items) as third,
    ):
        assert (second.digest, hashed.calls) == (third.digest, before)
    with DemonstrationIndex.ensured(tmp_path / "run", hashed, items[1:]) as other:
        assert other.count() == 19


def test_lost_mention_vectors_are_embedded_again(opened: Open, hashed: Any, pool: Pool) -> None:
    items = pool(10)
    index = opened(hashed, items)
    mentions = sorted({text for item in items for text in item.mentions})
    index._generation.mentions.delete(ids=index._generation.mentions.get(limit=2)["ids"])
    assert np.allclose(index.mention_vectors(mentions), hashed.encode(mentions), atol=1e-6)
