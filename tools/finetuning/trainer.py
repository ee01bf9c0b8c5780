"""LoRA over trees of branches, on whatever device there is."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.finetuning.tree import Batch

if TYPE_CHECKING:
    import torch

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How to train; learning-rate schedule is warm-up, then cosine to a tenth."""

    steps: int
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    learning_rate: float = 8e-4
    warmup: float = 0.04
    clip: float = 1.0
    seed: int = 13
    checkpoint_seconds: float = 300.0


@dataclass(slots=True)
class Progress:
    """What a step tells its watcher."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds: float
    extra: dict[str, float] = field(default_factory=dict)


def load_lora(base: Path, config: TrainConfig, resume: Path | None = None) -> Any:
    """The base model in bf16 with a fresh LoRA adapter in fp32, or one to go on with.

    Args:
        base: Folder of a safetensors checkpoint.
        config: Rank and seed.
        resume: Folder of an adapter to go on with.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    from tools.finetuning.attention import BLOCKS

    torch.manual_seed(config.seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, attn_implementation=BLOCKS)
    if resume is not None:
        wrapped: Any = PeftModel.from_pretrained(model, resume, is_trainable=True)
    else:
        lora = LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=list(TARGETS),
            task_type="CAUSAL_LM",
        )
        wrapped = get_peft_model(model, lora)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return wrapped


def answer_loss(model: Any, batch: Batch) -> torch.Tensor:
    """Weighted cross-entropy at the targets only.

    The head is applied to the hidden states before answer tokens, nowhere
    else: with a vocabulary of 49,152 it is a fifth of the work.
    """
    import torch

    from tools.finetuning.attention import block_options

    inner = model.base_model.model
    hidden = inner.model(
        input_ids=batch.tokens,
        attention_mask=batch.mask,
        position_ids=batch.positions,
        use_cache=False,
        **block_options(inner.config, batch),
    ).last_hidden_state
    logits = inner.lm_head(hidden[batch.rows, batch.indices]).float()
    losses = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    return (losses * batch.weights).sum() / batch.weights.sum()


def train(
    model: Any,
    stream: Iterator[Batch],
    config: TrainConfig,
    out: Path,
    *,
    watch: Callable[[Progress], None],
    first_step: int = 0,
    deadline: float = math.inf,
) -> list[float]:
    """Train and leave the adapter in ``out``.

    Args:
        model: From ``load_lora``.
        stream: Endless batches.
        config: Steps and schedule.
        out: Folder for checkpoints and the adapter.
        watch: Called after every step.
        first_step: Where a resumed training goes on.
        deadline: ``time.monotonic()`` after which it stops early, the schedule cut short.

    Returns:
        The loss of every step.

    Raises:
        FloatingPointError: The loss or its gradient was not a number; the last
            checkpoint stays as it is.
    """
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0, betas=(0.9, 0.98))
    state = out / "optimizer.pt"
    if first_step and state.is_file():
        optimizer.load_state_dict(torch.load(state, weights_only=True))
    losses: list[float] = []
    begun = saved = time.monotonic()
    tokens = 0
    model.train()
    for step in range(first_step, config.steps):
        batch = next(stream)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config)
        with torch.autocast(device_type=batch.tokens.device.type, dtype=torch.bfloat16):
            loss = answer_loss(model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"loss is {value} at step {step}")
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.clip))
        if not math.isfinite(norm):
            # Stepping would write it into every weight, and the next checkpoint would keep it.
            raise FloatingPointError(f"the gradient's norm is {norm} at step {step}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(value)
        now = time.monotonic()
        tokens += batch.tokens.numel()
        watch(Progress(step + 1, config.steps, value, tokens / (now - begun), now - begun))
        if now - saved > config.checkpoint_seconds:
            save(model, optimizer, out, step + 1, config)
            saved = now
        if now > deadline:
            break
    save(model, optimizer, out, first_step + len(losses), config)
    return losses


def schedule(step: int, config: TrainConfig) -> float:
    """The share of the learning rate at a step, from 0 to 1."""
    warm = max(1, int(config.steps * config.warmup))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, config.steps - warm)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


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
