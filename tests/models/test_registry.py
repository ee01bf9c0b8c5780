"""Names that a project may give, and those it may not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

from agent.models import hub, starter
from agent.models.registry import resolve
from agent.models.weights import gguf_metadata, revision_of, safetensors_header
from tests.models.checkpoints import tiny_adapter, tiny_base
from tools.errors import ModelError


def test_the_starter_by_its_names(starter_path: Path) -> None:
    base = resolve("starter-base")
    assert (base.kind, base.path, base.served_name, base.context_tokens) == (
        "starter",
        starter_path,
        "starter-base",
        8192,
    )
    assert base.adapter is None
    default = resolve("starter", context_tokens=2048)
    assert default.context_tokens == 2048
    assert default.adapter == starter.adapter()
    assert (default.revision == base.revision) == (starter.adapter() is None)


def test_the_starter_is_not_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path))
    monkeypatch.setattr(starter, "pull", lambda **_: pytest.fail("fetched"))
    with pytest.raises(ModelError, match="not on this machine") as caught:
        resolve("starter")
    assert "quorum models pull starter" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "url", "served"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", ""),
        ("http://127.0.0.1:8000/v1/#a/b", "http://127.0.0.1:8000/v1", "a/b"),
        ("HTTPS://api.example.org#m", "https://api.example.org/v1", "m"),
        ("http://[::1]:9/v1#m", "http://[::1]:9/v1", "m"),
    ],
)
def test_urls(name: str, url: str, served: str) -> None:
    ref = resolve(name)
    assert (ref.kind, ref.url, ref.served_name, ref.path) == ("url", url, served, None)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("http://", "names no host"),
        ("http://u:secret@host/v1", "user name or password"),
        ("http://host/v1?key=1", "query"),
        ("http://host:70000/v1", "not a URL"),
        ("stater", "unknown model"),
        ("what is this", "is not a model"),
        ("", "is not a model"),
        ("org/never-fetched", "not on this machine"),
        ("./nowhere", "no such file"),
        ("weights.gguf", "no such file"),
        ("weights.bin", "pickle is refused"),
    ],
)
def test_what_is_no_model(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        resolve(name, root=tmp_path)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_near_matches(tmp_path: Path) -> None:
    for slip, meant in (("stater", "starter"), ("startr-base", "starter-base"), ("newz", "news")):
        with pytest.raises(ModelError) as caught:
            resolve(slip, root=tmp_path, known=["news"])
        assert meant in caught.value.hint
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelError) as caught:
        resolve("./mime", root=tmp_path)
    assert "mine" in caught.value.hint


def test_a_local_folder(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path / "my model")
    ref = resolve("my model", root=tmp_path)
    assert (ref.kind, ref.path, ref.context_tokens, ref.served_name) == ("path", folder, 512, "my-model")
    assert resolve(str(folder)).revision == ref.revision
    assert resolve("./my model", root=tmp_path, alias="news").name == "news"
    with pytest.raises(ModelError, match="takes 512 tokens"):
        resolve(str(folder), context_tokens=513)


def test_an_adapter_that_is_not_merged(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    adapters = [tiny_adapter(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    refs = [resolve(str(base), adapter=path, merge=False) for path in adapters]
    assert all(ref.unmerged and ref.path == base for ref in refs)
    assert len({revision_of(base), *(ref.revision for ref in refs)}) == 3
    assert [ref.served_name for ref in refs] == ["base+one", "base+two"]
    with pytest.raises(ModelError, match="cannot be given to a server"):
        resolve("http://127.0.0.1/v1", adapter=adapters[0])


def test_unsafe_and_broken_folders(tmp_path: Path) -> None:
    pickled = tiny_base(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="are a pickle"):
        resolve(str(pickled))
    with pytest.raises(ModelError, match="a pickle is refused"):
        resolve(str(pickled / "pytorch_model.bin"))
    own_code = tiny_base(tmp_path / "own code")
    config = json.loads((own_code / "config.json").read_text())
    (own_code / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "m.M"}}))
    with pytest.raises(ModelError, match="needs code"):
        resolve(str(own_code))
    cut = tiny_base(tmp_path / "cut")
    data = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(data[:-10])
    with pytest.raises(ModelError, match="cut short"):
        resolve(str(cut))
    (cut / "model.safetensors").write_bytes(struct.pack("<Q", 2**40) + data[8:])
    with pytest.raises(ModelError, match="header is longer"):
        resolve(str(cut))
    (cut / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    with pytest.raises(ModelError, match="is missing"):
        resolve(str(cut))
    with pytest.raises(ModelError, match="an adapter, not a model"):
        resolve(str(tiny_adapter(tmp_path / "lora")))


def test_a_revision_sees_every_tensor(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path / "tiny")
    before = revision_of(folder)
    assert revision_of(tiny_base(tmp_path / "same")) == before
    weights = folder / "model.safetensors"
    original = weights.read_bytes()
    for name, (_, _, begin, end) in safetensors_header(weights).items():
        data = bytearray(original)
        data[(begin + end) // 2] ^= 1
        weights.write_bytes(data)
        assert revision_of(folder) != before, name
    weights.write_bytes(original)
    assert revision_of(folder) == before
    (folder / "chat_template.jinja").write_text("other")
    assert revision_of(folder) != before


def _cached(cache: Path, name: str, commit: str) -> Path:
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return tiny_base(folder / "snapshots" / commit)


def test_a_model_of_the_hub_that_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "run_job", lambda *_, **__: pytest.fail("went online"))
    snapshot = _cached(tmp_path, "org/small-model", "c0ffee")
    ref = resolve("org/small-model")
    assert (ref.kind, ref.path, ref.hub_id, ref.served_name) == ("hub", snapshot, "org/small-model", "org/small-model")
    assert resolve("org/small-model@c0ffee").path == snapshot
    assert hub.cached_models() == {"org/small-model": snapshot}
    with pytest.raises(ModelError) as caught:
        resolve("org/smal-model")
    assert "org/small-model" in caught.value.hint
    with pytest.raises(ModelError, match="not on this machine"):
        resolve("org/small-model@other")


def test_pickles_in_the_hub_cache_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = _cached(tmp_path, "org/old", "abc")
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    with pytest.raises(ModelError, match="are a pickle"):
        resolve("org/old")


def test_gguf_headers(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(777)
    writer.add_token_list(["a", "b", "ü"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    writer.add_bool("flag", True)
    writer.add_tensor("t", np.zeros((2, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gguf_metadata(path)
    assert found["general.architecture"] == "llama"
    assert found["llama.context_length"] == 777
    assert found["tokenizer.ggml.tokens"] == 3
    assert found["flag"] is True
    for broken in (b"", b"GGUF", b"nope" * 10, path.read_bytes()[:40]):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="no usable GGUF"):
            gguf_metadata(path)


def test_several_shards_are_one_model(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    for number in (1, 2):
        save_file({f"t{number}": np.ones(4, np.float32)}, folder / f"model-0000{number}-of-00002.safetensors")
    index = {"weight_map": {f"t{number}": f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    before = resolve(str(folder)).revision
    save_file({"t2": np.zeros(4, np.float32)}, folder / "model-00002-of-00002.safetensors")
    assert resolve(str(folder)).revision != before
