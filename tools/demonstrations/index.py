"""The demonstration index: gold sentences and gold mentions in Chroma.

The only module that imports chromadb. The index can be deleted at any time and
rebuilt from the store; see ``folder`` for locks, readers and damage, and
``generation`` for what is kept.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tools.demonstrations import codec
from tools.demonstrations.embedder import Embedder, Vectors
from tools.demonstrations.folder import REBUILD_HINT, IndexFolder
from tools.demonstrations.generation import WORDS, Generation
from tools.demonstrations.model import Demonstration, may_demonstrate
from tools.demonstrations.reading import hits_of, stored_vectors
from tools.demonstrations.records import Added, Hit, Verification, content_digest
from tools.demonstrations.weights import WordStatistics
from tools.errors import DemonstrationIndexError

# Recall of the graph index: benchmarks/ann_recall.py measures what these give.
_HNSW = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 16}
_BATCH = 256
_CACHED_PAYLOADS = 4096


class DemonstrationIndex:
    """Gold sentences and gold mentions with their vectors, on disk.

    One process may write; any number may read, each the state it found when it
    opened the index. Methods may be called from several threads.

    Args:
        path: The index's folder; a writer makes it if there is nothing there.
        embedder: Must be the model that the index was made with.
        read_only: Work on a private copy and leave the writer's lock alone.

    Raises:
        DemonstrationIndexError: Another process writes, the index is missing,
            damaged, or was made with another embedding model.
    """

    def __init__(self, path: Path | str, embedder: Embedder, *, read_only: bool = False) -> None:
        self._prepare(Path(path), embedder, read_only)
        try:
            self._generation = self._open()
        except BaseException:
            self._folder.close()
            raise

    def _prepare(self, path: Path, embedder: Embedder, read_only: bool) -> None:
        self.path = path
        self.embedder = embedder
        self._lock = threading.RLock()
        self._cache: OrderedDict[str, Demonstration] = OrderedDict()
        self._keys: NDArray[np.bytes_] | None = None
        self._folder = IndexFolder(path, read_only=read_only)

    @classmethod
    def rebuilt(cls, path: Path | str, embedder: Embedder, demonstrations: Iterable[Demonstration]) -> Self:
        """Make an index anew, whatever lies there, and open it for writing.

        What was there stays in force until the new one is whole.

        Raises:
            DemonstrationIndexError: Another process writes.
        """
        made = cls.__new__(cls)
        made._prepare(Path(path), embedder, read_only=False)
        try:
            made._generation, _ = made._filled(demonstrations)
        except BaseException:
            made._folder.close()
            raise
        return made

    @classmethod
    def ensured(cls, path: Path | str, embedder: Embedder, demonstrations: Sequence[Demonstration]) -> Self:
        """An index of exactly these demonstrations, opened for reading; made anew only if it is not that already.

        For indexes that belong to one run: going on with a run finds the index
        of its beginning, several runs may share it, and a damaged one heals.

        Raises:
            DemonstrationIndexError: It must be made, and another process is writing.
        """
        try:
            found = cls(path, embedder, read_only=True)
        except DemonstrationIndexError:
            pass  # missing, damaged, or of another model: each is mended by making it
        else:
            if found.digest == content_digest(demonstrations):
                return found
            found.close()
        cls.rebuilt(path, embedder, demonstrations).close()
        return cls(path, embedder, read_only=True)

    def _open(self) -> Generation:
        if not self._folder.read_only and not self._folder.exists:
            return self._filled(())[0]
        folder = self._folder.current()
        with _told():
            client = _client(folder)
            try:
                collections = [
                    client.get_collection(name, embedding_function=None) for name in ("sentences", "mentions")
                ]
                for collection in collections:
                    self._check_model(collection.metadata or {})
                generation = Generation(folder, client, *collections)
            except BaseException:
                client.close()
                raise
        return generation

    def _check_model(self, made_with: dict[str, Any]) -> None:
        have = self._model()
        if any(made_with.get(fact) != value for fact, value in have.items()):
            then = (
                f"{made_with.get('embedder')} ({made_with.get('revision')}, {made_with.get('dimensions')} dimensions)"
            )
            now = f"{have['embedder']} ({have['revision']}, {have['dimensions']} dimensions)"
            raise DemonstrationIndexError(f"the demonstration index was made with {then}, not with {now}", REBUILD_HINT)

    def _model(self) -> dict[str, Any]:
        embedder = self.embedder
        return {"embedder": embedder.name, "revision": embedder.revision, "dimensions": embedder.dimensions}

    def _filled(self, demonstrations: Iterable[Demonstration]) -> tuple[Generation, Added]:
        """A new generation with these demonstrations, published."""
        folder = self._folder.new_generation()
        generation: Generation | None = None
        try:
            with _told():
                client = _client(folder)
                made = [
                    client.create_collection(
                        name, metadata=self._model(), configuration={"hnsw": _HNSW}, embedding_function=None
                    )
                    for name in ("sentences", "mentions")
                ]
                generation = Generation(folder, client, *made)
                with self._folder.changing(folder, {"digest": "0"}):
                    generation.words.save(folder / WORDS)
            added = self._put(generation, demonstrations)
            self._folder.publish(folder)
        except BaseException:
            if generation is not None:
                generation.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return generation, added

    def _put(self, generation: Generation, demonstrations: Iterable[Demonstration]) -> Added:
        indexed = held_out = 0
        stream = iter(demonstrations)
        while batch := {item.id: item for item in itertools.islice(stream, _BATCH)}:
            shown = {codec.key_of(item.id): item for item in batch.values() if may_demonstrate(item.split)}
            others = [codec.key_of(item.id) for item in batch.values() if not may_demonstrate(item.split)]
            with _told():
                generation.write(self._folder, self.embedder, shown, others)
            indexed, held_out = indexed + len(shown), held_out + len(others)
        return Added(indexed, held_out)

    # What changes the index

    def add(self, demonstrations: Iterable[Demonstration]) -> Added:
        """Add demonstrations; one whose id is there already replaces it.

        Items of an evaluation split never enter the index, and leave it if
        they were in it under another split.

        Raises:
            DemonstrationIndexError: Opened for reading, or the index is gone.
        """
        with self._changed():
            return self._put(self._generation, demonstrations)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove demonstrations by id; those that are not there are passed over.

        Returns:
            How many were removed.
        """
        removed = 0
        stream = iter(ids)
        with self._changed():
            while batch := list(dict.fromkeys(itertools.islice(stream, _BATCH))):
                keys = [codec.key_of(item) for item in batch]
                with _told():
                    removed += self._generation.write(self._folder, self.embedder, {}, keys)
        return removed

    def rebuild(self, demonstrations: Iterable[Demonstration]) -> Added:
        """Put these demonstrations in place of all others; until the end the old ones stay in force."""
        with self._changed():
            old = self._generation
            self._generation, added = self._filled(demonstrations)
            old.close()
            return added

    @contextlib.contextmanager
    def _changed(self) -> Iterator[None]:
        if self._folder.read_only:
            raise DemonstrationIndexError("the demonstration index was opened for reading only", "open it for writing")
        with self._lock:
            try:
                yield
            finally:
                self._cache.clear()
                self._keys = None

    # What reads it

    @property
    def digest(self) -> str:
        """A hash of all that is indexed, in any order (32 hex digits): a run can tell whether it changed."""
        return f"{self._generation.digest:032x}"

    @property
    def words(self) -> WordStatistics:
        """In how many demonstrations each word occurs."""
        return self._generation.words

    def count(self) -> int:
        """How many demonstrations there are."""
        with self._lock, _told():
            return int(self._generation.sentences.count())

    def mention_count(self) -> int:
        """How many distinct mention texts there are."""
        with self._lock, _told():
            return int(self._generation.mentions.count())

    def keys(self) -> NDArray[np.bytes_]:
        """The keys of all demonstrations, sorted, 32 bytes each."""
        with self._lock, _told():
            if self._keys is None:
                self._keys = np.sort(np.fromiter(self._generation.keys(), dtype=f"S{codec.KEY_LENGTH}"))
            return self._keys

    def near_sentences(self, vectors: Vectors, n: int) -> list[list[Hit]]:
        """The nearest demonstrations of each vector, best first, in one query for all.

        Args:
            vectors: Unit vectors, shape (queries, dimensions).
            n: How many for each; fewer come back if there are fewer.
        """
        with self._lock, _told():
            return hits_of(self._generation.sentences, vectors, n, owners=False)

    def near_mentions(self, vectors: Vectors, n: int) -> list[list[Hit]]:
        """The nearest distinct mention texts of each vector, with the demonstrations that hold them."""
        with self._lock, _told():
            return hits_of(self._generation.mentions, vectors, n, owners=True)

    def demonstrations(self, keys: Iterable[str]) -> dict[str, Demonstration]:
        """Those of the keys that are there, in one read of what is not cached."""
        with self._lock, _told():
            wanted = dict.fromkeys(keys)
            found = {key: self._cache[key] for key in wanted if key in self._cache}
            for key, payload in self._generation.payloads([key for key in wanted if key not in found]).items():
                found[key] = self._cache[key] = codec.load(payload)
            for key in found:
                self._cache.move_to_end(key)
            while len(self._cache) > _CACHED_PAYLOADS:
                self._cache.popitem(last=False)
            return found

    def get(self, ids: Iterable[str]) -> list[Demonstration]:
        """The demonstrations with these ids, in order; those that are not there are left out."""
        keys = [codec.key_of(item) for item in ids]
        found = self.demonstrations(keys)
        return [found[key] for key in keys if key in found]

    def items(self) -> Iterator[tuple[str, Demonstration]]:
        """All keys and demonstrations in the order of the keys, page by page."""
        keys = self.keys()
        for at in range(0, len(keys), _BATCH):
            page = [key.decode() for key in keys[at : at + _BATCH].tolist()]
            with self._lock, _told():
                payloads = self._generation.payloads(page)
            yield from ((key, codec.load(payloads[key])) for key in page if key in payloads)

    def mention_vectors(self, texts: Sequence[str]) -> Vectors:
        """The stored vectors of mention texts, shape (len(texts), dimensions), in one read.

        One that is not stored (a change was interrupted) is embedded again.
        """
        with self._lock, _told():
            vectors, lost = stored_vectors(
                self._generation.mentions, [codec.key_of(text) for text in texts], self.embedder.dimensions
            )
        if lost:
            vectors[lost] = self.embedder.encode([texts[i] for i in lost])
        return vectors

    def sentence_vectors(self, keys: Sequence[str]) -> Vectors:
        """The stored vectors of demonstrations by key, shape (len(keys), dimensions); zeros for one that is gone."""
        with self._lock, _told():
            return stored_vectors(self._generation.sentences, keys, self.embedder.dimensions)[0]

    def verify(self, expected: Iterable[Demonstration]) -> Verification:
        """Compare the index with what the store says it should hold.

        Args:
            expected: All gold, evaluation splits included; they must not be there.
        """
        matching = missing = changed = lost = 0
        examples: list[str] = []
        stream = iter(expected)
        while batch := {item.id: item for item in itertools.islice(stream, _BATCH)}:
            shown = {codec.key_of(item.id): item for item in batch.values() if may_demonstrate(item.split)}
            mentions = {codec.key_of(text) for item in shown.values() for text in item.mentions}
            with self._lock, _told():
                there = self._generation.payloads(list(shown))
                known = self._generation.mentions.get(ids=list(mentions), include=[])["ids"] if mentions else []
            lost += len(mentions.difference(known))
            wrong = [item for key, item in shown.items() if there.get(key) != codec.dump(item)]
            changed += sum(codec.key_of(item.id) in there for item in wrong)
            missing += len(shown) - len(there)
            matching += len(shown) - len(wrong)
            examples.extend(item.id for item in wrong[: 20 - len(examples)])
        return Verification(matching, missing, changed, self.count() - matching - changed, lost, tuple(examples))

    def close(self) -> None:
        """Let go of the files and locks; may be called twice."""
        with self._lock:
            self._generation.close()
            self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _client(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell Chroma's failures in a line and a hint."""
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, ValueError, OSError) as error:
        line = str(error).strip().split("\n", 1)[0]
        raise DemonstrationIndexError(f"the demonstration index cannot be used: {line}", REBUILD_HINT) from error
    except BaseException as error:
        # A panic in Chroma's compiled part is no Exception, so that only its name tells it.
        if type(error).__name__ != "PanicException":
            raise
        raise DemonstrationIndexError("the demonstration index is damaged", REBUILD_HINT) from error
