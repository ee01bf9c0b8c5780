"""See to it that models are served while something needs them.

``start``, ``stop``, ``status`` (from ``launch``) and ``watch`` (from ``health``)
are offered here, too.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.models import serverstate
from agent.models.devices import available_engine
from agent.models.health import Death, death_of, healthy, watch
from agent.models.launch import ServerStatus, kept, start, start_or_join, status, stop
from agent.models.places import Report
from agent.models.planning import plan
from agent.models.processes import end_session
from agent.models.registry import ModelRef, resolve
from agent.models.serverspec import ServerSpec
from agent.models.serverstate import ServerRecord, records
from tools.errors import EngineError, QuorumLost

__all__ = [
    "Death",
    "Endpoint",
    "ServerRecord",
    "ServerStatus",
    "death_of",
    "keep_running",
    "records",
    "remote_endpoint",
    "serving",
    "start",
    "status",
    "stop",
    "watch",
]

logger = logging.getLogger(__name__)

LATE = 5.0
"""Seconds that a server whose members are gone is given to be seen dead: its outer process outlives the inner one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served.

    Attributes:
        name: What the model was asked for by.
        url: Base address of an OpenAI-compatible API.
        served_name: The model's name there.
        revision: Part of the response cache's key.
        context_tokens: Tokens of prompt and answer together.
        tokenizer: Folder of its tokenizer; None for a server elsewhere.
        server: The note about its server; None for one that is not ours.
    """

    name: str
    url: str
    served_name: str
    revision: str
    context_tokens: int
    tokenizer: Path | None = None
    server: ServerRecord | None = None


@asynccontextmanager
async def serving(
    models: Sequence[str | ModelRef],
    *,
    keep: bool = False,
    max_model_len: int | None = None,
    keys: Mapping[str, str] | None = None,
    progress: Report | None = None,
    on_death: Callable[[Death], None] | None = None,
) -> AsyncIterator[dict[str, Endpoint]]:
    """See to it that models are served while the block runs.

    A healthy server of the same revision is used again, whoever started it;
    others are started one after the other. At the end a server is stopped when
    no other process uses it and nobody asked for it to stay. A server whose user
    was killed stays, and the next call uses it again.

    Args:
        models: Names as :func:`agent.models.registry.resolve` takes them, or what it returned.
        keep: Leave servers that are started here running.
        max_model_len: Tokens of prompt and answer that are needed; by default what each model allows, up to 8,192.
        keys: API keys for URLs, by the models' names.
        progress: Told what takes its time.
        on_death: Told once about each of the servers that dies meanwhile.

    Yields:
        An endpoint a model, by the names asked for.

    Raises:
        ModelError: A model is unknown or does not load.
        EngineError: A server does not start, or memory does not suffice.
        ValueError: Two different models have one name.
    """
    refs = [model if isinstance(model, ModelRef) else await _resolved(model, progress) for model in models]
    for ref in refs:
        if any(other.name == ref.name and other.revision != ref.revision for other in refs):
            raise ValueError(f"two different models are called {ref.name!r}: resolve them with an alias")
    endpoints: dict[str, Endpoint] = {}
    leases: list[tuple[str, Path]] = []
    watcher: asyncio.Task[None] | None = None
    left: list[ServerRecord] = []
    try:
        for ref in refs:
            if ref.kind == "url":
                endpoints[ref.name] = await asyncio.to_thread(remote_endpoint, ref, (keys or {}).get(ref.name))
        local = [ref for ref in refs if ref.kind != "url"]
        for ref in list(local):
            if (found := _running(ref, max_model_len)) is not None:
                record, lease = found
                leases.append((record.name, lease))
                endpoints[ref.name] = _endpoint(ref, record)
                local.remove(ref)
        for spec, served in await asyncio.to_thread(plan, local, max_model_len, progress):
            record, lease = await _started(spec, keep, progress)
            leases.append((record.name, lease))
            endpoints |= {ref.name: _endpoint(ref, record) for ref in served}
        left += {end.server.name: end.server for end in endpoints.values() if end.server is not None}.values()
        if left and on_death is not None:
            watcher = asyncio.create_task(_tell_deaths(left, on_death))
        yield endpoints
    except QuorumLost:
        # Requests fail before the watcher's next look; whoever asks wants to know whether a server is the reason.
        if left and on_death is not None:
            await _late_death(left, on_death)
        raise
    finally:
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        for name, lease in leases:
            await asyncio.to_thread(_release, name, lease)


def keep_running(
    refs: Sequence[ModelRef],
    *,
    port: int | None = None,
    max_model_len: int | None = None,
    progress: Report | None = None,
) -> list[ServerRecord]:
    """Serve models until they are stopped; those that run already are left as they are, and stay.

    Args:
        refs: Models on this machine.
        port: For the only server; by default a free one for each.
        max_model_len: Tokens of prompt and answer.
        progress: Told what takes its time.

    Raises:
        EngineError: One is served elsewhere, several servers are to share a port, or one does not start.
        ModelError: An adapter does not merge.
    """
    if elsewhere := [ref.name for ref in refs if ref.kind == "url"]:
        raise EngineError(f"{elsewhere[0]} is served elsewhere", "only models on this machine can be served here")
    found: list[ServerRecord] = []
    missing: list[ModelRef] = []
    for ref in refs:
        running = _running(ref, max_model_len)
        if running is None:
            missing.append(ref)
            continue
        record, lease = running
        found.append(kept(record))
        lease.unlink(missing_ok=True)
    planned = plan(missing, max_model_len, progress)
    if port is not None and len(planned) > 1:
        raise EngineError(f"{len(planned)} servers cannot share port {port}", "serve one model, or leave the port out")
    found += [start(spec, port=port, keep=True, progress=progress) for spec, _ in planned]
    return list({record.name: record for record in found}.values())


async def _resolved(name: str, progress: Report | None) -> ModelRef:
    def work() -> ModelRef:
        # On a GPU the plan decides whether an adapter is merged or applied by the server.
        return resolve(name, merge=available_engine().kind != "vllm-cuda", progress=progress)

    return await asyncio.to_thread(work)


def _running(ref: ModelRef, max_model_len: int | None) -> tuple[ServerRecord, Path] | None:
    """A healthy server that serves a model already, leased to this process."""
    needed = min(max_model_len or 0, ref.context_tokens)
    with serverstate.changing():
        for record in serverstate.records():
            serves = record.revision == ref.revision or ref.revision in record.adapters.values()
            if serves and record.alive and record.max_model_len >= needed and healthy(record.port):
                return record, serverstate.take_lease(record.name)
    return None


async def _started(spec: ServerSpec, keep: bool, progress: Report | None) -> tuple[ServerRecord, Path]:
    """Start a server in a thread; when this task is cancelled meanwhile, it is stopped again."""
    cancelled = threading.Event()
    task = asyncio.ensure_future(
        asyncio.to_thread(start_or_join, spec, keep=keep, progress=progress, cancelled=cancelled)
    )
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        done = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(done[0], BaseException):
            record, lease = done[0]
            await asyncio.to_thread(_release, record.name, lease)
        raise


def _release(name: str, lease: Path) -> None:
    """Give a lease back; the last user of a server that nobody keeps stops it."""
    with serverstate.changing():
        lease.unlink(missing_ok=True)
        record = serverstate.read(name)
        if record is None or record.keep or serverstate.users(name):
            return
        # Forgotten first: from here on no other process takes it for a server it may use.
        serverstate.forget(name)
    end_session(record.pid, record.identity)


def _endpoint(ref: ModelRef, record: ServerRecord) -> Endpoint:
    served = next((name for name, revision in record.adapters.items() if revision == ref.revision), record.served_name)
    context = min(ref.context_tokens, record.max_model_len)
    return Endpoint(ref.name, record.url, served, ref.revision, context, Path(record.path), record)


def remote_endpoint(ref: ModelRef, key: str | None = None) -> Endpoint:
    """A server elsewhere: which model it serves, and how many tokens that takes.

    Args:
        ref: Of a URL.
        key: Its API key, where it wants one.

    Raises:
        EngineError: It cannot be reached, or leaves open which of its models is meant.
    """
    url = ref.url or ""
    try:
        entries = {str(entry["id"]): entry for entry in _models_at(url, key)["data"]}
    except urllib.error.HTTPError as error:
        if ref.served_name and error.code in (401, 403, 404):
            # Some servers do not list their models, or only to those with a key; the requests will tell.
            return Endpoint(ref.name, url, ref.served_name, ref.revision, ref.context_tokens)
        raise EngineError(
            f"{url} answers {error.code}", "is it an OpenAI-compatible API, with /v1 at its end?"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise EngineError(f"{url} cannot be reached ({reason})", "does it run, and is the port right?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{url}/models answers something else than a list of models", "is /v1 at its end?") from error
    name = ref.served_name
    if not name and len(entries) == 1:
        name = next(iter(entries))
    if name not in entries:
        what = f"no model {name!r}" if name else f"{len(entries)} models"
        listed = ", ".join(list(entries)[:5]) or "none"
        raise EngineError(f"{url} serves {what}", f"name one it has ({listed}) after a #")
    limit = entries[name].get("max_model_len")
    context = min(ref.context_tokens, limit) if isinstance(limit, int) and limit > 0 else ref.context_tokens
    return Endpoint(ref.name, url, name, ref.revision, context)


def _models_at(url: str, key: str | None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    local = urllib.parse.urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    # A proxy of the environment is for the world outside, not between two local processes.
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
    with opener.open(urllib.request.Request(f"{url}/models", headers=headers), timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read(2**22))
        return found


async def _tell_deaths(left: list[ServerRecord], on_death: Callable[[Death], None]) -> None:
    """Tell of each server that dies; it leaves the list."""
    while left:
        _tell(await watch(left), left, on_death)


def _tell(death: Death, left: list[ServerRecord], on_death: Callable[[Death], None]) -> None:
    logger.warning("the server %s died: %s", death.name, death.reason)
    left[:] = [server for server in left if server.name != death.name]
    on_death(death)


async def _late_death(left: list[ServerRecord], on_death: Callable[[Death], None]) -> None:
    """Tell of a server that is about to be seen dead; returns with the first, or when none has died for a while."""
    until, before = asyncio.get_running_loop().time() + LATE, len(left)
    while len(left) == before and asyncio.get_running_loop().time() < until:
        for server in list(left):
            if len(left) == before and (death := death_of(server)) is not None:
                _tell(death, left, on_death)
        await asyncio.sleep(0.2)
