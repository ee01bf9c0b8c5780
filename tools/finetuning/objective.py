"""What a training step learns from: answers, and where it is wanted contrast and perturbed embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.finetuning.adversarial import AdversarialOptions, perturbed
from tools.finetuning.contrastive import ContrastOptions, contrastive_loss
from tools.finetuning.lora import layers_of
from tools.finetuning.tree import Batch

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Objective:
    """The parts of the loss; answers always count.

    Attributes:
        contrast: The contrastive loss, or None.
        adversarial: The perturbation, or None.
    """

    contrast: ContrastOptions | None = None
    adversarial: AdversarialOptions | None = None


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of one batch: answers, contrast (nan where there is none), and under perturbation."""

    answers: float
    contrast: float = math.nan
    perturbed: float = math.nan

    @property
    def finite(self) -> bool:
        """Whether what was computed is a number (contrast and perturbed may not have been)."""
        return math.isfinite(self.answers) and not any(map(math.isinf, (self.contrast, self.perturbed)))


def losses_of(
    model: Any, batch: Batch, contrast: ContrastOptions | None = None, embeddings: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The two losses of a batch, not yet added.

    The head is applied to the states before answer tokens, nowhere else.

    Args:
        model: A PEFT model.
        batch: On the model's device.
        contrast: Compute the contrastive loss, too.
        embeddings: Instead of those of the tokens.

    Returns:
        Weighted cross-entropy of the answers, and the contrastive loss, or None
        where it is off or the batch has no group.
    """
    import torch

    from tools.finetuning.attention import block_options

    inner = model.base_model.model
    wanted = contrast is not None and batch.groups is not None
    read = {"input_ids": batch.tokens} if embeddings is None else {"inputs_embeds": embeddings}
    mask = batch.mask
    if inner.config._attn_implementation == "eager":
        # It adds the mask to the scores; the others take what may be seen.
        dtype = inner.get_input_embeddings().weight.dtype
        mask = torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
    found = inner.base_model(
        **read,
        attention_mask=mask,
        position_ids=batch.positions,
        use_cache=False,
        output_hidden_states=wanted,
        **block_options(inner.config, batch),
    )
    logits = head_of(inner, found.last_hidden_state[batch.rows, batch.indices])
    single = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    answers = (single * batch.weights).sum() / batch.weights.sum()
    if contrast is None or batch.groups is None:
        return answers, None
    layer = contrast.layer_of(layers_of(model))
    return answers, contrastive_loss(found.hidden_states[layer], batch.groups, contrast)


def head_of(inner: Any, states: torch.Tensor) -> torch.Tensor:
    """Logits in float32 for some states, with what a model does to them after its head."""
    import torch

    config = inner.config.get_text_config()
    logits: torch.Tensor = inner.get_output_embeddings()(states).float()
    # Granite divides, Cohere multiplies, Gemma 2 bends; others do nothing.
    if scale := getattr(config, "logits_scaling", None):
        logits = logits / scale
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


def learn(model: Any, batch: Batch, objective: Objective) -> Losses:
    """Add a batch's gradients to the model's parameters.

    With a perturbation the gradients are those of the clean loss plus the
    perturbed one (two passes; one more for each further step).

    Args:
        model: A PEFT model in training.
        batch: On its device.
        objective: What counts.

    Returns:
        The losses. Where one is not finite nothing more is computed, and the
        gradients must not be used.
    """
    import torch

    device = batch.tokens.device.type
    adversarial = objective.adversarial

    def total(embeddings: torch.Tensor | None) -> tuple[torch.Tensor, float, float]:
        with torch.autocast(device_type=device, dtype=torch.bfloat16):
            answers, contrast = losses_of(model, batch, objective.contrast, embeddings)
        if contrast is None or objective.contrast is None:
            return answers, float(answers.detach()), math.nan
        sum_ = answers + objective.contrast.weight * contrast
        return sum_, float(answers.detach()), float(contrast.detach())

    if adversarial is None or batch.records is None:
        loss, answers, contrast = total(None)
        losses = Losses(answers, contrast)
        if losses.finite:
            loss.backward()  # type: ignore[no-untyped-call]
        return losses
    clean = model.get_input_embeddings()(batch.tokens).detach()
    place = clean.clone().requires_grad_()
    loss, answers, contrast = total(place)
    if not Losses(answers, contrast).finite:
        return Losses(answers, contrast)
    loss.backward()  # type: ignore[no-untyped-call]
    delta = torch.zeros_like(clean, dtype=torch.float32)
    worse = math.nan
    for step in range(adversarial.steps):
        if place.grad is None:
            break
        delta = perturbed(delta, place.grad, clean, batch.records, adversarial)
        place = (clean.float() + delta).to(clean.dtype).requires_grad_()
        loss, worse, _ = total(place)
        if not math.isfinite(worse):
            return Losses(answers, contrast, math.inf)
        if step + 1 < adversarial.steps:
            # On the way to the worst place nothing is learned: only the gradient there is wanted.
            place.grad = torch.autograd.grad(loss, place)[0]
        else:
            loss.backward()  # type: ignore[no-untyped-call]
    return Losses(answers, contrast, worse)


def measure(model: Any, batches: list[Batch], contrast: ContrastOptions | None = None) -> tuple[float, float]:
    """Mean losses over batches, by their answers' weights; nothing is learned.

    Args:
        model: A PEFT model; left in the mode it was in.
        batches: On its device; at least one.
        contrast: Measure the contrastive loss, too.

    Returns:
        The answers' loss, and the contrastive one (nan where there is none).
    """
    import torch

    was = model.training
    model.eval()
    answers = weight = contrasts = groups = 0.0
    try:
        with torch.no_grad():
            for batch in batches:
                with torch.autocast(device_type=batch.tokens.device.type, dtype=torch.bfloat16):
                    own, other = losses_of(model, batch, contrast)
                share = float(batch.weights.sum())
                answers += float(own) * share
                weight += share
                if other is not None and batch.groups is not None:
                    many = len(batch.groups.rows)
                    contrasts += float(other) * many
                    groups += many
    finally:
        model.train(was)
    return answers / weight, contrasts / groups if groups else math.nan
