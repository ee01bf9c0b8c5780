"""What a selection learned about a pool and the next one needs again: vectors, distances, neighbours.

Nothing in it changes what is chosen; without it the same work is done again. A state belongs to one pool: it knows it
by a hash of the ids and of the texts or of some thousand vectors.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.errors import OutputError
from tools.selection.protocol import Pool, SelectionOptions

FORM = 1
_FACTS = "state.json"


@dataclass(slots=True)
class CoreState:
    """How far core-set has compared each item with the centres.

    Attributes:
        centres: Rows that were labelled or picked, in the order they came; -1 where one was taken back.
        best: Highest similarity of each item with its first ``upto`` centres (whole numbers; minus infinity for none).
        upto: How many centres each item has been compared with.
        nearest: Which centre (position) that similarity is with; -1 for none.
        compared: Distances computed so far.
    """

    centres: list[int]
    best: NDArray[Any]
    upto: NDArray[np.int32]
    nearest: NDArray[np.int32]
    compared: int = 0

    @classmethod
    def fresh(cls, size: int, dtype: Any = np.float32) -> CoreState:
        """Nothing compared yet."""
        return cls(
            [], np.full(size, -np.inf, dtype=dtype), np.zeros(size, dtype=np.int32), np.full(size, -1, dtype=np.int32)
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """The nearest neighbours of every item, itself left out.

    Attributes:
        neighbours: Rows, shape (items, k), ascending in each row; -1 fills rows that have fewer.
        similarities: Their similarities, whole numbers, same shape; 0 where there is no neighbour.
        recall: Share of true neighbours that are in it: 1 if it is exact, else measured on ``sample`` items.
        sample: How many items recall was measured on; 0 if it is exact.
        compared: Products of two vectors that were computed for it, those that put items into clusters included.
    """

    neighbours: NDArray[np.int32]
    similarities: NDArray[np.int32]
    recall: float = 1.0
    sample: int = 0
    compared: int = 0


@dataclass(slots=True)
class SelectionState:
    """Filled by ``select`` and handed to the next call on the same pool.

    Attributes:
        folder: Where vectors are kept memory-mapped and ``save`` writes; None keeps all in memory.
        pools: By similarity, the hash of the pool that the rest is about.
        vectors: The embeddings as whole numbers.
        zeros: Rows without a direction.
        core: By similarity (``embedding``, ``bm25``).
        graphs: By similarity and settings.
    """

    folder: Path | None = None
    pools: dict[str, str] = field(default_factory=dict)
    vectors: NDArray[np.int16] | None = None
    zeros: NDArray[np.int64] | None = None
    core: dict[str, CoreState] = field(default_factory=dict)
    graphs: dict[str, Graph] = field(default_factory=dict)

    def belongs(self, pool: Pool, similarity: str) -> bool:
        """Make what is kept for a similarity this pool's, forgetting all of it where it was another's.

        Returns:
            False where something had to be forgotten.
        """
        name, known = fingerprint(pool, similarity), self.pools.get(similarity, "")
        if known == name:
            return True
        self.pools[similarity] = name
        self.core.pop(similarity, None)
        for key in [key for key in self.graphs if key.startswith(f"{similarity}-")]:
            del self.graphs[key]
        if similarity == "embedding":
            self.vectors = self.zeros = None
        return not known

    def room_for_vectors(self, pool: Pool) -> NDArray[np.int16] | None:
        """A memory map in the folder for the pool's vectors; None without a folder."""
        if self.folder is None or pool.embeddings is None:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Killed on the way, the folder must not say that these are the vectors of what it knew before.
            (self.folder / _FACTS).unlink(missing_ok=True)
            room: NDArray[np.int16] = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                self.folder / "vectors.npy", mode="w+", dtype=np.int16, shape=pool.embeddings.shape
            )
            return room
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the selection state cannot be written ({error.strerror})", "make room, or delete it"
            ) from error

    def save(self) -> None:
        """Write everything into the folder; a kill in between leaves no state rather than a wrong one.

        Raises:
            OutputError: There is no folder, or it cannot be written.
        """
        if self.folder is None:
            raise OutputError("the selection state has no folder", "make it with SelectionState(folder)")
        facts: dict[str, Any] = {"form": FORM, "pools": self.pools, "core": {}, "graphs": {}}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _FACTS).unlink(missing_ok=True)
            if self.vectors is not None and self.zeros is not None:
                if isinstance(self.vectors, np.memmap):
                    self.vectors.flush()
                else:
                    np.save(self.folder / "vectors.npy", self.vectors)
                np.save(self.folder / "zeros.npy", self.zeros)
            for name, core in self.core.items():
                facts["core"][name] = {"centres": core.centres, "compared": core.compared}
                for part in ("best", "upto", "nearest"):
                    np.save(self.folder / f"core-{name}-{part}.npy", getattr(core, part))
            for name, graph in self.graphs.items():
                facts["graphs"][name] = {"recall": graph.recall, "sample": graph.sample, "compared": graph.compared}
                if not isinstance(graph.neighbours, np.memmap):
                    np.save(self.folder / f"graph-{name}-neighbours.npy", graph.neighbours)
                    np.save(self.folder / f"graph-{name}-similarities.npy", graph.similarities)
            fresh = self.folder / f"{_FACTS}.tmp"
            fresh.write_text(json.dumps(facts), encoding="utf-8")
            fresh.replace(self.folder / _FACTS)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the selection state cannot be written ({error.strerror})", "make room, or delete it"
            ) from error

    @classmethod
    def load(cls, folder: Path) -> SelectionState:
        """What ``save`` wrote; an empty state where there is none or it is not whole (it can always be made again)."""
        state = cls(folder)
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            if facts["form"] != FORM:
                return state
            if (folder / "vectors.npy").exists() and (folder / "zeros.npy").exists():
                state.vectors = np.load(folder / "vectors.npy", mmap_mode="r")
                state.zeros = np.load(folder / "zeros.npy")
            for name, known in facts["core"].items():
                best, upto, nearest = (
                    np.load(folder / f"core-{name}-{part}.npy") for part in ("best", "upto", "nearest")
                )
                state.core[name] = CoreState(list(known["centres"]), best, upto, nearest, int(known["compared"]))
            for name, known in facts["graphs"].items():
                edges = [
                    np.load(folder / f"graph-{name}-{part}.npy", mmap_mode="r")
                    for part in ("neighbours", "similarities")
                ]
                counts = float(known["recall"]), int(known["sample"]), int(known.get("compared", 0))
                state.graphs[name] = Graph(edges[0], edges[1], *counts)
            state.pools = {str(name): str(value) for name, value in facts["pools"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Not there, cut off, or of another release: nothing in it is needed, only quicker.
            return cls(folder)
        return state


def graph_name(similarity: str, neighbours: int, options: SelectionOptions, size: int) -> str:
    """The key of a graph: all that shapes it."""
    exact = size <= options.exact_neighbours
    return f"{similarity}-{neighbours}-" + ("exact" if exact else f"probes{options.probes}")


def fingerprint(pool: Pool, similarity: str) -> str:
    """A hash of what a similarity depends on: ids, and texts or vectors (some thousand rows of a large pool)."""
    digest = hashlib.blake2b(digest_size=16)
    for name in pool.ids:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    if similarity == "bm25":
        for text in pool.texts or ():
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    elif pool.embeddings is not None:
        digest.update(repr((pool.embeddings.shape, str(pool.embeddings.dtype))).encode())
        # Every row of a small pool; of a large one some, since whoever embeds texts anew does it with all of them.
        step = max(1, len(pool) // 4096)
        digest.update(np.ascontiguousarray(pool.embeddings[::step]).tobytes())
        digest.update(np.ascontiguousarray(pool.embeddings[-1]).tobytes())
    return digest.hexdigest()
