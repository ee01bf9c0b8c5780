"""The short forward pass computes what PEFT's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.finetuning.lean import make_lean


def wrapped(tiny: Path, **options: Any) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    model = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM", **options)
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def gradients(model: Any) -> tuple[Any, dict[str, Any]]:
    import torch

    logits = model(input_ids=torch.arange(3, 19)[None]).logits
    logits.float().square().mean().backward()
    return logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_outputs_and_gradients_are_the_same(tiny: Path) -> None:
    import torch

    usual, lean = wrapped(tiny), wrapped(tiny)
    layers = make_lean(lean)
    assert layers == 2 * lean.base_model.model.config.num_hidden_layers
    (expected, wanted), (found, got) = gradients(usual), gradients(lean)
    assert torch.allclose(expected, found, atol=1e-5) and wanted.keys() == got.keys() and wanted
    assert all(torch.allclose(wanted[name], got[name], atol=1e-5) for name in wanted)


def test_a_switched_off_adapter_stays_off(tiny: Path) -> None:
    import torch

    usual, lean = wrapped(tiny), wrapped(tiny)
    make_lean(lean)
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        on = lean(input_ids=ids).logits
        with usual.disable_adapter(), lean.disable_adapter():
            off = lean(input_ids=ids).logits
            assert torch.equal(off, usual(input_ids=ids).logits)
    assert not torch.allclose(on, off)


@pytest.mark.parametrize("variant", ["use_dora"])
def test_variants_keep_their_own_forward_pass(tiny: Path, variant: str) -> None:
    assert make_lean(wrapped(tiny, **{variant: True})) == 0
