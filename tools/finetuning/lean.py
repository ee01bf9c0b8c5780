"""A LoRA layer's forward pass without needless copies.

PEFT casts a layer's input to the adapter's float32, and autocast casts it back;
scaling and sum are two more passes over the widest tensors there are. On a CPU
those passes cost as much as some of the matrix products. Here the small matrices
are cast instead, and the sum is the product's own accumulation.
"""

from __future__ import annotations

from typing import Any

import torch


def make_lean(model: Any) -> int:
    """Give every plain LoRA layer of a PEFT model the short forward pass.

    Only layers with one active adapter and without variants (DoRA and the like)
    are changed; what they compute stays the same up to rounding.

    Args:
        model: A PEFT model.

    Returns:
        How many layers were changed.
    """
    from peft.tuners.lora.layer import Linear

    changed = 0
    for module in model.modules():
        if isinstance(module, Linear) and isinstance(module.base_layer, torch.nn.Linear) and _plain(module):
            # On the instance: peft's class stays as it is for everyone else.
            module.forward = _Lean(module)  # type: ignore[method-assign]
            changed += 1
    return changed


def _plain(module: Any) -> bool:
    names = list(module.active_adapters)
    return len(names) == 1 and names[0] in module.lora_A and names[0] not in module.lora_variant


class _Lean:
    """The forward pass of one layer."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._usual = module.forward

    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        module = self._module
        if module.disable_adapters or module.merged or not _plain(module) or args or kwargs:
            usual: torch.Tensor = self._usual(x, *args, **kwargs)
            return usual
        name = module.active_adapters[0]
        base: torch.Tensor = module.base_layer(x)
        down = module.lora_A[name].weight.to(base.dtype)
        up = (module.lora_B[name].weight * module.scaling[name]).to(base.dtype)
        low = torch.nn.functional.linear(module.lora_dropout[name](x).to(base.dtype), down)
        return torch.addmm(base.flatten(0, -2), low.flatten(0, -2), up.t()).view(base.shape)
