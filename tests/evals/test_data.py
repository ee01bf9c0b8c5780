"""Data: read, checked, frozen, and kept apart from what is shown."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.contamination import Pair, contaminated
from evals.data import data_root, freeze, load_data, sampled_pool
from evals.errors import ContaminationError, EvalDataError
from evals.manifest import read_manifest
from evals.suite import load_suite
from evals.training import few_shot
from tests.evals.script import BASE, frozen, texts, write_lines, write_suite
from tools.annotation import Document
from tools.demonstrations.duplicates import near_duplicate
from tools.errors import LabelSetError


def load(path: Path, limit: int | None = None, root: Path | None = None) -> object:
    loaded = load_suite(path)
    return load_data(loaded, loaded.suite.data[0], root, limit)


def entity(start: int, end: int, label: str) -> dict[str, object]:
    return {"id": "doc-0", "text": "Ada left Ghent.", "entities": [{"start": start, "end": end, "label": label}]}


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (entity(9, 40, "place"), "9 to 40 is no range in a text of 15"),
        (entity(5, 5, "place"), "no range"),
        (entity(9, 14, "river"), "unknown label 'river'"),
        ({"id": "doc-0", "text": "Ada left."}, "has no entities"),
    ],
)
def test_wrong_gold_is_named(tmp_path: Path, record: dict[str, object], says: str) -> None:
    write_lines(tmp_path / "test.jsonl", [record])
    path = write_suite(tmp_path)
    with pytest.raises(EvalDataError) as caught:
        freeze(load_suite(path), load_suite(path).suite.data[0], None, None, 1)
    assert says in caught.value.message and "'doc-0'" in caught.value.message and caught.value.hint


def test_aliases_count_as_their_types(tmp_path: Path) -> None:
    write_lines(tmp_path / "test.jsonl", [entity(0, 3, "PER")])
    data = load(frozen(write_suite(tmp_path)))
    assert [span.label for span in data.documents[0].spans] == ["person"]  # type: ignore[attr-defined]


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("", encoding="utf-8")
    path = write_suite(tmp_path)
    with pytest.raises(EvalDataError, match="empty"):
        freeze(load_suite(path), load_suite(path).suite.data[0], None, None, 1)


def test_a_missing_file_corpus_or_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUORUM_DATA", raising=False)
    text = BASE.replace('path = "test.jsonl"', 'corpus = "conll2003"').replace('labels = "labels.toml"', "")
    path = write_suite(tmp_path, text=text.replace("{data}", ""))
    loaded = load_suite(path)
    [spec] = loaded.suite.data
    with pytest.raises(EvalDataError, match="where is the corpus 'conll2003'") as caught:
        load_data(loaded, spec, data_root(None))
    assert "QUORUM_DATA" in caught.value.hint
    with pytest.raises(EvalDataError, match="no such folder"):
        data_root(tmp_path / "none")
    monkeypatch.setenv("QUORUM_DATA", str(tmp_path / "none"))
    with pytest.raises(EvalDataError, match="QUORUM_DATA"):
        data_root()
    with pytest.raises(EvalDataError, match="no such corpus"):
        load_data(loaded, spec, tmp_path)
    (tmp_path / "conll2003").mkdir()
    with pytest.raises(EvalDataError, match=r"no test\.jsonl"):
        load_data(loaded, spec, tmp_path)
    write_suite(tmp_path / "b")
    (tmp_path / "b" / "test.jsonl").unlink()
    with pytest.raises(EvalDataError, match="no such file"):
        load(tmp_path / "b" / "small.toml")


def test_a_label_set_that_does_not_fit_is_told(tmp_path: Path) -> None:
    path = frozen(write_suite(tmp_path))
    (tmp_path / "labels.toml").write_text('[[labels]]\nname = "chemical"\n', encoding="utf-8")
    with pytest.raises(EvalDataError, match="unknown label 'person'") as caught:
        load(path)
    assert "chemical" in caught.value.hint
    (tmp_path / "labels.toml").unlink()
    with pytest.raises(LabelSetError):
        load(path)


def test_a_corpus_of_its_own_brings_its_labels(tmp_path: Path) -> None:
    text = BASE.replace('path = "test.jsonl"', 'corpus = "mine"').replace('labels = "labels.toml"', "")
    path = write_suite(tmp_path / "s", text=text.replace("{data}", 'pool = "train"'))
    write_lines(tmp_path / "root" / "mine" / "test.jsonl", texts(5))
    write_lines(tmp_path / "root" / "mine" / "train.jsonl", texts(5, 50))
    loaded = load_suite(path)
    with pytest.raises(EvalDataError, match="no label set is known"):
        load_data(loaded, loaded.suite.data[0], tmp_path / "root")
    (tmp_path / "root" / "mine" / "labels.toml").write_bytes((tmp_path / "s" / "labels.toml").read_bytes())
    frozen(path, tmp_path / "root")
    data = load_data(loaded, loaded.suite.data[0], tmp_path / "root")
    assert (len(data.documents), len(data.pool)) == (5, 5)


# -- frozen splits ------------------------------------------------------------------------------------------------


def test_a_split_must_be_frozen_first(tmp_path: Path) -> None:
    with pytest.raises(EvalDataError, match="not frozen") as caught:
        load(write_suite(tmp_path))
    assert "quorum eval freeze" in caught.value.hint


def test_changed_data_are_refused_and_named(tmp_path: Path) -> None:
    path = frozen(write_suite(tmp_path))
    records = texts(12)
    assert load(path)
    write_lines(tmp_path / "test.jsonl", records[::-1])
    assert load(path), "another order is the same data"
    changed = [dict(record) for record in records]
    changed[7]["entities"] = changed[7]["entities"][:1]
    write_lines(tmp_path / "test.jsonl", changed)
    with pytest.raises(EvalDataError, match="'doc-7' has another text or gold"):
        load(path)
    changed[7] = {**records[7], "text": records[7]["text"].replace("day", "eve")}
    write_lines(tmp_path / "test.jsonl", changed)
    with pytest.raises(EvalDataError, match="'doc-7'"):
        load(path)
    write_lines(tmp_path / "test.jsonl", records[:5])
    with pytest.raises(EvalDataError, match="is not in the split"):
        load(path)
    write_lines(tmp_path / "test.jsonl", [*records, *texts(3, 90)])
    assert len(load(path).documents) == 12, "what came later is not judged on"  # type: ignore[attr-defined]


def test_a_broken_manifest_is_told(tmp_path: Path) -> None:
    path = frozen(write_suite(tmp_path))
    manifest = tmp_path / "manifests" / "own.test.json"
    text = manifest.read_text(encoding="utf-8")
    assert "Ghent" not in text and "Ada" not in text
    manifest.write_text(text.replace('"seed": 13', '"seed": 13, "more": 1'), encoding="utf-8")
    with pytest.raises(EvalDataError, match="not a split manifest"):
        load(path)


def test_limits_take_the_beginning_of_a_random_order(tmp_path: Path) -> None:
    path = frozen(write_suite(tmp_path, count=30))
    every = [d.id for d in load(path).documents]  # type: ignore[attr-defined]
    assert every != sorted(every, key=lambda id: int(id[4:]))
    assert [d.id for d in load(path, 7).documents] == every[:7]  # type: ignore[attr-defined]
    assert read_manifest(tmp_path / "manifests" / "own.test.json", path, "own").of == 30


def test_conll_is_read(tmp_path: Path) -> None:
    lines = "Ada B-person\nleft O\nGhent B-place\n\nBruno B-person\nslept O\n\n"
    (tmp_path / "test.conll").write_text(lines, encoding="utf-8")
    text = BASE.replace("test.jsonl", "test.conll").replace("{data}", "")
    path = frozen(write_suite(tmp_path, text=text))
    data = load(path)
    found = {(s.text_in(d.document.text), s.label) for d in data.documents for s in d.spans}  # type: ignore[attr-defined]
    assert found == {("Ada", "person"), ("Ghent", "place"), ("Bruno", "person")}
    (tmp_path / "test.conll").write_text(lines.replace("B-place", "B-river"), encoding="utf-8")
    with pytest.raises(EvalDataError, match="unknown label 'river'"):
        load(path)


def test_a_project_is_read(tmp_project: Path, tmp_path: Path) -> None:
    from agent.config import ProjectConfig
    from tools.annotation import Span
    from tools.store import Store

    config = ProjectConfig.load(tmp_project)
    config.store_path.parent.mkdir(parents=True)
    with Store.open(config.store_path) as store:
        for n, split in enumerate(("test", "train", "test")):
            name = f"p{n}"
            store.add_documents([Document(name, f"Ada number {n} left.", {"split": split})])
            store.set_gold(name, [Span(0, 3, "person")], "me")
    text = BASE.replace('path = "test.jsonl"', f'project = "{tmp_project}"').replace('labels = "labels.toml"', "")
    path = frozen(write_suite(tmp_path / "s", text=text.replace("{data}", 'pool = "train"')))
    data = load(path)
    assert {d.id for d in data.documents} == {"p0", "p2"}  # type: ignore[attr-defined]
    assert [pair.pool for pair in data.dropped] == [], "short texts that differ in a number are different"  # type: ignore[attr-defined]
    assert [d.id for d in data.pool] == ["p1"]  # type: ignore[attr-defined]


# -- contamination ------------------------------------------------------------------------------------------------

LONG = (
    "The committee that met in the old customs house on the quay decided after three hours of talk that the two"
    " ferries would be sold before the winter"
)


def with_pool(tmp_path: Path, extra: str, *pool: str) -> Path:
    test = [{"id": "t1", "text": LONG, "entities": []}, *texts(4)]
    write_lines(tmp_path / "test.jsonl", test)
    made = [{"id": f"p{n}", "text": text, "entities": []} for n, text in enumerate(pool)]
    write_lines(tmp_path / "pool.jsonl", [*made, *texts(6, 60)])
    return frozen(write_suite(tmp_path, data=f'pool = "pool.jsonl"\n{extra}'))


@pytest.mark.parametrize(
    "twin",
    [
        LONG,
        LONG.upper() + "!",
        LONG.replace("winter", "spring"),
        "Yesterday. " + LONG + ", it was said, and nobody was surprised by any of it at all",
        LONG[40:],
    ],
)
def test_near_duplicates_of_the_split_leave_the_pool(tmp_path: Path, twin: str) -> None:
    data = load(with_pool(tmp_path, "", twin, "The two ferries had been sold in spring."))
    assert data.dropped == (Pair("p0", "t1"),)  # type: ignore[attr-defined]
    assert "p0" not in {d.id for d in data.pool} and "p1" in {d.id for d in data.pool}  # type: ignore[attr-defined]


def test_documents_outside_the_sample_count_as_well(tmp_path: Path) -> None:
    path = with_pool(tmp_path, "sample = 1", LONG)
    for limit in (1, None):
        data = load(path, limit)
        assert data.dropped, "t1 is of the split, whether it is in the sample or not"  # type: ignore[attr-defined]


def test_a_suite_may_refuse_instead(tmp_path: Path) -> None:
    path = with_pool(tmp_path, 'duplicates = "refuse"', LONG)
    with pytest.raises(ContaminationError, match="'p0' is a near duplicate of 't1'"):
        load(path)


def test_nothing_of_the_split_is_ever_shown_or_trained_on(tmp_path: Path) -> None:
    """The pool holds the whole split; not one of it comes out of any way that leads to a model."""
    test = texts(20)
    write_lines(tmp_path / "test.jsonl", test)
    copies = [{**record, "id": f"copy-{n}"} for n, record in enumerate(test)]
    write_lines(tmp_path / "pool.jsonl", [*copies, *texts(20, 80)])
    path = frozen(write_suite(tmp_path, data='pool = "pool.jsonl"'))
    data = load(path)
    judged = {d.document.text for d in data.documents}  # type: ignore[attr-defined]
    assert len(data.dropped) == 20  # type: ignore[attr-defined]
    for seed in range(3):
        pool = sampled_pool(data, seed)  # type: ignore[arg-type]
        for chosen in (pool, few_shot(pool, 5, seed)):
            assert chosen and not any(near_duplicate(d.document.text, text) for d in chosen for text in judged)


words = st.lists(
    st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]),
    max_size=25,
)


@settings(max_examples=60)
@given(st.lists(words, max_size=4), st.lists(words, max_size=4), st.integers(0, 9))
def test_the_index_finds_what_comparing_all_pairs_finds(
    pool: list[list[str]], test: list[list[str]], edit: int
) -> None:
    if test and pool:
        copy = list(test[0])
        if copy:
            copy[edit % len(copy)] = "changed"
        pool = [*pool, copy, test[0][edit:]]
    shown = [Document(f"p{n}", " ".join(row)) for n, row in enumerate(pool)]
    judged = [Document(f"t{n}", " ".join(row)) for n, row in enumerate(test)]
    expected = {p.id for p in shown if any(near_duplicate(p.text, t.text) for t in judged)}
    assert {pair.pool for pair in contaminated(shown, judged)} == expected


def test_a_pool_is_drawn_by_its_seed(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "pool.jsonl",
        [{**r, "entities": r["entities"] if n % 2 else []} for n, r in enumerate(texts(40, 60))],
    )
    path = frozen(write_suite(tmp_path, data='pool = "pool.jsonl"\npool_size = 15'))
    data = load(path)
    one, two = (sampled_pool(data, seed) for seed in (1, 2))  # type: ignore[arg-type]
    assert len(one) == 15 and one == sampled_pool(data, 1) and one != two  # type: ignore[arg-type]
    assert all(d.spans for d in one), "documents without entities come last"
    random.seed(0)
