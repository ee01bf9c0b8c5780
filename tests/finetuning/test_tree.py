"""Trees: what branches share is read once, and loss and gradients are those of separate sequences."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetuning.gold import GOLD, LABELS
from tools.finetuning.objective import losses_of
from tools.finetuning.records import Mix, Record, RecordMaker
from tools.finetuning.tree import END_OF_TURN, Tree, batches, collate, encode, pack

WEIGHTS = {"extract": 1.0, "classify": 2.0, "verify": 0.5}
SHOWN = 0.3


def made(count: int, *, demonstrations: bool = True) -> list[Record]:
    mix = Mix(no_demonstrations=0.0 if demonstrations else 1.0, max_demonstrations=2)
    maker = RecordMaker(GOLD, LABELS, mix, random.Random(11))
    return [maker.make(index % len(GOLD)) for index in range(count)]


def encoded(record: Record, tokenizer: Any) -> Tree:
    return encode(record, tokenizer, weights=WEIGHTS, demonstration_weight=SHOWN)


def prompt_ids(record: Record, branch: int, tokenizer: Any) -> list[int]:
    chat = [{"role": role, "content": content} for role, content in record.branches[branch].messages]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def answer_ids(record: Record, branch: int, tokenizer: Any) -> list[int]:
    return list(tokenizer(record.branches[branch].answer + END_OF_TURN, add_special_tokens=False)["input_ids"])


# -- encoding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("demonstrations", [False, True])
def test_every_branch_reads_as_prompt_and_answer(tokenizer: Any, demonstrations: bool) -> None:
    for record in made(len(GOLD), demonstrations=demonstrations):
        tree = encoded(record, tokenizer)
        prefix = [i for i, b in enumerate(tree.branch) if b == 0]
        assert prefix == list(range(len(prefix)))
        assert max(tree.branch) == len(record.branches)
        for number in range(1, len(record.branches) + 1):
            path = prefix + [i for i, b in enumerate(tree.branch) if b == number]
            whole = prompt_ids(record, number - 1, tokenizer) + answer_ids(record, number - 1, tokenizer)
            assert [tree.tokens[i] for i in path] == whole
            assert [tree.positions[i] for i in path] == list(range(len(whole)))


def test_sharing_is_worth_it(tokenizer: Any) -> None:
    record = made(2)[1]
    apart = sum(
        len(prompt_ids(record, n, tokenizer)) + len(answer_ids(record, n, tokenizer))
        for n in range(len(record.branches))
    )
    assert len(encoded(record, tokenizer)) < apart / 2


def test_targets_are_the_answers_and_the_demonstrations_entity_lines(tokenizer: Any) -> None:
    for record in made(len(GOLD)):
        tree = encoded(record, tokenizer)
        by_weight: dict[tuple[int, float], list[int]] = {}
        for index, token, weight in tree.targets:
            by_weight.setdefault((tree.branch[index], weight), []).append(token)
        for number, branch in enumerate(record.branches, 1):
            told = tokenizer.decode(by_weight.pop((number, WEIGHTS[branch.step])))
            assert told == branch.answer + END_OF_TURN
        shown = "".join("".join(f"{e.code}: {e.text}\n" for e in d.entities) or "-\n" for d in record.demonstrations)
        assert len(by_weight) <= 1
        read = tokenizer.decode(by_weight.get((0, SHOWN), []))
        # A token may begin with the line break before its line or end in the one after; such tokens are left out.
        assert read.replace("\n", "") == shown.replace("\n", "")


def test_a_target_is_the_token_that_follows_on_its_own_branch(tokenizer: Any) -> None:
    for record in made(4):
        tree = encoded(record, tokenizer)
        for index, token, _ in tree.targets:
            number = tree.branch[index]
            follows = next(
                i for i in range(index + 1, len(tree)) if tree.branch[i] == number and tree.positions[i] == tree.positions[index] + 1
            )  # fmt: skip
            assert tree.tokens[follows] == token


def test_tokens_of_prompt_and_answer_are_the_tokens_of_both_together(starter_tokenizer: Any) -> None:
    """What training joins must be what an engine sees: no token may span the border."""
    seen = Counter[str]()
    for record in made(2 * len(GOLD)):
        for number, branch in enumerate(record.branches):
            chat = [{"role": role, "content": content} for role, content in branch.messages]
            text = starter_tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            together = starter_tokenizer(text + branch.answer + END_OF_TURN, add_special_tokens=False)["input_ids"]
            apart = prompt_ids(record, number, starter_tokenizer) + answer_ids(record, number, starter_tokenizer)
            assert together == apart, branch.answer
            assert together[-1] == starter_tokenizer.convert_tokens_to_ids(END_OF_TURN)
            # What the server makes of the same messages.
            ready = starter_tokenizer.apply_chat_template(
                chat, tokenize=True, add_generation_prompt=True, return_dict=True
            )
            assert list(ready["input_ids"]) == prompt_ids(record, number, starter_tokenizer)
            seen[branch.step] += 1
    assert min(seen[step] for step in ("extract", "classify", "verify")) > 10


# Words that the starter's tokenizer cuts after one letter which another code of the set begins with: their vote is
# shared with that code. Codes are made of words without a tokenizer, so this is a limit to know, not one to grow.
SHARED_BEGINNINGS = {("matscholar", "crystal"), ("wnut17", "corporation")}


def test_codes_are_told_apart_by_their_first_token(starter_tokenizer: Any) -> None:
    from tools.finetuning.corpora import LABEL_SETS, corpus_labels

    sets = sorted(path.stem for path in LABEL_SETS.glob("*.toml"))
    assert len(sets) > 20
    shared = set()
    for name in sets:
        codes = [*corpus_labels(name).codes.values(), "none"]
        for code in codes:
            first = starter_tokenizer.decode(starter_tokenizer(code, add_special_tokens=False)["input_ids"][:1])
            if any(other != code and other.startswith(first) for other in codes):
                shared.add((name, code))
    assert shared <= SHARED_BEGINNINGS


# -- masks ------------------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    prefix = draw(st.integers(1, 6))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    branch = [0] * prefix + [n for n, size in enumerate(sizes, 1) for _ in range(size)]
    positions = list(range(prefix)) + [prefix + i for size in sizes for i in range(size)]
    tokens = draw(st.lists(st.integers(3, 40), min_size=len(branch), max_size=len(branch)))
    return Tree(tokens, positions, branch, [(len(branch) - 1, tokens[-1], 1.0)])


@given(st.lists(st.lists(trees(), min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_token_sees_its_record_s_prefix_and_its_own_branch_up_to_itself(rows: list[list[Tree]]) -> None:
    batch = collate(rows, pad=2)
    mask = batch.mask[:, 0].tolist()
    for r, row in enumerate(rows):
        owner = [(number, tree.branch[i], i) for number, tree in enumerate(row) for i in range(len(tree))]
        flat = [token for tree in row for token in tree.tokens]
        assert batch.tokens[r].tolist()[: len(flat)] == flat
        assert set(batch.tokens[r].tolist()[len(flat) :]) <= {2}
        for i, (record, branch, _) in enumerate(owner):
            wanted = {j for j, (other, its, _) in enumerate(owner) if other == record and j <= i and its in (0, branch)}
            assert {j for j, sees in enumerate(mask[r][i]) if sees} == wanted
        # Padding sees something, or attention there would be nothing divided by nothing.
        assert all(any(line) for line in mask[r])


@given(st.lists(trees(), min_size=1, max_size=30), st.integers(6, 40))
def test_packing_loses_and_doubles_no_tree_that_fits(given_: list[Tree], length: int) -> None:
    rows = list(pack(given_, length))
    assert all(sum(map(len, row)) <= length for row in rows)
    packed = Counter(id(tree) for row in rows for tree in row)
    assert packed == Counter(id(tree) for tree in given_ if len(tree) <= length)


def test_batches_hold_so_many_rows(tokenizer: Any) -> None:
    rows = [[encoded(record, tokenizer)] for record in made(5)]
    grouped = list(batches(iter(rows), 2, pad=2))
    assert [b.tokens.shape[0] for b in grouped] == [2, 2, 1]
    assert all(b.tokens.shape[1] % 32 == 0 for b in grouped)
    assert sum(len(b.labels) for b in grouped) == sum(len(row[0].targets) for row in rows)


# -- losses -----------------------------------------------------------------------------------------


def test_packed_loss_and_gradients_are_those_of_separate_sequences(tiny: Path, tokenizer: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model: Any = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, attn_implementation="sdpa")
    model.eval()
    wrapped = SimpleNamespace(base_model=SimpleNamespace(model=model))
    records = made(5)
    coded = [encoded(record, tokenizer) for record in records]
    assert any(w == SHOWN for tree in coded for _, _, w in tree.targets)

    packed, _ = losses_of(wrapped, collate([coded[:2], coded[2:4], coded[4:]], pad=2))
    packed.backward()  # type: ignore[no-untyped-call]
    joint = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    total, weight_sum = torch.zeros(()), 0.0
    for record, tree in zip(records, coded, strict=True):
        for number in range(1, len(record.branches) + 1):
            path = [i for i, b in enumerate(tree.branch) if b in (0, number)]
            where = {index: at for at, index in enumerate(path)}
            ids = torch.tensor([[tree.tokens[i] for i in path]])
            logits = model(input_ids=ids).logits[0]
            # What demonstrations teach is in the prefix and counts once, with the first branch.
            for index, token, weight in tree.targets:
                if tree.branch[index] == number or (tree.branch[index] == 0 and number == 1):
                    loss = torch.nn.functional.cross_entropy(logits[where[index]][None], torch.tensor([token]))
                    total = total + weight * loss
                    weight_sum += weight
    separate = total / weight_sum
    separate.backward()  # type: ignore[no-untyped-call]
    assert float(packed.detach()) == pytest.approx(float(separate.detach()), abs=1e-4)
    assert len(joint) > 10
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(joint[name], parameter.grad, atol=1e-4), name


def test_the_test_above_would_notice_a_wrong_mask(tiny: Path, tokenizer: Any) -> None:
    from dataclasses import replace

    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, attn_implementation="sdpa")
    model.eval()
    wrapped = SimpleNamespace(base_model=SimpleNamespace(model=model))
    batch = collate([[encoded(record, tokenizer) for record in made(2)]], pad=2)
    causal = torch.ones_like(batch.mask).tril()
    with torch.no_grad():
        right, wrong = losses_of(wrapped, batch)[0], losses_of(wrapped, replace(batch, mask=causal))[0]
    assert abs(float(right) - float(wrong)) > 1e-3
