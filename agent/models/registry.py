"""What a project may name as a member's model, and what the name stands for."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from agent.models import hub, shipped, starter
from agent.models.places import Report
from agent.models.weights import SAFE_HINT, check_fit, context_of, is_pickle, read_config, revision_of, sha256_of
from tools.errors import ModelError

Kind = Literal["starter", "path", "hub", "url"]
OWN = ("starter", "starter-base")
FORMS = (
    "starter[:MEMBER], starter-base, a Hugging Face id (org/name), a folder or .gguf file, or http://host:port/v1#model"
)
DEFAULT_CONTEXT = 4096
"""Assumed where a model does not say how many tokens it takes."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model that was found.

    Attributes:
        name: What callers know it by: the alias it was given, else what it was called.
        kind: Where it comes from.
        served_name: What its server calls it; empty for a URL that leaves that to its server.
        revision: Identifies configuration and weights, adapter included, merged or not
            (hex, 32 digits); for a URL only its address, since the weights cannot be seen.
        context_tokens: Tokens that a prompt and its answer may take together.
        path: A checkpoint that loads as it is, the adapter merged in; the base where merging
            was not wanted; None for a URL.
        url: Base address of an OpenAI-compatible API, ending in ``/v1`` as a rule; None for others.
        hub_id: The Hugging Face id it was named by, or None.
        base: The checkpoint without adapter; None for a URL.
        adapter: The LoRA adapter's folder, or None.
    """

    name: str
    kind: Kind
    served_name: str
    revision: str
    context_tokens: int
    path: Path | None = None
    url: str | None = None
    hub_id: str | None = None
    base: Path | None = None
    adapter: Path | None = None

    @property
    def unmerged(self) -> bool:
        """Whether ``adapter`` has still to be applied to ``path``."""
        return self.adapter is not None and self.path == self.base


def resolve(
    name: str,
    *,
    adapter: str | Path | None = None,
    alias: str | None = None,
    context_tokens: int | None = None,
    merge: bool = True,
    allow_download: bool = False,
    root: str | Path = ".",
    known: Iterable[str] = (),
    progress: Report | None = None,
) -> ModelRef:
    """What a model's name stands for; no network unless it is allowed.

    Args:
        name: ``starter``, ``starter:MEMBER``, ``starter-base``, a Hugging Face id (``org/name`` or
            ``org/name@revision``), a local folder or GGUF file, or an OpenAI-compatible
            URL (``http://host:port/v1``, with ``#model`` where it serves several).
        adapter: Folder of a LoRA adapter for it; merged into a checkpoint, once.
        alias: What to know it by, for example its name in the project file.
        context_tokens: Less than the model allows, where less is wanted.
        merge: Whether to merge an adapter; not, where the server applies it itself.
        allow_download: Whether what is missing may be fetched.
        root: What relative paths start from.
        known: Other names to offer when this one is unknown.
        progress: Told what takes its time.

    Raises:
        ModelError: Unknown, not on this machine, unsafe, incomplete, or an adapter that does not fit.
    """
    name = name.strip()
    if re.match(r"https?://", name, re.IGNORECASE):
        if adapter is not None:
            raise ModelError(f"{name}: an adapter cannot be given to a server", "name the model that its server serves")
        return _url(name, alias, context_tokens)
    own = Path(root, adapter).expanduser() if adapter is not None else None
    kind: Kind
    hub_id: str | None = None
    base: Path | None
    ships = False
    if is_own(name):
        kind = "starter"
        if name not in OWN:
            shipped.member(name.removeprefix(shipped.PREFIX))
        base = starter.find_base() or (starter.pull(progress=progress) if allow_download else None)
        if base is None:
            raise ModelError("the starter model is not on this machine yet", starter.GET)
        ships = own is None
        if ships:
            own = starter.adapter(name)
    elif (local := _local(name, Path(root))) is not None:
        kind, base = "path", _checkpoint(local, progress)
    else:
        kind, hub_id = "hub", name
        base = _hub(name, Path(root), known, allow_download, progress)
    config = read_config(base)
    revision = revision_of(base)
    path = base
    if own is not None:
        check_fit(base, own)
        what = f"{revision} {sha256_of(own / 'adapter_model.safetensors')} {sha256_of(own / 'adapter_config.json')}"
        revision = hashlib.blake2b(what.encode(), digest_size=16).hexdigest()
        path = starter.merged(own, base=base, progress=progress) if merge else base
    limit = context_of(config) or context_tokens or DEFAULT_CONTEXT
    if context_tokens is not None and context_tokens > limit:
        raise ModelError(f"{name}: takes {limit} tokens, not {context_tokens}", "lower context_tokens")
    return ModelRef(
        name=alias or name,
        kind=kind,
        served_name=_served_name(name, kind, None if ships else own),
        revision=revision,
        context_tokens=context_tokens or limit,
        path=path,
        hub_id=hub_id,
        base=base,
        adapter=own,
    )


def models_here() -> dict[str, Path | None]:
    """Names that would resolve without a download, with their folders; the starter's names always, maybe without."""
    base = starter.find_base()
    found: dict[str, Path | None] = dict.fromkeys(own_names(), base)
    return {**found, **hub.cached_models()}


def is_own(name: str) -> bool:
    """Whether a name is one of the starter's, known or not: ``starter``, ``starter-base``, ``starter:MEMBER``."""
    return name in OWN or name.startswith(shipped.PREFIX)


def own_names() -> tuple[str, ...]:
    """The starter's names: the blend, each adapter that ships (where there are several), the plain base.

    Raises:
        ModelError: ``members.toml`` is broken.
    """
    here = shipped.shipped()
    return (OWN[0], *(f"{shipped.PREFIX}{name}" for name in here if len(here) > 1), OWN[1])


def _url(name: str, alias: str | None, context_tokens: int | None) -> ModelRef:
    try:
        parts = urlsplit(name)
        port = parts.port
    except ValueError as error:
        raise ModelError(f"{name}: not a URL ({error})", "for example http://127.0.0.1:8000/v1#model-name") from error
    if not parts.hostname:
        raise ModelError(f"{name}: names no host", "for example http://127.0.0.1:8000/v1#model-name")
    if parts.username or parts.password:
        raise ModelError(
            f"a URL on {parts.hostname} holds a user name or password", "put the key into a variable, see api_key_env"
        )
    if parts.query:
        raise ModelError(f"{name}: a URL with a query is not supported", "for example http://127.0.0.1:8000/v1#model")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port else host
    url = f"{parts.scheme.lower()}://{place}{parts.path.rstrip('/') or '/v1'}"
    revision = hashlib.blake2b(f"{url}#{parts.fragment}".encode(), digest_size=16).hexdigest()
    return ModelRef(alias or name, "url", parts.fragment, revision, context_tokens or DEFAULT_CONTEXT, url=url)


def _local(name: str, root: Path) -> Path | None:
    """The file or folder a name means, where it means one."""
    if not name:
        return None
    path = Path(root, name).expanduser() if not name.startswith("~") else Path(name).expanduser()
    looks_local = name.startswith(("/", "./", "../", "~")) or name in (".", "..") or "\\" in name
    if path.is_file() or path.is_dir():
        return path
    if looks_local or name.lower().endswith((".gguf", ".safetensors")) or is_pickle(Path(name)):
        if is_pickle(path):
            raise ModelError(f"{name}: a pickle is refused", SAFE_HINT)
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ModelError(f"{name}: no such file or folder", _near(path.name, siblings) or f"a model is {FORMS}")
    return None


def _checkpoint(path: Path, progress: Report | None) -> Path:
    """A local path as a folder of safetensors."""
    if path.is_dir():
        if not (path / "config.json").is_file() and (path / "adapter_config.json").is_file():
            raise ModelError(f"{path}: an adapter, not a model", "name its base as source and this folder as adapter")
        ggufs = sorted(path.glob("*.gguf"))
        if ggufs and not any(path.glob("*.safetensors")):
            if len(ggufs) > 1:
                raise ModelError(f"{path}: holds {len(ggufs)} GGUF files", f"name one of them, e.g. {ggufs[0]}")
            return starter.converted(ggufs[0], progress=progress)
        return path
    if is_pickle(path):
        raise ModelError(f"{path}: a pickle is refused", SAFE_HINT)
    if path.suffix.lower() == ".gguf":
        return starter.converted(path, progress=progress)
    if path.suffix.lower() == ".safetensors":
        raise ModelError(f"{path}: name the folder, not the file", f"{path.parent}")
    raise ModelError(f"{path}: not a model", f"a model is {FORMS}")


def _hub(name: str, root: Path, known: Iterable[str], allow_download: bool, progress: Report | None) -> Path:
    if not hub.HUB_ID.fullmatch(name):
        raise ModelError(f"{name!r} is not a model", f"a model is {FORMS}")
    # A name without a slash is more often a slip than one of the hub's few such ids: never fetched.
    found = hub.snapshot(name, allow_download=allow_download and "/" in name, progress=progress)
    if found is not None:
        return found
    names = {*OWN, *hub.cached_models(), *known, *(entry.name for entry in root.glob("*/") if not entry.is_symlink())}
    near = _near(name, names)
    if "/" in name:
        raise ModelError(f"{name}: not on this machine", near or f"fetch it with: quorum models pull {name}")
    raise ModelError(f"unknown model {name!r}", near or f"a model is {FORMS}")


def _near(name: str, names: Iterable[str]) -> str:
    lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(lower[key] for key in close)}?" if close else ""


def _served_name(name: str, kind: str, adapter: Path | None) -> str:
    """What the server calls it: short, without blanks, telling adapters apart; ``adapter`` is one beside the name."""
    plain = name if kind != "path" else Path(os.path.abspath(Path(name).expanduser())).name
    plain = re.sub(r"[^A-Za-z0-9_./@:-]+", "-", plain.removesuffix(".gguf")) or "model"
    if adapter is None:
        return plain
    return f"{plain}+{re.sub(r'[^A-Za-z0-9_.-]+', '-', adapter.name)}"
