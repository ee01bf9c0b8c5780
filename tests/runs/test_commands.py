"""The commands: options, what goes to stdout, what to stderr, exit status; once with a real vLLM."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runs.corpus import ScriptedCrew, records, write_corpus
from tests.runs.scripted import Scripted
from tui.main import run

ROOT = Path(__file__).resolve().parents[2]
POISONED = {"doc-7"}


class Crews:
    """Stands for ``QuorumCrew`` and remembers what it was asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []
        self.poisoned = False

    def __call__(self, config: Any, labels: Any, gold: Any = None, index: Any = None, project: bool = False) -> Any:
        self.made.append((config, labels, gold, index, project))

        def poison(passage: Any) -> None:
            if self.poisoned and passage.document_id in POISONED:
                raise ValueError("bad\x1b[31m passage")

        return ScriptedCrew(Scripted(poison))


@pytest.fixture
def crews(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crews:
    made = Crews()
    monkeypatch.setattr("agent.runs.crew.QuorumCrew", made)
    monkeypatch.chdir(tmp_path)
    return made


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_extract_tells_people_on_stderr(crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path / "in.jsonl", 40)
    arguments = ("extract", "-i", "in.jsonl", "-o", "out.jsonl", "--labels", "name,place")
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (0, "")
    assert "40 documents" in err
    assert "passages: ok" in err
    assert len(records(tmp_path / "out.jsonl")) == 40
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (0, "")
    assert "already complete: 40 documents" in err


def test_extract_json_is_one_object_and_nothing_else(
    crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "in.jsonl", 40)
    code, out, _ = call(
        capsys, "extract", "-i", "in.jsonl", "-o", "o.jsonl", "-l", "name,place", "--limit", "9", "--json"
    )
    assert code == 0
    summary = json.loads(out)
    assert summary["documents"] == summary["extracted"] == 9
    assert summary["state"] == "complete"
    assert summary["grounded"] == 1.0
    assert summary["tokens"]["prompt"] > 0
    assert summary["dead_letters"] == 0
    assert Path(summary["store"]).name == "o.jsonl.run.db"


def test_extract_to_stdout_is_json_lines_and_nothing_else(
    crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "in.jsonl", 12)
    code, out, err = call(capsys, "extract", "-i", "in.jsonl", "-o", "-", "-l", "name")
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == [f"doc-{n}" for n in range(12)]
    assert "cannot be gone on with" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-i", "in.jsonl", "-o", "out.jsonl"], "which entity types"),
        (["-i", "none.jsonl", "-o", "out.jsonl", "-l", "a,b"], "no such file"),
        (["-i", "in.jsonl", "-o", "out.jsonl", "-l", "a,a"], "occurs twice"),
        (["-i", "in.jsonl", "-o", "out.jsonl", "-l", "a,b", "--members", "nobody"], "no member 'nobody'"),
        (["-i", "in.jsonl", "-o", "out.jsonl", "-l", "a,b", "--shard", "3/2"], "--shard 3/2"),
        (["-i", "in.jsonl", "-o", "-", "-l", "a,b", "--json"], "both want stdout"),
        (["-i", "in.jsonl", "-o", "out.xml", "-l", "a,b"], "ending"),
        (["-i", "in.jsonl", "-o", "out.jsonl", "-l", "a,b", "--limit", "0"], "--limit"),
        (["-i", "in.jsonl", "-o", "out.jsonl", "--project", "nowhere"], "quorum.toml"),
        (["-i", "in.jsonl"], "--output"),
    ],
)
def test_what_a_person_did_wrong_is_a_line_and_a_hint(
    crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    write_corpus(tmp_path / "in.jsonl", 2)
    code, out, err = call(capsys, "extract", *arguments)
    assert code == 2
    assert out == ""
    lines = err.splitlines()
    assert told in lines[0]
    assert lines[0].startswith("quorum: ")
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]


def test_options_reach_the_run(crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("Ada met Bo.\n\nIn Lagos.\n")
    more = ("--lines", "--members", "typed,list", "--fast", "--demos", "gold.jsonl")
    assert call(capsys, "extract", "-i", "in.txt", "-o", "out.jsonl", "-l", "name", *more)[0] == 0
    (config, labels, gold, index, project) = crews.made[0]
    assert [m.name for m in config.members] == ["typed"]
    assert config.steps.verify == "off"
    assert labels.names == ("name",)
    assert gold == Path("gold.jsonl")
    assert index == Path("out.jsonl.run.demos")
    assert not project
    assert [r["text"] for r in records(tmp_path / "out.jsonl")] == ["Ada met Bo.", "In Lagos."]


def test_a_project_keeps_the_run_in_its_store(
    crews: Crews, tmp_path: Path, tmp_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "in.jsonl", 20)
    code, out, _ = call(capsys, "extract", "-i", "in.jsonl", "-o", "out.jsonl", "-p", str(tmp_project), "--json")
    assert code == 0
    assert Path(json.loads(out)["store"]) == (tmp_project / ".quorum" / "store.db").resolve()
    assert not list(tmp_path.glob("*.run.db"))
    assert crews.made[0][4]


def test_retry_by_output_and_by_project(
    crews: Crews, tmp_path: Path, tmp_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "in.jsonl", 20)
    for where in (["--labels", "name"], ["--project", str(tmp_project)]):
        crews.poisoned = True
        output = f"out{len(where[1])}.jsonl"
        code, _, err = call(capsys, "extract", "-i", "in.jsonl", "-o", output, *where)
        assert code == 0
        assert "1 passage failed" in err
        retry = ["--output", output] if where[0] == "--labels" else where
        code, _, err = call(capsys, "retry", *retry)
        assert code == 1
        assert "1 failed again" in err
        crews.poisoned = False
        code, out, err = call(capsys, "retry", *retry, "--json")
        assert code == 0
        assert json.loads(out)["mended"] == 1
        assert all(r["outcome"]["kind"] == "ok" for r in records(tmp_path / output))


def test_retry_without_a_run(crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "retry")[0] == 2
    code, _, err = call(capsys, "retry", "--output", "none.jsonl")
    assert code == 2
    assert "there is no run" in err
    assert not list(tmp_path.iterdir())


def test_demo_on_a_scripted_crew(
    crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.models.devices import EngineChoice

    monkeypatch.setattr("agent.models.starter.pull", lambda **more: tmp_path)
    monkeypatch.setattr("agent.models.devices.available_engine", lambda: EngineChoice("vllm-cpu", "no <GPU> here"))
    code, out, err = call(capsys, "demo", "--out", "d", "--json")
    assert code == 0, err
    first = json.loads(out)
    assert first["documents"] > 40
    assert first["sentences"] > first["documents"]
    assert first["grounded"] == 1.0
    assert set(first["scores"]["types"]) >= {"person", "organization", "location"}
    assert 0 < first["scores"]["boundaries"]["f1"] < 1
    assert first["scores"]["all"]["intervals"]["f1"]
    page = Path(first["page"]).read_text(encoding="utf-8")
    assert "no &lt;GPU&gt; here" in page
    assert page.count("<article") == first["documents"]
    assert "missed" in page
    code, out, err = call(capsys, "demo", "--out", "d")
    assert code == 0
    assert "already extracted" in err
    assert "all types" in out
    assert f"{first['sentences_per_second']:,.1f}" in out
    assert "report.html" in err
    code, _, err = call(capsys, "demo", "--out", "d", "--fast")
    assert code == 0
    assert "extracting again" in err
    assert "changed: the members" in err
    code, _, err = call(capsys, "demo", "--set", "nothing")
    assert code == 2
    assert "news" in err


@pytest.mark.parametrize("name", ["materials", "biomedicine", "scripts"])
def test_every_sample_set_can_be_shown(
    crews: Crews, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from agent.models.devices import EngineChoice

    monkeypatch.setattr("agent.models.starter.pull", lambda **more: tmp_path)
    monkeypatch.setattr("agent.models.devices.available_engine", lambda: EngineChoice("transformers", "so"))
    code, out, err = call(capsys, "demo", "--set", name, "--out", "d", "--json")
    assert code == 0, err
    assert json.loads(out)["scores"]["all"]["gold"] > 20


def test_gold_without_entities_is_refused(tmp_path: Path) -> None:
    from agent.runs.crew import read_gold
    from tools.annotation import LabelSet
    from tools.errors import InputError

    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"id": "a", "text": "Ada"}\n')
    with pytest.raises(InputError, match="document 'a' has no entities"):
        read_gold(gold, LabelSet.of("name"))
    gold.write_text('{"id": "a", "text": "Ada. Bo.", "entities": [{"start": 0, "end": 3, "label": "name"}]}\n')
    first = read_gold(gold, LabelSet.of("name"))[0]
    assert (first.text, len(first.spans)) == ("Ada.", 1)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tui.main import run; run(['extract', '--help']); "
        "print([m for m in ('torch', 'vllm', 'transformers', 'chromadb', 'textual') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")
    assert "--shard" in done.stdout


@pytest.mark.vllm
def test_a_real_run_through_the_command_line(
    vllm_server: str, tmp_path: Path, tmp_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten sentences, demonstrations in a real Chroma, two members on a real vLLM; then again, and the store."""
    config = tmp_project / "quorum.toml"
    members = "".join(
        f'\n[[members]]\nname = "{name}"\nmodel = "served"\nextract = "{prompt}"\nclassify = "marked.v1"\n'
        for name, prompt in (("list", "spans.v1"), ("typed", "typed.v1"))
    )
    config.write_text(config.read_text() + f'\n[models.served]\nsource = "{vllm_server}#starter"\n{members}')
    examples = ROOT / "examples" / "news"
    labels = str(examples / "labels.toml")
    output = tmp_path / "out.jsonl"
    arguments = ["extract", "-i", str(examples / "test.jsonl"), "-o", str(output), "--labels", labels, "--limit", "10"]
    arguments += ["--project", str(tmp_project), "--demos", str(examples / "demonstrations.jsonl"), "--json"]
    code, out, err = call(capsys, *arguments)
    assert code == 0, err
    summary = json.loads(out)
    assert summary["documents"] == 10
    assert summary["tokens"]["prompt"] > 1000
    assert summary["dead_letters"] == 0
    assert {"extract/list", "extract/typed"} <= set(summary["usage"])
    assert any(tag.startswith("pre_extract/") for tag in summary["usage"]), "retrieval by mentions asks for some first"
    found = records(output)
    assert [r["id"] for r in found] == [f"news-test-{n:03d}" for n in range(1, 11)]
    for record in found:
        for entity in record["entities"]:
            assert record["text"][entity["start"] : entity["end"]] == entity["text"]
            assert {vote["member"] for vote in entity["votes"]} <= {"list", "typed"}
            assert 0 <= entity["confidence"] <= 1
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert json.loads(out)["already_complete"]
