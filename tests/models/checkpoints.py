"""Tiny checkpoints and adapters, written without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN, INNER, VOCABULARY, LAYERS = 16, 24, 64, 2
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}


def tiny_base(folder: Path, seed: int = 1) -> Path:
    """A two-layer Llama in float32 with random weights."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tensors = {"model.embed_tokens.weight": rng.normal(size=(VOCABULARY, HIDDEN)), "model.norm.weight": np.ones(HIDDEN)}
    shapes = {
        "self_attn.q_proj": (16, HIDDEN),
        "self_attn.k_proj": (8, HIDDEN),
        "self_attn.v_proj": (8, HIDDEN),
        "self_attn.o_proj": (HIDDEN, 16),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = rng.normal(size=shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = np.ones(HIDDEN)
    save_file({name: value.astype(np.float32) for name, value in tensors.items()}, folder / "model.safetensors")
    return folder


def tiny_adapter(
    folder: Path, *, rank: int = 4, rows: int = 16, columns: int = HIDDEN, layer: int = 0, seed: int = 2
) -> Path:
    """A LoRA adapter for one query projection of ``tiny_base``; scaling alpha / rank is 2."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": ["q_proj"],
        "layers_to_transform": [layer],
        "base_model_name_or_path": "tiny",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    prefix = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
    tensors = {
        f"{prefix}.lora_A.weight": rng.normal(size=(rank, columns)).astype(np.float32),
        f"{prefix}.lora_B.weight": rng.normal(size=(rows, rank)).astype(np.float32),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
