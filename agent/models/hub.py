"""The Hugging Face cache on this machine, read by its layout; the network only when asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agent.models.jobs import run_job
from agent.models.places import Report, quiet
from agent.models.weights import SAFE_HINT, is_pickle, weight_files
from tools.errors import ModelError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?(@[\w./-]{1,64})?")


def hub_cache() -> Path:
    """Where huggingface_hub keeps its files (``HF_HUB_CACHE``, ``HF_HOME``, or the user's cache)."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(home).expanduser() / "hub"


def cached_models() -> dict[str, Path]:
    """The models in the cache that could be served, by id, each with its newest snapshot."""
    found = {}
    for folder in sorted(hub_cache().glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        snapshot = find_snapshot(name)
        if snapshot is not None and (snapshot / "config.json").is_file() and any(snapshot.glob("*.safetensors")):
            found[name] = snapshot
    return found


def find_snapshot(hub_id: str) -> Path | None:
    """The cached snapshot of ``org/name`` or ``org/name@revision``, where there is one."""
    name, _, revision = hub_id.partition("@")
    folder = hub_cache() / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    if commit and (folder / "snapshots" / commit).is_dir():
        return folder / "snapshots" / commit
    if revision:
        return None
    snapshots = sorted((folder / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime)
    return snapshots[-1] if snapshots else None


def snapshot(hub_id: str, *, allow_download: bool = False, progress: Report | None = None) -> Path | None:
    """A snapshot with usable weights, from the cache, or from the hub where that is allowed.

    Returns:
        Its folder; None where it is not here and was not to be fetched.

    Raises:
        ModelError: The download failed, or the model comes as pickles only.
    """
    found = find_snapshot(hub_id)
    if found is not None and _complete(found):
        return found
    if not allow_download:
        return None
    (progress or quiet)(f"fetching {hub_id} from the Hugging Face hub")
    name, _, revision = hub_id.partition("@")
    try:
        path = Path(run_job("download", {"repository": name, "revision": revision}, online=True)["path"])
    except RuntimeError as error:
        raise ModelError(
            f"{hub_id}: cannot be fetched from the hub ({error})", "check the id, the network, and whether it is gated"
        ) from error
    if not any(path.glob("*.safetensors")):
        raise ModelError(f"{hub_id}: has no safetensors", SAFE_HINT)
    return path


def _complete(folder: Path) -> bool:
    if not (folder / "config.json").is_file():
        return False
    try:
        return bool(weight_files(folder))
    except ModelError:
        # A model that is here as pickles is refused by the one who asked, with that reason.
        return any(is_pickle(file) for file in folder.iterdir())
