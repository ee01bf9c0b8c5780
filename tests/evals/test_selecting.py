"""Pools, strategies, budgets; and training on what is left after the split's twins are gone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.config import ModelConfig
from evals.data import GoldDocument, load_data
from evals.log import read_run
from evals.run import RunOptions, run_suite
from evals.selecting import budget_of, select, strategies
from evals.suite import load_suite
from evals.training import few_shot
from tests.evals.script import figures, frozen, measure, texts, write_lines, write_suite
from tests.finetuning.tiny import write_tiny
from tools.demonstrations import SentenceTransformerEmbedder

SELECTION = """
[[matrix]]
"demonstrations.k" = [2]
"selection.strategy" = ["random", "coreset"]
"selection.budget" = ["10%", 12, "100%"]
"""


def pool(tmp_path: Path, count: int = 40) -> list[GoldDocument]:
    write_lines(tmp_path / "pool.jsonl", texts(count, 60))
    loaded = load_suite(frozen(write_suite(tmp_path, data='pool = "pool.jsonl"')))
    return list(load_data(loaded, loaded.suite.data[0], None).pool)


@pytest.mark.parametrize(
    ("budget", "count"), [("1%", 1), ("10%", 4), ("2.5%", 1), ("100%", 40), (7, 7), (99, 40), ("", 40)]
)
def test_budgets(budget: str | int, count: int) -> None:
    assert budget_of(budget, 40) == count


def test_strategies_choose_by_their_seed(tmp_path: Path) -> None:
    documents = pool(tmp_path)
    embedder = SentenceTransformerEmbedder("minilm")
    assert {"random", "coreset"} <= set(strategies())
    chosen = {}
    for strategy in ("random", "coreset"):
        for seed in (1, 2):
            found = select(strategy, "20%", documents, seed, embedder, tmp_path / "kept")
            assert len(found) == 8 == len({d.id for d in found})
            again = select(strategy, "20%", documents, seed, embedder, tmp_path / "kept")
            assert [d.id for d in again] == [d.id for d in found]
            chosen[strategy, seed] = {d.id for d in found}
            assert len(select(strategy, "100%", documents, seed, embedder, tmp_path / "kept")) == len(documents)
    assert chosen["random", 1] != chosen["random", 2] and chosen["random", 1] != chosen["coreset", 1]
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 1, "a pool is embedded once"


def test_a_learning_curve_is_a_suite(tmp_path: Path) -> None:
    write_lines(tmp_path / "s" / "pool.jsonl", texts(40, 60))
    suite = frozen(write_suite(tmp_path / "s", SELECTION, data='pool = "pool.jsonl"', count=6))
    result = measure(suite, tmp_path / "into")
    assert len(figures(result)) == 6
    run = read_run(result.log)
    shown = {
        (cell.header.settings["selection.strategy"], cell.header.settings["selection.budget"]): made.header.pool
        for cell in run.cells
        if (made := run.pass_of(cell)) is not None
    }
    assert {key: value["documents"] for key, value in shown.items()} == {
        ("random", "10%"): 4, ("coreset", "10%"): 4, ("random", 12): 12, ("coreset", 12): 12,
        ("random", "100%"): 40, ("coreset", "100%"): 40,
    }  # fmt: skip
    assert shown["random", 12]["hash"] != shown["coreset", 12]["hash"]
    assert shown["random", "100%"]["hash"] == shown["coreset", "100%"]["hash"]
    assert len(run.cells) == 6, "two curves end in one point each, read off one pass"
    assert len(run.passes) == 5


@pytest.mark.parametrize("examples", [1, 5, 1000])
def test_few_shot_has_enough_of_each_type(tmp_path: Path, examples: int) -> None:
    documents = pool(tmp_path)
    chosen = few_shot(documents, examples, 3)
    for label in ("person", "place"):
        have = sum(span.label == label for d in chosen for span in d.spans)
        there = sum(span.label == label for d in documents for span in d.spans)
        assert have >= min(examples, there)
    assert [d.id for d in chosen] == [d.id for d in few_shot(documents, examples, 3)]
    assert examples == 1000 or len(chosen) <= 2 * examples


@pytest.mark.slow
@pytest.mark.transformers
@pytest.mark.timeout(900)
def test_an_adapter_is_trained_measured_and_kept(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", context=4096)
    write_lines(tmp_path / "s" / "pool.jsonl", texts(30, 60))
    matrix = '\n[[matrix]]\nmembers = [["a"]]\n\n[[matrix]]\nmembers = [["a"]]\n"finetune.method" = ["lora"]\n"finetune.examples" = [8]\n'
    suite = frozen(write_suite(tmp_path / "s", matrix, data='pool = "pool.jsonl"', count=3))
    model = ModelConfig(source=str(folder), engine="transformers")
    table = f"[settings.models.m]\nsource = {json.dumps(model.source)}\nengine = {json.dumps(model.engine)}\n\n"
    suite.write_text(suite.read_text(encoding="utf-8").replace("[settings.steps]", f"{table}[settings.steps]"), "utf-8")
    result = asyncio.run(run_suite(load_suite(suite), RunOptions(tmp_path / "into")))
    assert (result.measured, result.unavailable) == (2, 0)
    run = read_run(result.log)
    plain, trained = (run.pass_of(cell) for cell in run.cells)
    assert plain is not None and trained is not None and plain.header.id != trained.header.id
    assert run.cells[1].end.cost["replayed"] == 0.0, "another model has other answers"
    [adapter] = [path for path in (tmp_path / "into" / "adapters").iterdir() if path.is_dir()]
    assert (adapter / "adapter_model.safetensors").is_file()
