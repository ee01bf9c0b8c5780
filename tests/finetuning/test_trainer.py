"""Training steps on a tiny random model: the schedule, resuming, killed saves, losses that are no number."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.finetuning.gold import GOLD, LABELS
from tools.finetuning import trainer
from tools.finetuning.records import Mix, RecordMaker
from tools.finetuning.trainer import Progress, TrainConfig, checkpoint, load_lora, schedule, train
from tools.finetuning.tree import Batch, collate, encode

WEIGHTS = {"extract": 1.0, "classify": 1.0, "verify": 1.0}
CONFIG = TrainConfig(steps=3, rank=2, alpha=4, learning_rate=0.02, warmup=0.1, checkpoint_seconds=-1.0)


@pytest.fixture(scope="module")
def steps(tokenizer: Any) -> list[Batch]:
    """A batch a step."""
    import torch

    torch.set_num_threads(1)
    maker = RecordMaker(GOLD, LABELS, Mix(max_demonstrations=1), random.Random(3))
    return [collate([[encode(maker.make(n), tokenizer, weights=WEIGHTS)]], pad=2) for n in range(CONFIG.steps)]


def run(
    model: Any, stream: Iterator[Batch], out: Path, first: int = 0, **options: Any
) -> tuple[list[float], list[int]]:
    seen: list[int] = []
    losses = train(model, stream, CONFIG, out, watch=lambda p: seen.append(p.step), first_step=first, **options)
    return losses, seen


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Killed(BaseException):
    """What a kill is to the code under it: nothing that it could catch."""


def test_a_killed_training_goes_on_where_its_checkpoint_is(tiny: Path, steps: list[Batch], tmp_path: Path) -> None:
    whole, seen = run(load_lora(tiny, CONFIG), iter(steps), tmp_path / "whole")
    assert seen == [1, 2, 3] and len(whole) == 3

    def die(progress: Progress) -> None:
        if progress.step == 2:
            raise Killed

    out = tmp_path / "killed"
    with pytest.raises(Killed):
        train(load_lora(tiny, CONFIG), iter(steps), CONFIG, out, watch=die)
    first, adapter = checkpoint(out)
    assert (first, adapter) == (1, out / "adapter")
    losses, seen = run(load_lora(tiny, CONFIG, adapter), iter(steps[first:]), out, first)
    assert seen == [2, 3]
    # Same weights and same optimizer state: the same losses as without the kill.
    assert losses == pytest.approx(whole[1:], rel=2e-3)
    assert checkpoint(out)[0] == 3
    assert json.loads((out / "state.json").read_text())["config"]["rank"] == 2


def test_training_moves_the_adapter_and_nothing_else(tiny: Path, steps: list[Batch], tmp_path: Path) -> None:
    model = load_lora(tiny, CONFIG)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    run(model, iter(steps), tmp_path)
    moved = {name for name, p in model.named_parameters() if not before[name].equal(p)}
    assert moved and all("lora_" in name for name in moved)
    assert any("down_proj" in name for name in moved) and any("q_proj" in name for name in moved)
    assert sorted(p.suffix for p in (tmp_path / "adapter").iterdir() if "model" in p.name) == [".safetensors"]


def test_the_optimizer_goes_on_too(tiny: Path, steps: list[Batch], tmp_path: Path) -> None:
    run(load_lora(tiny, CONFIG), iter(steps), tmp_path, deadline=0.0)
    first, adapter = checkpoint(tmp_path)
    with_state, _ = run(load_lora(tiny, CONFIG, adapter), iter(steps[first:]), tmp_path / "a", first)
    (tmp_path / "a").mkdir(exist_ok=True)
    copy = tmp_path / "b"
    copy.mkdir()
    (copy / "optimizer.pt").write_bytes((tmp_path / "optimizer.pt").read_bytes())
    continued, _ = run(load_lora(tiny, CONFIG, adapter), iter(steps[first:]), copy, first)
    assert with_state[0] == pytest.approx(continued[0]) and with_state[1] != pytest.approx(continued[1], rel=1e-4)


def test_a_deadline_stops_early_and_saves(tiny: Path, steps: list[Batch], tmp_path: Path) -> None:
    losses, seen = run(load_lora(tiny, CONFIG), iter(steps), tmp_path, deadline=0.0)
    assert (len(losses), seen, checkpoint(tmp_path)[0]) == (1, [1], 1)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(
    tiny: Path, steps: list[Batch], tmp_path: Path
) -> None:
    from dataclasses import replace

    poisoned = replace(steps[1], weights=steps[1].weights * float("nan"))
    with pytest.raises(FloatingPointError, match="at step 1"):
        run(load_lora(tiny, CONFIG), iter([steps[0], poisoned]), tmp_path)
    kept = files(tmp_path)
    assert checkpoint(tmp_path)[0] == 1 and not any(".tmp" in name for name in kept)
    finite(load_lora(tiny, CONFIG, tmp_path / "adapter"))


def test_a_gradient_that_is_no_number_is_not_stepped_into_the_weights(
    tiny: Path, steps: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model = load_lora(tiny, CONFIG)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(FloatingPointError, match="gradient"):
        run(model, iter(steps), tmp_path)
    assert all(before[name].equal(p) for name, p in model.named_parameters())
    assert checkpoint(tmp_path) == (0, None)


def finite(model: Any) -> None:
    assert all(bool(p.isfinite().all()) for _, p in model.named_parameters())


@pytest.mark.parametrize("moment", range(8))
def test_a_save_killed_at_any_rename_leaves_a_whole_checkpoint(
    tiny: Path, steps: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    import torch

    model = load_lora(tiny, CONFIG)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    trainer.save(model, optimizer, tmp_path, 1, CONFIG)
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
            trainer.save(model, optimizer, tmp_path, 2, CONFIG)
            survived = True
        except Killed:
            survived = False
    # Four moves make a save; what is killed later was done.
    assert survived == (moment >= 4)
    step, adapter = checkpoint(tmp_path)
    assert step in (1, 2) and adapter is not None
    finite(load_lora(tiny, CONFIG, adapter))
    torch.load(tmp_path / "optimizer.pt", weights_only=True)
    trainer.save(model, optimizer, tmp_path, 3, CONFIG)
    assert checkpoint(tmp_path) == (3, tmp_path / "adapter")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "optimizer.pt", "state.json"]


def test_where_nothing_was_saved_training_begins_anew(tmp_path: Path) -> None:
    assert checkpoint(tmp_path) == (0, None)
    (tmp_path / "state.json").write_text('{"step": 5}')
    assert checkpoint(tmp_path) == (0, None)


def test_the_schedule_warms_up_and_ends_at_a_tenth() -> None:
    config = TrainConfig(steps=100, warmup=0.1)
    rates = [schedule(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0.1 <= rates[-1] < 0.11 and max(rates) == 1.0
    assert schedule(0, TrainConfig(steps=1)) == 1.0
