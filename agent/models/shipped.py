"""The adapters that ship: which there are, and the blend of them that ``starter`` stands for.

Each is a folder beside this module with ``adapter_config.json``,
``adapter_model.safetensors`` and a model card. ``members.toml`` says what each
is for and with which share it goes into the blend: the mean of the adapters'
matrices, A and B element by element (a "model soup", Wortsman et al. 2022,
arXiv 2203.05482, section 2), which is sensible for adapters that were branched
off one training and lie close together. A mean of matrices costs nothing when
it is used: the blend is one model, asked in several ways.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.models.places import cache_home, fresh_folder, locked, need_space
from agent.models.weights import read_adapter, sha256_of
from tools.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

FOLDER = Path(__file__).parent / "adapters"
VARIABLE = "QUORUM_ADAPTERS"
"""The environment variable that names another folder of adapters, e.g. of candidates that are still measured."""
FILE = "members.toml"
PREFIX = "starter:"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FORMAT = 1
"""Counts up when blending changes, so that old results are made anew."""
AGREE = (
    *("peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "bias"),
    *("fan_in_fan_out", "modules_to_save"),
)
"""Settings that must be the same in all adapters of a blend."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """An adapter that ships.

    Attributes:
        name: Its folder's.
        folder: Where it is.
        share: Its share of the blend, relative to the others'; 0 leaves it out.
        summary: What it is for, in a line.
    """

    name: str
    folder: Path
    share: float
    summary: str = ""


class _Entry(BaseModel):
    # What the model card needs stands in the same table (tools/finetuning/cards.py) and is nothing to us.
    model_config = ConfigDict(extra="ignore", frozen=True)

    share: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    summary: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    members: dict[str, _Entry] = {}


def adapters_folder() -> Path:
    """Where the adapters are: beside this module, or what ``QUORUM_ADAPTERS`` names."""
    return Path(given).expanduser() if (given := os.environ.get(VARIABLE)) else FOLDER


def shipped(folder: Path | None = None) -> dict[str, Shipped]:
    """The adapters that are there, by name, in the order of ``members.toml``; others after them.

    Without ``members.toml`` all have equal shares; one that the file does not
    name has none. A single adapter needs no share.

    Args:
        folder: Of adapters; by default ``adapters_folder()``.

    Raises:
        ModelError: ``members.toml`` cannot be read, names what is not there, or blends nothing.
    """
    root = folder or adapters_folder()
    here = sorted(path.name for path in root.glob("*/") if (path / CONFIG).is_file())
    entries = _entries(root / FILE)
    if entries is None:
        return {name: Shipped(name, root / name, 1.0) for name in here}
    if len(here) == 1:
        [name] = here
        return {name: Shipped(name, root / name, 1.0, entries.get(name, _Entry()).summary)}
    if missing := [name for name in entries if name not in here]:
        raise ModelError(
            f"{root / FILE}: there is no adapter {missing[0]!r} beside it", f"there are {', '.join(here) or 'none'}"
        )
    if here and not any(entry.share for entry in entries.values()):
        raise ModelError(f"{root / FILE}: no adapter has a share of the blend", "give one a share above 0")
    order = [*entries, *(name for name in here if name not in entries)]
    found = {name: entries.get(name, _Entry()) for name in order}
    return {name: Shipped(name, root / name, entry.share, entry.summary) for name, entry in found.items()}


def _entries(path: Path) -> Mapping[str, _Entry] | None:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).members
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"{path}: {where}: {first['msg']}", "[members.NAME] with share and summary") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error})", "[members.NAME] with share and summary") from error


def member(name: str, folder: Path | None = None) -> Shipped:
    """One adapter by its name.

    Raises:
        ModelError: There is none of that name; the hint lists those that there are.
    """
    here = shipped(folder)
    if name not in here:
        listed = ", ".join(f"{PREFIX}{one}" for one in here) or "none"
        raise ModelError(f"the starter has no member {name!r}", f"there are {listed}; starter is their blend")
    return here[name]


def blended(folder: Path | None = None) -> dict[str, Shipped]:
    """The adapters that ``starter`` is made of, by name; empty where none ships."""
    return {name: one for name, one in shipped(folder).items() if one.share}


def blend(folder: Path | None = None, cache_dir: str | Path | None = None) -> Path | None:
    """The adapter that ``starter`` stands for: the blend, made once into the cache, or the only one as it is.

    The same adapters and shares give the same bytes on every machine: sums are
    taken in float64 in the order of the names and rounded once, to float32.

    Args:
        folder: Of adapters; by default ``adapters_folder()``.
        cache_dir: Where to keep it; by default the user's cache.

    Returns:
        An adapter's folder; None where none ships.

    Raises:
        ModelError: An adapter is broken, they do not go together, or the cache cannot be written.
    """
    parts = blended(folder)
    if not parts:
        return None
    if len(parts) == 1:
        return next(iter(parts.values())).folder
    total = sum(part.share for part in parts.values())
    weighed = {name: parts[name].share / total for name in sorted(parts)}
    what = [
        [name, share, sha256_of(parts[name].folder / WEIGHTS), sha256_of(parts[name].folder / CONFIG)]
        for name, share in weighed.items()
    ]
    key = hashlib.blake2b(json.dumps([FORMAT, what]).encode(), digest_size=12).hexdigest()
    cache = cache_home() if cache_dir is None else Path(cache_dir).expanduser()
    made = cache / "models" / "blends" / key / "starter"
    if _is_there(made):
        return made
    with locked(cache / "locks" / f"blend-{key}.lock"):
        if not _is_there(made):
            need_space(cache, 64 * 2**20)
            _make({name: (parts[name].folder, share) for name, share in weighed.items()}, made)
    return made


def _is_there(folder: Path) -> bool:
    # It appears by a rename, whole or not at all.
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


def _make(parts: Mapping[str, tuple[Path, float]], target: Path) -> None:
    from safetensors.numpy import save_file

    config = _common_config({name: folder for name, (folder, _) in parts.items()})
    sums: dict[str, np.ndarray] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (folder, share) in parts.items():
        tensors = _tensors(folder)
        own = {key: value.shape for key, value in tensors.items()}
        if shapes and own != shapes:
            raise ModelError(
                f"{folder}: its matrices have other names or shapes than the other adapters'",
                f"adapters of one blend come from one recipe; take the share of {name} out of {FILE}",
            )
        shapes = own
        for key, value in tensors.items():
            sums[key] = sums.get(key, 0.0) + share * value
    with fresh_folder(target) as made:
        save_file(
            {key: value.astype("float32") for key, value in sorted(sums.items())},
            made / WEIGHTS,
            metadata={"format": "pt"},
        )
        (made / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _common_config(folders: Mapping[str, Path]) -> dict[str, Any]:
    """The adapters' configuration, which must say the same of all that changes what their matrices mean."""
    first: dict[str, Any] | None = None
    for name, folder in folders.items():
        config, _ = read_adapter(folder)
        if first is None:
            first = config
            continue
        differing = [key for key in AGREE if config.get(key) != first.get(key)]
        if set(config.get("target_modules") or ()) != set(first.get("target_modules") or ()):
            differing.append("target_modules")
        if differing:
            raise ModelError(
                f"{folder}: {differing[0]} is {config.get(differing[0])!r}, other adapters have "
                f"{first.get(differing[0])!r}",
                f"adapters of one blend come from one recipe; take the share of {name} out of {FILE}",
            )
    assert first is not None
    return {**first, "target_modules": sorted(first["target_modules"])}


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    """An adapter's matrices in float64, without torch: bf16 is the upper half of a float32."""
    import numpy as np

    _, header = read_adapter(folder)
    raw = (folder / WEIGHTS).read_bytes()
    found = {}
    for name, (dtype, shape, begin, end) in header.items():
        if dtype == "BF16":
            values = (np.frombuffer(raw[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
        elif dtype in ("F16", "F32"):
            values = np.frombuffer(raw[begin:end], "<f2" if dtype == "F16" else "<f4")
        else:
            raise ModelError(f"{folder}: {name} is of type {dtype}", "bf16, fp16 or fp32 adapters can be blended")
        found[name] = values.reshape(shape).astype(np.float64)
    return found
