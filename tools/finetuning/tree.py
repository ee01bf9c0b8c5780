"""Packing records as trees: what branches share is read once.

All branches of a record begin with the same tokens (types, demonstrations,
passage). A record becomes one sequence, the shared prefix and then every
branch, and an attention mask lets a branch see the prefix and itself only;
positions of each branch go on from the prefix. Several records fill one row.
Loss and gradients equal those of separate sequences at a fraction of the
tokens, just as an engine's prefix cache saves them when decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from tools.finetuning.marks import Group, MarkOptions, find_groups
from tools.finetuning.records import Record

if TYPE_CHECKING:
    import torch

END_OF_TURN = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Tree:
    """A record as tokens.

    Attributes:
        tokens: Prefix, then branch after branch.
        positions: Position of each token, as if its branch stood alone.
        branch: 0 for the prefix, else the branch's number from 1.
        targets: (index of the token before, token to predict, weight).
        groups: What the contrastive loss compares; all in the prefix.
    """

    tokens: list[int]
    positions: list[int]
    branch: list[int]
    targets: list[tuple[int, int, float]]
    groups: tuple[Group, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


def encode(
    record: Record,
    tokenizer: Any,
    *,
    weights: dict[str, float],
    demonstration_weight: float = 0.3,
    end: str = END_OF_TURN,
    template_options: Mapping[str, Any] | None = None,
    marks: MarkOptions | None = None,
) -> Tree:
    """Turn a record into a tree.

    Args:
        record: Branches over one passage.
        tokenizer: A fast Hugging Face tokenizer with a chat template.
        weights: Loss weight of an answer token by step.
        demonstration_weight: Loss weight of the entity lines of demonstrations.
        end: What ends an answer in the model's chat template (``end_of_turn``).
        template_options: More variables for the chat template.
        marks: Mark tokens for the contrastive loss.

    Returns:
        The tree; its targets are answer tokens, the end of turn among them,
        and the demonstrations' answers.
    """
    prompts = [_prompt(branch.messages, tokenizer, template_options) for branch in record.branches]
    coded = tokenizer(prompts, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[list[int]] = coded["input_ids"]
    shared = _common_prefix(ids)
    tokens, positions, branch = list(ids[0][:shared]), list(range(shared)), [0] * shared
    targets = [
        (i - 1, tokens[i], demonstration_weight)
        for i in _answer_tokens(prompts[0], coded["offset_mapping"][0][:shared], record)
        if i > 0
    ]
    for number, (tail, item) in enumerate(zip(ids, record.branches, strict=True), 1):
        answer = tokenizer(item.answer + end, add_special_tokens=False)["input_ids"]
        piece = tail[shared:] + answer
        first = len(tokens) + len(tail) - shared
        tokens += piece
        positions += range(shared, shared + len(piece))
        branch += [number] * len(piece)
        weight = weights[item.step]
        targets += [(first + i - 1, token, weight) for i, token in enumerate(answer)]
    groups: tuple[Group, ...] = ()
    if marks is not None and record.scene is not None:
        groups = find_groups(record.scene, prompts[0], coded["offset_mapping"][0][:shared], marks)
    return Tree(tokens, positions, branch, targets, groups)


def end_of_turn(tokenizer: Any, template_options: Mapping[str, Any] | None = None) -> str:
    """What a model's chat template writes after an answer: the token at which decoding stops.

    Args:
        tokenizer: With a chat template.
        template_options: More variables for it.

    Returns:
        The first special token after the answer; the tokenizer's end of sequence
        where the template writes none.
    """
    answer = "quorum"
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
    text = str(tokenizer.apply_chat_template(chat, tokenize=False, **(template_options or {})))
    after = text[text.rindex(answer) + len(answer) :]
    special = [str(t) for t in (*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()) if str(t) in after]
    return min(special, key=lambda t: (after.index(t), -len(t)), default=str(tokenizer.eos_token or END_OF_TURN))


def _prompt(
    messages: Sequence[tuple[str, str]], tokenizer: Any, template_options: Mapping[str, Any] | None = None
) -> str:
    chat = [{"role": role, "content": content} for role, content in messages]
    options = template_options or {}
    return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **options))


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    shortest = min(map(len, sequences))
    for i in range(shortest):
        if any(s[i] != sequences[0][i] for s in sequences):
            return i
    return shortest


def _answer_tokens(prompt: str, offsets: Sequence[tuple[int, int]], record: Record) -> list[int]:
    """Indices of the tokens inside the demonstrations' entity lines."""
    ranges: list[tuple[int, int]] = []
    at = 0
    for demonstration in record.demonstrations:
        head = f"Text: {demonstration.text}\n"
        at = prompt.find(head, at)
        if at < 0:
            break
        begin = at + len(head)
        lines = "".join(f"{e.code}: {e.text}\n" for e in demonstration.entities) or "-\n"
        if prompt.startswith(lines, begin):
            ranges.append((begin, begin + len(lines)))
        at = begin
    return [i for i, (a, b) in enumerate(offsets) if b > a and any(lo <= a and b <= hi for lo, hi in ranges)]


def pack(trees: Iterable[Tree], length: int) -> Iterator[list[Tree]]:
    """Fill rows of at most ``length`` tokens, first fit over a small window of open rows."""
    rows: list[list[Tree]] = []
    for tree in trees:
        if len(tree) > length:
            continue
        for row in rows:
            if sum(map(len, row)) + len(tree) <= length:
                row.append(tree)
                break
        else:
            rows.append([tree])
        if len(rows) > 6:
            rows.sort(key=lambda row: sum(map(len, row)))
            yield rows.pop()
    yield from rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step.

    ``tokens`` and ``positions`` (rows, length), ``mask`` (rows, 1, length,
    length) boolean, and for each target its row, index, token and weight, each
    (targets,). ``records`` (rows, length) numbers the records of a row, -1 for
    padding. ``groups`` are those of the contrastive loss, None without any.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    indices: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    records: torch.Tensor | None = None
    groups: Groups | None = None

    def to(self, device: str) -> Batch:
        """The batch on a device."""
        import torch

        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, torch.Tensor | Groups):
                moved[field.name] = value.to(device)
        return replace(self, **moved)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of the contrastive loss as tensors; -1 fills up.

    ``rows`` (groups,); ``anchors`` (groups, anchor tokens), ``positives``
    (groups, positives), ``negatives`` (groups, negatives): indices in the row.
    """

    rows: torch.Tensor
    anchors: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor

    def to(self, device: str) -> Groups:
        """The same on a device."""
        return Groups(*(getattr(self, field.name).to(device) for field in fields(self)))

    @classmethod
    def of(cls, found: Sequence[tuple[int, Group]]) -> Groups | None:
        """From (row, group) pairs; None for none."""
        import torch

        if not found:
            return None
        rows = torch.tensor([row for row, _ in found])
        parts = []
        for name in ("anchor", "positives", "negatives"):
            indices: list[tuple[int, ...]] = [getattr(group, name) for _, group in found]
            filled = torch.full((len(found), max(1, *map(len, indices))), -1)
            for number, own in enumerate(indices):
                filled[number, : len(own)] = torch.tensor(own, dtype=torch.long)
            parts.append(filled)
        return cls(rows, *parts)


def collate(rows: Sequence[Sequence[Tree]], pad: int) -> Batch:
    """Rows of trees to tensors."""
    import torch

    length = max(sum(map(len, row)) for row in rows)
    length = (length + 31) // 32 * 32
    tokens = torch.full((len(rows), length), pad)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    record = torch.full((len(rows), length), -1)
    branch = torch.zeros((len(rows), length), dtype=torch.long)
    targets: list[tuple[int, int, int, float]] = []
    groups: list[tuple[int, Group]] = []
    for r, row in enumerate(rows):
        at = 0
        for number, tree in enumerate(row):
            span = slice(at, at + len(tree))
            tokens[r, span] = torch.tensor(tree.tokens)
            positions[r, span] = torch.tensor(tree.positions)
            record[r, span] = number
            branch[r, span] = torch.tensor(tree.branch)
            targets += [(r, at + i, token, weight) for i, token, weight in tree.targets]
            groups += [(r, group.shifted(at)) for group in tree.groups]
            at += len(tree)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = record[:, :, None] == record[:, None, :]
    visible = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    mask = (causal & same & visible)[:, None]
    r_, i_, l_, w_ = zip(*targets, strict=True)
    goals = (torch.tensor(r_), torch.tensor(i_), torch.tensor(l_), torch.tensor(w_))
    return Batch(tokens, positions, mask, *goals, records=record, groups=Groups.of(groups))


def batches(rows: Iterable[list[Tree]], size: int, pad: int) -> Iterator[Batch]:
    """Group rows into batches of ``size`` rows."""
    group: list[list[Tree]] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield collate(group, pad)
            group = []
    if group:
        yield collate(group, pad)


LossOf = Callable[[Batch], "torch.Tensor"]
