"""The results document: answers question by question, what was not run, and nothing that the logs do not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evals.baseline import write_baseline
from evals.log import ENDING, read_run
from evals.pairs import groups
from evals.report import results_markdown
from evals.report.results import answered
from evals.slices import Slice
from evals.statistics import Verdict, compare_seeds
from tests.evals.script import BASE, ScriptedModels, frozen, measure, texts, write_lines, write_suite
from tests.evals.test_compare import told
from tests.evals.two_runs import worse

OTHER = """
[[data]]
name = "other"
path = "other.jsonl"
labels = "labels.toml"

"""
MATRIX = """
[[matrix]]
title = "Which *vote*"
note = "of two members"
vote = ["weighted", "union"]

[[matrix]]
title = "The quorum, or one member alone"
members = [["a", "b"], ["b"]]
"""


@pytest.fixture(scope="module")
def sliced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of one data set of two, with oracles."""
    folder = tmp_path_factory.mktemp("results")
    write_lines(folder / "s" / "other.jsonl", texts(8, 200))
    text = 'oracle = ["classify"]\n' + BASE.replace("[[settings.members]]", OTHER + "[[settings.members]]", 1)
    suite = frozen(write_suite(folder / "s", MATRIX, text=text, count=40))
    return measure(suite, folder / "into", ScriptedModels(worse), slice=Slice(only=("own",)), limit=30).log


def test_questions_are_answered_and_what_is_not_there_is_named(sliced: Path) -> None:
    run = read_run(sliced)
    text = results_markdown([run])
    assert text == results_markdown([read_run(sliced)]), "equal logs make equal text"
    assert "el4ner" not in text, "a suite of one's own is not told about ours"
    assert "### Which \\*vote\\*" in text and "Of two members." in text
    assert text.index("### Which") < text.index("### The quorum") < text.index("### Steps scored alone")
    assert "| other | all 2 settings | *not run* |" in text
    assert "| other | classify | *not run* |" in text
    assert "`quorum eval run small --limit 30`" in text and "`quorum eval run small --limit 30 --resume`" in text
    assert "4 of 8 planned cells" in text.replace("4 of 8 planned cells are not there yet", "4 of 8 planned cells")
    for name, value in run.header.versions.items():
        assert f"{name} {value}" in text
    for cell in run.cells:
        assert cell.header.data.hash[:12] in text
    assert run.header.started[:10] in text and "scripted" in text
    assert not any(d.text in text for p in run.passes.values() for d in p.documents())


def test_verdicts_are_those_of_the_statistics(sliced: Path) -> None:
    run = read_run(sliced)
    answers = answered(run, run.header.questions[1], groups(run), 0.05, 10_000)
    assert [(a.data, a.first, a.setting is not None) for a in answers] == [
        ("own", True, True), ("own", False, True), ("other", True, False), ("other", False, False)
    ]  # fmt: skip
    row = answers[1].row
    assert row is not None and row.verdict is Verdict.WORSE and row.high < 0
    text = results_markdown([run])
    assert f"**worse** on own ({row.difference * 100:+.1f})" in text and "| **worse** |" in text
    strict = results_markdown([run], alpha=1e-9)
    assert "**worse** on" not in strict and "cannot tell on own" in strict


def test_seeds_are_one_row(tmp_path: Path) -> None:
    matrix = '\n[[matrix]]\nvote = ["weighted"]\n\n[[matrix]]\nfirst_seeds = 1\nmembers = [["a", "b"], ["b"]]\n'
    suite = frozen(write_suite(tmp_path / "s", matrix, text="seeds = [1, 2, 3]\n" + BASE, count=30))
    run = read_run(measure(suite, tmp_path / "into").log)
    assert len(run.cells) == 4, "one member has the first seed alone"
    text = results_markdown([run])
    assert "(3 seeds)" in text and "| own | members=b |" in text
    first, second = answered(run, run.header.questions[1], groups(run), 0.05, 1000)
    assert (first.seeds, second.seeds) == (3, 1) and second.row is not None and second.row.seeds == 1


def test_one_seed_borrows_the_luck_of_the_other_side() -> None:
    rng = np.random.default_rng(5)
    size, claims, naive = 300, 0, 0
    for _ in range(300):
        hard = rng.normal(size=size)

        def run(luck: float, hard: np.ndarray = hard) -> np.ndarray:
            found = rng.random((size, 4)) < 1 / (1 + np.exp(-(hard + luck)))[:, None]
            hits = found.sum(axis=1)
            return np.stack([hits, rng.poisson(0.5, size), 4 - hits], axis=1).astype(np.int64)

        many = [run(luck) for luck in rng.normal(scale=0.3, size=5)]
        one = run(rng.normal(scale=0.3))
        claims += compare_seeds(many, [one]).verdict is not Verdict.CANNOT_TELL
        claims += compare_seeds([one], many).verdict is not Verdict.CANNOT_TELL
        from evals.statistics import compare

        naive += compare(many[0], one, rng=rng, resamples=300).verdict is not Verdict.CANNOT_TELL
    assert claims / 600 < 0.10, "equally good settings are seldom called different"
    assert naive / 300 > 0.3, "a comparison of one seed with one takes luck for a difference"


def test_results_are_kept_small_and_without_texts(sliced: Path, tmp_path: Path) -> None:
    kept = tmp_path / f"small{ENDING}"
    with pytest.raises(Exception, match="were not measured"):
        write_baseline(sliced, kept)
    write_baseline(sliced, kept, partial=True)
    whole, small = read_run(sliced), read_run(kept)
    assert small.end is None and small.unfinished == whole.unfinished and not small.passes
    assert results_markdown([small]) == results_markdown([whole])
    import zstandard

    plain = b"".join(
        zstandard.ZstdDecompressor().decompressobj().decompress(kept.read_bytes()[c.block.offset : c.block.end])
        for c in small.cells
    )
    assert b"tram stood still" not in plain


def test_a_log_of_an_earlier_version_is_one_question(sliced: Path) -> None:
    from dataclasses import replace

    run = read_run(sliced)
    old = replace(run, header=replace(run.header, plan=(), questions=()))
    text = results_markdown([old])
    assert "### All settings" in text and "| *not run*" not in text


def test_the_shipped_baseline_can_be_told() -> None:
    from evals.gate import find_baseline

    text = results_markdown([read_run(find_baseline(Path("nowhere"), "smoke"))], resamples=500)
    assert text.count("| news |") >= 10 and "[smoke](#smoke)" in text
    assert "| el4ner |  | *not run* |  |" in text, "a suite that ships and that nobody has run is named"


def test_the_command(sliced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, page = tmp_path / "results.md", tmp_path / "page.html"
    status, out, _ = told(capsys, "report", str(sliced), "--markdown", str(target))
    assert status == 0 and out.strip() == str(target) and target.read_text(encoding="utf-8").startswith("# Results")
    status, out, _ = told(capsys, "report", str(sliced), "--markdown", str(target), "-o", str(page))
    assert status == 0 and out.split() == [str(target), str(page)] and page.exists()
    kept = tmp_path / "kept"
    status, _, err = told(capsys, "baseline", str(sliced), "-o", str(kept))
    assert status == 2 and "were not measured" in err
    status, _, err = told(capsys, "baseline", str(sliced), "-o", str(kept), "--partial")
    assert status == 0 and "4 cells" in err


@pytest.mark.parametrize("ending", ["csv", "parquet", "md"])
def test_figures_are_exported(sliced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    target = tmp_path / f"figures.{ending}"
    status, out, _ = told(capsys, "report", str(sliced), "--export", str(target))
    assert status == 0 and out.strip() == str(target)
    run = read_run(sliced)
    if ending == "md":
        text = target.read_text(encoding="utf-8")
        assert text.count("| not run |") == 4 and text.count("| done |") == 4
        return
    if ending == "csv":
        import csv

        with target.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, object]] = list(csv.DictReader(file))
    else:
        import pyarrow.parquet as pq

        rows = pq.read_table(target).to_pylist()
    found = {(row["id"], row["figure"]): float(str(row["value"])) for row in rows if row["state"] == "done"}
    for cell in run.cells:
        for name, value in cell.end.figures.items():
            assert found[cell.id, name] == pytest.approx(value)
        assert found[cell.id, "cost/requests"] == cell.end.cost["requests"]
    assert {row["id"] for row in rows if row["state"] == "not run"} == set(run.unfinished)
    status, _, err = told(capsys, "report", str(sliced), "--export", str(tmp_path / "x.xls"))
    assert status == 2 and "cannot be written" in err
