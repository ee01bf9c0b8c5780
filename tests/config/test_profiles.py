"""The profiles: for GPU machines all of them but the weights; for CPUs how three engines share a small machine.

The models' published configurations stand here; their weights are sparse files
of the right names, shapes and sizes, which nothing reads. Three engines that
really run: ``tests/models/test_three_engines.py``.
"""

from __future__ import annotations

import json
import shutil
import struct
from math import prod
from pathlib import Path
from typing import Any

import pytest

from agent.config import ProjectConfig
from agent.models.devices import Cpu, Gpu
from agent.models.planning import Planned, plan_on
from agent.models.registry import ModelRef, resolve
from agent.models.serverspec import CPU_BASE, GIB, OVERHEAD, build_command, build_environment, kv_bytes_per_token
from agent.models.weights import weight_bytes
from tools.errors import EngineError

PROFILES = Path(__file__).parents[2] / "examples" / "profiles"
SMALL = ["steps-over-members", "three-engines"]
"""For CPUs, with the starter's members."""
NAMES = sorted(path.stem for path in PROFILES.glob("*.toml") if path.stem not in (*SMALL, "fast"))
CPU = Cpu("any", 16, (), 64 * GIB, 64 * GIB)

# From the models' config.json on the hub.
QWEN: dict[str, Any] = {
    "model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960, "tie_word_embeddings": True,
}  # fmt: skip
GEMMA: dict[str, Any] = {
    "model_type": "gemma3", "text_config": {
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208, "max_position_embeddings": 131072,
    },
}  # fmt: skip
PHI: dict[str, Any] = {
    "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 24,
    "num_key_value_heads": 8, "vocab_size": 200064, "max_position_embeddings": 131072, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": True,
}  # fmt: skip
MODELS: dict[str, tuple[dict[str, Any], float]] = {
    "Qwen/Qwen3-4B-Instruct-2507": (QWEN, 4_022_468_096),
    "Qwen/Qwen3-4B": (QWEN, 4_022_468_096),
    "google/gemma-3-4b-it": (GEMMA, 4_300_079_472),
    "microsoft/Phi-4-mini-instruct": (PHI, 3_836_021_760),
    "meta-llama/Llama-3.2-3B-Instruct": (LLAMA, 3_212_749_824),
}
KV = {
    "Qwen/Qwen3-4B-Instruct-2507": 147_456,
    "Qwen/Qwen3-4B": 147_456,
    "google/gemma-3-4b-it": 139_264,
    "microsoft/Phi-4-mini-instruct": 131_072,
    "meta-llama/Llama-3.2-3B-Instruct": 114_688,
}


def layer_shapes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The linear layers of one block, as (out, in)."""
    text = config.get("text_config", config)
    hidden, inner, heads = text["hidden_size"], text["intermediate_size"], text["num_attention_heads"]
    size = text.get("head_dim", hidden // heads)
    queries, keys = heads * size, text["num_key_value_heads"] * size
    if text["model_type"] == "phi3":
        return {
            "self_attn.qkv_proj": (queries + 2 * keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "mlp.gate_up_proj": (2 * inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
    return {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros that takes no room on the disk."""
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def checkpoint(folder: Path, config: dict[str, Any], parameters: float) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    text = config.get("text_config", config)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (text["vocab_size"], text["hidden_size"])}
    for layer in range(text["num_hidden_layers"]):
        for name, shape in layer_shapes(config).items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    rest = int(parameters) - sum(map(prod, shapes.values()))
    assert 0 <= rest < 0.12 * parameters, (folder, rest / parameters)  # norms, and Gemma's eyes
    shapes["rest"] = (rest,)
    sparse(folder / "model.safetensors", shapes)


def adapter(folder: Path, config: dict[str, Any], rank: int = 16) -> None:
    folder.mkdir(parents=True)
    names = [name.split(".")[1] for name in layer_shapes(config)]
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": names}
    (folder / "adapter_config.json").write_text(json.dumps({**about, "folder": folder.name}))
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        for name, (out, in_) in layer_shapes(config).items():
            stem = f"base_model.model.model.layers.{layer}.{name}"
            shapes[f"{stem}.lora_A.weight"] = (rank, in_)
            shapes[f"{stem}.lora_B.weight"] = (out, rank)
    sparse(folder / "adapter_model.safetensors", shapes)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache that holds the models of all profiles."""
    cache = tmp_path / "hub"
    for name, (config, parameters) in MODELS.items():
        folder = cache / f"models--{name.replace('/', '--')}"
        checkpoint(folder / "snapshots" / "abc", config, parameters)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    return cache


def project(profile: str, folder: Path) -> ProjectConfig:
    """A profile as a project's file, with the adapters that it names."""
    folder.mkdir()
    shutil.copy(PROFILES / f"{profile}.toml", folder / "quorum.toml")
    config = ProjectConfig.load(folder, environment={})
    for model in config.models.values():
        if model.adapter is not None:
            adapter(folder / model.adapter, QWEN)
    return config


def refs_of(config: ProjectConfig) -> list[ModelRef]:
    """The members' models as they are on a GPU machine, where adapters are not merged."""
    return [
        resolve(m.source, adapter=m.adapter, alias=name, context_tokens=m.context_tokens, merge=False, root=config.root)
        for name, m in config.models.items()
    ]


def planned(config: ProjectConfig, gib: float) -> list[Planned]:
    gpu = Gpu("GPU-1", "any", int(gib * GIB), int(gib * GIB * 0.99))
    return plan_on(refs_of(config), "vllm-cuda", "", [gpu], CPU)


# -- the files ----------------------------------------------------------------------------------------------------


def test_there_are_profiles() -> None:
    assert len(NAMES) == 3
    assert all((PROFILES / f"{name}.toml").is_file() for name in SMALL)


@pytest.mark.parametrize("profile", NAMES)
def test_a_profile_is_a_valid_project_with_three_members(profile: str, tmp_path: Path) -> None:
    config = project(profile, tmp_path / "p")
    assert len(config.members) == 3 and config.run.quorum == 2
    assert {member.model for member in config.members} == set(config.models)
    ways = {(member.model, member.extract, member.classify) for member in config.members}
    assert len(ways) == 3, "members that ask the same model the same way are one voter counted twice"
    # What a prompt may take fits into what the models are given.
    assert all(
        (m.context_tokens or 0) >= config.demonstrations.budget_tokens + 4 * config.passages.max_tokens
        for m in config.models.values()
    )


@pytest.mark.parametrize("profile", NAMES + SMALL)
def test_the_comment_names_commands_that_exist(profile: str) -> None:
    import re

    import typer

    from tui.main import COMMANDS, app

    text = (PROFILES / f"{profile}.toml").read_text()
    config = ProjectConfig.parse(text, PROFILES / f"{profile}.toml", environment={})
    lines = [line.lstrip("# ").split("(")[0].split() for line in text.splitlines() if line.startswith("#   quorum ")]
    assert lines and ("Untested with the real weights" in text) == (profile not in SMALL)
    pulled = {line[3] for line in lines if line[1:3] == ["models", "pull"]}
    assert pulled == {model.source.partition(":")[0] for model in config.models.values()}
    [serve] = [line for line in lines if line[1:3] == ["models", "serve"]]
    assert set(serve[3:-2]) == set(config.models) and serve[-2:] == ["--project", "."]
    assert all(line[1] in COMMANDS for line in lines)
    root: Any = typer.main.get_command(app)
    for line in (line for line in lines if line[1] == "train"):
        known = {option for p in root.commands["train"].real().params for option in p.opts}
        assert {part for part in line if re.match("--", part)} <= known
        assert line[line.index("--name") + 1] in config.models


# -- memory -------------------------------------------------------------------------------------------------------


def test_cache_of_a_token_by_hand() -> None:
    for name, (config, _) in MODELS.items():
        text = config.get("text_config", config)
        size = text.get("head_dim", text["hidden_size"] // text["num_attention_heads"])
        by_hand = 2 * 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * size
        assert kv_bytes_per_token(config) == by_hand == KV[name]


@pytest.mark.parametrize(
    ("profile", "enough", "too_little"),
    [("three-models", 40, 28), ("two-models", 24, 19), ("one-base-three-adapters", 12, 10)],
)
def test_profiles_fit_where_they_say_and_not_below(
    profile: str, enough: float, too_little: float, tmp_path: Path, hub: Path
) -> None:
    config = project(profile, tmp_path / "p")
    specs = [spec for spec, _ in planned(config, enough)]
    shares = [spec.gpu_share or 0.0 for spec in specs]
    assert sum(shares) <= 0.92 and all(spec.max_model_len == 8192 for spec in specs)
    for spec, share in zip(specs, shares, strict=True):
        text = json.loads((spec.path / "config.json").read_text())
        least = weight_bytes(spec.path) + OVERHEAD + kv_bytes_per_token(text) * 8192
        least += sum((a.path / "adapter_model.safetensors").stat().st_size for a in spec.adapters)
        assert share * enough * GIB >= least
    with pytest.raises(EngineError, match="GiB of GPU memory"):
        planned(config, too_little)
    assert str(enough) in (PROFILES / f"{profile}.toml").read_text().split("#\n")[0]


def test_the_table_of_the_docs_is_what_is_computed() -> None:
    page = (PROFILES.parents[1] / "docs" / "larger-members.md").read_text(encoding="utf-8")
    for name, (config, parameters) in MODELS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        weights, cache = 2 * parameters / GIB, KV[name] * 8192 / GIB
        assert f"| {weights:.1f} | {KV[name] // 1024} | {cache:.1f} |" in row, (row, weights, cache)
        assert kv_bytes_per_token(config) == KV[name]


# -- command lines --------------------------------------------------------------------------------------------------


def test_three_models_are_three_servers(tmp_path: Path, hub: Path) -> None:
    servers = planned(project("three-models", tmp_path / "p"), 48)
    assert sorted(ref.name for _, refs in servers for ref in refs) == ["gemma", "phi", "qwen"] and len(servers) == 3
    for number, (spec, _) in enumerate(servers):
        line = build_command(spec, 8000 + number)
        assert line[line.index("--model") + 1] == str(spec.path) and "--enable-lora" not in line
        assert line[line.index("--load-format") + 1] == "safetensors" and "--trust-remote-code" not in line
        assert line[line.index("--max-model-len") + 1] == "8192"
        assert float(line[line.index("--gpu-memory-utilization") + 1]) == spec.gpu_share
        environment = build_environment(spec, {})
        assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-1" and environment["HF_HUB_OFFLINE"] == "1"
        assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in environment


def test_two_ways_to_ask_one_model_are_one_server(tmp_path: Path, hub: Path) -> None:
    assert len(planned(project("two-models", tmp_path / "p"), 24)) == 2


def test_adapters_of_one_base_share_a_server(tmp_path: Path, hub: Path) -> None:
    config = project("one-base-three-adapters", tmp_path / "p")
    [(spec, refs)] = planned(config, 16)
    assert [ref.name for ref in refs] == ["plain", "contrast", "robust"]
    line = build_command(spec, 8000)
    begin = line.index("--lora-modules") + 1
    modules = dict(part.split("=", 1) for part in line[begin:])
    assert {Path(path).name for path in modules.values()} == {"plain", "contrast", "robust"}
    assert all(Path(path).is_absolute() for path in modules.values())
    assert "--enable-lora" in line and line[line.index("--max-loras") + 1] == "3"
    assert line[line.index("--max-lora-rank") + 1] == "16"
    # quorum train hands a new adapter to such a server while it runs.
    assert build_environment(spec, {})["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"


@pytest.mark.slow
def test_vllm_takes_these_flags(tmp_path: Path, hub: Path) -> None:
    pytest.importorskip("vllm")
    import subprocess
    import sys

    [(spec, _)] = planned(project("one-base-three-adapters", tmp_path / "p"), 16)
    flags = [part for part in build_command(spec, 8000) if part.startswith("--")]
    code = (
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser;"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser;"
        "print(make_arg_parser(FlexibleArgumentParser())._option_string_actions.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-800:]
    assert [flag for flag in flags if f"'{flag}'" not in done.stdout] == []


# -- chat templates -------------------------------------------------------------------------------------------------


def test_thinking_is_switched_off_where_a_model_would_think(tmp_path: Path, hub: Path) -> None:
    config = project("two-models", tmp_path / "p")
    assert config.models["qwen"].template_options == {"enable_thinking": False}
    for profile in NAMES:
        other = ProjectConfig.load(PROFILES / f"{profile}.toml", environment={})
        for model in other.models.values():
            # Qwen3-4B thinks unless told not to; the Instruct-2507 model never does.
            assert ("enable_thinking" in model.template_options) == (model.source == "Qwen/Qwen3-4B")


def test_template_options_reach_the_server_and_the_cache_key() -> None:
    from agent.models.serve import Endpoint
    from agent.opening import _server

    endpoint = Endpoint("qwen", "http://127.0.0.1:1/v1", "Qwen/Qwen3-4B", "r", 8192)
    told: Any = _server(endpoint, None, "vllm-server", {"enable_thinking": False})
    plain: Any = _server(endpoint, None, "vllm-server")
    assert told._extra == {"chat_template_kwargs": {"enable_thinking": False}} and plain._extra == {}
    assert told.model_revision != plain.model_revision


def test_template_options_are_part_of_what_makes_a_run_the_same_only_where_there_are_some(tmp_path: Path) -> None:
    def hashed(line: str) -> str:
        text = f'[models.q]\nsource = "starter"\n{line}\n[[members]]\nname = "a"\nmodel = "q"\n[run]\nquorum = 1\n'
        return ProjectConfig.parse(text, tmp_path / "quorum.toml", environment={}).hash

    assert hashed("") == hashed("template_options = {}") != hashed("template_options = { enable_thinking = false }")


# -- on a CPU -------------------------------------------------------------------------------------------------------

SMOLLM: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": True,
}  # fmt: skip


def starters(config: ProjectConfig, folder: Path) -> list[ModelRef]:
    """The members' models as they are on a CPU: a merged checkpoint each."""
    refs = []
    for name in config.models:
        checkpoint(folder / name, SMOLLM, 134_515_008)
        refs.append(ModelRef(name, "starter", f"starter:{name}", name * 4, 8192, path=folder / name, base=folder))
    return refs


def small_machine(gib: float) -> Cpu:
    """Two cores; most of the memory is there to be taken."""
    return Cpu("any", 2, (), int(gib * GIB), int((gib - 0.7) * GIB))


@pytest.mark.parametrize("profile", SMALL)
def test_three_engines_on_two_cores(profile: str, tmp_path: Path) -> None:
    config = project(profile, tmp_path / "p")
    assert [model.source for model in config.models.values()] == [
        "starter:everyday",
        "starter:science",
        "starter:broad",
    ]
    refs = starters(config, tmp_path)
    servers = plan_on(refs, "vllm-cpu", "", (), small_machine(16))
    assert sorted(ref.name for _, served in servers for ref in served) == ["broad", "everyday", "science"]
    for spec, _ in servers:
        environment = build_environment(spec, {})
        # One thread each: three that pin themselves to both cores would wait for one another.
        assert environment["OMP_NUM_THREADS"] == "1" and environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
        assert environment["VLLM_CPU_KVCACHE_SPACE"] == str(spec.kv_gib)
        # Room for 64 passages, a batch, with 512 tokens of prompt each, at least.
        assert spec.kv_gib * GIB >= 64 * 512 * kv_bytes_per_token(SMOLLM)
        assert "--enable-lora" not in build_command(spec, 8000)
    together = sum(weight_bytes(spec.path) + CPU_BASE + spec.kv_gib * GIB for spec, _ in servers)
    assert together <= 0.8 * small_machine(16).available
    # One that runs already is counted in.
    [(later, _)] = plan_on(refs[:1], "vllm-cpu", "", (), small_machine(16), beside=1)
    assert later.threads == 1
    [(alone, _)] = plan_on(refs[:1], "vllm-cpu", "", (), small_machine(16))
    assert alone.threads == 2


def test_three_engines_do_not_fit_where_one_does(tmp_path: Path) -> None:
    config = project("three-engines", tmp_path / "p")
    refs = starters(config, tmp_path)
    with pytest.raises(EngineError, match=r"3 model\(s\) need 9\.\d GiB of memory, 7\.3 GiB are available") as caught:
        plan_on(refs, "vllm-cpu", "", (), small_machine(8))
    assert "fewer or smaller models" in caught.value.hint
    [(one, _)] = plan_on(refs[:1], "vllm-cpu", "", (), small_machine(8))
    assert one.kv_gib == 2


def test_steps_are_spread_as_the_profile_says() -> None:
    config = ProjectConfig.load(PROFILES / "steps-over-members.toml", environment={})
    takes = {step: [m.name for m in config.members if step in m.steps] for step in ("extract", "classify", "verify")}
    assert takes == {"extract": ["everyday", "science"], "classify": ["broad"], "verify": ["broad"]}
    assert config.steps.verifier == "broad"
    others = ProjectConfig.load(PROFILES / "three-engines.toml", environment={})
    assert all(set(m.steps) == set(takes) for m in others.members)
