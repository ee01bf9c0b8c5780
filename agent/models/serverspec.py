"""What a vLLM server is started with: command line, environment, shares of memory. Pure functions."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tools.errors import EngineError

Device = Literal["cpu", "cuda"]
HOST = "127.0.0.1"
GPU_LIMIT = 0.92
"""The share of a GPU that all servers together take; the rest is left to the driver, the screen, the embedder."""
OVERHEAD = 3 * 2**29
"""Bytes a server needs on a GPU beside weights and cache: CUDA context, activations, graphs."""
CPU_BASE = 7 * 2**28
"""Bytes a server needs in main memory beside weights and cache: three processes that import torch; measured."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class ServedAdapter:
    """A LoRA adapter that a server applies itself: its name in the API, its folder, what identifies it."""

    name: str
    path: Path
    revision: str


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One vLLM server to be started.

    Attributes:
        name: What state files and ``quorum models`` call it.
        path: Folder of the checkpoint.
        served_name: The model's name in the API.
        revision: What it serves; a running server is used again where this agrees.
        device: cpu or cuda.
        max_model_len: Tokens of prompt and answer together.
        max_num_seqs: Requests decoded at the same time.
        gpu: On a GPU, which (its uuid); None on CPU.
        gpu_share: On a GPU, the fraction of its memory; None on CPU.
        kv_gib: On CPU, GiB for the key-value cache.
        threads: On CPU, threads to compute with; None leaves cores to vLLM, which pins threads to them.
        adapters: LoRA adapters applied by the server.
        max_lora_rank: The largest rank among them.
    """

    name: str
    path: Path
    served_name: str
    revision: str
    device: Device = "cpu"
    max_model_len: int = 8192
    max_num_seqs: int = 128
    gpu: str | None = None
    gpu_share: float | None = None
    kv_gib: int = 2
    threads: int | None = None
    adapters: tuple[ServedAdapter, ...] = ()
    max_lora_rank: int = 16


def build_command(spec: ServerSpec, port: int, *, python: str = sys.executable) -> list[str]:
    """The command line of a server.

    Args:
        spec: What to serve.
        port: A free port on the loopback device.
        python: The interpreter; vLLM's own script is not used, since it fails where the
            CPU build goes by another distribution name.
    """
    # -P: a folder called tools or agent in the current directory must not be imported from.
    command = [python, "-P", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(spec.path), "--served-model-name", spec.served_name]
    command += ["--host", HOST, "--port", str(port)]
    command += ["--dtype", "bfloat16", "--load-format", "safetensors"]
    command += ["--max-model-len", str(spec.max_model_len), "--max-num-seqs", str(spec.max_num_seqs)]
    # Log-probabilities after the mask: a choice's alternatives then add up to one.
    command += ["--max-logprobs", "64", "--logprobs-mode", "processed_logprobs"]
    # Only guidance knows the substring grammar; left on auto, vLLM may pick another.
    command += ["--structured-outputs-config", json.dumps({"backend": "guidance"}, separators=(",", ":"))]
    command += ["--enable-prompt-tokens-details", "--uvicorn-log-level", "warning"]
    if spec.device == "cpu":
        # A block is the unit of the prefix cache: 128 tokens by default, too coarse for short prompts.
        command += ["--enforce-eager", "--block-size", "32"]
    if spec.gpu_share is not None:
        command += ["--gpu-memory-utilization", f"{spec.gpu_share:.3f}"]
    if spec.adapters:
        command += ["--enable-lora", "--max-loras", str(len(spec.adapters)), "--max-lora-rank", str(spec.max_lora_rank)]
        command += ["--lora-modules", *(f"{each.name}={each.path}" for each in spec.adapters)]
    return command


def build_environment(spec: ServerSpec, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: the given one, offline and without telemetry."""
    environment = dict(variables)
    for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environment[name] = "1"
    # With it the server would ask for a key that none of our requests carries; it listens on loopback only.
    environment.pop("VLLM_API_KEY", None)
    # The client lets go of an idle connection after 4 s; the server's own 5 s are too close to that under load.
    environment.setdefault("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "60")
    if spec.device == "cpu":
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(spec.kv_gib)
        if spec.threads is not None:
            environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            environment["OMP_NUM_THREADS"] = str(spec.threads)
    elif spec.gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = spec.gpu
    if spec.adapters:
        # What quorum train makes is loaded without a restart; the server listens on loopback only.
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    return environment


def kv_bytes_per_token(config: Mapping[str, Any]) -> int:
    """Bytes of key-value cache that a token takes in bf16, from a model's ``config.json``.

    Two (keys and values) times layers times key-value heads times head size times
    two bytes; 0 where the configuration does not say. A model that reads more than
    text (Gemma 3) keeps the figures of its language part under ``text_config``.
    """
    text = config.get("text_config")
    if "num_hidden_layers" not in config and isinstance(text, Mapping):
        config = text
    heads = int(config.get("num_attention_heads") or 0)
    layers, hidden = int(config.get("num_hidden_layers") or 0), int(config.get("hidden_size") or 0)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    size = int(config.get("head_dim") or (hidden // heads if heads else 0))
    return 2 * layers * kv_heads * size * 2


@dataclass(frozen=True, slots=True)
class Demand:
    """What a server needs of a GPU.

    Attributes:
        name: For messages.
        weights: Bytes.
        kv_per_token: Bytes of cache a token takes.
        max_model_len: Tokens of one request at most.
        max_num_seqs: Requests at the same time.
    """

    name: str
    weights: int
    kv_per_token: int
    max_model_len: int
    max_num_seqs: int

    @property
    def least(self) -> int:
        """Bytes below which the server does not start: one request of full length."""
        return self.weights + OVERHEAD + self.kv_per_token * self.max_model_len

    @property
    def most(self) -> int:
        """Bytes beyond which more is of no use: every request of full length."""
        return self.weights + OVERHEAD + self.kv_per_token * self.max_model_len * self.max_num_seqs


def gpu_shares(demands: Sequence[Demand], total: int, free: int) -> tuple[float, ...]:
    """How much of one GPU each server may take, as vLLM's ``--gpu-memory-utilization``.

    vLLM counts the fraction of the whole memory for each server by itself, so the
    shares of servers on one GPU must add up to what is free. Each gets what it
    cannot do without; the rest is split evenly for cache, and what one cannot use
    goes to the others.

    Args:
        demands: The servers.
        total: Bytes of the GPU.
        free: Bytes that nothing uses now.

    Returns:
        A fraction of ``total`` a server, in thousandths; together at most what is free.

    Raises:
        EngineError: They do not fit.
    """
    # A thousandth each is kept back for rounding up what a server cannot do without.
    budget = min(int(GPU_LIMIT * total), free) - len(demands) * (total // 1000 + 1)
    least = sum(demand.least for demand in demands)
    if least > budget:
        raise EngineError(
            f"{len(demands)} model(s) need {least / GIB:.1f} GiB of GPU memory, {max(0, budget) / GIB:.1f} are free",
            "stop other servers (quorum models stop), use fewer or smaller models, or adapters of one base",
        )
    granted = [demand.least for demand in demands]
    open_ = list(range(len(demands)))
    rest = budget - least
    while open_ and rest > 0:
        each = rest // len(open_)
        if each == 0:
            break
        for index in list(open_):
            more = min(each, max(0, demands[index].most - granted[index]))
            granted[index] += more
            rest -= more
            if more < each:
                open_.remove(index)
    return tuple((bytes_ * 1000 // total + 1) / 1000 for bytes_ in granted)


def cpu_cache_gib(weights: Sequence[int], available: int) -> int:
    """GiB of key-value cache for each of some servers in main memory: 2 or 1.

    Args:
        weights: Bytes of each server's weights.
        available: Bytes that can be taken.

    Raises:
        EngineError: Not even one GiB each fits.
    """
    fixed = sum(weights) + len(weights) * CPU_BASE
    for gib in (2, 1):
        # A fifth is left to the pipeline, the embedder and everything else.
        if fixed + len(weights) * gib * GIB <= 0.8 * available:
            return gib
    raise EngineError(
        f"{len(weights)} model(s) need {(fixed + len(weights) * GIB) / GIB:.1f} GiB of memory, "
        f"{available / GIB:.1f} GiB are available",
        "stop other servers (quorum models stop), or use fewer or smaller models",
    )
