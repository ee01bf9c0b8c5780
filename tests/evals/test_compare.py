"""Comparing runs and cells: what pairs, what may be said, what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.compare import compare_runs, touching
from evals.comparison_text import export, headline, markdown, shown
from evals.errors import EvalDataError, EvalLogError
from evals.log import ENDING, LogWriter, read_run, records_of
from evals.pairs import END_TO_END, counts_of, pair_runs
from evals.records import RunHeader
from evals.statistics import Resamples, Verdict, compare_seeds, difference_of
from evals.statistics.comparison import p_of_interval
from tests.evals.script import ScriptedModels, measure
from tests.evals.two_runs import Made, worse
from tui.main import run as quorum


def test_a_run_that_finds_less_is_worse(made: Made) -> None:
    report = compare_runs(made.good, made.bad)
    rows = {row.name: row for row in report.rows if row.kind == END_TO_END}
    assert len(rows) == 6 and not report.only_a and not report.only_b
    for cell in made.bad.cells:
        if cell.header.kind == END_TO_END:
            row = rows[cell.header.name]
            assert row.b == pytest.approx(cell.end.figures["f1"], abs=1e-6)
            assert row.difference == pytest.approx(row.b - row.a)
            assert row.low <= row.difference <= row.high
    assert rows["own vote=weighted members=a"].verdict is Verdict.WORSE
    back = {row.name: row for row in compare_runs(made.bad, made.good).rows}
    assert back["own vote=weighted members=a"].verdict is Verdict.BETTER


def test_the_table_follows_the_intervals(made: Made) -> None:
    for row in compare_runs(made.good, made.bad).rows:
        if row.verdict is Verdict.BETTER:
            assert row.low > 0
        elif row.verdict is Verdict.WORSE:
            assert row.high < 0
        assert row.detectable is None or row.detectable > 0
        assert row.documents == 24 and row.units == (8 if row.kind == END_TO_END else 24)


def test_the_correction_steps_down(made: Made) -> None:
    rows = [row for row in compare_runs(made.good, made.bad, alpha=0.06).rows if row.kind == END_TO_END]
    levels = sorted(row.alpha for row in rows)
    assert levels[0] == pytest.approx(0.01) and len({round(level, 6) for level in levels}) > 1
    assert min(rows, key=lambda row: row.p_value).alpha == levels[0]


def test_cells_taken_over_are_no_comparison(made: Made) -> None:
    report = compare_runs(made.good, made.again)
    assert all(row.same and row.difference == 0 for row in report.rows)
    assert "the same, taken over" in headline(report) and shown(report.rows[0])[-1] == "same cell"


def test_equal_identity_with_other_outcome_is_compared(made: Made, tmp_path: Path) -> None:
    measured_again = read_run(measure(made.folder / "suite" / "small.toml", tmp_path, ScriptedModels(worse)).log)
    report = compare_runs(made.good, measured_again)
    row = next(row for row in report.rows if row.name == "own vote=weighted members=a")
    assert row.a_cells == row.b_cells and not row.same and row.verdict is Verdict.WORSE


def test_steps_alone_are_compared_by_their_own_figures(made: Made) -> None:
    rows = {row.kind: row for row in compare_runs(made.good, made.bad).rows if row.kind != END_TO_END}
    ends = {cell.header.kind: cell.end.figures for cell in made.bad.cells}
    assert rows["oracle_extract"].b == pytest.approx(ends["oracle_extract"]["recall"], abs=1e-6)
    assert rows["oracle_classify"].b == pytest.approx(ends["oracle_classify"]["accuracy"], abs=1e-6)
    f = ends["oracle_verify"]
    f1 = 2 * f["precision"] * f["recall"] / (f["precision"] + f["recall"])
    assert rows["oracle_verify"].b == pytest.approx(f1, abs=1e-5)


def test_several_seeds_are_split_from_documents(made: Made) -> None:
    report = compare_runs(made.seeded, made.seeded_bad, only="vote=weighted members=a ")
    (row,) = report.rows
    assert row.seeds == 3 and len(row.a_cells) == 3
    pairs, _, _ = pair_runs(made.seeded, made.seeded_bad, "vote=weighted members=a ")
    a, b = ([counts_of(cell) for cell in side] for side in (pairs[0].a, pairs[0].b))
    direct = compare_seeds([c.matrix for c in a], [c.matrix for c in b], clusters=a[0].clusters)
    assert (row.low, row.high) == pytest.approx((direct.difference.low, direct.difference.high))
    assert row.verdict is direct.verdict and 0 <= row.p_value <= 1


def test_the_level_that_touches_is_the_p_value() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 3, size=(60, 6))
    counts[:, 0] += 1
    drawn = Resamples(counts, rng, 4000)
    figure = difference_of("f1")
    level = touching(lambda alpha: drawn.interval(figure, level=1 - alpha, bounds=(-1.0, 1.0)), 0.0)
    assert level == pytest.approx(p_of_interval(drawn, figure), abs=0.02)


def test_cells_of_one_run_against_one_of_them(made: Made) -> None:
    report = compare_runs(made.good, made.good, against="vote=weighted members=a+b")
    assert len(report.rows) == 5 and {row.kind for row in report.rows} == {END_TO_END}
    base = next(cell for cell in made.good.cells if cell.header.name == "own vote=weighted members=a+b")
    assert all(row.a_cells == (base.id,) for row in report.rows)
    by_id = compare_runs(made.good, made.good, against=base.id[:8])
    assert [row.name for row in by_id.rows] == [row.name for row in report.rows]
    seeded = compare_runs(made.seeded, made.seeded, against="vote=union members=b")
    assert len(seeded.rows) == 5 and {row.seeds for row in seeded.rows} == {3}


def test_a_cell_must_be_meant_clearly(made: Made) -> None:
    with pytest.raises(EvalDataError, match=r"cells of run .* are meant by 'union'") as caught:
        compare_runs(made.good, made.good, against="union")
    assert "own vote=union members=a+b" in caught.value.hint
    with pytest.raises(EvalDataError, match="has no cell 'loud'"):
        compare_runs(made.good, made.good, against="loud")


def test_exports(made: Made, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    report = compare_runs(made.good, made.bad)
    for ending in ("csv", "parquet", "md"):
        export(report, tmp_path / f"t.{ending}")
    rows = list(csv.DictReader((tmp_path / "t.csv").open(encoding="utf-8")))
    table = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(rows) == len(table) == len(report.rows)
    assert float(rows[0]["difference"]) == table[0]["difference"] == report.rows[0].difference
    assert (tmp_path / "t.md").read_text(encoding="utf-8") == markdown(report)
    assert not list(tmp_path.glob(".*"))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = quorum(["eval", *arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def test_the_command(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    into = ("--into", str(made.folder / "into"))
    status, out, err = told(capsys, "compare", str(made.good.path), str(made.bad.path), *into)
    assert status == 0 and "own vote=weighted members=a\tF1\t" in out and "worse" in err
    status, out, _ = told(capsys, "compare", made.good.header.run, str(made.bad.path), "--json", *into)
    assert status == 0 and {row["verdict"] for row in json.loads(out)["rows"]} <= set(map(str, Verdict))


def test_mistakes_are_one_line_and_a_hint(made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = str(made.good.path)
    cases = {
        ("compare", good): "one run alone has nothing to be compared with",
        ("compare", good, "nowhere", "--into", str(tmp_path)): "there is no run 'nowhere'",
        ("compare", good, str(made.limited.path)): "are of other documents of 'own': 24 and 6 documents",
        ("compare", good, good, "--figure", "loud"): "there is no figure 'loud'",
        ("compare", good, good, "--export", "t.xml"): "this ending cannot be written",
        ("compare", good, str(made.bad.path), "--only", "loud"): "no finished cell with 'loud'",
        ("compare", good, __file__): "not a log of an evaluation",
    }
    for arguments, says in cases.items():
        status, out, err = told(capsys, *arguments)
        assert status == 2 and out == "" and says in err, err
        assert len(err.strip().splitlines()) == 2 and err.splitlines()[1].startswith("hint: "), err


def test_a_torn_log_is_used_and_said(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = made.bad.path.read_bytes()
    last = max(cell.block.end for cell in made.bad.cells)
    torn = tmp_path / f"torn{ENDING}"
    torn.write_bytes(whole[: last - 20])
    status, out, err = told(capsys, "compare", str(made.good.path), str(torn))
    assert status == 0 and out and "cut off while its log was written" in err
    assert "has not ended: 1 of 9 cells are missing" in err


def test_a_newer_form_is_refused(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / f"newer{ENDING}"
    with LogWriter(target) as writer:
        writer.write("run", [replace(made.good.header, form=99)])
    with pytest.raises(EvalLogError, match="form 99, newer than"):
        read_run(target)
    status, _, err = told(capsys, "compare", str(made.good.path), str(target))
    assert status == 2 and "hint: read it with a newer Quorum" in err


def copied(made: Made, target: Path, keep: int) -> Path:
    """A log with some of the good run's cells alone, ended."""
    with LogWriter(target) as writer:
        cells = made.good.cells[:keep]
        header: RunHeader = replace(made.good.header, run=target.name[:-10], cells=tuple(cell.id for cell in cells))
        writer.write("run", [header])
        for cell in cells:
            writer.write("cell", records_of(made.good.path, cell.block), id=cell.id)
    return target


def test_what_only_one_has_is_named(made: Made, tmp_path: Path) -> None:
    part = read_run(copied(made, tmp_path / f"part{ENDING}", 2))
    report = compare_runs(part, made.bad)
    assert len(report.rows) == 2 and len(report.only_b) == 7 and not report.only_a
