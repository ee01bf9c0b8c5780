"""Endless batches over a project's passages; an epoch is the same whenever it is made."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from tools.annotation import LabelSet
from tools.finetuning.errors import TrainingError
from tools.finetuning.marks import MarkOptions
from tools.finetuning.records import Gold, Mix, RecordMaker, Templates
from tools.finetuning.tree import Batch, Tree, batches, encode, pack

WEIGHTS = {"extract": 1.0, "classify": 2.0, "verify": 1.0}
BUCKET = 64
PROJECT_MIX = Mix(rename=0.0, bare=0.05, drop_types=0.1, no_demonstrations=0.35, shuffle=False, max_types=10_000)
"""A project's types keep names and order: unlike a starter, its adapter need not know other label sets."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How records become rows of tokens.

    Attributes:
        tokenizer: The base's.
        end: What ends an answer.
        pad: The token that fills rows up.
        length: Tokens a row.
        rows: Rows a batch.
        template_options: For the chat template.
        marks: For the contrastive loss.
    """

    tokenizer: Any
    end: str
    pad: int
    length: int = 1280
    rows: int = 2
    template_options: Mapping[str, Any] = field(default_factory=dict)
    marks: MarkOptions | None = None

    def tree(self, maker: RecordMaker, bare: RecordMaker, index: int) -> Tree | None:
        """A record that fits into a row, if need be without demonstrations; None where not even so."""
        for source in (maker, bare):
            tree = encode(
                source.make(index),
                self.tokenizer,
                weights=WEIGHTS,
                end=self.end,
                template_options=self.template_options,
                marks=self.marks,
            )
            if len(tree) <= self.length:
                return tree
        return None


@dataclass(frozen=True, slots=True)
class Source:
    """What batches are made from.

    Attributes:
        passages: Trained on or measured with.
        pool: Sentences that may be shown as demonstrations.
        labels: The types.
        templates: The prompts.
        mix: How records vary.
        coding: How they become tokens.
        seed: Of everything drawn.
    """

    passages: Sequence[Gold]
    pool: Sequence[Gold]
    labels: LabelSet
    templates: Templates
    mix: Mix
    coding: Coding
    seed: int

    def epoch(self, number: int) -> list[Batch]:
        """The batches of one pass; the same whenever they are asked for.

        Raises:
            TrainingError: Not one record fits into a row.
        """
        rng = random.Random(f"{self.seed}/{number}")
        maker, bare = self._makers(rng)
        order = list(range(len(self.passages)))
        rng.shuffle(order)
        trees = [tree for index in order if (tree := self.coding.tree(maker, bare, index)) is not None]
        if not trees:
            raise TrainingError(
                f"no passage fits into {self.coding.length} tokens with its prompt",
                "raise --length, or shorten passages",
            )
        # Similar lengths side by side waste little of a row; buckets keep the order random on the whole.
        grouped = [
            tree
            for start in range(0, len(trees), BUCKET)
            for tree in sorted(trees[start : start + BUCKET], key=len, reverse=True)
        ]
        rows = list(pack(grouped, self.coding.length))
        made = list(batches(rows, self.coding.rows, self.coding.pad))
        rng.shuffle(made)
        return made

    def endless(self) -> Iterator[Batch]:
        """Epoch after epoch."""
        for number in count():
            yield from self.epoch(number)

    def fixed(self, limit: int) -> list[Batch]:
        """One pass over at most ``limit`` passages, always the same: for measuring."""
        rng = random.Random(f"{self.seed}/fixed")
        maker, bare = self._makers(rng)
        indices = sorted(rng.sample(range(len(self.passages)), min(limit, len(self.passages))))
        trees = [tree for index in indices if (tree := self.coding.tree(maker, bare, index)) is not None]
        return list(batches(pack(sorted(trees, key=len), self.coding.length), self.coding.rows, self.coding.pad))

    def too_long(self) -> int:
        """How many passages do not fit into a row, not even without demonstrations."""
        maker, bare = self._makers(random.Random(self.seed))
        return sum(self.coding.tree(maker, bare, index) is None for index in range(len(self.passages)))

    def _makers(self, rng: random.Random) -> tuple[RecordMaker, RecordMaker]:
        without = replace(self.mix, no_demonstrations=1.0)
        return (
            RecordMaker(self.passages, self.labels, self.mix, rng, templates=self.templates, pool=self.pool),
            RecordMaker(self.passages, self.labels, without, rng, templates=self.templates, pool=self.pool),
        )
