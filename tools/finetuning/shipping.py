"""Making an adapter small and clean enough to ship: bf16, safetensors, no path of the machine that made it."""

from __future__ import annotations

import json
from pathlib import Path

from tools.errors import ModelError

LIMIT = 12 * 2**20


def ship(adapter: Path, target: Path, base: str, *, limit: int | None = LIMIT) -> Path:
    """Copy a trained adapter to where it ships.

    Args:
        adapter: Folder of a trained adapter (fp32 safetensors).
        target: Folder to write; made if missing, files in it are replaced.
        base: What the base model is called, e.g. ``starter-base``.
        limit: Bytes it may have; None for any size, as for a user's own.

    Returns:
        The weights that were written.

    Raises:
        ModelError: It would be larger than the limit, or is no adapter.
    """
    import torch
    from safetensors.torch import load_file, save_file

    try:
        tensors = load_file(adapter / "adapter_model.safetensors")
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{adapter}: not an adapter ({error})", "name the folder that training wrote") from error
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    size = sum(2 * tensor.numel() for tensor in tensors.values())
    if limit is not None and size > limit:
        raise ModelError(f"{adapter}: {size / 2**20:.1f} MB in bf16", f"at most {limit // 2**20}: take a smaller rank")
    target.mkdir(parents=True, exist_ok=True)
    weights = target / "adapter_model.safetensors"
    save_file(
        {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in sorted(tensors.items())},
        weights,
        metadata={"format": "pt"},
    )
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return weights
