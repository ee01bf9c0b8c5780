"""The training loop of a user's adapter: measured on a dev part, stopped early, resumable at any moment."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tools.finetuning.checkpoints import checkpoint, save
from tools.finetuning.errors import TrainingError
from tools.finetuning.objective import Losses, Objective, learn, measure
from tools.finetuning.tree import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

Stopped = Literal["steps", "time", "patience"]


@dataclass(frozen=True, slots=True)
class FitConfig:
    """How to fit; the learning rate warms up, then falls along a cosine to a tenth.

    Attributes:
        steps: The most optimizer steps.
        seconds: The most time, resumed trainings counted together.
        learning_rate: Its highest.
        warmup: Share of the training that warms up.
        clip: The gradient's largest norm.
        evaluate_every: Steps between two looks at the dev part.
        patience: Looks without an improvement after which it stops; 0 never stops early.
        least: The relative improvement of the dev loss that counts as one.
        checkpoint_seconds: Time between two checkpoints.
    """

    steps: int
    seconds: float = math.inf
    learning_rate: float = 5e-4
    warmup: float = 0.06
    clip: float = 1.0
    evaluate_every: int = 20
    patience: int = 4
    least: float = 0.002
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class FitProgress:
    """What the loop tells its watcher after each step.

    Attributes:
        step: Steps taken, those before a resume among them.
        steps: The most there will be.
        losses: Of this step.
        dev_loss: The latest on the dev part; nan before the first look or without one.
        tokens: Read so far.
        seconds: Since the beginning, pauses left out.
        eta: Seconds until the end at the latest; early stopping may come sooner.
    """

    step: int
    steps: int
    losses: Losses
    dev_loss: float
    tokens: int
    seconds: float
    eta: float


@dataclass(slots=True)
class FitState:
    """What a checkpoint keeps beside weights and optimizer."""

    fingerprint: str = ""
    seconds: float = 0.0
    tokens: int = 0
    dev_before: float = math.nan
    best_step: int = 0
    best_loss: float = math.nan
    bad: int = 0
    history: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, mean training loss since the last look, dev loss)"""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came out.

    Attributes:
        adapter: Folder of the best adapter (float32 safetensors).
        steps: Steps taken.
        stopped: Why it ended.
        state: Losses and counts.
    """

    adapter: Path
    steps: int
    stopped: Stopped
    state: FitState


def resume_point(out: Path, fingerprint: str) -> tuple[int, Path | None, FitState]:
    """Where a killed training goes on; what another training left is removed.

    Args:
        out: The working folder.
        fingerprint: Identifies data, base and options; a checkpoint of others is of no use.

    Returns:
        The step, the adapter to load, and the state; 0 and None to begin anew.
    """
    step, adapter = checkpoint(out)
    if (out / "best.old").is_dir() and not (out / "best").exists():
        (out / "best.old").rename(out / "best")
    if adapter is not None:
        kept: dict[str, Any] = json.loads((out / "state.json").read_text(encoding="utf-8")).get("fit") or {}
        state = FitState(**kept) if kept else FitState()
        state.history = [(int(s), float(a), float(b)) for s, a, b in state.history]
        if state.fingerprint == fingerprint and (not state.best_step or (out / "best").is_dir()):
            return step, adapter, state
    shutil.rmtree(out, ignore_errors=True)
    return 0, None, FitState(fingerprint=fingerprint)


def rate_at(progress: float, warmup: float) -> float:
    """The share of the learning rate at a progress from 0 to 1."""
    if progress < warmup:
        return max(0.02, progress / warmup)
    done = min(1.0, (progress - warmup) / max(1e-9, 1 - warmup))
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def fit(
    model: Any,
    batches: Iterable[Batch],
    dev: list[Batch],
    objective: Objective,
    config: FitConfig,
    out: Path,
    *,
    watch: Callable[[FitProgress], None],
    state: FitState,
    first_step: int = 0,
    device: str = "cpu",
) -> Fitted:
    """Train until the steps, the time or the patience are used up.

    Args:
        model: From ``load_trainable``; with the checkpoint's adapter where it goes on.
        batches: Endless, and the same each time they are made: a resumed training skips those it has had.
        dev: What the loss is watched on; may be empty.
        objective: What is learned from.
        config: Steps, time, patience.
        out: Working folder: checkpoint in ``adapter``, the best so far in ``best``.
        watch: Told after every step.
        state: From ``resume_point``.
        first_step: From ``resume_point``.
        device: Where the model is.

    Returns:
        The best adapter by dev loss, or the last one without a dev part.

    Raises:
        TrainingError: A loss is no number, or a checkpoint cannot be written; the
            last one stays whole.
    """
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0, betas=(0.9, 0.98))
    if first_step and (out / "optimizer.pt").is_file():
        optimizer.load_state_dict(torch.load(out / "optimizer.pt", weights_only=True))
    watched = [batch.to(device) for batch in dev]
    source: Iterator[Batch] = itertools.islice(iter(batches), first_step, None)
    clock = _Clock(state.seconds)
    saved = time.monotonic()
    recent: list[float] = []
    step, stopped = first_step, _over(first_step, state, config)

    def look() -> None:
        loss, _ = measure(model, watched)
        train = sum(recent) / len(recent) if recent else math.nan
        recent.clear()
        if not step:
            state.dev_before = state.best_loss = loss
        elif not loss > state.best_loss * (1 - config.least):
            state.best_step, state.best_loss, state.bad = step, loss, 0
            with _room(out):
                _keep_best(model, out)
        else:
            state.bad += 1
        state.history.append((step, train, loss))
        if not math.isfinite(loss):
            raise _no_number("dev loss", loss, step, out)

    def store() -> None:
        state.seconds = clock.seconds
        with _room(out):
            save(model, optimizer, out, step, config, {"fit": _plain(state)})

    if watched and not step and not state.history:
        look()
    model.train()
    while stopped is None:
        batch = next(source).to(device)
        done = max(step / config.steps, clock.seconds / config.seconds)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_at(done, config.warmup)
        losses = learn(model, batch, objective)
        if not losses.finite:
            raise _no_number("loss", losses.answers, step, out)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.clip))
        if not math.isfinite(norm):
            # Stepping would write it into every weight, and the next checkpoint would keep it.
            raise _no_number("gradient's norm", norm, step, out)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        recent.append(losses.answers)
        state.tokens += int((batch.records >= 0).sum()) if batch.records is not None else batch.tokens.numel()
        if watched and (step % config.evaluate_every == 0 or _over(step, state, config, clock.seconds)):
            look()
        stopped = _over(step, state, config, clock.seconds)
        latest = state.history[-1][2] if state.history else math.nan
        watch(FitProgress(step, config.steps, losses, latest, state.tokens, clock.seconds, _eta(step, clock, config)))
        if stopped is None and time.monotonic() - saved > config.checkpoint_seconds:
            store()
            saved = time.monotonic()
    store()
    best = out / "best"
    if not watched:
        best = out / "adapter"
    elif not state.best_step:
        # Nothing beat the beginning: what was trained is given back, and the summary says so.
        best = out / "adapter"
    return Fitted(best, step, stopped, state)


class _Clock:
    def __init__(self, before: float) -> None:
        self._before = before
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning, pauses left out."""
        return self._before + time.monotonic() - self._begun


def _over(step: int, state: FitState, config: FitConfig, seconds: float | None = None) -> Stopped | None:
    if step >= config.steps:
        return "steps"
    if (state.seconds if seconds is None else seconds) >= config.seconds:
        return "time"
    return "patience" if config.patience and state.bad >= config.patience else None


def _eta(step: int, clock: _Clock, config: FitConfig) -> float:
    by_steps = (config.steps - step) * clock.seconds / max(1, step)
    return max(0.0, min(by_steps, config.seconds - clock.seconds))


def _plain(state: FitState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in FitState.__slots__}


def _keep_best(model: Any, out: Path) -> None:
    fresh, best, old = out / "best.tmp", out / "best", out / "best.old"
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    model.save_pretrained(fresh, safe_serialization=True, save_embedding_layers=False)
    if best.exists():
        best.rename(old)
    fresh.rename(best)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _room(out: Path) -> Iterator[None]:
    """Tell a full disk, or one that may not be written, as what it is."""
    from safetensors import SafetensorError

    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        line = " ".join(str(error).split())[:160]
        raise TrainingError(
            f"{out}: a checkpoint cannot be written ({line})",
            "make room and give the same command again: it goes on from the last whole checkpoint",
        ) from error


def _no_number(what: str, value: float, step: int, out: Path) -> TrainingError:
    last, adapter = checkpoint(out)
    kept = f"the checkpoint of step {last} is kept in {adapter}" if adapter else "there was no checkpoint yet"
    return TrainingError(f"the {what} is {value} after {step} steps", f"{kept}; try a lower --learning-rate")
