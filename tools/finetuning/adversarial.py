"""Adversarial perturbation of input embeddings.

CLLMFS (arXiv 2408.12834) names "adversarial embedding augmentation"; its method,
size and place could not be found, and BANER's code has none. This is our reading:
one step is the fast gradient method on embeddings (Miyato et al., arXiv
1605.07725), ``r = e g / |g|``; several are projected gradient descent (Madry et
al., arXiv 1706.06083) inside the same ball. Both losses, clean and perturbed, are
learned from (their sum). The norm is taken over one record (prefix and all its
branches), and e is relative to the norm of the record's embeddings, so that one
setting suits bases of any width and scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class AdversarialOptions:
    """The perturbation.

    Attributes:
        epsilon: Its norm as a share of the norm of a record's embeddings.
        steps: 1 for the fast gradient method, more for projected gradient descent.
        rate: Share of epsilon that each of several steps takes.
    """

    epsilon: float = 0.02
    steps: int = 1
    rate: float = 0.5


def record_norms(values: torch.Tensor, records: torch.Tensor) -> torch.Tensor:
    """The norm of each record, spread to its tokens.

    Args:
        values: (rows, length, width).
        records: (rows, length): number of the record in its row, -1 for padding.

    Returns:
        (rows, length, 1) in float32; 1 for padding.
    """
    import torch

    squares = values.float().pow(2).sum(-1)
    many = int(records.max()) + 1
    sums = torch.zeros(values.shape[0], max(1, many), device=values.device)
    sums.scatter_add_(1, records.clamp(min=0), squares * (records >= 0))
    return torch.where(records >= 0, sums.gather(1, records.clamp(min=0)).sqrt(), 1.0)[..., None]


def perturbed(
    delta: torch.Tensor,
    gradient: torch.Tensor,
    embeddings: torch.Tensor,
    records: torch.Tensor,
    options: AdversarialOptions,
) -> torch.Tensor:
    """The next perturbation: a step along the gradient, kept inside the ball.

    Args:
        delta: The present one, (rows, length, width); zeros at first.
        gradient: Of the loss by the embeddings, the same shape.
        embeddings: Unperturbed.
        records: As in ``record_norms``.
        options: Size and steps.

    Returns:
        A tensor of the same shape in float32, zero where padding is.
    """
    import torch

    radius = options.epsilon * record_norms(embeddings, records)
    share = 1.0 if options.steps == 1 else options.rate
    norms = record_norms(gradient, records)
    direction = torch.where(norms > 0, gradient.float() / norms.clamp(min=1e-30), 0.0)
    moved = delta.float() + share * radius * direction
    size = record_norms(moved, records)
    moved = moved * (radius / size.clamp(min=1e-30)).clamp(max=1.0)
    return torch.where(records[..., None] >= 0, moved, 0.0)
