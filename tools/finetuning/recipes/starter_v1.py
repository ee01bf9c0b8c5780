"""The first starter adapter: extract, classify and verify over shippable corpora.

Run it with the folder of corpora (one folder a corpus, ``train.jsonl[.gz]``)::

    python -m tools.finetuning.recipes.starter_v1 --data DIR --base CHECKPOINT --out DIR --ship DIR

The same command goes on where a killed one stopped. Corpora whose licence does
not allow weights to be shipped are not read; whole domains (politics, science)
stay out so that they can be tested as never seen.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.finetuning.corpora import Keep, corpus_labels, read_gold
from tools.finetuning.records import Gold, Mix, RecordMaker
from tools.finetuning.shipping import ship
from tools.finetuning.trainer import Progress, TrainConfig, checkpoint, load_lora, train
from tools.finetuning.tree import Batch, Tree, batches, encode, pack

# Corpus to its share of the records. Size alone would let the large ones drown
# the varied ones; conll2003 and others are left out for their licence.
SHARES: dict[str, float] = {
    "wikigold": 3.0,
    "gum": 3.0,
    "wnut17": 2.5,
    "btc": 1.5,
    "litbank": 1.0,
    "re3d": 1.0,
    "sec_filings": 0.4,
    "stackoverflow_ner": 1.2,
    "bc5cdr": 2.0,
    "bc2gm": 0.8,
    "linnaeus": 0.4,
    "anatem": 0.6,
    "bionlp11id": 0.8,
    "craft": 1.2,
    "wlp": 0.8,
    "germeval2014": 1.0,
    "nerwiki_ja": 0.5,
    "europeana_fr": 0.5,
    "uner_en_ewt": 1.5,
}
SPLITS = {"uner_en_ewt": "dev"}
STEPS = 250
WEIGHTS = {"extract": 1.0, "classify": 2.0, "verify": 1.0}


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


def stream(data: Path, tokenizer: object, seed: int, *, rows: int, length: int) -> Iterator[Batch]:
    """Endless batches: a corpus by its share, one of its texts, a record, trees, rows."""
    rng = random.Random(seed)
    makers: dict[str, tuple[RecordMaker, list[Gold]]] = {}
    for name in SHARES:
        gold = read_gold(data, name, SPLITS.get(name, "train"), keep=keeps().get(name), join=4)
        gold = [g for g in gold if len(g.text) <= 500]
        rng.shuffle(gold)
        # Sentences without entities matter, but most of some corpora are.
        kept = [g for g in gold if g.spans]
        kept += [g for g in gold if not g.spans][: max(50, len(kept) // 6)]
        rng.shuffle(kept)
        makers[name] = (RecordMaker(kept, corpus_labels(name), Mix(), rng), kept)
    names = list(SHARES)
    shares = [SHARES[name] for name in names]
    turn = dict.fromkeys(names, 0)

    def trees() -> Iterator[Tree]:
        while True:
            name = rng.choices(names, shares)[0]
            maker, gold = makers[name]
            index = turn[name] % len(gold)
            turn[name] += 1
            yield encode(maker.make(index), tokenizer, weights=WEIGHTS)

    return batches(pack(trees(), length), rows, pad=2)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--length", type=int, default=1280)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after that long")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--init", type=Path, help="adapter to begin with")
    parser.add_argument("--ship", type=Path, help="write the finished adapter there, in bf16")
    options = parser.parse_args()

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.base)
    config = TrainConfig(
        steps=options.steps,
        rank=options.rank,
        alpha=2 * options.rank,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    first, adapter = checkpoint(options.out)
    model = load_lora(options.base, config, adapter or options.init)
    window: list[float] = []

    def watch(p: Progress) -> None:
        window.append(p.loss)
        if p.step % 10 == 0 or p.step == 1:
            mean = sum(window[-10:]) / len(window[-10:])
            left = (p.steps - p.step) * p.seconds / max(1, p.step - first)
            line = (
                f"step {p.step}/{p.steps} loss {mean:.4f} {p.tokens_per_second:.0f} tokens/s, {left / 60:.0f} min left"
            )
            print(line, file=sys.stderr, flush=True)

    source = stream(options.data, tokenizer, options.seed + first, rows=options.rows, length=options.length)
    train(
        model,
        source,
        config,
        options.out,
        watch=watch,
        first_step=first,
        deadline=time.monotonic() + 60 * options.minutes,
    )
    _, adapter = checkpoint(options.out)
    if options.ship and adapter:
        ship(adapter, options.ship, "starter-base")


if __name__ == "__main__":
    main()
