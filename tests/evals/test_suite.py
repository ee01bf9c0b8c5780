"""Suites: what is wrong is told with its line, what varies becomes cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.errors import SuiteError
from evals.manifest import Manifest
from evals.matrix import expand
from evals.suite import MANIFESTS, SUITES, load_suite
from tests.evals.script import BASE, write_suite

SHIPPED = sorted(path.stem for path in SUITES.glob("*.toml"))


def faulty(tmp_path: Path, text: str, *overrides: str) -> SuiteError:
    path = write_suite(tmp_path, text=text)
    with pytest.raises(SuiteError) as caught:
        load_suite(path, overrides)
    return caught.value


def line_of(text: str, part: str) -> int:
    return max(n for n, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("part", "instead", "says", "hint"),
    [
        ("summary =", "sumary =", "'sumary' is not a known key", "'summary'"),
        ('split = "test"', "split = 3", "data.0.split = 3", "string"),
        ("batch = 4", "batsh = 4", "'run.batsh'", "'batch'"),
        ("batch = 4", "batch = 0", "batch = 0", "greater"),
        ('extract = "typed.v1"', 'extract = "typed.v9"', "no prompt extract/typed.v9", "extract/typed.v1"),
        ('extract = "typed.v1"', 'extract = "nothing"', "no prompt extract/nothing", "known"),
        ('name = "b"', 'name = "a"', "'a' occurs twice", "unique"),
        ("quorum = 1", "quorum = 5", "a quorum of 5", "at most 2"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, part: str, instead: str, says: str, hint: str) -> None:
    text = BASE.replace("{data}", 'split = "test"')
    text = text.replace(part, instead, 1) if part != 'name = "b"' else text.replace('name = "b"', instead)
    error = faulty(tmp_path, text)
    assert says in error.message.replace("'data.0.split'", "data.0.split"), error.message
    assert f"small.toml:{line_of(text, instead)}" in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("matrix", "at", "says", "hint"),
    [
        ('members = [["a"], ["c"]]', "members", "no member 'c'", "a, b"),
        ('vote = ["plain", "loudest"]', "vote", "'loudest'", "calibrated"),
        ('votes = ["plain"]', "votes", "'votes' cannot vary", "'vote'"),
        ('vote = "plain"', "vote", "no list", "vote = ['plain']"),
        ('"steps.verify" = ["maybe"]', "steps.verify", "steps.verify", "off"),
        ('"run.seed" = [1]', "run.seed", "cannot vary", "seeds"),
        ('"demonstrations.k" = [-1]', "demonstrations.k", "demonstrations.k = -1", "greater"),
        ('"members.extract" = ["spans.v7"]', "members.extract", "spans.v7", "spans.v1"),
        ('"selection.strategy" = ["best"]', "selection", "'best'", "random"),
        ('"selection.budget" = ["10%"]', "selection", "without a strategy", "strategy"),
        ('"selection.strategy" = ["random"]\n"selection.budget" = ["0%"]', "selection.budget", "'0%'", "10%"),
        ('"finetune.method" = ["lora"]', "finetune", "does not fit", "together"),
        ("first_seeds = 0", "first_seeds", "first_seeds = 0", "1 or more"),
        ("title = 3", "title", "title = 3", "a text"),
        ('titel = ["x"]', "titel", "'titel' cannot vary", "known"),
    ],
)
def test_a_fault_in_the_matrix_is_told_with_its_line(
    tmp_path: Path, matrix: str, at: str, says: str, hint: str
) -> None:
    text = f"{BASE.replace('{data}', '')}\n[[matrix]]\n{matrix}\n"
    error = faulty(tmp_path, text)
    assert says in error.message and hint in error.hint, (error.message, error.hint)
    assert "small.toml:" in error.message
    if "without" not in says and "fit" not in says:
        assert f"small.toml:{line_of(text, at)}:" in error.message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('corpus = "x"', "corpus and path"),
        ("sample = 0", "sample"),
        ('spans = "wild"', "spans"),
    ],
)
def test_a_data_set_is_checked(tmp_path: Path, data: str, says: str) -> None:
    assert says in faulty(tmp_path, BASE.replace("{data}", data)).message


def test_the_pool_is_never_the_split_itself(tmp_path: Path) -> None:
    text = BASE.replace('path = "test.jsonl"', 'corpus = "own"').replace("{data}", 'pool = "test"')
    assert "from the split it is judged on" in faulty(tmp_path, text).message


def test_no_toml_no_suite(tmp_path: Path) -> None:
    assert "not TOML" in faulty(tmp_path, "name = ").message
    with pytest.raises(SuiteError, match="no suite 'nope'") as caught:
        load_suite("nope")
    assert "smoke" in caught.value.hint
    with pytest.raises(SuiteError, match="no such suite file"):
        load_suite(tmp_path / "other.toml")


def names(path: Path, *overrides: str) -> list[str]:
    return [cell.name for cell in expand(load_suite(path, overrides))]


def test_each_table_is_a_product_and_doubles_count_once(tmp_path: Path) -> None:
    matrix = """
[[matrix]]
vote = ["weighted", "plain"]
"steps.verify" = ["off", "on"]

[[matrix]]
members = [["a"], ["a", "b"]]
"""
    path = write_suite(tmp_path, matrix)
    cells = expand(load_suite(path))
    assert len(cells) == 5  # the second table's a+b is the first table's first cell
    assert cells[0].name == "own vote=weighted verify=off members=a+b"
    assert dict(cells[-1].settings) == {"vote": "weighted", "steps.verify": "off", "members": ["a"]}
    assert len(cells[-1].config.members) == 1 and cells[-1].config.run.quorum == 1
    assert len(names(path, "seeds=[1, 2]")) == 10


def test_dotted_keys_and_tables_mean_the_same(tmp_path: Path) -> None:
    one = write_suite(tmp_path / "1", '\n[[matrix]]\n"steps.verify" = ["off", "on"]\n')
    two = write_suite(tmp_path / "2", '\n[[matrix]]\nsteps.verify = ["off", "on"]\n')
    assert names(one) == names(two) == ["own verify=off", "own verify=on"]


def test_set_changes_what_the_file_says(tmp_path: Path) -> None:
    path = write_suite(tmp_path, '\n[[matrix]]\nvote = ["plain", "union"]\n"steps.verify" = ["off", "on"]\n')
    assert len(names(path)) == 4
    assert names(path, "vote=weighted") == ["own verify=off vote=weighted", "own verify=on vote=weighted"]
    assert len(names(path, "steps.verify=on")) == 2
    assert len(names(path, 'steps.verify=["selective"]')) == 2
    assert len(names(path, 'members=["a"]')) == 4
    assert len(names(path, 'members=[["a"], ["b"]]')) == 8
    loaded = load_suite(path, ["run.threshold=0.75", "data.own.sample=3", "cost.max_minutes=2"])
    assert loaded.config.run.threshold == 0.75
    assert (loaded.suite.data[0].sample, loaded.suite.cost.max_minutes) == (3, 2)
    assert load_suite(path, ["data.sample=2"]).suite.data[0].sample == 2
    assert loaded.overrides[0] == "run.threshold=0.75"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nonsense", "key=value"),
        ("colour=red", "'colour'"),
        ("data=other", "no data set 'other'"),
        ("data.other.sample=1", "no data set 'other'"),
        ("run.batch=many", "--set run.batch=many"),
        ("vote=loudest", "'loudest'"),
        ("data.own.sample=none", "--set data.own.sample=none"),
    ],
)
def test_a_wrong_set_is_told_as_such(tmp_path: Path, given: str, says: str) -> None:
    path = write_suite(tmp_path)
    with pytest.raises(SuiteError) as caught:
        load_suite(path, [given])
    assert says in caught.value.message


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_loads_and_is_frozen(name: str) -> None:
    loaded = load_suite(name)
    cells = expand(loaded)
    assert loaded.suite.name == name and len({cell.name for cell in cells}) == len(cells)
    for spec in loaded.suite.data:
        manifest = Manifest.model_validate_json(loaded.manifest_path(spec).read_text(encoding="utf-8"))
        assert manifest.split == spec.split
        assert spec.sample is None or len(manifest.documents) >= spec.sample


def test_shipped_suites_are_those_that_were_promised() -> None:
    assert SHIPPED == ["allabel", "el4ner", "finetune", "languages", "members", "prompts", "smoke"]
    axes = {json.dumps(dict(cell.settings), sort_keys=True) for cell in expand(load_suite("allabel"))}
    assert (
        len(axes) == 37 and len(load_suite("allabel").suite.seeds) >= 5 and len(load_suite("allabel").suite.data) >= 5
    )


def test_manifests_hold_no_text() -> None:
    for path in MANIFESTS.glob("*.json"):
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        assert all(len(short) == 8 and " " not in id for id, short in manifest.documents), path
