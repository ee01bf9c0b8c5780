"""Attention inside records only: what packed rows cost where no kernel knows their mask.

A row of several records has a mask that is empty between them. A dense kernel
computes those scores all the same; on CPUs that was six tenths of a training
step. Here each record is attended to alone, and in a record the shared prefix,
which is plainly causal, apart from the branches. In bf16 on a CPU the scores are
two batched products around a softmax: with short records that takes a third to
half of the time of torch's fused kernel, which computes in float32 there.

Importing this module registers the implementation with transformers under
``BLOCKS``; the model is then called with ``blocks=blocks_of(records, branch)``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

if TYPE_CHECKING:
    from tools.finetuning.tree import Batch

BLOCKS = "quorum_blocks"


@dataclass(frozen=True, slots=True)
class Block:
    """One record in a row: its tokens from ``start``, branches from ``fork``, up to ``end``."""

    row: int
    start: int
    fork: int
    end: int


def blocks_of(records: torch.Tensor, mask: torch.Tensor) -> list[Block]:
    """Where the records of a batch lie.

    Args:
        records: (rows, length), the number of each token's record, -1 for padding.
        mask: (rows, 1, length, length), which tokens see which.

    Returns:
        Blocks by row and place. ``fork`` is the first token that does not see
        all before it in its record.
    """
    found = []
    for row, numbers in enumerate(records.tolist()):
        at = 0
        while at < len(numbers) and numbers[at] >= 0:
            end = at
            while end < len(numbers) and numbers[end] == numbers[at]:
                end += 1
            own = mask[row, 0, at:end, at:end]
            short = own.sum(dim=1) < torch.arange(1, end - at + 1, device=own.device)
            fork = at + int(short.int().argmax()) if bool(short.any()) else end
            found.append(Block(row, at, fork, end))
            at = end
    return found


def block_options(config: Any, batch: Batch) -> dict[str, Any]:
    """What to call a model with so that it attends inside records; nothing where it attends otherwise.

    Args:
        config: The model's.
        batch: With its records.
    """
    if config._attn_implementation != BLOCKS or batch.records is None:
        return {}
    return {"blocks": blocks_of(batch.records, batch.mask)}


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    blocks: Sequence[Block] = (),
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it.

    Args:
        module: The layer; not needed.
        query: (rows, heads, length, size).
        key: (rows, key heads, length, size).
        value: As ``key``.
        attention_mask: (rows, 1, length, length), true where a token is seen.
        scaling: Of the scores; by the root of the size when None.
        dropout: Of the probabilities.
        blocks: From ``blocks_of``; without any the mask alone says what is seen.

    Returns:
        (rows, length, heads, size), zeros at padding, and no probabilities.
    """
    rows, heads, length, size = query.shape
    options: dict[str, Any] = {"scale": scaling, "dropout_p": dropout, "enable_gqa": key.shape[1] != heads}
    if not blocks:
        seen = None if attention_mask is None else attention_mask[:, :, :, : key.shape[2]]
        return scaled_dot_product_attention(query, key, value, attn_mask=seen, **options).transpose(1, 2), None
    plain = query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout
    pieces: list[list[torch.Tensor]] = [[] for _ in range(rows)]
    for b in blocks:
        q, k, v = (x[b.row : b.row + 1, :, b.start : b.end] for x in (query, key, value))
        fork = b.fork - b.start
        head, head_k, head_v = q[:, :, :fork], k[:, :, :fork], v[:, :, :fork]
        if plain:
            pieces[b.row].append(_products(head, head_k, head_v, _causal(fork), options["scale"]))
            if b.fork < b.end:
                seen = attention_mask[b.row, 0, b.fork : b.end, b.start : b.end]
                pieces[b.row].append(_products(q[:, :, fork:], k, v, seen, options["scale"]))
            continue
        pieces[b.row].append(scaled_dot_product_attention(head, head_k, head_v, is_causal=True, **options))
        if b.fork < b.end:
            seen = attention_mask[b.row : b.row + 1, :, b.fork : b.end, b.start : b.end]
            pieces[b.row].append(scaled_dot_product_attention(q[:, :, fork:], k, v, attn_mask=seen, **options))
    whole = []
    for parts in pieces:
        filled = sum(part.shape[2] for part in parts)
        whole.append(torch.cat([*parts, query.new_zeros(1, heads, length - filled, size)], dim=2))
    return torch.cat(whole).transpose(1, 2), None


@functools.lru_cache(maxsize=8)
def _causal(length: int) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


def _products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor, scale: float | None
) -> torch.Tensor:
    """Attention of one record by plain products; query (1, heads, n, size), seen (n, m) boolean."""
    _, heads, length, size = query.shape
    groups = key.shape[1]
    # Heads that share a key are one tall matrix, so that keys and values are never repeated.
    tall = (query[0] * (size**-0.5 if scale is None else scale)).reshape(groups, heads // groups * length, size)
    scores = torch.bmm(tall, key[0].transpose(1, 2)).view(heads, length, -1)
    scores = scores + torch.zeros_like(seen, dtype=scores.dtype).masked_fill_(~seen, float("-inf"))
    shares = torch.softmax(scores, dim=-1).view(groups, heads // groups * length, -1)
    return torch.bmm(shares, value[0]).view(1, heads, length, size)


ALL_ATTENTION_FUNCTIONS.register(BLOCKS, attend)
