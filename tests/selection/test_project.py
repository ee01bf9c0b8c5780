"""``quorum select`` on a real project: its store, the real embedding model, what is cached, what is said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.run import process, quorum
from tools.annotation import Document, Span
from tools.annotation.document import text_hash
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.demonstrations import SentenceTransformerEmbedder
from tools.errors import OutputError
from tools.selection import EmbeddingCache, corpus_of
from tools.store import DocumentState, Store

NAMES = ["Ngozi Adeyemi", "Li Wei", "Ada Byron", "Omar Haddad", "Ines Duarte"]
ACTS = ["signed a contract", "closed the plant", "opened a school", "measured the tide", "sold zinc oxide"]
TEXTS = [
    f"{name} {act} near the river in week {n}." for n, (name, act) in enumerate((a, b) for a in NAMES for b in ACTS)
]
LONG = " ".join(f"On day {n} the harbour office of Lagos wrote to {NAMES[n % 5]}." for n in range(60))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    status, _, err = quorum("init", tmp_path)
    assert status == 0, err
    with Store.open(tmp_path / ".quorum" / "store.db") as store:
        store.add_documents(Document(f"d{n}", text) for n, text in enumerate(TEXTS))
        store.add_documents([
            Document("long", LONG),
            Document("blank", "  \n"),
            Document("held", "Ada Byron waits in a test split.", {"split": "test"}),
        ])  # fmt: skip
        store.set_gold("d0", [Span(0, 13, "person")], "ada")
        store.set_state("d1", DocumentState.FLAGGED, "ada")
    return tmp_path


def picks(project: Path, *arguments: str) -> dict[str, Any]:
    status, out, err = quorum("select", "--project", project, "--json", *arguments)
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def predict(project: Path) -> None:
    """A run that was least certain of d7, then of d3, and of nothing else."""
    with Store.open(project / ".quorum" / "store.db") as store:
        run = store.start_run({}, "x")
        results = []
        for n in range(len(TEXTS)):
            probability = {7: 0.4, 3: 0.6}.get(n, 0.99)
            entity = Entity(Span(0, 5, "person"), 0.5, (Vote("a", True, "person", probability),))
            results.append(PassageResult(f"d{n}", 0, Outcome(), (entity,)))
        store.record_part(run, 0, "f", results, {})


def test_picks_are_printed_with_their_reasons(project: Path) -> None:
    found = picks(project, "--budget", "10", "--audit", "0.2")
    assert len(found["picks"]) == 10
    assert sum(one["audit"] for one in found["picks"]) == 2
    assert found["open_items"] == 23 + 3
    for one in found["picks"]:
        text = LONG if one["document"] == "long" else TEXTS[int(one["document"][1:])]
        assert one["text"] == text[one["start"] : one["end"]]
        assert one["why"].startswith(one["reason"]["meaning"]) and re.search(r"\d", one["why"])
    assert not {"d0", "d1", "held", "blank"} & {one["document"] for one in found["picks"]}
    assert any("no item has the models' perplexity" in line for line in found["notes"])
    assert "1 blank documents are left out" in found["notes"]
    assert "1 documents of evaluation splits are not picked" in found["notes"]


def test_nothing_is_recorded_and_the_same_is_picked_again(project: Path) -> None:
    first = picks(project, "-n", "6", "-s", "coreset")
    with Store.open(project / ".quorum" / "store.db", read_only=True) as store:
        assert store.state_counts()[DocumentState.DONE] == 1
        assert not store.runs()
    second = picks(project, "-n", "6", "-s", "coreset")
    assert second["picks"] == first["picks"]
    other = picks(project, "-n", "6", "-s", "random", "--seed", "5")
    assert other["picks"] != picks(project, "-n", "6", "-s", "random", "--seed", "6")["picks"]


def test_uncertainty_comes_from_the_last_run(project: Path) -> None:
    predict(project)
    found = picks(
        project, "-n", "2", "-s", "uncertainty", "--audit", "0", "--near-duplicate", "0", "--similarity", "bm25"
    )
    assert [one["id"] for one in found["picks"]] == ["d7", "d3"]
    assert found["picks"][0]["reason"]["score"] == pytest.approx(2.5)
    assert "uncertainty is read from run 1" in found["notes"]


def test_a_table_for_people(project: Path) -> None:
    status, out, err = quorum("select", "--project", project, "-n", "4", "-s", "random", "--audit", "0.5")
    assert status == 0
    head, *rows = [line.split("\t") for line in out.splitlines()]
    assert head == ["#", "id", "audit", "seconds", "text", "why"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert sum(row[2] == "audit" for row in rows) == 2
    assert "4 items of 26 unlabelled by random, 2 of them for the audit" in err


def test_whole_documents_on_demand(project: Path) -> None:
    parts = picks(project, "-n", "99", "-s", "random")
    pieces = [one for one in parts["picks"] if one["document"] == "long"]
    assert len(pieces) == 3
    assert all(one["id"] == f"long#{one['start']}-{one['end']}" for one in pieces)
    whole = picks(project, "-n", "99", "-s", "random", "--whole")
    assert [one["id"] for one in whole["picks"] if one["document"] == "long"] == ["long"]
    assert any("99 were asked for, 24 are left" in line for line in whole["notes"])


def test_bm25_needs_no_embedding(project: Path) -> None:
    found = picks(project, "-n", "5", "-s", "votek", "--similarity", "bm25")
    assert len(found["picks"]) == 5
    assert not list((project / ".quorum" / "selection").glob("minilm*"))


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["-s", "nope"], "there is no strategy 'nope'", "votek"),
        (["--shares", "1:2"], "--shares '1:2' is not three numbers", "1:3:1"),
        (["--shares", "0:0:0"], "the shares are not three numbers", "1:3:1"),
        (["-n", "0"], "a budget of 0 picks nothing", "1 or more"),
        (["--measure", "mood"], "measure 'mood' is unknown", "perplexity"),
        (["--audit", "7"], "an audit share of 7", "0.1"),
    ],
)
def test_mistakes(project: Path, arguments: list[str], message: str, hint: str) -> None:
    status, out, err = quorum("select", "--project", project, "-s", "random", *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 2
    assert message in err and hint in err


def test_an_empty_project(tmp_path: Path) -> None:
    quorum("init", tmp_path)
    Store.open(tmp_path / ".quorum" / "store.db").close()
    status, _, err = quorum("select", "--project", tmp_path, "-s", "random")
    assert status == 2
    assert "the pool is empty" in err


def test_help_is_light() -> None:
    status, out, _ = process("select", "--help")
    assert status == 0
    assert "--shares" in out


class Counting:
    """The real embedder, noting what it was asked for."""

    def __init__(self) -> None:
        self.real = SentenceTransformerEmbedder()
        self.asked: list[str] = []
        self.name, self.revision, self.dimensions = self.real.name, self.real.revision, self.real.dimensions

    def encode(self, texts: Any) -> Any:
        self.asked += texts
        return self.real.encode(texts)


def test_a_text_is_embedded_once(tmp_path: Path) -> None:
    embedder = Counting()
    texts = [*TEXTS[:6], TEXTS[2]]
    first = EmbeddingCache(tmp_path, embedder).vectors(texts)
    assert sorted(embedder.asked) == sorted(TEXTS[:6])
    again = EmbeddingCache(tmp_path, embedder).vectors([*TEXTS[:6], TEXTS[8]])
    assert embedder.asked[6:] == [TEXTS[8]]
    assert isinstance(again, np.memmap)
    expected = embedder.real.encode(texts)
    assert np.array_equal(first, expected)
    assert np.array_equal(again[:6], expected[:6])


def test_a_killed_writer_leaves_no_wrong_vector(tmp_path: Path) -> None:
    embedder = Counting()
    cache = EmbeddingCache(tmp_path, embedder)
    expected = np.array(cache.vectors(TEXTS[:4]))
    for name, size in (("vectors.bin", 3 * 384 * 4 + 100), ("keys.bin", 4 * 16)):
        with (cache.folder / name).open("r+b") as stream:
            stream.truncate(size)
    assert np.array_equal(cache.vectors(TEXTS[:4]), expected)
    assert embedder.asked[4:] == [TEXTS[3]]
    assert (cache.folder / "keys.bin").read_bytes()[:16].hex() == text_hash(TEXTS[0])


def test_large_pools_in_another_order_are_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.selection.embeddings._IN_MEMORY", 0)
    cache = EmbeddingCache(tmp_path, Counting())
    forward = np.array(cache.vectors(TEXTS[:5]))
    backward = cache.vectors(TEXTS[4::-1])
    assert isinstance(backward, np.memmap)
    assert np.array_equal(backward, forward[::-1])
    assert np.array_equal(cache.vectors([TEXTS[1], TEXTS[1]]), forward[[1, 1]])
    assert len(list(cache.folder.glob("pool-*.npy"))) == 1


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="embeddings cannot be kept"):
        EmbeddingCache(tmp_path / "file", Counting()).vectors(["a"])


def test_what_a_store_says_of_a_pool(project: Path) -> None:
    predict(project)
    with Store.open(project / ".quorum" / "store.db", read_only=True) as store:
        corpus = corpus_of(store, run=1)
    pool = corpus.pool
    rows = {name: row for row, name in enumerate(pool.ids)}
    assert list(pool.labelled) == [rows["d0"]]
    assert set(pool.excluded) == {rows["d1"], rows["held"]}
    assert pool.signals["perplexity"][rows["d7"]] == pytest.approx(2.5)
    assert np.isnan(pool.signals["perplexity"][rows["held"]])
    assert pool.seconds is not None
    assert pool.seconds[rows["d7"]] == pytest.approx(2 + 0.04 * len(TEXTS[7]) + 1.5)
    assert corpus.items[rows["d7"]].document_id == "d7"
