"""Attention inside records only: the same numbers as under the dense mask."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.finetuning.attention import BLOCKS, Block, attend, block_options, blocks_of
from tools.finetuning.tree import Tree, collate

from .tiny import write_tiny


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    prefix = draw(st.integers(1, 6))
    branches = draw(st.lists(st.integers(1, 4), max_size=3))
    branch = [0] * prefix + [n for n, size in enumerate(branches, 1) for _ in range(size)]
    positions = [*range(prefix), *(prefix + i for size in branches for i in range(size))]
    tokens = draw(st.lists(st.integers(3, 90), min_size=len(branch), max_size=len(branch)))
    return Tree(tokens, positions, branch, [(0, 5, 1.0)])


packed = st.lists(st.lists(trees(), min_size=1, max_size=3), min_size=1, max_size=2)


@given(packed, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_blocks_attend_as_the_dense_mask_does(rows: list[list[Tree]], seed: int) -> None:
    batch = collate(rows, pad=0)
    assert batch.records is not None
    rng = torch.Generator().manual_seed(seed)
    count, length = batch.tokens.shape
    query = torch.randn(count, 4, length, 8, generator=rng)
    key, value = (torch.randn(count, 2, length, 8, generator=rng) for _ in range(2))
    found, _ = attend(None, query, key, value, batch.mask, blocks=blocks_of(batch.records, batch.mask))
    dense, _ = attend(None, query, key, value, batch.mask)
    real = batch.records >= 0
    assert torch.allclose(found[real], dense[real], atol=1e-5)
    assert not found[~real].any()


@given(packed, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_products_in_bf16_are_as_near_to_the_truth_as_the_fused_kernel(rows: list[list[Tree]], seed: int) -> None:
    batch = collate(rows, pad=0)
    assert batch.records is not None
    rng = torch.Generator().manual_seed(seed)
    count, length = batch.tokens.shape
    query, key, value = (torch.randn(count, heads, length, 8, generator=rng) for heads in (4, 2, 2))
    blocks = blocks_of(batch.records, batch.mask)
    half = query.bfloat16(), key.bfloat16(), value.bfloat16()
    found, _ = attend(None, half[0], half[1], half[2], batch.mask, scaling=0.4, blocks=blocks)
    truth, _ = attend(None, query, key, value, batch.mask, scaling=0.4, blocks=blocks)
    assert found.dtype == torch.bfloat16 and torch.allclose(found.float(), truth, atol=0.06)


def test_where_the_records_of_a_row_lie() -> None:
    one = Tree([5, 6, 7, 8, 9], [0, 1, 2, 2, 3], [0, 0, 1, 2, 2], [(0, 5, 1.0)])
    plain = Tree([5, 6], [0, 1], [0, 0], [(0, 5, 1.0)])
    batch = collate([[one, plain], [plain]], pad=0)
    assert batch.records is not None
    assert blocks_of(batch.records, batch.mask) == [Block(0, 0, 3, 5), Block(0, 5, 7, 7), Block(1, 0, 2, 2)]


def test_other_attention_is_called_as_ever() -> None:
    batch = collate([[Tree([5, 6], [0, 1], [0, 0], [(0, 5, 1.0)])]], pad=0)
    assert block_options(SimpleNamespace(_attn_implementation="sdpa"), batch) == {}
    assert set(block_options(SimpleNamespace(_attn_implementation=BLOCKS), batch)) == {"blocks"}


@pytest.mark.transformers
def test_a_model_learns_the_same(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    write_tiny(tmp_path)
    one = Tree([5, 6, 7, 8, 9], [0, 1, 2, 2, 3], [0, 0, 1, 2, 2], [(1, 9, 1.0), (4, 7, 1.0)])
    batch = collate([[one, one], [one]], pad=2)
    gradients = []
    for name in ("sdpa", BLOCKS):
        model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation=name)
        found = model(
            input_ids=batch.tokens,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            use_cache=False,
            **block_options(model.config, batch),
        ).logits[batch.rows, batch.indices]
        torch.nn.functional.cross_entropy(found, batch.labels).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(*gradients, atol=1e-5)
