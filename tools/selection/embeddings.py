"""Embeddings of a project's items, computed once: a file of vectors beside a file of what they are the vectors of.

The folder belongs to one model (its name and a hash of its weights); a row's key is the hash of its text. Both files
only grow. A vector is written before its key, so that a kill leaves at most vectors without one, which the next
writer cuts off.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.annotation.document import text_hash
from tools.demonstrations.embedder import Embedder
from tools.errors import OutputError

KEY_BYTES = 16
_BATCH = 512
# More than this is not gathered in memory but written out in the order that is wanted.
_IN_MEMORY = 512 * 2**20


class EmbeddingCache:
    """Vectors by text, on disk.

    Args:
        folder: Where caches of all models lie; the model's own folder is made in it.
        embedder: The model.
    """

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        model = re.sub(r"[^\w.-]+", "-", Path(embedder.name).name)[:40]
        # The name may be a path; its hash keeps two folders of the same last name apart.
        told = hashlib.blake2b(embedder.name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        self.folder = folder / f"{model}-{told}-{embedder.revision}"
        self._embedder = embedder

    def vectors(
        self, texts: Sequence[str], report: Callable[[str, int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors of the texts, those that are missing computed and kept.

        Args:
            texts: Any number.
            report: Told of progress.

        Returns:
            Shape (len(texts), dimensions), float32; memory-mapped, read-only, where that saves memory.

        Raises:
            OutputError: The cache cannot be written.
            ModelError: The model does not load.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock", timeout=600):
                known = self._known()
                rows = self._rows(texts, known, report)
                return self._gathered(rows)
        except Timeout as error:
            raise OutputError(f"{self.folder}: another process is embedding", "wait until it is done") from error
        except OSError as error:
            raise OutputError(
                f"{self.folder}: embeddings cannot be kept ({error.strerror})", "make room, or delete the folder"
            ) from error

    @property
    def _width(self) -> int:
        return 4 * self._embedder.dimensions

    def _known(self) -> dict[bytes, int]:
        """Text hash to row; what was left half written is cut off."""
        keys, vectors = self.folder / "keys.bin", self.folder / "vectors.bin"
        for path in (keys, vectors):
            path.touch()
        count = min(keys.stat().st_size // KEY_BYTES, vectors.stat().st_size // self._width)
        for path, width in ((keys, KEY_BYTES), (vectors, self._width)):
            if path.stat().st_size != count * width:
                with path.open("r+b") as stream:
                    stream.truncate(count * width)
        data = keys.read_bytes()
        return {data[at : at + KEY_BYTES]: at // KEY_BYTES for at in range(0, len(data), KEY_BYTES)}

    def _rows(
        self, texts: Sequence[str], known: dict[bytes, int], report: Callable[[str, int, int], None] | None
    ) -> NDArray[np.int64]:
        keys = [bytes.fromhex(text_hash(text)) for text in texts]
        missing: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            if key not in known:
                missing.setdefault(key, place)
        wanted = list(missing.items())
        for begin in range(0, len(wanted), _BATCH):
            batch = wanted[begin : begin + _BATCH]
            vectors = np.ascontiguousarray(self._embedder.encode([texts[place] for _, place in batch]), np.float32)
            with (self.folder / "vectors.bin").open("ab") as stream:
                stream.write(vectors.tobytes())
            with (self.folder / "keys.bin").open("ab") as stream:
                stream.write(b"".join(key for key, _ in batch))
            for key, _ in batch:
                known[key] = len(known)
            if report is not None:
                report("embedding", begin + len(batch), len(wanted))
        return np.array([known[key] for key in keys], dtype=np.int64)

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        dimensions = self._embedder.dimensions
        if not len(rows):
            return np.zeros((0, dimensions), dtype=np.float32)
        stored = np.memmap(self.folder / "vectors.bin", dtype=np.float32, mode="r").reshape(-1, dimensions)
        first = int(rows[0])
        if np.array_equal(rows, np.arange(first, first + len(rows))):
            return stored[first : first + len(rows)]
        if len(rows) * self._width <= _IN_MEMORY:
            return np.asarray(stored[rows])
        return self._written_out(stored, rows)

    def _written_out(self, stored: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows in their order in a file of their own; one at a time is kept, named for what it holds."""
        name = hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()
        path = self.folder / f"pool-{name}.npy"
        if not path.exists():
            for old in self.folder.glob("pool-*.npy"):
                with suppress(OSError):
                    old.unlink()
            fresh = self.folder / "pool.tmp"
            out: Any = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                fresh, mode="w+", dtype=np.float32, shape=(len(rows), stored.shape[1])
            )
            for begin in range(0, len(rows), 8192):
                out[begin : begin + 8192] = stored[rows[begin : begin + 8192]]
            out.flush()
            del out
            fresh.replace(path)
        found: NDArray[np.float32] = np.load(path, mmap_mode="r")
        return found
