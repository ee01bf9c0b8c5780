from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.demonstrations import SentenceTransformerEmbedder
from tools.demonstrations import embedder as module
from tools.errors import ModelError

HARD = ["", " ", "\x00", "\ud800 alone", "東京は首都", "👩‍🔬🏽", "e\u0301", "กรุงเทพ", "<|im_end|>", "x" * 20_000]


def test_vectors_are_unit_float32_in_order_and_repeatable(minilm: SentenceTransformerEmbedder) -> None:
    texts = [*HARD, "Berlin", "Paris", "Berlin"]
    vectors = minilm.encode(texts)
    assert vectors.shape == (len(texts), 384) == (len(texts), minilm.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[-1], vectors[-3])
    alone = SentenceTransformerEmbedder(cache_size=0)
    assert np.allclose(alone.encode(["Paris"])[0], vectors[-2], atol=1e-5)
    assert minilm.encode([]).shape == (0, 384)


def test_similar_texts_are_nearer(minilm: SentenceTransformerEmbedder) -> None:
    a, b, c = minilm.encode(["The bank raised interest rates.", "Rates were lifted by the bank.", "A frog jumped."])
    assert a @ b > a @ c + 0.3


def test_repeated_texts_are_not_computed_again(
    minilm: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SentenceTransformerEmbedder(cache_size=2)
    first = small.encode(["one", "two", "two"])
    monkeypatch.setattr(small._model, "encode", lambda *_, **__: pytest.fail("computed again"))
    assert np.array_equal(small.encode(["two", "one"]), first[[1, 0]])
    monkeypatch.undo()
    small.encode(["three"])
    assert len(small._cache) == 2
    assert "two" not in small._cache


def test_size_and_revision_need_no_torch() -> None:
    code = (
        "import sys; from tools.demonstrations import SentenceTransformerEmbedder as E; e = E(); "
        "print(e.dimensions, e.revision, 'torch' in sys.modules, 'chromadb' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["384", module.DEFAULT_WEIGHTS_SHA256[:16], "False", "False"]


def test_other_weights_than_the_pinned_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the pinned one"):
        _ = SentenceTransformerEmbedder().revision


def test_unknown_and_pickled_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder nor on this machine"):
        _ = SentenceTransformerEmbedder("nobody/no-such-model").revision
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=r"only as pytorch_model\.bin"):
        SentenceTransformerEmbedder(str(tmp_path)).encode(["a"])
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match="only as"):
        _ = SentenceTransformerEmbedder(str(tmp_path)).revision
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="no safetensors"):
        _ = SentenceTransformerEmbedder(str(empty)).revision


def test_a_folder_is_loaded_like_the_default(minilm: SentenceTransformerEmbedder) -> None:
    other = SentenceTransformerEmbedder(str(minilm._find()))
    assert other.revision == minilm.revision
    assert np.allclose(other.encode(["same"]), minilm.encode(["same"]), atol=1e-5)


def test_a_relative_folder_is_the_projects_wherever_the_command_runs(
    minilm: SentenceTransformerEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(minilm._find(), tmp_path / "project" / "models" / "small")
    for here, root in ((tmp_path, "project"), (tmp_path / "project", "."), (Path("/"), tmp_path / "project")):
        monkeypatch.chdir(here)
        for name in ("models/small", "./models/small"):
            found = SentenceTransformerEmbedder(name, root=root)
            assert (found.name, found.revision) == (name, minilm.revision)
    with pytest.raises(ModelError, match="no such folder") as caught:
        SentenceTransformerEmbedder("./gone", root=tmp_path).revision  # noqa: B018 (reading it looks for the folder)
    assert "embedder" in caught.value.hint
