"""What is in the demonstration index, and what each retriever would find in it for a text."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.annotation import Span

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.demonstrations import Demonstration, DemonstrationIndex, Embedder, Retrieved

ORDER = ("random", "bm25", "sentence", "span")
"""What needs no model first, so that something can be read while one loads."""
_NAMED = re.compile(r"[^\W\d_a-z][\w.&'-]*\w(?: [^\W\d_a-z][\w.&'-]*\w)*")


def mentions_of(text: str) -> tuple[Span, ...]:
    """Words and runs of words that look like names: what span compares where no model has read the text."""
    return tuple(Span(*match.span()) for match in _NAMED.finditer(text))


@dataclass(frozen=True, slots=True)
class Column:
    """What one retriever found.

    Attributes:
        name: The retriever that was asked.
        rows: Best first.
        seconds: How long it took, a model's loading included.
    """

    name: str
    rows: tuple[Retrieved, ...]
    seconds: float

    @property
    def fell_back(self) -> str:
        """The retriever that answered in its place; empty where none did."""
        others = {row.by for row in self.rows} - {self.name}
        return ", ".join(sorted(others))


def agreement(columns: Sequence[Column]) -> dict[str, int]:
    """Demonstration id to how many retrievers found it."""
    found: dict[str, int] = {}
    for column in columns:
        for row in column.rows:
            found[row.demonstration.id] = found.get(row.demonstration.id, 0) + 1
    return found


@dataclass
class Shelf:
    """A project's demonstration index, opened for reading, and its retrievers.

    Reading works on a copy of the index, so nothing waits for a person who
    labels or a run that goes on; ``reopen`` takes what has changed since.

    Args:
        config: The project.
        embedder: In place of the project's own.
        clock: Seconds from anywhere.
    """

    config: ProjectConfig
    embedder: Embedder | None = None
    clock: Callable[[], float] = time.perf_counter
    _index: DemonstrationIndex | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> tuple[int, int]:
        """Open the index.

        Returns:
            Demonstrations, and distinct mention texts.

        Raises:
            DemonstrationIndexError, ModelError: There is none, it is damaged, or its embedder is not here.
        """
        from tools.demonstrations import DemonstrationIndex, SentenceTransformerEmbedder

        with self._lock:
            if self.embedder is None:
                self.embedder = SentenceTransformerEmbedder(self.config.demonstrations.embedder, root=self.config.root)
            fresh = DemonstrationIndex(self.config.chroma_path, self.embedder, read_only=True)
            old, self._index = self._index, fresh
            if old is not None:
                old.close()
            fresh.keys()  # read once here, in the caller's thread, and not while a list is painted
            return fresh.count(), fresh.mention_count()

    def close(self) -> None:
        """Let go of the index."""
        with self._lock:
            if self._index is not None:
                self._index.close()
                self._index = None

    def rows(self, first: int, last: int) -> list[Demonstration]:
        """The demonstrations from one number to another (exclusive), in the order of their keys."""
        index = self._index
        if index is None:
            return []
        keys = [key.decode() for key in index.keys()[first:last].tolist()]
        found = index.demonstrations(keys)
        return [found[key] for key in keys if key in found]

    def search(self, text: str, k: int, *, document_id: str = "", seed: int | None = None) -> Iterator[Column]:
        """What each retriever finds, one after the other; the first that needs a model loads it.

        Args:
            text: A passage.
            k: How many for each.
            document_id: The passage's document, whose own sentences are left out.
            seed: For the random retriever; by default the project's.

        Raises:
            QuorumError: The index or the embedder cannot be used.
        """
        from tools.demonstrations import Query, retriever

        index = self._index
        if index is None:
            return
        query = Query(document_id, text, mentions_of(text))
        rng = random.Random(self.config.run.seed if seed is None else seed)
        for name in ORDER:
            began = self.clock()
            rows = retriever(name, index).retrieve([query], k, rng=rng)[0]
            yield Column(name, tuple(rows), self.clock() - began)
