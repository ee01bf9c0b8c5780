"""How the starter's members are made: a trunk over all shippable corpora, and from it one branch a member.

Each member has a module of its own beside this one, which is its script::

    python -m tools.finetuning.recipes.broad --data DIR --base CHECKPOINT --out DIR --ship DIR

It trains the trunk into ``DIR/trunk`` first where that is not there yet (``--trunk``
takes one that is), then the branch. The same command goes on where a killed one
stopped. Corpora whose licence does not allow weights to be shipped are not read;
whole domains (politics, science, films) stay out so that they can be tested as
never seen.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from tools.finetuning.corpora import Keep, corpus_labels, read_gold
from tools.finetuning.records import Gold, Mix, RecordMaker
from tools.finetuning.tree import Batch, Tree, batches, encode, pack

# Corpus to its share of the records. Size alone would let the large ones drown the varied ones.
SHARES: dict[str, float] = {
    "wikigold": 4.0,
    "uner_en_ewt": 2.0,
    "wnut17": 3.0,
    "btc": 2.0,
    "gum": 1.2,
    "litbank": 0.7,
    "re3d": 1.0,
    "sec_filings": 0.3,
    "germeval2014": 1.0,
    "nerwiki_ja": 0.5,
    "europeana_fr": 0.5,
    "stackoverflow_ner": 1.2,
    "wlp": 0.8,
    "bc5cdr": 3.0,
    "bc2gm": 0.8,
    "linnaeus": 0.3,
    "anatem": 0.6,
    "bionlp11id": 0.8,
    "craft": 1.2,
}
EVERYDAY = ("wikigold", "uner_en_ewt", "wnut17", "btc", "litbank", "re3d", "germeval2014", "nerwiki_ja", "europeana_fr")
SPLITS = {"uner_en_ewt": "dev"}
WATCHED = ("wikigold", "wnut17", "bc5cdr", "btc", "stackoverflow_ner", "bionlp11id")
"""Corpora whose dev splits the loss is watched on."""
COMMON_NOUNS = frozenset({"gum", "litbank", "re3d"})
"""Corpora that mark common nouns and pronouns too: only a description tells their types from names."""
WEIGHTS = {"extract": 1.0, "classify": 2.0, "verify": 1.0}
DEMONSTRATION_WEIGHT = 0.7
EPOCH = 64
"""Batches drawn from one seed, so that a resumed training meets the same ones."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one adapter.

    Attributes:
        name: Of the adapter.
        shares: Corpus to its share of the records.
        mix: How records vary.
        steps: Of the optimizer, two rows of 1,280 tokens each.
        learning_rate: Its highest.
        seed: Of everything drawn.
        warmup: Share of the training that warms up.
        first: The part before it, with a schedule of its own.
    """

    name: str
    shares: Mapping[str, float]
    mix: Mix
    steps: int
    learning_rate: float
    seed: int
    warmup: float = 0.04
    first: Recipe | None = None

    @property
    def parts(self) -> tuple[Recipe, ...]:
        """What is trained one after the other, this one last."""
        return (*(self.first.parts if self.first else ()), self)


BASIC = Mix()
DENSE = Mix(classify=2, negatives=1, verify=1, many=0.5, lower=0.05, upper=0.04)


def tilted(names: Sequence[str], by: float) -> dict[str, float]:
    """The common shares with some corpora favoured."""
    return {name: share * (by if name in names else 1.0) for name, share in SHARES.items()}


def keeps() -> dict[str, Keep]:
    """Records whose own licence allows shipping, for corpora where that differs by record."""
    return {"gum": _gum, "re3d": _re3d}


def _gum(record: Mapping[str, Any]) -> bool:
    # Only what says CC BY or CC BY-SA itself: most of the others say "see LICENSE.txt".
    licence = str((record.get("meta") or {}).get("text_licence", "")).upper()
    return licence.startswith("CC BY") and "NC" not in licence and "ND" not in licence


def _re3d(record: Mapping[str, Any]) -> bool:
    # CC BY-NC for BBC Online; a record that does not name its source may be one of them.
    source = str((record.get("meta") or {}).get("source") or "")
    return bool(source) and "BBC" not in source.upper()


@dataclass(slots=True)
class Corpora:
    """The texts of a recipe, read once.

    Attributes:
        data: The folder of corpora.
        tokenizer: The base's.
        rows: Rows a batch.
        length: Tokens a row.
    """

    data: Path
    tokenizer: Any
    rows: int = 2
    length: int = 1280
    _gold: dict[tuple[str, str], list[Gold]] = field(default_factory=dict)

    def gold(self, name: str, split: str) -> list[Gold]:
        """A split's texts up to 500 characters, most of those without an entity left out."""
        if (name, split) not in self._gold:
            found = read_gold(self.data, name, split, keep=keeps().get(name), join=4)
            found = [g for g in found if len(g.text) <= 500]
            rng = random.Random(f"{name}/{split}")
            rng.shuffle(found)
            kept = [g for g in found if g.spans]
            kept += [g for g in found if not g.spans][: max(50, len(kept) // 4)]
            rng.shuffle(kept)
            self._gold[name, split] = kept
        return self._gold[name, split]

    def endless(self, recipe: Recipe) -> Iterator[Batch]:
        """Batches: a corpus by its share, one of its texts, a record, trees, rows."""
        names = list(recipe.shares)
        orders = {name: self._order(name, recipe.seed) for name in names}
        turn = dict.fromkeys(names, 0)
        for number in count():
            rng = random.Random(f"{recipe.seed}/{number}")
            makers = {name: self._maker(name, SPLITS.get(name, "train"), recipe.mix, rng) for name in names}

            def trees(rng: random.Random = rng, makers: Mapping[str, RecordMaker] = makers) -> Iterator[Tree]:
                while True:
                    name = rng.choices(names, [recipe.shares[n] for n in names])[0]
                    index = orders[name][turn[name] % len(orders[name])]
                    turn[name] += 1
                    yield self._tree(makers[name], index)

            source = batches(pack(trees(), self.length), self.rows, pad=2)
            for _ in range(EPOCH):
                yield next(source)

    def watched(self, texts: int = 12) -> list[Batch]:
        """A fixed part of the dev splits: all types, descriptions, no change of case."""
        rng = random.Random("watched")
        mix = replace(DENSE, rename=0.0, bare=0.0, drop_types=0.0, many=0.0, lower=0.0, upper=0.0)
        trees = []
        for name in WATCHED:
            maker = self._maker(name, "dev", mix, rng)
            trees += [self._tree(maker, i) for i in range(min(texts, len(self.gold(name, "dev"))))]
        return list(batches(pack(sorted(trees, key=len), self.length), self.rows, pad=2))

    def _order(self, name: str, seed: int) -> list[int]:
        order = list(range(len(self.gold(name, SPLITS.get(name, "train")))))
        random.Random(f"{seed}/{name}").shuffle(order)
        return order

    def _maker(self, name: str, split: str, mix: Mix, rng: random.Random) -> RecordMaker:
        own = replace(mix, bare=0.0) if name in COMMON_NOUNS else mix
        return RecordMaker(self.gold(name, split), corpus_labels(name), own, rng)

    def _tree(self, maker: RecordMaker, index: int) -> Tree:
        return encode(maker.make(index), self.tokenizer, weights=WEIGHTS, demonstration_weight=DEMONSTRATION_WEIGHT)


def make(recipe: Recipe, corpora: Corpora, base: Path, out: Path, *, init: Path | None, minutes: float) -> Path:
    """Train one adapter, or go on with it.

    Args:
        recipe: What to make.
        corpora: The texts.
        base: Folder of the base checkpoint.
        out: Working folder: checkpoints, and the finished adapter.
        init: Adapter to begin with.
        minutes: The most time; the schedule ends with it.

    Returns:
        The folder of the adapter (float32).
    """
    from tools.finetuning.fit import FitConfig, FitProgress, fit, resume_point
    from tools.finetuning.lora import load_trainable
    from tools.finetuning.objective import Objective

    step, adapter, state = resume_point(out, f"{recipe.name}/{recipe.seed}/{recipe.learning_rate}")
    model = load_trainable(base, init=adapter or init, rank=16, seed=recipe.seed)
    window: list[float] = []

    def watch(p: FitProgress) -> None:
        window.append(p.losses.answers)
        if p.step % 10 == 0 or p.step == step + 1:
            mean = sum(window[-10:]) / len(window[-10:])
            line = f"{recipe.name} {p.step}/{p.steps} loss {mean:.4f} dev {p.dev_loss:.4f}"
            pace = f"{p.tokens / p.seconds:.0f} tokens/s, {p.eta / 60:.0f} min left"
            print(f"{line} {pace}", file=sys.stderr, flush=True)

    config = FitConfig(
        steps=recipe.steps,
        seconds=60 * minutes,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        evaluate_every=50,
        patience=0,
        checkpoint_seconds=120.0,
    )
    fitted = fit(
        model,
        corpora.endless(recipe),
        corpora.watched(),
        Objective(),
        config,
        out,
        watch=watch,
        state=state,
        first_step=step,
    )
    return fitted.adapter


TRUNK = (
    Recipe("first", SHARES, BASIC, steps=250, learning_rate=8e-4, seed=13),
    Recipe("trunk", SHARES, DENSE, steps=560, learning_rate=6e-4, seed=14),
)
"""The trunk in its two parts: records of their own, then dense ones."""


def main(recipe: Recipe, argv: Sequence[str] | None = None) -> None:
    """Train a member, and the trunk before it, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of corpora, one folder each")
    parser.add_argument("--base", type=Path, required=True, help="the starter's base checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="working folder")
    parser.add_argument("--trunk", type=Path, help="adapter to branch off, instead of training the trunk")
    parser.add_argument("--minutes", type=float, default=math.inf, help="the most time for each part")
    parser.add_argument("--ship", type=Path, help="write the finished adapter there, in bf16")
    options = parser.parse_args(argv)

    from transformers import AutoTokenizer

    from tools.finetuning.shipping import ship

    corpora = Corpora(options.data, AutoTokenizer.from_pretrained(options.base))
    adapter = options.trunk
    for part in (*(TRUNK if adapter is None else ()), *recipe.parts):
        adapter = make(part, corpora, options.base, options.out / part.name, init=adapter, minutes=options.minutes)
    if options.ship:
        ship(adapter, options.ship, "starter-base")
