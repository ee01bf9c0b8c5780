"""Which servers a set of models needs, and how memory and cores are shared among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.models import serverstate, starter
from agent.models.devices import Cpu, EngineKind, Gpu, available_engine, cpu, gpus
from agent.models.places import Report
from agent.models.registry import ModelRef
from agent.models.serverspec import (
    GIB,
    Demand,
    ServedAdapter,
    ServerSpec,
    cpu_cache_gib,
    gpu_shares,
    kv_bytes_per_token,
)
from agent.models.weights import check_fit, read_config, revision_of, weight_bytes
from tools.errors import EngineError

Planned = tuple[ServerSpec, list[ModelRef]]
"""A server and the models asked for that it serves."""

DEFAULT_LENGTH = 8192
SEQUENCES = {"cpu": 128, "cuda": 256}
FEW_CORES = 4
"""Up to so many cores the only server computes on all of them."""
MERGE_LIMIT = 4 * GIB
"""Bytes of a base up to which its only adapter is merged rather than applied by the server."""


def plan(refs: Sequence[ModelRef], max_model_len: int | None = None, progress: Report | None = None) -> list[Planned]:
    """Servers for some models on this machine.

    Raises:
        EngineError: vLLM is not usable here, or memory does not suffice.
        ModelError: An adapter does not merge.
    """
    if not refs:
        return []
    engine = available_engine()
    devices = gpus() if engine.kind == "vllm-cuda" else ()
    beside = sum(record.alive and record.device == "cpu" for record in serverstate.records())
    return plan_on(
        refs, engine.kind, engine.why, devices, cpu(), max_model_len=max_model_len, beside=beside, progress=progress
    )


def plan_on(
    refs: Sequence[ModelRef],
    kind: EngineKind,
    why: str,
    devices: Sequence[Gpu],
    processor: Cpu,
    *,
    max_model_len: int | None = None,
    beside: int = 0,
    progress: Report | None = None,
) -> list[Planned]:
    """The same for a machine that is described.

    On CPU an adapter is merged, as vLLM serves that about twelve times as fast. On
    a GPU two or more adapters of one base share one server.

    Args:
        refs: The models; several may be the same.
        kind: The engine.
        why: Why that one, for the error when it is not vLLM.
        devices: GPUs, for vllm-cuda.
        processor: Cores and memory, for vllm-cpu.
        max_model_len: Tokens of prompt and answer.
        beside: Servers that run on the processor already.
        progress: Told what takes its time.

    Raises:
        EngineError: Not vLLM, or memory does not suffice.
        ModelError: An adapter does not merge.
    """
    if kind == "transformers":
        raise EngineError(f"no vLLM server can run here: {why}", 'choose engine = "transformers", or install vLLM')
    device = "cuda" if kind == "vllm-cuda" else "cpu"
    planned: list[Planned] = []
    for group in _groups(refs):
        if device == "cuda" and _adapters_apart(group):
            planned.append(_with_adapters(group, max_model_len))
            continue
        by_revision: dict[str, list[ModelRef]] = {}
        for ref in group:
            by_revision.setdefault(ref.revision, []).append(ref)
        planned += [(_plain(same, device, max_model_len, progress), same) for same in by_revision.values()]
    return _on_gpus(planned, devices) if device == "cuda" else _on_cpu(planned, processor, beside)


def _groups(refs: Sequence[ModelRef]) -> list[list[ModelRef]]:
    groups: dict[Path | None, list[ModelRef]] = {}
    for ref in refs:
        groups.setdefault(ref.base, []).append(ref)
    return list(groups.values())


def _adapters_apart(group: Sequence[ModelRef]) -> bool:
    """Whether a base's models are served together, adapters applied by the server."""
    waiting = {ref.revision for ref in group if ref.unmerged}
    if not waiting or any(ref.adapter is not None and not ref.unmerged for ref in group):
        return False
    return len(waiting) > 1 or weight_bytes(_path(group[0])) > MERGE_LIMIT


def _with_adapters(group: Sequence[ModelRef], max_model_len: int | None) -> Planned:
    base = _path(group[0])
    adapters: dict[str, ServedAdapter] = {}
    rank = 8
    for ref in group:
        if ref.adapter is not None:
            adapters[ref.revision] = ServedAdapter(ref.served_name, ref.adapter.resolve(), ref.revision)
            rank = max(rank, check_fit(base, ref.adapter))
    revision = revision_of(base)
    plain = next((ref.served_name for ref in group if ref.adapter is None), base.name)
    spec = ServerSpec(
        name=_name(plain, revision),
        path=base,
        served_name=plain,
        revision=revision,
        device="cuda",
        max_model_len=_length(group, max_model_len),
        max_num_seqs=SEQUENCES["cuda"],
        adapters=tuple(adapters.values()),
        # vLLM takes certain ranks only; the next larger one does.
        max_lora_rank=next((size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), rank),
    )
    return spec, list(group)


def _plain(same: Sequence[ModelRef], device: str, max_model_len: int | None, progress: Report | None) -> ServerSpec:
    ref = same[0]
    path = _path(ref)
    if ref.unmerged and ref.adapter is not None:
        path = starter.merged(ref.adapter, base=path, progress=progress)
    return ServerSpec(
        name=_name(ref.served_name, ref.revision),
        path=path,
        served_name=ref.served_name,
        revision=ref.revision,
        device="cuda" if device == "cuda" else "cpu",
        max_model_len=_length(same, max_model_len),
        max_num_seqs=SEQUENCES[device],
    )


def _on_cpu(planned: Sequence[Planned], processor: Cpu, beside: int) -> list[Planned]:
    gib = cpu_cache_gib([weight_bytes(spec.path) for spec, _ in planned], processor.available)
    # One server may pin its threads to cores; several would all pin them to the same. Where it pins them vLLM keeps a
    # core free for its scheduler, which computes little: of two cores that would be half of the machine.
    together = len(planned) + beside
    threads = None if together == 1 and processor.cores > FEW_CORES else max(1, processor.cores // together)
    result = []
    for spec, refs in planned:
        one_request = kv_bytes_per_token(read_config(spec.path)) * spec.max_model_len
        result.append((replace(spec, kv_gib=max(gib, -(-one_request // GIB)), threads=threads), refs))
    return result


def _on_gpus(planned: Sequence[Planned], devices: Sequence[Gpu]) -> list[Planned]:
    if not devices:
        raise EngineError("no GPU was found", "is the driver loaded (nvidia-smi), and CUDA_VISIBLE_DEVICES right?")
    demands = [_demand(spec) for spec, _ in planned]
    placed: list[list[int]] = [[] for _ in devices]
    left = [device.free for device in devices]
    for index in sorted(range(len(planned)), key=lambda i: -demands[i].least):
        best = max(range(len(devices)), key=left.__getitem__)
        placed[best].append(index)
        left[best] -= demands[index].least
    result = list(planned)
    for device, indices in zip(devices, placed, strict=True):
        shares = gpu_shares([demands[index] for index in indices], device.total, device.free)
        for index, share in zip(indices, shares, strict=True):
            spec, refs = planned[index]
            result[index] = (replace(spec, gpu=device.uuid, gpu_share=share), refs)
    return result


def _demand(spec: ServerSpec) -> Demand:
    weights = weight_bytes(spec.path) + sum(
        (adapter.path / "adapter_model.safetensors").stat().st_size for adapter in spec.adapters
    )
    per_token = kv_bytes_per_token(read_config(spec.path))
    return Demand(spec.name, weights, per_token, spec.max_model_len, spec.max_num_seqs)


def _length(refs: Sequence[ModelRef], wanted: int | None) -> int:
    return min(wanted or DEFAULT_LENGTH, max(ref.context_tokens for ref in refs))


def _path(ref: ModelRef) -> Path:
    if ref.path is None:
        raise EngineError(f"{ref.name} is served elsewhere", "only models on this machine can be served here")
    return ref.path


def _name(served_name: str, revision: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', served_name)}-{revision[:8]}"
