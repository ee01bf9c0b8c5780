"""``quorum eval score`` as people meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.run import process, quorum

TEXT = "Ngozi Adeyemi left Porto for Lisbon."
GOLD = [[0, 13, "per"], [19, 24, "loc"], [29, 35, "loc"]]


def files(tmp_path: Path, documents: int = 12) -> tuple[Path, Path]:
    gold, pred = tmp_path / "gold.jsonl", tmp_path / "pred.jsonl"
    write(
        gold, [{"id": f"d{i}", "text": TEXT, "entities": GOLD, "meta": {"doc": f"a{i // 2}"}} for i in range(documents)]
    )
    write(pred, [{"id": f"d{i}", "text": TEXT, "entities": GOLD[: 1 + i % 3]} for i in range(documents)])
    return gold, pred


def write(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def test_a_table_for_people_and_pipes(tmp_path: Path) -> None:
    gold, pred = files(tmp_path)
    status, out, err = quorum("eval", "score", "--gold", gold, "--pred", pred)
    assert status == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:3] == ["table", "score", "P"]
    del rows[0]
    assert rows[0][:5] == ["score", "strict", "1.000", "0.667", "0.800"]
    low, high = map(float, rows[0][5].split("-"))
    assert low < 0.8 < high and rows[0][6:] == ["36", "24"]
    assert ["error", "missed", "12", "12", "0"] in rows
    assert [row[1] for row in rows if row[0] == "type"] == ["loc", "per"]
    assert "12 documents; 36 gold spans, 24 predicted; intervals at 95% from 2,000 draws of 12 documents" in err
    assert "--cluster doc" in err
    # The same seed, the same figures.
    assert quorum("eval", "score", "--gold", gold, "--pred", pred)[1] == out
    assert quorum("eval", "score", "--gold", gold, "--pred", pred, "--seed", "1")[1] != out


def test_json_and_export(tmp_path: Path) -> None:
    gold, pred = files(tmp_path)
    table = tmp_path / "scores.md"
    status, out, _ = quorum(
        "eval", "score", "--gold", gold, "--pred", pred, "--cluster", "doc", "--labels", "per,loc", "--train", gold,
        "--json", "--export", table, "--level", "0.9", "--resamples", "500",
    )  # fmt: skip
    found = json.loads(out)
    assert status == 0
    assert found["intervals"] == {"level": 0.9, "resamples": 500, "seed": 13, "cluster": "doc", "units": 6}
    assert found["in_training"]["seen"]["gold"] == 36
    assert "90% interval" in table.read_text(encoding="utf-8")


def test_unfinished_predictions(tmp_path: Path) -> None:
    gold, pred = files(tmp_path)
    pred.write_text("".join(pred.read_text(encoding="utf-8").splitlines(keepends=True)[:5]), encoding="utf-8")
    status, out, err = quorum("eval", "score", "--gold", gold, "--pred", pred)
    assert (status, out) == (2, "")
    assert "no prediction for 7 of 12 document(s), the first is 'd5'" in err
    status, _, err = quorum("eval", "score", "--gold", gold, "--pred", pred, "--missing-as-empty")
    assert status == 0 and "7 without prediction counted as empty" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--labels", "per,org"], "unknown type 'loc'"),
        (["--cluster", "page"], "no field 'page'"),
        (["--export", "scores.xlsx"], "ending cannot be written"),
        (["--train", "none.jsonl"], "no such file"),
        (["--level", "2"], "--level"),
    ],
)
def test_one_line_and_a_hint(tmp_path: Path, options: list[str], says: str) -> None:
    gold, pred = files(tmp_path)
    status, out, err = quorum("eval", "score", "--gold", gold, "--pred", pred, *options)
    first, second = err.strip().splitlines()
    assert status == 2 and out == ""
    assert first.startswith("quorum: ") and says in first
    assert second.startswith("hint: ")


def test_what_misleads_is_said(tmp_path: Path) -> None:
    gold, pred = files(tmp_path, 1)
    write(pred, [{"id": "d0", "text": TEXT, "entities": [[0, 5, "city"]]}])
    _, _, err = quorum("eval", "score", "--gold", gold, "--pred", pred)
    assert "types that only predictions have: city" in err
    assert "1 document is little to draw from" in err
    write(gold, [{"id": "d0", "text": TEXT, "entities": []}])
    assert "no gold span" in quorum("eval", "score", "--gold", gold, "--pred", pred)[2]


def test_it_needs_no_model_library(tmp_path: Path) -> None:
    gold, pred = files(tmp_path)
    status, out, err = process("eval", "score", "--gold", gold, "--pred", pred, "--json", PYTHONPROFILEIMPORTTIME="1")
    assert status == 0 and json.loads(out)["documents"] == 12
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in err.splitlines() if "|" in line}
    assert "numpy" in imported
    assert not imported & {"torch", "vllm", "transformers", "chromadb", "textual", "langgraph", "pyarrow"}
