"""Plain LoRA against LoRA with the contrastive loss, at few examples a type: a table, resumable.

    python benchmarks/contrastive.py --data DIR --json OUT.json [--quick]

For each corpus, number of examples a type, seed and form a training from the
same base on the same sentences; what differs is the loss. Measured is strict F1
of typed extraction alone (greedy, constrained, three demonstrations from the
training sentences) on sentences of the test split. Each begins with a fresh
adapter on the plain base: the starter's own has seen some of the corpora.
Every finished training is a line in OUT.json.parts; running the command
again goes on. ``--quick`` proves that it works and says nothing: one corpus, one
seed, five steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agent.training import train_on  # noqa: E402
from agent.trainingrun import TrainOptions  # noqa: E402
from tools.annotation import Document, LabelSet, Span  # noqa: E402
from tools.finetuning.corpora import corpus_labels, read_lines  # noqa: E402
from tools.finetuning.examples import GoldDocument  # noqa: E402
from tools.finetuning.records import Gold  # noqa: E402

CORPORA = ("crossner_politics", "crossner_science", "bc5cdr", "wnut17")
SHOTS = (5, 10, 20, 50)
FORMS = ("none", "sigmoid", "infonce")
LONGEST = 400


def read(data: Path, corpus: str, split: str) -> list[GoldDocument]:
    """Sentences of a split that are short enough for one passage, with the spans of known types."""
    labels = corpus_labels(corpus)
    found: list[GoldDocument] = []
    for number, line in enumerate(read_lines(data, corpus, split)):
        spans = tuple(
            Span(e["start"], e["end"], name)
            for e in line["entities"]
            if (name := labels.resolve(e["label"])) is not None
        )
        if line["text"].strip() and len(line["text"]) <= LONGEST:
            found.append((Document(f"{split}-{number}", line["text"]), spans))
    return found


def sample(documents: list[GoldDocument], labels: LabelSet, shots: int, seed: int) -> list[GoldDocument]:
    """Sentences, drawn one after the other, that still add to a type with fewer than ``shots`` mentions.

    As episodes of few-shot recognition are drawn (greedily, at least K a type
    where the corpus has them); a sixth as many without a mention are added.
    """
    order = list(documents)
    random.Random(f"{seed}/{shots}").shuffle(order)
    have: Counter[str] = Counter()
    taken = []
    for document, spans in order:
        if any(have[span.label] < shots for span in spans):
            have.update(span.label for span in spans)
            taken.append((document, spans))
        if all(have[name] >= shots for name in labels.names):
            break
    empty = [item for item in order if not item[1]]
    return taken + empty[: len(taken) // 6]


def measure(adapter: Path, base: Path, test: list[GoldDocument], shown: list[GoldDocument], labels: LabelSet) -> Any:
    """Strict F1 of a trained adapter on test sentences."""
    from agent.trainingscore import score_model
    from tools.finetuning.lora import load_trainable

    model = load_trainable(base, init=adapter)
    passages = [Gold(document.text, spans) for document, spans in test]
    pool = [Gold(document.text, spans) for document, spans in shown]
    return score_model(model, base, passages, pool, labels)


def one(options: argparse.Namespace, corpus: str, shots: int, seed: int, form: str, work: Path) -> dict[str, Any]:
    """Train and measure one cell."""
    labels = corpus_labels(corpus)
    gold = sample(read(options.data, corpus, "train"), labels, shots, seed)
    test = read(options.data, corpus, "test")
    random.Random(seed).shuffle(test)
    test = test[: options.test]
    settings = TrainOptions(
        init="none",
        steps=options.steps,
        contrastive=form,  # type: ignore[arg-type]
        contrastive_weight=options.weight,
        seed=seed,
        dev_share=0.0,
        score=0,
        minimum=1,
        allow_few=True,
        skip_bad=True,
        demonstrations=3,
    )
    begun = time.monotonic()
    out = work / f"{corpus}-{shots}-{seed}-{form}"
    trained = train_on(gold, labels, options.base, out, settings, lambda event: None)
    base = trained.ref.base
    assert base is not None
    found = measure(out, base, test, gold, labels)
    shutil.rmtree(out)
    return {
        "corpus": corpus,
        "shots": shots,
        "seed": seed,
        "form": form,
        "f1": found.f1,
        "low": found.low,
        "high": found.high,
        "test_sentences": found.passages,
        "train_sentences": len(gold),
        "steps": trained.summary["steps"],
        "seconds": round(time.monotonic() - begun, 1),
    }


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean F1 a number of examples and form, and the mean difference to plain LoRA over the same corpora and seeds."""
    import numpy as np

    found = []
    by_cell = {(r["corpus"], r["shots"], r["seed"], r["form"]): r["f1"] for r in rows}
    for shots, form in sorted({(r["shots"], r["form"]) for r in rows}):
        own = [key for key in by_cell if key[1] == shots and key[3] == form]
        values = [by_cell[key] for key in own]
        gains = [by_cell[key] - by_cell[plain] for key in own if (plain := (*key[:3], "none")) in by_cell]
        entry: dict[str, Any] = {"shots": shots, "form": form, "runs": len(own), "f1": round(float(np.mean(values)), 4)}
        if form != "none" and gains:
            draws = np.random.default_rng(13).choice(gains, size=(4000, len(gains)))
            low, high = np.quantile(draws.mean(axis=1), (0.025, 0.975))
            entry |= {
                "gain": round(float(np.mean(gains)), 4),
                "low": round(float(low), 4),
                "high": round(float(high), 4),
            }
        found.append(entry)
    return found


def main() -> int:
    """Fill in what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("QUORUM_DATA"), help="folder of corpora (QUORUM_DATA)"
    )
    parser.add_argument("--json", type=Path, required=True, help="where the table goes")
    parser.add_argument("--base", default="starter-base")
    parser.add_argument("--corpora", nargs="+", default=CORPORA)
    parser.add_argument("--shots", nargs="+", type=int, default=SHOTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--steps", type=int, help="by default as quorum train chooses")
    parser.add_argument("--weight", type=float, help="of the contrastive loss")
    parser.add_argument("--test", type=int, default=200, help="test sentences")
    parser.add_argument("--quick", action="store_true", help="one small cell of each form: proves that it works")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of corpora by --data or QUORUM_DATA")
    options.data = Path(options.data)
    if options.quick:
        options.corpora, options.shots, options.seeds = options.corpora[:1], [2], [1]
        options.forms, options.steps, options.test = ["none", "infonce"], 3, 6
    parts = options.json.with_name(options.json.name + ".parts")
    setting = {"base": options.base, "steps": options.steps, "weight": options.weight, "test": options.test}
    rows = (
        [row for row in map(json.loads, parts.read_text().splitlines()) if row["setting"] == setting]
        if parts.exists()
        else []
    )
    done = {(r["corpus"], r["shots"], r["seed"], r["form"]) for r in rows}
    cells = list(itertools.product(options.corpora, options.shots, options.seeds, options.forms))
    work = options.json.with_name(options.json.name + ".work")
    begun, fresh = time.monotonic(), 0
    for number, cell in enumerate(cells, 1):
        if cell in done:
            continue
        row = {**one(options, *cell, work), "setting": setting}
        rows.append(row)
        with parts.open("a") as file:
            file.write(json.dumps(row) + "\n")
        fresh += 1
        left = (time.monotonic() - begun) / fresh * sum(other not in done for other in cells[number:])
        print(
            f"{number}/{len(cells)} {' '.join(map(str, cell))}: F1 {row['f1']:.3f}, {left / 60:.0f} min left",
            file=sys.stderr,
        )
    wanted = [row for row in rows if (row["corpus"], row["shots"], row["seed"], row["form"]) in set(cells)]
    result = {"setting": setting, "quick": options.quick, "table": table(wanted), "runs": wanted}
    shutil.rmtree(work, ignore_errors=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    for entry in result["table"]:
        print("\t".join(str(entry.get(key, "")) for key in ("shots", "form", "runs", "f1", "gain", "low", "high")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
