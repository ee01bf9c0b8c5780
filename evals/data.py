"""The documents of an evaluation: read, checked, sampled by a frozen manifest, kept apart from the pool."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.contamination import Pair, contaminated
from evals.errors import ContaminationError, EvalDataError
from evals.manifest import Manifest, content_hash, read_manifest
from evals.records import DataRef
from evals.suite import DataSpec, LoadedSuite
from tools.annotation import Document, LabelSet, Span
from tools.annotation.labelfile import read_label_set
from tools.errors import QuorumError

DATA_VARIABLE = "QUORUM_DATA"
JSON_LINES = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """A document with its gold.

    Attributes:
        document: The document.
        spans: Its gold spans, in text order, types of the label set.
    """

    document: Document
    spans: tuple[Span, ...]

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id

    @property
    def cluster(self) -> str:
        """What it was cut from, where ``meta.doc`` says so, else its own id."""
        return str(self.document.meta.get("doc") or self.document.id)


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as a suite uses it.

    Attributes:
        spec: What the suite says.
        labels: The label set.
        documents: To be judged on, in the manifest's order.
        pool: What demonstrations may come from, near duplicates of the whole split removed.
        dropped: The near duplicates that were removed, pool document first.
        ref: Name and hash.
    """

    spec: DataSpec
    labels: LabelSet
    documents: tuple[GoldDocument, ...]
    pool: tuple[GoldDocument, ...]
    dropped: tuple[Pair, ...]
    ref: DataRef


def data_root(given: str | Path | None = None) -> Path | None:
    """The folder of corpora: what ``--data-root`` says, else ``QUORUM_DATA``; None where neither does.

    Raises:
        EvalDataError: It is named and not there.
    """
    named = str(given) if given else os.environ.get(DATA_VARIABLE, "")
    if not named:
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        by = "--data-root" if given else DATA_VARIABLE
        raise EvalDataError(f"{root}: no such folder ({by})", "name the folder that holds a folder a corpus")
    return root


def load_data(loaded: LoadedSuite, spec: DataSpec, root: Path | None, limit: int | None = None) -> DataSet:
    """Read a data set, check it against its manifest, and keep the pool clean of it.

    Args:
        loaded: The suite.
        spec: One of its data sets.
        root: The data root, for corpora.
        limit: The most documents to be judged on.

    Raises:
        EvalDataError: Something is missing, empty, changed since the manifest
            was frozen, or does not fit the label set.
        ContaminationError: The pool holds a near duplicate and the suite refuses that.
    """
    labels = labels_of(loaded, spec, root)
    split = read_split(loaded, spec, labels, root)
    manifest = read_manifest(loaded.manifest_path(spec), loaded.path, spec.name)
    documents = manifest.pick(split, spec)
    if spec.sample is not None:
        documents = documents[: spec.sample]
    if limit is not None:
        documents = documents[:limit]
    pool = read_pool(loaded, spec, labels, root)
    pairs = contaminated([d.document for d in pool], [d.document for d in split])
    if pairs and spec.duplicates == "refuse":
        first = pairs[0]
        raise ContaminationError(
            f"{spec.name}: the pool's document {first.pool!r} is a near duplicate of {first.test!r} of the split"
            f" {spec.split!r} ({len(pairs)} pair(s) in all)",
            "take them out of the pool, or write duplicates = 'drop'",
        )
    out = {pair.pool for pair in pairs}
    return DataSet(
        spec,
        labels,
        tuple(documents),
        tuple(d for d in pool if d.id not in out),
        tuple(pairs),
        DataRef(spec.name, spec.split, len(documents), content_hash(documents)),
    )


def labels_of(loaded: LoadedSuite, spec: DataSpec, root: Path | None) -> LabelSet:
    """A data set's label set.

    Raises:
        EvalDataError: It names none, and none is known.
        LabelSetError: The file is missing or wrong.
    """
    if spec.labels is not None:
        return read_label_set(loaded.folder / spec.labels if spec.labels.endswith(".toml") else spec.labels)
    if spec.project is not None:
        from agent.config import ProjectConfig

        return ProjectConfig.load(loaded.folder / spec.project, environment={}).label_set()
    from tools.finetuning.corpora import LABEL_SETS, corpus_labels

    assert spec.corpus is not None
    if (LABEL_SETS / f"{spec.corpus}.toml").is_file():
        return corpus_labels(spec.corpus)
    own = root / spec.corpus / "labels.toml" if root is not None else None
    if own is not None and own.is_file():
        return read_label_set(own)
    raise EvalDataError(f"{spec.name}: no label set is known for the corpus {spec.corpus!r}", "add labels = 'FILE'")


def read_split(loaded: LoadedSuite, spec: DataSpec, labels: LabelSet, root: Path | None) -> list[GoldDocument]:
    """All documents of the split to be judged on.

    Raises:
        EvalDataError: It is missing, empty, or wrong.
    """
    if spec.project is not None:
        found = _of_project(loaded.folder / spec.project, spec.split, spec.name)
    elif spec.path is not None:
        found = _of_file(loaded.folder / spec.path, labels, spec.name)
    else:
        found = _of_file(_corpus_file(spec, spec.split, root), labels, spec.name)
    if not found:
        raise EvalDataError(f"{spec.name}: the split {spec.split!r} is empty", "an evaluation needs documents")
    return found


def read_pool(loaded: LoadedSuite, spec: DataSpec, labels: LabelSet, root: Path | None) -> list[GoldDocument]:
    """All documents that demonstrations may come from.

    Raises:
        EvalDataError: They are missing or wrong.
    """
    if spec.pool is None:
        return []
    if "." in spec.pool or "/" in spec.pool:
        return _of_file(loaded.folder / spec.pool, labels, spec.name)
    if spec.project is not None:
        return _of_project(loaded.folder / spec.project, spec.pool, spec.name)
    if spec.corpus is None:
        raise EvalDataError(f"{spec.name}: pool = {spec.pool!r} is no file", "give a file, as path does")
    return _of_file(_corpus_file(spec, spec.pool, root), labels, spec.name)


def sampled_pool(data: DataSet, seed: int) -> list[GoldDocument]:
    """The pool that a seed draws: all of it, or ``pool_size`` of its documents that hold an entity first.

    Documents without entities teach a model nothing that the others do not, so
    they come last; what is drawn is in the pool's own order.
    """
    rng = random.Random(f"pool/{seed}")
    useful = [n for n, d in enumerate(data.pool) if d.spans]
    rest = [n for n, d in enumerate(data.pool) if not d.spans]
    if len(useful) + len(rest) > data.spec.pool_size:
        useful = rng.sample(useful, min(data.spec.pool_size, len(useful)))
        rest = rng.sample(rest, min(max(0, data.spec.pool_size - len(useful)), len(rest)))
    return [data.pool[n] for n in sorted((*useful, *rest))]


def _corpus_file(spec: DataSpec, split: str, root: Path | None) -> Path:
    if root is None:
        raise EvalDataError(
            f"{spec.name}: where is the corpus {spec.corpus!r}?", f"give --data-root DIR, or set {DATA_VARIABLE}"
        )
    assert spec.corpus is not None
    folder = root / spec.corpus
    for ending in (".jsonl", ".jsonl.gz", ".conll", ".conll.gz", ".bio", ".iob2"):
        if (path := folder / f"{split}{ending}").is_file():
            return path
    if not folder.is_dir():
        raise EvalDataError(f"{folder}: no such corpus", f"name its folder under {root}, or another --data-root")
    raise EvalDataError(f"{folder}: no {split}.jsonl, .jsonl.gz or .conll", "name a split that is there")


def _of_file(path: Path, labels: LabelSet, name: str) -> list[GoldDocument]:
    from tools.formats import gold_spans, read_documents

    if not path.is_file():
        raise EvalDataError(f"{path}: no such file ({name})", "check the path, it starts from the suite's folder")
    if path.stat().st_size == 0:
        raise EvalDataError(f"{path}: empty", "an evaluation needs documents")
    if _ending(path) not in JSON_LINES:
        return _of_other(path, labels)
    found = []
    for document in read_documents(path):
        if "entities" not in document.meta:
            raise EvalDataError(
                f"{path}: document {document.id!r} has no entities",
                'gold has a list "entities" in every record, empty where nothing is to be found',
            )
        try:
            spans = gold_spans(document, labels)
        except QuorumError as error:
            raise EvalDataError(f"{path}: {error.message}", error.hint) from error
        found.append(GoldDocument(document, spans))
    return found


def _of_other(path: Path, labels: LabelSet) -> list[GoldDocument]:
    """CoNLL and every other format that ``quorum import`` reads; the decision of its first annotator counts."""
    from tools.formats.annotated import read_annotated

    found = []
    for item in read_annotated(path):
        gold = next((layer for layer in item.layers if layer.kind == "gold"), None)
        if gold is None:
            raise EvalDataError(
                f"{path}: document {item.document.id!r} has no gold", "only annotated files can be judged on"
            )
        spans = set()
        for span in gold.spans:
            label = labels.resolve(span.label)
            if label is None:
                known = ", ".join(labels.names)
                raise EvalDataError(
                    f"{path}: document {item.document.id!r}: unknown label {span.label!r}",
                    f"the label set has {known}"[:300],
                )
            spans.add(span.with_label(label))
        found.append(GoldDocument(item.document, tuple(sorted(spans))))
    return found


def _ending(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()


def _of_project(folder: Path, split: str, name: str) -> list[GoldDocument]:
    from agent.config import ProjectConfig
    from tools.store import Store

    config = ProjectConfig.load(folder, environment={})
    if not config.store_path.exists():
        raise EvalDataError(f"{folder}: the project has no store ({name})", "label some documents there first")
    with Store.open(config.store_path, read_only=True) as store:
        return [
            GoldDocument(document, tuple(sorted(gold.spans)))
            for document, gold in store.iter_gold()
            if str(document.meta.get("split", "train")) == split
        ]


def freeze(loaded: LoadedSuite, spec: DataSpec, root: Path | None, size: int | None, seed: int) -> Manifest:
    """Draw the sample of a data set and describe it; nothing is written.

    Args:
        loaded: The suite.
        spec: The data set.
        root: The data root.
        size: How many documents at most; all when None.
        seed: Where the draw begins.

    Raises:
        EvalDataError: As :func:`read_split`.
    """
    labels = labels_of(loaded, spec, root)
    split = read_split(loaded, spec, labels, root)
    order = list(range(len(split)))
    random.Random(f"manifest/{seed}").shuffle(order)
    chosen: Sequence[GoldDocument] = [split[n] for n in order[:size]]
    return Manifest.drawn(spec, chosen, seed=seed, of=len(split))
