"""Looking into weight files without loading them: headers, safety, identity, whether an adapter fits.

Safetensors begin with a length and a JSON header; GGUF with key-value pairs.
Both are read here without torch, so that listing models costs milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from tools.errors import ModelError

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
SAFE_HINT = "only safetensors and GGUF are loaded, since a pickle can run any code; convert it where you trust it"
SAMPLE = 512
"""Bytes of each tensor that go into a revision."""

Header = dict[str, tuple[str, tuple[int, ...], int, int]]
"""Tensor name to dtype, shape, and its first and one-past-last byte in the file."""


def is_pickle(path: Path) -> bool:
    """Whether a file's ending says that reading it may run code."""
    return path.suffix.lower() in PICKLES


def safetensors_header(path: Path) -> Header:
    """The tensors of a safetensors file.

    Raises:
        ModelError: It is no safetensors file, or is cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, 100 * 2**20):
                raise ValueError("its header is longer than the file")
            raw = json.loads(file.read(length))
        header: Header = {}
        for name, entry in raw.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                header[name] = (entry["dtype"], tuple(entry["shape"]), 8 + length + begin, 8 + length + end)
        if any(end > size for *_, end in header.values()):
            raise ValueError("it is cut short")
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"{path}: no usable safetensors file ({error})", "fetch or save it again") from error
    return header


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in order.

    Raises:
        ModelError: There are none, only pickles, or shards are missing.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"{index}: unreadable ({error})", "fetch the model again") from error
        files = [folder / str(name) for name in names]
        if missing := [file.name for file in files if not file.is_file()]:
            raise ModelError(f"{folder}: {missing[0]} is missing", "fetch the model again, it is incomplete")
        return files
    files = sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith("adapter_"))
    if not files:
        if pickles := sorted(file.name for file in folder.iterdir() if is_pickle(file)):
            raise ModelError(f"{folder}: its weights are a pickle ({pickles[0]})", SAFE_HINT)
        raise ModelError(f"{folder}: no *.safetensors in it", "name a folder with config.json and safetensors")
    return files


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint's ``config.json``.

    Raises:
        ModelError: It is missing or unreadable, or asks for code of its own to be run.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: no config.json in it", "name the folder of a saved model") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: unreadable ({error})", "fetch the model again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: not a JSON object", "fetch the model again")
    if "auto_map" in config:
        raise ModelError(
            f"{folder}: needs code that comes with the model", "trust_remote_code stays off; choose another model"
        )
    return config


def context_of(config: dict[str, Any]) -> int | None:
    """Tokens a model was made for, where its configuration says so."""
    text = config.get("text_config")
    for source in (config, text if isinstance(text, dict) else {}):
        for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
            if isinstance(value := source.get(key), int) and value > 0:
                return value
    return None


def revision_of(folder: Path) -> str:
    """What identifies a checkpoint (hex, 32 digits), without reading all of it.

    Hashed are the configuration, the tokenizer, every tensor's name, dtype and
    shape, and 512 bytes from the middle of every tensor: two trainings of one
    architecture differ there, and a file of gigabytes takes milliseconds.

    Raises:
        ModelError: There is no usable checkpoint.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "tokenizer_config.json"):
        path = folder / name
        digest.update(name.encode() + (path.read_bytes() if path.is_file() else b"-"))
    for path in weight_files(folder):
        header = safetensors_header(path)
        with path.open("rb") as file:
            for name, (dtype, shape, begin, end) in sorted(header.items()):
                digest.update(repr((name, dtype, shape)).encode())
                digest.update(_middle(file, begin, end))
    return digest.hexdigest()


def _middle(file: BinaryIO, begin: int, end: int) -> bytes:
    size = min(SAMPLE, end - begin)
    file.seek(begin + (end - begin - size) // 2)
    return file.read(size)


def sha256_of(path: Path) -> str:
    """The sha256 of a file (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weight_bytes(folder: Path) -> int:
    """Bytes of a checkpoint's weights.

    Raises:
        ModelError: There is no usable checkpoint.
    """
    return sum(path.stat().st_size for path in weight_files(folder))


def read_adapter(folder: Path) -> tuple[dict[str, Any], Header]:
    """A LoRA adapter's configuration and tensors.

    Raises:
        ModelError: It is a pickle, incomplete, or no LoRA adapter.
    """
    if folder.is_file():
        if is_pickle(folder):
            raise ModelError(f"{folder}: an adapter as a pickle is refused", SAFE_HINT)
        raise ModelError(f"{folder}: an adapter is a folder", "name the folder with adapter_config.json")
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder", "name a folder with adapter_config.json")
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        if pickles := sorted(file.name for file in folder.iterdir() if is_pickle(file)):
            raise ModelError(f"{folder}: an adapter as a pickle ({pickles[0]}) is refused", SAFE_HINT)
        raise ModelError(f"{folder}: no adapter_model.safetensors in it", "save the adapter with safe_serialization")
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = str(config["peft_type"]).upper()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: unreadable ({error})", "save the adapter again") from error
    if kind != "LORA":
        raise ModelError(f"{folder}: a {kind} adapter", "only LoRA adapters can be merged and served")
    return config, safetensors_header(weights)


def check_fit(base: Path, adapter: Path) -> int:
    """Whether an adapter was made for a base, by the names and shapes of their tensors.

    Returns:
        The adapter's rank.

    Raises:
        ModelError: It was not, or the adapter is not usable.
    """
    config, tensors = read_adapter(adapter)
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(base):
        shapes |= {name: entry[1] for name, entry in safetensors_header(path).items()}
    pairs = list(_lora_layers(tensors, adapter))
    if not pairs:
        raise ModelError(f"{adapter}: holds no LoRA matrices", "was it saved before it was trained?")
    rank = 0
    for module, part, shape in pairs:
        target = shapes.get(f"{module}.weight")
        if target is None:
            raise ModelError(
                f"{adapter}: does not fit {base.name}: the base has no layer {module}",
                f"it was made for {config.get('base_model_name_or_path') or 'another base'}",
            )
        # torch keeps linear layers as (out, in): A is (rank, in), B is (out, rank).
        fits = shape[1:] == target[1:] if part == "A" else shape[:1] == target[:1]
        if not fits:
            raise ModelError(
                f"{adapter}: does not fit {base.name}: {module} is {list(target)}, its lora_{part} {list(shape)}",
                f"it was made for {config.get('base_model_name_or_path') or 'another base'}",
            )
        rank = max(rank, shape[0] if part == "A" else shape[1])
    return rank


def _lora_layers(tensors: Header, adapter: Path) -> Iterable[tuple[str, str, tuple[int, ...]]]:
    for name, (_, shape, _, _) in tensors.items():
        module = name.removeprefix("base_model.model.")
        for part in ("A", "B"):
            if module.endswith(f".lora_{part}.weight"):
                yield module.removesuffix(f".lora_{part}.weight"), part, shape
                break
        else:
            raise ModelError(
                f"{adapter}: {name} is not a plain LoRA matrix", "adapters with other trained parts are not supported"
            )


def gguf_metadata(path: Path) -> dict[str, Any]:
    """The scalar key-value pairs of a GGUF file; arrays are given by their length.

    Raises:
        ModelError: It is no GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
    """
    scalars = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def take(file: BinaryIO, form: str) -> Any:
        return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))[0]

    def value(file: BinaryIO, kind: int) -> Any:
        if kind == 8:
            return file.read(take(file, "Q")).decode("utf-8", "replace")
        if kind != 9:
            return take(file, scalars[kind])
        inner, count = take(file, "I"), take(file, "Q")
        if inner in (8, 9):
            for _ in range(count):
                value(file, inner)
        else:
            file.seek(count * struct.calcsize("<" + scalars[inner]), 1)
        return count

    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError("it does not begin with GGUF")
            take(file, "I")
            take(file, "Q")
            pairs = take(file, "Q")
            return {value(file, 8): value(file, take(file, "I")) for _ in range(pairs)}
    except (OSError, ValueError, KeyError, struct.error, MemoryError, OverflowError) as error:
        raise ModelError(f"{path}: no usable GGUF file ({error})", "fetch it again") from error
