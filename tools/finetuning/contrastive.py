"""The contrastive loss of CLLMFS and BANER over internal representations.

Sources. CLLMFS (arXiv 2408.12834, ECAI 2024) adds an InfoNCE loss at a
mid-to-deep layer to LoRA fine-tuning; its equation, layer, weight and
temperature are not in what we could read. BANER (arXiv 2412.02228, COLING 2025)
has public code of the same build: representations of ``hidden_states[24]`` of 32
blocks, L2-normalised, and::

    L = -mean log sigmoid( sum_p cos(a, p) - sum_n cos(a, n) ),   total = L_LM + 0.001 L

Our reading. ``sigmoid`` is BANER's form, its argument divided by a temperature
(1 is BANER's). ``infonce`` is the textbook form, a term for each positive::

    -log( exp(cos(a,p)/t) / (exp(cos(a,p)/t) + sum_n exp(cos(a,n)/t)) )

averaged over the positives of a group, then over groups. The layer is three
quarters of the depth, as 24 of 32. Which tokens are a, p and n: ``marks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from tools.finetuning.tree import Groups

Form = Literal["sigmoid", "infonce"]
TEMPERATURES: dict[Form, float] = {"sigmoid": 1.0, "infonce": 0.1}


@dataclass(frozen=True, slots=True)
class ContrastOptions:
    """The contrastive loss.

    Attributes:
        form: sigmoid or infonce.
        weight: What it is multiplied with before it is added to the answers' loss.
            BANER has 0.001 for a model of 7 billion weights; ours is larger,
            since at 0.001 a small model does not move at all, and not tuned.
        temperature: None for 1 (sigmoid) or 0.1 (infonce).
        layer: Which hidden states, 0 the embeddings, 1 the first block's; None for
            three quarters of the depth.
    """

    form: Form = "infonce"
    weight: float = 0.05
    temperature: float | None = None
    layer: int | None = None

    def layer_of(self, layers: int) -> int:
        """The index into the hidden states of a model of so many blocks.

        Raises:
            ValueError: There is no such layer.
        """
        if self.layer is None:
            return max(1, round(0.75 * layers))
        if not 0 <= self.layer <= layers:
            raise ValueError(f"the model has hidden states 0 to {layers}, not {self.layer}")
        return self.layer


def contrastive_loss(hidden: torch.Tensor, groups: Groups, options: ContrastOptions) -> torch.Tensor:
    """The loss of a batch.

    Args:
        hidden: Hidden states of one layer, (rows, length, width), any precision;
            computed with in float32.
        groups: From ``collate``.
        options: Form and temperature; the weight is not applied here.

    Returns:
        A scalar in float32.
    """
    import torch

    anchors = _mean(_gather(hidden, groups.rows, groups.anchors), groups.anchors >= 0)
    anchors = torch.nn.functional.normalize(anchors, dim=-1)[:, None]
    here, there = groups.positives >= 0, groups.negatives >= 0
    positive = _cosines(anchors, _gather(hidden, groups.rows, groups.positives))
    negative = _cosines(anchors, _gather(hidden, groups.rows, groups.negatives))
    temperature = options.temperature or TEMPERATURES[options.form]
    if options.form == "sigmoid":
        margin = (positive * here).sum(-1) - (negative * there).sum(-1)
        return -torch.nn.functional.logsigmoid(margin / temperature).mean()
    rest = (negative / temperature).masked_fill(~there, -torch.inf)
    logits = positive / temperature
    # A group may have no negatives at all: its positives then cost nothing.
    together = torch.cat((logits[..., None], rest[:, None].expand(-1, logits.shape[1], -1)), dim=-1)
    terms = torch.logsumexp(together, dim=-1) - logits
    return ((terms * here).sum(-1) / here.sum(-1)).mean()


def _gather(hidden: torch.Tensor, rows: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """States at (groups, n) indices: (groups, n, width) in float32; what fills up reads index 0 and is masked later."""
    return hidden[rows[:, None], indices.clamp(min=0)].float()


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask[..., None].float()
    return (states * weights).sum(1) / weights.sum(1)


def _cosines(anchors: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    import torch

    return (anchors * torch.nn.functional.normalize(states, dim=-1)).sum(-1)
