"""Command lines and memory shares: pure functions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.serverspec import (
    CPU_BASE,
    GIB,
    GPU_LIMIT,
    OVERHEAD,
    Demand,
    ServedAdapter,
    ServerSpec,
    build_command,
    build_environment,
    cpu_cache_gib,
    gpu_shares,
    kv_bytes_per_token,
)
from tools.errors import EngineError

SPEC = ServerSpec("starter-abc", Path("/m/starter"), "starter", "abc", max_model_len=4096, max_num_seqs=64)
STARTER = {
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "head_dim": 64,
}


def pairs(command: list[str]) -> dict[str, str]:
    return {a: b for a, b in zip(command, [*command[1:], ""], strict=True) if a.startswith("--")}


def test_command_on_cpu() -> None:
    command = build_command(SPEC, 8123, python="/py")
    assert command[:4] == ["/py", "-P", "-m", "vllm.entrypoints.openai.api_server"]
    options = pairs(command)
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == "8123"
    assert options["--model"] == "/m/starter"
    assert options["--served-model-name"] == "starter"
    assert options["--dtype"] == "bfloat16"
    assert options["--load-format"] == "safetensors"
    assert options["--block-size"] == "32"
    assert options["--max-model-len"] == "4096"
    assert options["--max-num-seqs"] == "64"
    assert options["--max-logprobs"] == "64"
    assert options["--logprobs-mode"] == "processed_logprobs"
    assert options["--structured-outputs-config"] == '{"backend":"guidance"}'
    assert "--enforce-eager" in options
    assert "--enable-prompt-tokens-details" in options
    assert "--gpu-memory-utilization" not in options
    assert "--enable-lora" not in options
    assert "--trust-remote-code" not in command


def test_command_on_gpu_with_adapters() -> None:
    adapters = (ServedAdapter("a", Path("/l/a"), "1"), ServedAdapter("b", Path("/l/b"), "2"))
    command = build_command(
        replace(SPEC, device="cuda", gpu="GPU-1", gpu_share=0.25, adapters=adapters, max_lora_rank=32), 1
    )
    options = pairs(command)
    assert options["--gpu-memory-utilization"] == "0.250"
    assert "--enforce-eager" not in options
    assert "--block-size" not in options
    assert options["--max-loras"] == "2"
    assert options["--max-lora-rank"] == "32"
    assert command[command.index("--lora-modules") + 1 :] == ["a=/l/a", "b=/l/b"]


def test_environment_is_offline_and_private() -> None:
    given_ = {"PATH": "/bin", "VLLM_API_KEY": "secret", "HF_HUB_OFFLINE": "0"}
    environment = build_environment(SPEC, given_)
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE"):
        assert environment[name] == "1"
    assert "VLLM_API_KEY" not in environment
    assert "OMP_NUM_THREADS" not in environment
    assert given_["VLLM_API_KEY"] == "secret"
    shared = build_environment(replace(SPEC, threads=3), {})
    assert (shared["VLLM_CPU_OMP_THREADS_BIND"], shared["OMP_NUM_THREADS"]) == ("nobind", "3")
    on_gpu = build_environment(replace(SPEC, device="cuda", gpu="GPU-1"), {})
    assert on_gpu["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert "VLLM_CPU_KVCACHE_SPACE" not in on_gpu


def test_cache_size_of_a_token() -> None:
    assert kv_bytes_per_token(STARTER) == 2 * 30 * 3 * 64 * 2
    without_size = {key: value for key, value in STARTER.items() if key != "head_dim"}
    assert kv_bytes_per_token(without_size) == 2 * 30 * 3 * 64 * 2
    assert kv_bytes_per_token({}) == 0


def demand(weights: int, *, token: int = 23040, length: int = 8192, sequences: int = 256) -> Demand:
    return Demand("m", weights, token, length, sequences)


def test_one_small_model_takes_no_more_than_it_can_use() -> None:
    small = demand(GIB // 4, length=1024, sequences=8)
    [share] = gpu_shares([small], 140 * GIB, 140 * GIB)
    assert small.most <= share * 140 * GIB < small.most + 0.2 * GIB


def test_what_one_cannot_use_goes_to_the_others() -> None:
    small, large = demand(GIB, length=1024, sequences=4), demand(8 * GIB)
    first, second = gpu_shares([small, large], 48 * GIB, 48 * GIB)
    assert first * 48 * GIB >= small.most
    assert second > 0.8
    assert first + second <= GPU_LIMIT


def test_three_models_on_a_full_gpu_are_refused_with_a_hint() -> None:
    with pytest.raises(EngineError, match=r"3 model\(s\) need .* are free") as caught:
        gpu_shares([demand(8 * GIB)] * 3, 24 * GIB, 24 * GIB)
    assert "quorum models stop" in caught.value.hint


@given(
    weights=st.lists(st.integers(GIB // 8, 20 * GIB), min_size=1, max_size=6),
    total=st.integers(8, 160),
    used=st.floats(0, 0.9),
)
def test_shares_suffice_and_fit(weights: list[int], total: int, used: float) -> None:
    size = total * GIB
    free = int(size * (1 - used))
    demands = [demand(each) for each in weights]
    budget = min(GPU_LIMIT * size, free)
    try:
        shares = gpu_shares(demands, size, free)
    except EngineError:
        rounding = len(demands) * (size / 1000 + 1)
        assert sum(each.least for each in demands) > budget - rounding - 1
        return
    assert sum(shares) * size <= budget + 1
    for share, each in zip(shares, demands, strict=True):
        assert each.least <= share * size + 1
        assert share * size <= each.most + size / 1000 + 1
    assert all(each.least >= each.weights + OVERHEAD for each in demands)


def test_cpu_cache_shrinks_with_memory() -> None:
    starter = 270 * 2**20
    assert cpu_cache_gib([starter], 16 * GIB) == 2
    assert cpu_cache_gib([starter], int((starter + CPU_BASE + 1.1 * GIB) / 0.8)) == 1
    with pytest.raises(EngineError, match="of memory"):
        cpu_cache_gib([starter] * 3, 6 * GIB)
