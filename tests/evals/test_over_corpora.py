"""The mean over corpora of the quorum's lead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.over_corpora import difference, f1, main

RESULTS = Path(__file__).resolve().parents[2] / "evals" / "data" / "results" / "el4ner.jsonl.zst"


def test_it_is_the_difference_of_two_f1_and_pairs_what_belongs_together() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 5, size=(60, 3))
    value, drawn = difference(a, a, [str(n // 3) for n in range(60)], 500, rng)
    assert value == 0 and not drawn.any(), "documents are drawn in pairs"
    better = a + np.array([2, 0, 0])
    tp, fp, fn = a.sum(0)
    expected = 2 * (tp + 120) / (2 * (tp + 120) + fp + fn) - 2 * tp / (2 * tp + fp + fn)
    value, drawn = difference(better, a, [str(n) for n in range(60)], 500, rng)
    assert value == pytest.approx(expected)
    assert drawn.min() > 0 and abs(drawn.mean() - value) < 0.02
    assert f1(np.zeros((2, 3), dtype=np.int64)).tolist() == [1.0, 1.0], "nothing to find, nothing found"


def test_the_results_that_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(RESULTS), "--draws", "500"])
    said = json.loads(capsys.readouterr().out)
    assert len(said["corpora"]) == 6 and said["low"] < said["mean"] < said["high"]
    assert said["mean"] == pytest.approx(np.mean([row["difference"] for row in said["corpora"].values()]), abs=1e-4)
