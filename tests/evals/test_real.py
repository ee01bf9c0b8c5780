"""The real starter on a real vLLM server, real Chroma, real embeddings: the smoke suite, cut short."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.config import ModelConfig
from evals.log import read_run
from evals.models import OwnModels
from evals.run import RunOptions, run_suite
from evals.suite import load_suite
from tests.evals.script import Heard, frozen, write_lines, write_suite
from tests.finetuning.tiny import write_tiny


@pytest.mark.vllm
def test_smoke_through_vllm(vllm_server: str, tmp_path: Path) -> None:
    loaded = load_suite("smoke")
    heard = Heard()
    options = RunOptions(tmp_path, limit=6)
    models = OwnModels(vllm_server)
    result = asyncio.run(run_suite(loaded, options, observer=heard, models=models))
    assert result.measured == 12 and result.unavailable == 0 and heard.documents > 0
    run = read_run(result.log)
    quorum = run.cells[0]
    assert quorum.end.figures["grounding"] == 1.0 and quorum.end.figures["recall"] > 0
    made = run.pass_of(quorum)
    assert made is not None and made.header.pool["demonstrations"] > 20
    for document in made.documents():
        steps = {row.step for row in document.steps}
        assert {"pre_extract", "extract", "classify"} <= steps
        assert document.demonstrations and document.outcome != "failed"
        for candidate in document.candidates:
            start, end, label = candidate.span
            assert document.text[start:end].strip() == document.text[start:end] and label
            assert "list" in {vote.member for vote in candidate.votes} <= {"list", "typed"}
    cells = {cell.header.kind: cell.end.figures for cell in run.cells}
    assert 0 < cells["oracle_extract"]["recall"] <= 1 and 0 < cells["oracle_classify"]["accuracy"] <= 1
    assert cells["oracle_verify"]["support"] > 10
    again = asyncio.run(run_suite(loaded, options, models=models))
    assert (again.measured, again.shared) == (0, 12)


@pytest.mark.transformers
def test_through_transformers_with_demonstrations(tmp_path: Path) -> None:
    """A model that knows nothing: whatever comes out is grounded, logged and counted."""
    folder = write_tiny(tmp_path / "tiny", context=4096)
    write_lines(tmp_path / "s" / "pool.jsonl", _pool())
    suite = frozen(
        write_suite(tmp_path / "s", '\n[[matrix]]\n"demonstrations.k" = [0, 2]\n', data='pool = "pool.jsonl"', count=5)
    )
    text = suite.read_text(encoding="utf-8").replace(
        "[settings.steps]", f"[settings.models.m]\n{_model(folder)}\n\n[settings.steps]"
    )
    suite.write_text(text, encoding="utf-8")
    result = asyncio.run(run_suite(load_suite(suite), RunOptions(tmp_path / "into")))
    assert result.measured == 2
    run = read_run(result.log)
    shown = [run.pass_of(cell) for cell in run.cells]
    assert all(one is not None for one in shown)
    none, two = ([len(d.demonstrations) for d in one.documents()] for one in shown if one is not None)
    assert set(none) == {0} and set(two) == {2}


def _model(folder: Path) -> str:
    given = ModelConfig(source=str(folder), engine="transformers")
    return f"source = {json.dumps(given.source)}\nengine = {json.dumps(given.engine)}"


def _pool() -> list[dict[str, object]]:
    rows = ("Nadia moved to Split.", "Oskar hates Bergen.", "Pilar was born in Faro.", "It rained in the hills.")
    made = []
    for n, text in enumerate(rows):
        words = [word.strip(".") for word in text.split()]
        first, last = words[0], words[-1]
        spans = [(text.index(first), first, "person"), (text.index(last), last, "place")] if n < 3 else []
        entities = [{"start": at, "end": at + len(word), "label": label} for at, word, label in spans]
        made.append({"id": f"pool-{n}", "text": text, "entities": entities})
    return made
