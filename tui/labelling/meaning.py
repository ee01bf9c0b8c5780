"""Search by meaning: the pool's documents and a question, embedded by the model of the demonstrations.

    python -m tui.labelling.meaning PROJECT

A document counts by its beginning, as much as the embedding model reads (256
tokens for the default one). Vectors are kept in the project's state folder, one
a document in the order of arrival, and made while one searches: the first
search in a large pool finds in what is embedded so far, and says how much that is.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import EngineError, QuorumError
from tui.labelling.child import Child, messages, tell
from tui.labelling.search import around

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tools.demonstrations.embedder import Embedder
    from tools.store import Store
    from tui.labelling.project import Project

BATCH = 64
BEGINNING = 2000  # characters of a document that are embedded at most
FOUND = 50
_BLOCK = 65_536


def nearest(project: Project, needle: str) -> Iterator[tuple[list[tuple[str, str]], str]]:
    """Ask the helper; gives the documents found so far with a line of each, and how far it is.

    Raises:
        EngineError: The helper cannot be started, or the embedding model cannot be had.
    """
    answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    child = project.helper("tui.labelling.meaning", answers.put)
    if not child.send({"search": needle}):
        raise EngineError("the helper for searching by meaning has ended", f"see {project.log}")
    yield [], "loading the embedding model \u2026"
    while True:
        message = answers.get()
        if message.get("search") == needle:
            yield [(name, line) for name, line in message["found"]], str(message["says"])
            if message["end"]:
                return
        elif "gone" in message or "ended" in message:
            raise EngineError(str(message.get("gone", "the embedding model has stopped")), f"see {project.log}")


class Vectors:
    """Vectors of documents in a file, in the order of their sequence numbers.

    Args:
        folder: The project's state folder.
        embedder: What makes them; another model's vectors are dropped.
    """

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._path, self._embedder = folder / "meaning.f32", embedder
        about = {"name": embedder.name, "revision": embedder.revision, "dimensions": embedder.dimensions}
        note = folder / "meaning.json"
        if not note.is_file() or json.loads(note.read_text(encoding="utf-8")) != about:
            self._path.unlink(missing_ok=True)
            note.write_text(json.dumps(about), encoding="utf-8")
        self._path.touch()

    @property
    def count(self) -> int:
        """How many whole vectors there are; a kill may have left a part of one."""
        return self._path.stat().st_size // (4 * self._embedder.dimensions)

    def add(self, texts: list[str]) -> None:
        """Embed more documents, behind those that are there."""
        vectors = self._embedder.encode([text[:BEGINNING] for text in texts])
        with self._path.open("r+b") as file:
            file.seek(self.count * 4 * self._embedder.dimensions)
            file.write(vectors.tobytes())

    def best(self, question: NDArray[np.float32], most: int) -> list[tuple[int, float]]:
        """The places nearest to a unit vector with their cosine, best first."""
        import numpy as np

        count = self.count
        if not count:
            return []
        every = np.memmap(self._path, np.float32, "r", shape=(count, self._embedder.dimensions))
        scores = np.concatenate([every[i : i + _BLOCK] @ question for i in range(0, count, _BLOCK)])
        order = np.argsort(-scores, kind="stable")[:most]
        return [(int(place), float(scores[place])) for place in order]


def _answer(
    store: Store, vectors: Vectors, question: NDArray[np.float32], needle: str, total: int, *, end: bool
) -> None:
    first, _ = store.document_span()
    rows = []
    for place, score in vectors.best(question, FOUND):
        name = store.document_id(first + place)
        if name is not None:
            rows.append((name, f"{score:.2f}  {around(store.document(name).text, 0)}"))
    done = vectors.count
    says = f"nearest of {done:,} documents" + ("" if end else f", {total - done:,} still to embed")
    tell(search=needle, found=rows, says=says, end=end)


def serve(root: Path) -> None:
    """Answer searches until the screen is gone; a new one ends the one before.

    Raises:
        QuorumError: The project, the store or the model cannot be had.
    """
    from agent.config import ProjectConfig
    from tools.demonstrations import SentenceTransformerEmbedder
    from tools.store import Store

    config = ProjectConfig.load(root)
    asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen() -> None:
        for message in messages():
            asked.put(str(message.get("search", "")))
        asked.put(None)

    threading.Thread(target=listen, daemon=True).start()
    embedder = SentenceTransformerEmbedder(config.demonstrations.embedder)
    vectors = Vectors(config.store_path.parent, embedder)
    with Store.open(config.store_path, read_only=True) as store:
        needle = asked.get()
        while needle is not None:
            question = embedder.encode([needle])[0]
            first, last = store.document_span()
            total = last - first + 1
            while vectors.count < total and asked.empty():
                _answer(store, vectors, question, needle, total, end=False)
                for _ in range(8):
                    texts = [d.text for d in store.documents(first + vectors.count - 1, BATCH)]
                    if not texts or not asked.empty():
                        break
                    vectors.add(texts)
            if asked.empty():
                _answer(store, vectors, question, needle, total, end=True)
            needle = asked.get()


def main(root: str) -> int:
    """Run the helper; what goes wrong is told to the screen."""
    try:
        serve(Path(root))
    except QuorumError as error:
        tell(gone=f"{error.message}. {error.hint}".rstrip(". "))
        return error.exit_code
    return 0


__all__ = ["Child", "Vectors", "main", "nearest", "serve"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
