"""Baselines: what comparing needs, no texts, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from evals.baseline import BASELINES, write_baseline
from evals.errors import EvalLogError
from evals.log import blocks, read_run
from evals.matrix import expand
from evals.suite import SUITES, load_suite
from tests.evals.script import figures, frozen, measure, write_suite
from tools.errors import OutputError

MATRIX = '\n[[matrix]]\nvote = ["weighted", "plain"]\n'


def test_a_baseline_has_the_cells_and_no_text(tmp_path: Path) -> None:
    done = measure(frozen(write_suite(tmp_path / "s", MATRIX)), tmp_path / "into")
    target = tmp_path / "b.jsonl.zst"
    target.write_bytes(b"what was here before")
    assert write_baseline(done.log, target, name="main") == 2
    run = read_run(target)
    assert run.header.run == "main" and not run.torn and run.end is not None and run.passes == {}
    assert {cell.header.name: cell.end.figures for cell in run.cells} == figures(done)
    whole = read_run(done.log)
    assert [list(cell.documents()) for cell in run.cells] == [list(cell.documents()) for cell in whole.cells]
    assert run.pass_of(run.cells[0]) is None
    with target.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read().decode()
    assert "tram stood still" not in text and "Which type is" not in text
    assert target.stat().st_size < done.log.stat().st_size


def test_half_a_run_is_no_baseline(tmp_path: Path) -> None:
    done = measure(frozen(write_suite(tmp_path / "s", MATRIX)), tmp_path / "into")
    found, _ = blocks(done.log)
    last = [block for block in found if block.kind == "cell"][-1]
    done.log.write_bytes(done.log.read_bytes()[: last.offset])
    with pytest.raises(EvalLogError, match="1 cell"):
        write_baseline(done.log, tmp_path / "b.jsonl.zst")
    assert not (tmp_path / "b.jsonl.zst").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    done = measure(frozen(write_suite(tmp_path / "s", MATRIX)), tmp_path / "into")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises((OutputError, EvalLogError), match="cannot be"):
        write_baseline(done.log, tmp_path / "file" / "b.jsonl.zst")


def test_what_ships_fits_its_suite() -> None:
    for path in BASELINES.glob("*.jsonl.zst"):
        run = read_run(path)
        name = path.name.removesuffix(".jsonl.zst")
        assert (SUITES / f"{name}.toml").is_file() and run.header.suite == name
        planned = {(c.kind, c.data.name, c.seed, json.dumps(dict(c.settings))) for c in expand(load_suite(name))}
        there = {(c.header.kind, c.header.data.name, c.header.seed, json.dumps(c.header.settings)) for c in run.cells}
        assert there == planned, "measure the baseline anew: the suite has changed"
        assert {cell.header.data.hash for cell in run.cells}, path
