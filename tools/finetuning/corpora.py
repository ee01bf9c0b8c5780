"""Reading training corpora: a folder of ``<set>/<split>.jsonl[.gz]`` with label sets by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.annotation import LabelSet, Span
from tools.annotation.labelfile import read_label_set
from tools.errors import InputError
from tools.finetuning.records import Gold

LABEL_SETS = Path(__file__).parent / "label_sets"
Keep = Callable[[Mapping[str, Any]], bool]


def corpus_labels(name: str) -> LabelSet:
    """The label set of a public corpus: names and descriptions in words, raw labels as aliases."""
    return read_label_set(LABEL_SETS / f"{name}.toml")


def read_lines(root: Path, name: str, split: str) -> Iterator[dict[str, Any]]:
    """The records of one split, as they stand in the file.

    Raises:
        InputError: There is no such file.
    """
    for ending in (".jsonl.gz", ".jsonl"):
        path = root / name / f"{split}{ending}"
        if path.is_file():
            opener = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rt", encoding="utf-8") as lines:
                yield from map(json.loads, lines)
            return
    raise InputError(f"{root / name}: no {split}.jsonl or {split}.jsonl.gz", "name the folder that holds the corpora")


def read_gold(root: Path, name: str, split: str, *, keep: Keep | None = None, join: int = 0) -> list[Gold]:
    """A split as gold texts with label names of ``corpus_labels``.

    Args:
        root: The folder of corpora.
        name: The corpus.
        split: train, dev or test.
        keep: Which records to take, by the raw record.
        join: Every ``join``-th record is joined with the next of the same
            document, so that passages of several sentences occur; 0 joins none.
    """
    labels = corpus_labels(name)
    gold: list[Gold] = []
    last_doc: object = None
    for number, line in enumerate(read_lines(root, name, split)):
        if keep and not keep(line):
            continue
        spans = tuple(
            Span(e["start"], e["end"], resolved)
            for e in line["entities"]
            if (resolved := labels.resolve(e["label"])) is not None
        )
        doc = (line.get("meta") or {}).get("doc")
        one = Gold(line["text"], spans)
        if join and number % join == 0 and gold and doc is not None and doc == last_doc and len(gold[-1].text) < 250:
            before = gold.pop()
            shift = len(before.text) + 1
            one = Gold(f"{before.text} {one.text}", before.spans + tuple(s.shifted(shift) for s in spans))
        last_doc = doc
        if one.text.strip():
            gold.append(one)
    return gold
