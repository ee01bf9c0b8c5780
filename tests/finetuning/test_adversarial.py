"""Perturbed embeddings: sizes and directions against loops, and that both losses are learned from."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.finetuning.gold import GOLD, LABELS
from tools.finetuning.adversarial import AdversarialOptions, perturbed, record_norms
from tools.finetuning.records import Mix, RecordMaker
from tools.finetuning.tree import Batch, collate, encode


def norm(values: list[list[float]]) -> float:
    return math.sqrt(sum(x * x for row in values for x in row))


def step_of(
    delta: list[list[float]],
    gradient: list[list[float]],
    embeddings: list[list[float]],
    epsilon: float,
    share: float,
) -> list[list[float]]:
    """One record's perturbation, number by number."""
    radius, size = epsilon * norm(embeddings), norm(gradient)
    moved = [
        [d + (share * radius * g / size if size else 0.0) for d, g in zip(ds, gs, strict=True)]
        for ds, gs in zip(delta, gradient, strict=True)
    ]
    length = norm(moved)
    scale = min(1.0, radius / length) if length else 1.0
    return [[x * scale for x in row] for row in moved]


@settings(max_examples=60)
@given(
    st.lists(st.integers(-1, 2), min_size=1, max_size=7).map(sorted),
    st.sampled_from([(1, 0.5), (3, 0.5), (2, 0.9)]),
    st.integers(0, 999),
    st.booleans(),
)
def test_steps_are_those_of_the_reference(numbers: list[int], sizes: tuple[int, float], seed: int, flat: bool) -> None:
    import torch

    source = torch.Generator().manual_seed(seed)
    # Records are numbered from 0 and padding stands behind them.
    order = sorted({n for n in numbers if n >= 0})
    records = torch.tensor([[order.index(n) for n in numbers if n >= 0] + [-1] * numbers.count(-1)])
    shape = (1, len(numbers), 4)
    embeddings, gradient = torch.randn(shape, generator=source), torch.randn(shape, generator=source)
    delta = 0.05 * torch.randn(shape, generator=source) * (records >= 0)[..., None]
    if flat:
        gradient = torch.zeros(shape)
    options = AdversarialOptions(0.1, *sizes)
    found = perturbed(delta, gradient, embeddings, records, options)
    for number in range(len(order)):
        own = [i for i, n in enumerate(records[0].tolist()) if n == number]
        wanted = step_of(
            delta[0, own].tolist(),
            gradient[0, own].tolist(),
            embeddings[0, own].tolist(),
            0.1,
            1.0 if options.steps == 1 else options.rate,
        )
        assert torch.allclose(found[0, own], torch.tensor(wanted), atol=1e-5)
        assert norm(found[0, own].tolist()) <= 0.1 * norm(embeddings[0, own].tolist()) * 1.001
    assert not found[0, [i for i, n in enumerate(records[0].tolist()) if n < 0]].any()
    assert torch.equal(record_norms(embeddings, records)[0, records[0] < 0], torch.ones(numbers.count(-1), 1))


@pytest.fixture(scope="module")
def batch(tokenizer: Any) -> Batch:
    import torch

    torch.set_num_threads(1)
    maker = RecordMaker(GOLD, LABELS, Mix(no_demonstrations=1.0), random.Random(3))
    weights = {"extract": 1.0, "classify": 1.0, "verify": 1.0}
    return collate([[encode(maker.make(n), tokenizer, weights=weights) for n in (0, 1)]], pad=2)


def trained(tiny: Path) -> Any:
    import torch

    from tools.finetuning.lora import load_trainable

    model = load_trainable(tiny, rank=4)
    model.float().train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero in a fresh adapter: nothing but B would have a gradient
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
    return model


def gradients(model: Any) -> dict[str, Any]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_are_those_of_the_clean_and_the_perturbed_loss(
    tiny: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    import contextlib

    import torch

    from tools.finetuning.objective import Objective, learn, losses_of

    monkeypatch.setattr(torch, "autocast", lambda **_: contextlib.nullcontext())
    model = trained(tiny)
    options = AdversarialOptions(0.05, steps)
    losses = learn(model, batch, Objective(adversarial=options))
    together = gradients(model)
    # The same by hand: find the perturbation, then add the gradients of two plain losses.
    assert batch.records is not None
    clean = model.get_input_embeddings()(batch.tokens).detach()
    delta = torch.zeros_like(clean)
    for _ in range(steps):
        place = (clean + delta).requires_grad_()
        loss, _ = losses_of(model, batch, embeddings=place)
        delta = perturbed(delta, torch.autograd.grad(loss, place)[0], clean, batch.records, options)
    plain, _ = losses_of(model, batch)
    worse, _ = losses_of(model, batch, embeddings=clean + delta)
    (plain + worse).backward()
    apart = gradients(model)
    assert losses.answers == pytest.approx(float(plain.detach()), rel=1e-5)
    assert losses.perturbed == pytest.approx(float(worse.detach()), rel=1e-4)
    assert losses.perturbed > losses.answers
    assert together.keys() == apart.keys() and len(apart) > 10
    for name, gradient in apart.items():
        assert torch.allclose(together[name], gradient, atol=1e-5, rtol=1e-3), name


def test_more_steps_find_a_worse_place(tiny: Path, batch: Batch) -> None:
    from tools.finetuning.objective import Objective, learn

    model = trained(tiny)
    found = [learn(model, batch, Objective(adversarial=AdversarialOptions(0.2, n))).perturbed for n in (1, 4)]
    assert found[1] > found[0]


def test_a_loss_that_is_no_number_is_not_learned_from(tiny: Path, batch: Batch) -> None:
    from dataclasses import replace

    from tools.finetuning.objective import Objective, learn

    model = trained(tiny)
    poisoned = replace(batch, weights=batch.weights * math.nan)
    for objective in (Objective(), Objective(adversarial=AdversarialOptions())):
        assert not learn(model, poisoned, objective).finite
        assert not gradients(model)
