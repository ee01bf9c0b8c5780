"""The gate: what fails it, what does not, and how often it cries wolf."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.baseline import write_baseline
from evals.gate import Standing, _judge, find_baseline, gate, headline, markdown
from evals.log import ENDING, LogWriter, read_run, records_of
from evals.pairs import END_TO_END, CellCounts, Pair, key_of, pair_runs
from tests.evals.test_compare import told
from tests.evals.two_runs import Made


@pytest.fixture
def baseline(made: Made, tmp_path: Path) -> Path:
    target = tmp_path / f"base{ENDING}"
    write_baseline(made.good.path, target, name="base")
    return target


def test_a_run_passes_against_its_own_baseline(made: Made, baseline: Path) -> None:
    report = gate(made.again, read_run(baseline), max_drop=0)
    assert report.passed and len(report.rows) == 6
    assert all(row.standing is Standing.HELD and row.noticed is None for row in report.rows)
    assert headline(report).startswith("PASS")


def test_a_drop_fails(made: Made, baseline: Path) -> None:
    report = gate(made.bad, read_run(baseline), max_drop=0.5)
    assert not report.passed and not report.missing
    dropped = {row.name for row in report.failing}
    assert "own vote=weighted members=a" in dropped
    assert all(row.high < -0.005 and row.p_dropped < 0.05 for row in report.failing)
    assert markdown(report).startswith("**FAIL") and "| own vote=weighted members=a | dropped |" in markdown(report)


def test_what_is_allowed_does_not_fail(made: Made, baseline: Path) -> None:
    report = gate(made.bad, read_run(baseline), max_drop=60)
    assert report.passed and all(row.standing is Standing.HELD for row in report.rows)


def test_proof_is_asked_for(made: Made, baseline: Path) -> None:
    # Just about the drop itself nothing can be shown either way.
    loose = gate(made.bad, read_run(baseline), only="vote=weighted members=a")
    row = next(row for row in loose.rows if row.name == "own vote=weighted members=a")
    about = -row.difference * 100
    undecided = gate(made.bad, read_run(baseline), max_drop=about, only="vote=weighted members=a")
    assert any(row.standing is Standing.NOT_SHOWN for row in undecided.rows) and undecided.passed
    assert not gate(made.bad, read_run(baseline), max_drop=about, only="vote=weighted members=a", prove=True).passed


def test_p_values_fall_with_what_is_allowed(made: Made, baseline: Path) -> None:
    ps = [gate(made.bad, read_run(baseline), max_drop=m, only="union members=a").rows[0].p_dropped for m in (0, 10, 40)]
    assert ps == sorted(ps) and ps[0] < ps[-1]


def test_better_is_no_drop(made: Made, tmp_path: Path) -> None:
    report = gate(made.good, made.bad, max_drop=0)
    assert report.passed and all(row.standing is Standing.HELD for row in report.rows if row.low > 0)


def test_several_seeds(made: Made) -> None:
    report = gate(made.seeded_bad, made.seeded, max_drop=0.5)
    assert not report.passed and len(report.rows) == 6


def test_a_missing_cell_fails(made: Made, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = made.good.path.read_bytes()
    torn = tmp_path / f"torn{ENDING}"
    ended = [cell for cell in made.good.cells if cell.header.kind == END_TO_END][-1]
    at = max(cell.block.offset for cell in made.good.cells) - 50
    torn.write_bytes(whole[:at])
    run = read_run(torn)
    lost = {cell.header.name for cell in made.good.cells} - {cell.header.name for cell in run.cells}
    assert lost and ended
    report = gate(run, read_run(baseline), max_drop=50)
    assert not report.passed and set(report.missing) == lost
    status, out, err = told(capsys, "gate", str(torn), "--baseline", str(baseline))
    assert status == 1 and "missing:" in out and err == ""


def test_exit_statuses(made: Made, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, "gate", str(made.again.path), "--baseline", str(baseline))
    assert status == 0 and out.startswith("**PASS")
    status, out, _ = told(capsys, "gate", str(made.bad.path), "--baseline", str(baseline), "--max-drop", "0.5")
    assert status == 1 and out.startswith("**FAIL")
    status, out, _ = told(capsys, "gate", str(made.bad.path), "--baseline", str(baseline), "--json")
    found = json.loads(out)
    assert status == 1 and found["passed"] is False and found["rows"][0]["standing"] in set(map(str, Standing))


def part_of(made: Made, target: Path, keep: int, planned: int) -> Path:
    with LogWriter(target) as writer:
        cells = made.good.cells
        writer.write("run", [replace(made.good.header, run="part", cells=tuple(c.id for c in cells[:planned]))])
        for cell in cells[:keep]:
            writer.write("cell", records_of(made.good.path, cell.block), id=cell.id)
    return target


def test_misuse_is_two(made: Made, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = part_of(made, tmp_path / f"part{ENDING}", 2, 2)
    open_ = part_of(made, tmp_path / f"open{ENDING}", 2, 5)
    run = str(made.again.path)
    cases = {
        ("gate", run, "--baseline", str(made.limited.path)): "are of other documents of 'own'",
        ("gate", run, "--baseline", str(made.hostile.path)): "are of other documents of 'own'",
        ("gate", run, "--baseline", str(part)): "baseline part lacks 4 cell(s) of the run",
        ("gate", run, "--baseline", str(open_)): "baseline part is not whole: 3 of its 5 cells are missing",
        ("gate", run, "--baseline", "nowhere"): "there is no run 'nowhere'",
        ("gate", str(tmp_path / "no.jsonl.zst"), "--baseline", str(baseline)): "there is no run",
        ("gate", run): "--baseline",
        ("gate", run, "--baseline", str(baseline), "--max-drop", "-1"): "--max-drop",
        ("gate", run, "--baseline", str(baseline), "--alpha", "0.9"): "--alpha",
    }
    for arguments, says in cases.items():
        status, out, err = told(capsys, *arguments)
        assert status == 2 and out == "" and says in err, err
        assert len(err.strip().splitlines()) == 2 and err.splitlines()[1].startswith("hint: "), err


def test_the_baseline_that_ships_is_found_by_its_name(tmp_path: Path) -> None:
    found = find_baseline(tmp_path, "smoke")
    assert found.is_file() and read_run(found).header.suite == "smoke"


def test_false_alarms_are_as_rare_as_said(made: Made) -> None:
    """Runs that have lost just what is allowed fail about alpha of the time, no more."""
    pairs, _, _ = pair_runs(made.good, made.bad, "vote=weighted members=a")
    pair = Pair("p", END_TO_END, pairs[0].a, pairs[0].b)
    rng = np.random.default_rng(11)
    alarms = held = 0
    rounds, documents = 150, 150
    # F1 = recall here (nothing spurious): 2r/(1+r). Recall 0.9 gives 0.947, recall 0.8 gives 0.889.
    margin = 2 * 0.9 / 1.9 - 2 * 0.8 / 1.8
    for _ in range(rounds):
        size = rng.integers(1, 5, size=documents)
        found = [rng.binomial(size, share) for share in (0.9, 0.8)]
        ids = tuple(map(str, range(documents)))
        counted = {
            key_of(side[0]): CellCounts(ids, np.stack([tp, np.zeros_like(tp), size - tp], axis=1), ids)
            for side, tp in zip((pair.a, pair.b), found, strict=True)
        }
        row = _judge(pair, counted, margin, 0.05, 500, np.random.default_rng(rng.integers(2**32)))
        alarms += row.p_dropped < 0.05
        held += row.p_held < 0.05
    # 150 rounds at 5 %: more than 15 happens less than once in a hundred times.
    assert 1 <= alarms <= 15 and 1 <= held <= 15
