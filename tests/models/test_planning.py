"""Which servers a set of models needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.models.devices import Cpu, Gpu
from agent.models.planning import plan_on
from agent.models.registry import ModelRef, resolve
from agent.models.serverspec import GIB
from tests.models.checkpoints import tiny_adapter, tiny_base
from tools.errors import EngineError

CPU = Cpu("test", 8, ("avx512_bf16",), 32 * GIB, 32 * GIB)
GPUS = (Gpu("GPU-a", "H200", 140 * GIB, 139 * GIB), Gpu("GPU-b", "H200", 140 * GIB, 30 * GIB))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_base(tmp_path / "base")


def named(base: Path, *adapters: Path) -> list[ModelRef]:
    return [resolve(str(base), adapter=adapter, merge=False, alias=adapter.name) for adapter in adapters]


def test_the_same_model_is_served_once(base: Path) -> None:
    refs = [resolve(str(base), alias=name) for name in ("a", "b")]
    [(spec, served)] = plan_on(refs, "vllm-cpu", "", (), CPU)
    assert [ref.name for ref in served] == ["a", "b"]
    assert (spec.device, spec.kv_gib, spec.threads, spec.max_model_len) == ("cpu", 2, None, 512)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 4), (5, None)])
def test_the_only_server_computes_on_all_of_few_cores(base: Path, cores: int, threads: int | None) -> None:
    [(spec, _)] = plan_on([resolve(str(base))], "vllm-cpu", "", (), replace(CPU, cores=cores))
    assert spec.threads == threads


def test_servers_side_by_side_share_the_cores(base: Path, tmp_path: Path) -> None:
    other = tiny_base(tmp_path / "other", seed=9)
    planned = plan_on([resolve(str(base)), resolve(str(other))], "vllm-cpu", "", (), CPU, max_model_len=256)
    assert [spec.threads for spec, _ in planned] == [4, 4]
    assert {spec.max_model_len for spec, _ in planned} == {256}
    assert len({spec.name for spec, _ in planned}) == 2


def test_adapters_of_one_base_share_a_server_on_a_gpu(base: Path, tmp_path: Path) -> None:
    refs = named(base, tiny_adapter(tmp_path / "x", rank=4), tiny_adapter(tmp_path / "y", rank=12, seed=5))
    [(spec, served)] = plan_on([*refs, resolve(str(base))], "vllm-cuda", "", GPUS, CPU)
    assert [ref.name for ref in served][:2] == ["x", "y"]
    assert [adapter.name for adapter in spec.adapters] == ["base+x", "base+y"]
    assert [adapter.revision for adapter in spec.adapters] == [ref.revision for ref in refs]
    assert (spec.path, spec.max_lora_rank, spec.gpu) == (base, 16, "GPU-a")
    assert spec.gpu_share is not None
    assert 0 < spec.gpu_share < 0.92


def test_servers_go_where_there_is_room(base: Path, tmp_path: Path) -> None:
    refs = [resolve(str(tiny_base(tmp_path / f"m{seed}", seed=seed))) for seed in range(3)]
    tight = (Gpu("GPU-a", "x", 4 * GIB, int(3.9 * GIB)), Gpu("GPU-b", "x", 4 * GIB, int(3.8 * GIB)))
    planned = plan_on(refs, "vllm-cuda", "", tight, CPU)
    places = [spec.gpu for spec, _ in planned]
    assert sorted(places) == ["GPU-a", "GPU-a", "GPU-b"]
    together = sum(spec.gpu_share or 0 for spec, _ in planned if spec.gpu == "GPU-a")
    assert together <= 0.92


def test_no_vllm_is_told(base: Path) -> None:
    with pytest.raises(EngineError, match="no vLLM server can run here: it is not installed") as caught:
        plan_on([resolve(str(base))], "transformers", "it is not installed", (), CPU)
    assert "transformers" in caught.value.hint
    with pytest.raises(EngineError, match="no GPU was found"):
        plan_on([resolve(str(base))], "vllm-cuda", "", (), CPU)
