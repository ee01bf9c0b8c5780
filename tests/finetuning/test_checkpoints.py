"""Checkpoints on a tiny random model: what a kill leaves, what an adapter's training moves."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.finetuning.gold import GOLD, LABELS
from tools.finetuning import checkpoints
from tools.finetuning.checkpoints import checkpoint
from tools.finetuning.lora import load_trainable
from tools.finetuning.objective import Objective, learn
from tools.finetuning.records import Mix, RecordMaker
from tools.finetuning.tree import Batch, collate, encode


@dataclass(frozen=True)
class Config:
    """What a checkpoint says of its training."""

    rank: int = 2


CONFIG = Config()


@pytest.fixture(scope="module")
def batch(tokenizer: Any) -> Batch:
    import torch

    torch.set_num_threads(1)
    maker = RecordMaker(GOLD, LABELS, Mix(max_demonstrations=1), random.Random(3))
    weights = {"extract": 1.0, "classify": 1.0, "verify": 1.0}
    return collate([[encode(maker.make(0), tokenizer, weights=weights)]], pad=2)


class Killed(BaseException):
    """What a kill is to the code under it: nothing that it could catch."""


def finite(model: Any) -> None:
    assert all(bool(p.isfinite().all()) for _, p in model.named_parameters())


def test_training_moves_the_adapter_and_nothing_else(tiny: Path, batch: Batch, tmp_path: Path) -> None:
    import torch

    model = load_trainable(tiny, rank=2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(2):
        learn(model, batch, Objective())
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, p in model.named_parameters() if not before[name].equal(p)}
    assert moved and all("lora_" in name for name in moved)
    assert any("down_proj" in name for name in moved) and any("q_proj" in name for name in moved)
    checkpoints.save(model, optimizer, tmp_path, 2, CONFIG)
    assert sorted(p.suffix for p in (tmp_path / "adapter").iterdir() if "model" in p.name) == [".safetensors"]


@pytest.mark.parametrize("moment", range(8))
def test_a_save_killed_at_any_rename_leaves_a_whole_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    import torch

    model = load_trainable(tiny, rank=2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    checkpoints.save(model, optimizer, tmp_path, 1, CONFIG)
    moves = 0

    def counted(kind: str) -> Any:
        real = getattr(Path, kind)

        def move(self: Path, target: Path) -> Path:
            nonlocal moves
            if moves == moment:
                raise Killed
            moves += 1
            return Path(real(self, target))

        return move

    with monkeypatch.context() as patch:
        for kind in ("rename", "replace"):
            patch.setattr(Path, kind, counted(kind))
        try:
            checkpoints.save(model, optimizer, tmp_path, 2, CONFIG)
            survived = True
        except Killed:
            survived = False
    # Four moves make a save; what is killed later was done.
    assert survived == (moment >= 4)
    step, adapter = checkpoint(tmp_path)
    assert step in (1, 2) and adapter is not None
    finite(load_trainable(tiny, init=adapter))
    torch.load(tmp_path / "optimizer.pt", weights_only=True)
    checkpoints.save(model, optimizer, tmp_path, 3, CONFIG)
    assert checkpoint(tmp_path) == (3, tmp_path / "adapter")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "optimizer.pt", "state.json"]


def test_where_nothing_was_saved_training_begins_anew(tmp_path: Path) -> None:
    assert checkpoint(tmp_path) == (0, None)
    (tmp_path / "state.json").write_text('{"step": 5}')
    assert checkpoint(tmp_path) == (0, None)
