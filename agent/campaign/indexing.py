"""The demonstrations of a campaign: the store's gold, audit documents left out, in Chroma."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tools.annotation import LabelSet
from tools.demonstrations import Demonstration, DemonstrationIndex, Embedder, may_demonstrate
from tools.demonstrations.gold import demonstrations_of
from tools.demonstrations.records import content_digest
from tools.errors import DemonstrationIndexError
from tools.store import Store
from tools.store.teaching import taught


def demonstrations(store: Store, labels: LabelSet) -> Iterator[Demonstration]:
    """What the models may be shown: the gold that counts, without what the audit drew and evaluation splits.

    Spans of types that the label set does not have any more are left out.
    """
    known = set(labels.names)
    for piece in taught(store):
        for one in demonstrations_of(piece.document, piece.spans):
            if may_demonstrate(one.split):
                # A document is never shown its own gold, nor a passage that of its own document.
                yield replace(
                    one,
                    document_id=piece.parent.id,
                    document_hash=piece.parent.hash,
                    spans=tuple(span for span in one.spans if span.label in known),
                )


class StoreIndexer:
    """An ``Indexer`` over the project's Chroma folder.

    Args:
        store: The project's store.
        labels: The label set.
        path: The index's folder.
        embedder: Made when it is first needed.
    """

    def __init__(self, store: Store, labels: LabelSet, path: Path, embedder: Callable[[], Embedder]) -> None:
        self._store, self._labels, self._path, self._embedder = store, labels, path, embedder

    def sync(self) -> int:
        """Make the index what the store says: add, change and remove; made anew where it is missing or damaged.

        Returns:
            How many demonstrations it holds.

        Raises:
            DemonstrationIndexError: Another process is writing the index.
        """
        wanted = {one.id: one for one in demonstrations(self._store, self._labels)}
        digest = content_digest(wanted.values())
        try:
            index = DemonstrationIndex(self._path, self._embedder())
        except DemonstrationIndexError:
            # Missing parts, damage, another model: making it anew mends each; a lock is told by that too.
            index = DemonstrationIndex.rebuilt(self._path, self._embedder(), wanted.values())
        with closing(index):
            if index.digest != digest:
                there = {one.id: one for _, one in index.items()}
                index.remove(name for name in there if name not in wanted)
                index.add(one for one in wanted.values() if there.get(one.id) != one)
                if index.digest != digest:
                    index.rebuild(wanted.values())
            return index.count()
