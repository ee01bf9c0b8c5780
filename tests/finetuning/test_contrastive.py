"""The contrastive loss against a slow reference without vectors, and where its tokens are taken from."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts import load, render
from tests.finetuning.gold import GOLD, LABELS, marked
from tools.annotation import model_text
from tools.finetuning.contrastive import ContrastOptions, contrastive_loss
from tools.finetuning.marks import Group, MarkOptions, find_groups, name_tokens, passage_at, tokens_in
from tools.finetuning.records import Mix, Record, RecordMaker, Scene
from tools.finetuning.tree import Groups, collate, encode
from tools.prompting import label_views

WEIGHTS = {"extract": 1.0, "classify": 1.0, "verify": 1.0}
STILL = Mix(rename=0, bare=0, drop_types=0, shuffle=False, no_demonstrations=0.0, max_demonstrations=2)


# -- a reference made of loops ----------------------------------------------------------------------------


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b)))


def reference(states: list[list[list[float]]], groups: list[tuple[int, Group]], form: str, temperature: float) -> float:
    """The formulas as they stand in the module's text, one number after the other."""
    total = 0.0
    for row, group in groups:
        vectors = [states[row][i] for i in group.anchor]
        anchor = [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]
        near = [cosine(anchor, states[row][i]) for i in group.positives]
        far = [cosine(anchor, states[row][i]) for i in group.negatives]
        if form == "sigmoid":
            margin = (sum(near) - sum(far)) / temperature
            total += math.log(1 + math.exp(-margin))
        else:
            terms = []
            for p in near:
                above = math.exp(p / temperature)
                terms.append(-math.log(above / (above + sum(math.exp(n / temperature) for n in far))))
            total += sum(terms) / len(terms)
    return total / len(groups)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, Group]]]:
    rows, length = draw(st.integers(1, 3)), draw(st.integers(4, 12))
    index = st.integers(0, length - 1)

    def some(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(index, min_size=low, max_size=high)))

    groups = [
        (draw(st.integers(0, rows - 1)), Group(some(1, 3), some(1, 2), some(0, 5)))
        for _ in range(draw(st.integers(1, 5)))
    ]
    return rows, length, groups


@given(cases(), st.sampled_from(["sigmoid", "infonce"]), st.sampled_from([0.07, 0.5, 1.0]), st.integers(0, 1000))
def test_losses_are_those_of_the_reference(
    case: tuple[int, int, list[tuple[int, Group]]], form: Any, temperature: float, seed: int
) -> None:
    import torch

    rows, length, groups = case
    hidden = torch.randn(rows, length, 6, generator=torch.Generator().manual_seed(seed))
    packed = Groups.of(groups)
    assert packed is not None
    found = contrastive_loss(hidden, packed, ContrastOptions(form, temperature=temperature))
    assert float(found) == pytest.approx(reference(hidden.tolist(), groups, form, temperature), rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("form", ["sigmoid", "infonce"])
def test_gradients_are_those_of_small_differences(form: Any) -> None:
    import torch

    groups = [(0, Group((0, 1), (3, 4), (2, 5, 6))), (0, Group((1,), (5,), (3,)))]
    packed = Groups.of(groups)
    assert packed is not None
    options = ContrastOptions(form)
    hidden = torch.randn(1, 7, 5, generator=torch.Generator().manual_seed(5)).requires_grad_()
    contrastive_loss(hidden, packed, options).backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    temperature = {"sigmoid": 1.0, "infonce": 0.1}[form]
    for token in range(7):
        for part in range(5):
            sides = []
            for step in (1e-5, -1e-5):
                moved = hidden.detach().double().tolist()
                moved[0][token][part] += step
                sides.append(reference(moved, groups, form, temperature))
            slope = (sides[0] - sides[1]) / 2e-5
            assert float(hidden.grad[0, token, part]) == pytest.approx(slope, rel=1e-2, abs=1e-4)


def test_without_negatives_infonce_costs_nothing_and_defaults_are_what_the_text_says() -> None:
    import torch

    packed = Groups.of([(0, Group((0,), (1, 2), ()))])
    assert packed is not None
    hidden = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    assert float(contrastive_loss(hidden, packed, ContrastOptions("infonce"))) == pytest.approx(0, abs=1e-6)
    assert Groups.of([]) is None
    # BANER reads hidden_states[24] of 32 blocks.
    assert ContrastOptions().layer_of(32) == 24 and ContrastOptions(layer=0).layer_of(4) == 0
    with pytest.raises(ValueError, match="0 to 4, not 5"):
        ContrastOptions(layer=5).layer_of(4)


# -- on a real model, packed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "layer"), [("sigmoid", 1), ("infonce", 2), ("infonce", 0)])
def test_packed_trees_give_the_loss_of_prompts_that_stand_alone(
    tiny: Path, tokenizer: Any, form: Any, layer: int
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from tools.finetuning.lora import load_trainable
    from tools.finetuning.objective import losses_of

    torch.set_num_threads(1)
    maker = RecordMaker(GOLD, LABELS, STILL, random.Random(7))
    made = [maker.make(n) for n in (0, 1, 3, 5)]
    options = MarkOptions()
    trees = [encode(record, tokenizer, weights=WEIGHTS, marks=options) for record in made]
    assert sum(len(tree.groups) for tree in trees) >= 8
    model = load_trainable(tiny)
    model.float().eval()
    batch = collate([trees[:2], trees[2:]], pad=2)
    with torch.no_grad():
        _, packed = losses_of(model, batch, ContrastOptions(form, layer=layer))
        plain: Any = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).float()
        plain.eval()
        total, many = 0.0, 0
        for record, tree in zip(made, trees, strict=True):
            ids = [t for t, b in zip(tree.tokens, tree.branch, strict=True) if b == 0]
            # The prompt alone, nothing packed, no mask of ours: groups found anew on its text.
            chat = [{"role": r, "content": c} for r, c in record.branches[0].messages]
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            assert coded["input_ids"][: len(ids)] == ids and record.scene is not None
            groups = find_groups(record.scene, text, coded["offset_mapping"], options)
            assert groups == tree.groups
            states = plain(input_ids=torch.tensor([coded["input_ids"]]), output_hidden_states=True)
            own = [(0, group) for group in groups]
            if own:
                temperature = {"sigmoid": 1.0, "infonce": 0.1}[form]
                value = reference(states.hidden_states[layer].tolist(), own, form, temperature)
                total, many = total + value * len(own), many + len(own)
    assert packed is not None
    assert float(packed) == pytest.approx(total / many, rel=2e-3)


def test_learning_the_contrast_lowers_it(tiny: Path, tokenizer: Any) -> None:
    import torch

    from tools.finetuning.lora import load_trainable
    from tools.finetuning.objective import Objective, learn, measure

    torch.set_num_threads(1)
    maker = RecordMaker(GOLD, LABELS, STILL, random.Random(7))
    trees = [encode(maker.make(n), tokenizer, weights=WEIGHTS, marks=MarkOptions()) for n in (0, 1)]
    batch = collate([trees], pad=2)
    contrast = ContrastOptions("infonce", weight=1.0, layer=1)
    model = load_trainable(tiny, rank=4)
    model.train()
    _, before = measure(model, [batch], contrast)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(8):
        losses = learn(model, batch, Objective(contrast))
        assert math.isfinite(losses.contrast)
        optimizer.step()
        optimizer.zero_grad()
    _, after = measure(model, [batch], contrast)
    assert after < before - 0.1


# -- which tokens --------------------------------------------------------------------------------------------


def words_of(text: str) -> list[tuple[int, int]]:
    """Offsets of words, as a tokenizer that cuts at blanks would give them."""
    found, at = [], 0
    for word in text.split(" "):
        found.append((at, at + len(word)))
        at += len(word) + 1
    return found


def scene_of(text: str, *mentions: tuple[str, str]) -> tuple[Scene, str, list[tuple[int, int]]]:
    gold = marked(text, *mentions)
    prompt = "Types:\n- person\n- line: cell line (a culture)\n\nText: " + text + "\n"
    offsets, at = [], 0
    for piece in prompt.replace("\n", " \n ").replace(" \n ", "\n").split("\n"):
        offsets += [(at + a, at + b) for a, b in words_of(piece)]
        at += len(piece) + 1
    names = {"person": "person", "line": "cell line"}
    return Scene(text, tuple(sorted(gold.spans)), names), prompt, offsets


def texts(prompt: str, offsets: list[tuple[int, int]], indices: tuple[int, ...]) -> list[str]:
    return [prompt[slice(*offsets[i])] for i in indices]


def test_positives_are_boundary_tokens_and_negatives_stand_around_them() -> None:
    scene, prompt, offsets = scene_of("we saw old Ada Lee King walk home now", ("Ada Lee King", "person"))
    [group] = find_groups(scene, prompt, offsets, MarkOptions())
    assert texts(prompt, offsets, group.anchor) == ["person"]
    assert texts(prompt, offsets, group.positives) == ["Ada", "King"]
    assert texts(prompt, offsets, group.negatives) == ["saw", "old", "walk", "home"]
    [narrow] = find_groups(scene, prompt, offsets, MarkOptions(window=1))
    assert texts(prompt, offsets, narrow.negatives) == ["old", "walk"]


def test_mentions_of_other_types_are_negatives_and_of_the_same_type_never() -> None:
    scene, prompt, offsets = scene_of(
        "Ada Bob grew HeLa cells with Eve", ("Ada", "person"), ("Bob", "person"), ("HeLa", "line"), ("Eve", "person")
    )
    ada, bob, hela, eve = find_groups(scene, prompt, offsets, MarkOptions())
    assert texts(prompt, offsets, ada.positives) == ["Ada", "Ada"]
    assert texts(prompt, offsets, ada.negatives) == ["grew", "HeLa"]
    assert texts(prompt, offsets, bob.negatives) == ["grew", "HeLa"]
    assert texts(prompt, offsets, hela.anchor) == ["line:", "cell", "line"]
    assert texts(prompt, offsets, hela.negatives) == ["Bob", "grew", "cells", "with", "Ada", "Eve"]
    assert texts(prompt, offsets, eve.negatives) == ["cells", "with", "HeLa"]
    [_, _, few, _] = find_groups(scene, prompt, offsets, MarkOptions(others=0, first_only=True))
    assert texts(prompt, offsets, few.anchor) == ["line:"]
    assert texts(prompt, offsets, few.negatives) == ["Bob", "grew", "cells", "with"]


def test_a_mention_inside_another_is_no_negative_of_it() -> None:
    scene, prompt, offsets = scene_of(
        "the Ada Lee cell culture grew", ("Ada Lee cell culture", "line"), ("Ada Lee", "person")
    )
    groups = {group.anchor: group for group in find_groups(scene, prompt, offsets, MarkOptions())}
    line, person = sorted(groups.values(), key=lambda g: -len(g.anchor))
    assert texts(prompt, offsets, line.positives) == ["Ada", "culture"]
    assert texts(prompt, offsets, line.negatives) == ["the", "grew"]
    assert texts(prompt, offsets, person.positives) == ["Ada", "Lee"]
    assert texts(prompt, offsets, person.negatives) == ["the", "cell", "culture"]


def test_the_passage_is_the_last_text_and_a_context_is_not_part_of_it() -> None:
    prompt = "Text: Ada left.\nperson: Ada\n\nText: (Before.) Ada left.\nList Ada left."
    assert passage_at(prompt, "Ada left.") == prompt.index(") Ada") + 2
    assert passage_at("Text: x\n", "nowhere") == -1
    assert tokens_in([(0, 0), (0, 3), (3, 5), (5, 9)], 2, 5) == [1, 2]


@pytest.mark.parametrize("demonstrations", [0.0, 1.0])
def test_marked_tokens_of_real_prompts_read_as_names_and_mentions(
    starter_tokenizer: Any, demonstrations: float
) -> None:
    from dataclasses import replace

    maker = RecordMaker(GOLD, LABELS, replace(STILL, no_demonstrations=1 - demonstrations), random.Random(2))
    seen = 0
    for number in range(len(GOLD)):
        record: Record = maker.make(number)
        tree = encode(record, starter_tokenizer, weights=WEIGHTS, marks=MarkOptions())
        assert record.scene is not None
        mentions = [(s.text_in(record.scene.shown), s.label) for s in record.scene.mentions]
        assert len(tree.groups) == len(mentions)
        prefix = max(i for i, b in enumerate(tree.branch) if b == 0)
        for group, (mention, code) in zip(tree.groups, mentions, strict=True):
            assert max(group.anchor + group.positives + group.negatives) <= prefix
            assert all(tree.branch[i] == 0 for i in group.anchor + group.positives + group.negatives)
            inside = starter_tokenizer.decode(tree.tokens[group.positives[0] : group.positives[1] + 1])
            assert mention in inside and len(inside.strip()) <= len(mention) + 2
            named = starter_tokenizer.decode([tree.tokens[i] for i in group.anchor])
            assert named.strip().startswith(code) and record.scene.names[code].split()[-1] in named
            assert not set(group.positives) & set(group.negatives)
            seen += 1
    assert seen > 20


def test_names_that_begin_another_name_are_told_apart() -> None:
    prompt = "Types:\n- cell\n- cells: cell type (of cell: y)\n- work: work of art<|im_end|>"
    offsets = [(i, i + 1) for i in range(len(prompt))]

    def named(code: str, words: str) -> str:
        return "".join(prompt[i] for i in name_tokens(prompt, offsets, code, words))

    assert named("cell", "cell") == "cell" and name_tokens(prompt, offsets, "cell", "cell")[0] == 9
    assert named("cells", "cell type") == "cells: cell type"
    # The last of the list ends where the turn does.
    assert named("work", "work of art") == "work: work of art"
    assert name_tokens(prompt, offsets, "none", "none") == []


def test_the_system_prompt_lists_types_in_the_form_that_is_looked_for() -> None:
    views = label_views(LABELS)
    system = render(load("extract", "typed.v1"), views, model_text("x")).system
    offsets = [(i, i + 1) for i in range(len(system))]
    assert all(name_tokens(system, offsets, view.code, view.words) for view in views)
