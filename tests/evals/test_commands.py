"""``quorum eval`` as its users run it: exit statuses, one line and a hint, JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evals.run import Stopped
from tests.evals.script import frozen, texts, write_lines, write_suite
from tui.main import run

ROOT = Path(__file__).resolve().parents[2]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(["eval", *arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def test_suites_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = told(capsys, "list", "--into", str(tmp_path))
    assert status == 0 and "smoke\tnews\t" in out and "quorum eval list SUITE" in err
    status, out, _ = told(capsys, "list", "--json", "--into", str(tmp_path))
    rows = {row["suite"]: row for row in json.loads(out)}
    assert set(rows) == {"allabel", "el4ner", "finetune", "languages", "members", "prompts", "smoke"}
    assert rows["smoke"]["documents"] == 40 and rows["el4ner"]["documents"] == 3000


def test_the_cells_of_a_suite_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, "list", "smoke")
    assert status == 0 and sum(line.startswith("news ") for line in out.splitlines()) == 12
    _, out, _ = told(capsys, "list", "smoke", "--json")
    assert json.loads(out)[0]["settings"]["vote"] == "calibrated"


def test_a_suite_is_frozen_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    suite = write_suite(tmp_path)
    status, _, err = told(capsys, "freeze", str(suite), "--size", "5")
    assert status == 0 and "5 of 12 documents" in err
    manifest = tmp_path / "manifests" / "own.test.json"
    before = manifest.read_text(encoding="utf-8")
    status, _, err = told(capsys, "freeze", str(suite))
    assert "frozen already" in err and manifest.read_text(encoding="utf-8") == before
    told(capsys, "freeze", str(suite), "--again", "--seed", "4")
    assert manifest.read_text(encoding="utf-8") != before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "nothing"), "there is no suite 'nothing'"),
        (("run", "smoke", "--set", "vote=loud"), "vote = 'loud' is not allowed"),
        (("run", "smoke", "--set", "members.extract=spans.v9"), "no prompt extract/spans.v9"),
        (("run", "el4ner", "--data-root", "/nowhere"), "/nowhere: no such folder"),
        (("run", "el4ner"), "where is the corpus 'conll2003'?"),
        (("run", "smoke", "--limit", "0"), "--limit"),
        (("list", "other.toml"), "no such suite file"),
    ],
)
def test_mistakes_are_one_line_and_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...],
    says: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("QUORUM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    status, out, err = told(capsys, *arguments)
    assert status == 2 and out == "" and says in err
    assert len(err.strip().splitlines()) == 2 and err.splitlines()[1].startswith("hint: ")


def test_declining_stops_with_two() -> None:
    assert Stopped("no", "yes").exit_code == 2


def test_a_changed_file_stops_the_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    suite = frozen(write_suite(tmp_path))
    records = texts(12)
    records[3]["text"] = records[3]["text"].upper()
    write_lines(tmp_path / "test.jsonl", records)
    status, _, err = told(capsys, "run", str(suite), "--into", str(tmp_path / "into"))
    assert status == 2 and "'doc-3'" in err


def test_help_and_lists_import_nothing_heavy() -> None:
    code = (
        "import sys; from tui.main import run; run(['eval', *sys.argv[1:]]); "
        "print([n for n in ('torch', 'vllm', 'textual', 'chromadb', 'transformers') if n in sys.modules])"
    )
    for arguments in (["--help"], ["run", "--help"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env={**os.environ},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]", arguments
