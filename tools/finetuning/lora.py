"""A LoRA adapter on any causal model that transformers knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.errors import ModelError
from tools.finetuning.errors import TrainingError

LARGE = 2 * 2**30
"""Bytes of weights from which activations are computed twice rather than kept."""


def pick_device(wanted: str = "auto") -> str:
    """The torch device to train on.

    Args:
        wanted: auto, cpu, cuda, or cuda with a number.

    Raises:
        TrainingError: There is no such device here.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or (kind == "cpu" and number):
        raise TrainingError(f"unknown device {wanted!r}", "auto, cpu, cuda or cuda:0")
    if kind == "cuda" and (not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count()):
        raise TrainingError(f"there is no device {wanted} here", "quorum doctor says what this machine has")
    return wanted


def targets_of(model: Any) -> list[str]:
    """The names of a model's linear layers, those that read and write tokens left out.

    LoRA on all linear layers: BANER's choice, and that of LLMs4NER (arXiv
    2601.17898). The names differ by architecture (``q_proj`` or ``qkv_proj``),
    so they are read off the model.
    """
    import torch

    head = model.get_output_embeddings()
    found = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and "vision" not in name
    }
    return sorted(found)


def load_trainable(
    base: Path,
    *,
    init: Path | None = None,
    rank: int = 16,
    alpha: int | None = None,
    dropout: float = 0.0,
    seed: int = 13,
    device: str = "cpu",
) -> Any:
    """A base in bf16 with an adapter in float32 that can be trained.

    Args:
        base: Folder of a safetensors checkpoint.
        init: Adapter to begin with; its own rank holds then.
        rank: Of a fresh adapter.
        alpha: Its scaling; twice the rank by default.
        dropout: Of a fresh adapter.
        seed: Of a fresh adapter's matrices, and of dropout.
        device: From ``pick_device``.

    Returns:
        The PEFT model.

    Raises:
        ModelError: The base does not load, or the adapter is a pickle.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from tools.finetuning.attention import BLOCKS
    from tools.finetuning.lean import make_lean

    if init is not None and not (init / "adapter_model.safetensors").is_file():
        raise ModelError(f"{init}: no adapter_model.safetensors in it", "a pickle (.bin) is never loaded")
    torch.manual_seed(seed)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        text = AutoConfig.from_pretrained(base, trust_remote_code=False).get_text_config()
        # torch's fused attention cannot bend scores as Gemma 2 does; on a CPU it computes what packed rows mask.
        fused = BLOCKS if device == "cpu" else "sdpa"
        attention = "eager" if getattr(text, "attn_logit_softcapping", None) else fused
        model: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.bfloat16, attn_implementation=attention, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        line = " ".join(str(error).split())[:200]
        raise ModelError(f"cannot load {base}: {line}", "a causal model as safetensors is needed") from error
    model.to(device)
    if init is not None:
        wrapped: Any = PeftModel.from_pretrained(model, init, is_trainable=True, use_safetensors=True)
    else:
        wrapped = get_peft_model(
            model,
            LoraConfig(
                r=rank,
                lora_alpha=2 * rank if alpha is None else alpha,
                lora_dropout=dropout,
                target_modules=targets_of(model),
                task_type="CAUSAL_LM",
            ),
        )
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    make_lean(wrapped)
    if sum(p.numel() * p.element_size() for p in model.parameters()) > LARGE:
        wrapped.enable_input_require_grads()
        wrapped.gradient_checkpointing_enable()
    return wrapped


def layers_of(model: Any) -> int:
    """How many blocks a PEFT model's base has."""
    return int(model.base_model.model.config.get_text_config().num_hidden_layers)
