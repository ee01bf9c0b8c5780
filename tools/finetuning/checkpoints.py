"""Checkpoints of a training: adapter, optimizer and step, whole at any moment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any


def save(model: Any, optimizer: Any, out: Path, step: int, config: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Write adapter, optimizer and step, each by rename: ``checkpoint`` finds whole ones after a kill.

    Args:
        model: The PEFT model.
        optimizer: Its optimizer.
        out: The folder.
        step: How many steps were taken.
        config: A dataclass, kept beside the step.
        extra: More to keep there.
    """
    import torch

    out.mkdir(parents=True, exist_ok=True)
    checkpoint(out)
    fresh, target, old = out / "adapter.tmp", out / "adapter", out / "adapter.old"
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    # Embeddings are not trained; left to itself, PEFT would ask the hub whether they were.
    model.save_pretrained(fresh, safe_serialization=True, save_embedding_layers=False)
    torch.save(optimizer.state_dict(), out / "optimizer.pt.tmp")
    (out / "state.json.tmp").write_text(json.dumps({"step": step, "config": asdict(config), **(extra or {})}, indent=1))
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    (out / "optimizer.pt.tmp").replace(out / "optimizer.pt")
    (out / "state.json.tmp").replace(out / "state.json")
    shutil.rmtree(old, ignore_errors=True)


def checkpoint(out: Path) -> tuple[int, Path | None]:
    """Where a training that was stopped or killed goes on.

    A kill between two renames of ``save`` may leave an adapter one checkpoint
    newer than the step: some steps are then taken twice, which harms nothing.

    Args:
        out: Folder that ``train`` wrote to.

    Returns:
        The step to go on with and the adapter's folder; 0 and None to begin anew.
    """
    target, old, state = out / "adapter", out / "adapter.old", out / "state.json"
    if old.is_dir() and not target.exists():
        old.rename(target)
    if not (state.is_file() and target.is_dir()):
        return 0, None
    return int(json.loads(state.read_text())["step"]), target
