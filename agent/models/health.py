"""Whether a local server lives: ports, health checks, the end of its log."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.models.processes import reap
from agent.models.serverspec import HOST
from agent.models.serverstate import ServerRecord
from tools.errors import EngineError

_NOISE = re.compile(
    r"nanobind: | - (leaked|\.\.\. skipped)|See https://nanobind|\s*warnings\.warn\(|.*UserWarning: resource_tracker"
)
_FAULT = re.compile(r"(Error|Exception)\b.*:|No space left|Killed|out of memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Death:
    """A server that does not answer any more.

    Attributes:
        name: The server.
        reason: In a few words.
        last_lines: The end of its log.
        log: The whole log.
        at: Seconds since the epoch.
    """

    name: str
    reason: str
    last_lines: tuple[str, ...]
    log: str
    at: float

    def __str__(self) -> str:
        return f"{self.name}, {self.reason} (log: {self.log})"


def free_port() -> int:
    """A port on the loopback device that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(port: int) -> None:
    """Refuse a port that is taken, before a server is started for half a minute in vain.

    Raises:
        EngineError: It is in use, or no port.
    """
    if not 1 <= port <= 65535:
        raise EngineError(f"{port} is no port", "a number from 1024 to 65535, or none for a free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EngineError(
                f"port {port} on {HOST} cannot be used ({error.strerror})",
                "choose another, or leave it out for a free one; quorum models status shows Quorum's own servers",
            ) from error


def healthy(port: int, served_name: str | None = None, *, seconds: float = 2.0) -> bool:
    """Whether a server on this machine answers, and serves a model of that name."""
    try:
        if _get(port, "/health", seconds)[0] != 200:
            return False
        if served_name is None:
            return True
        status, body = _get(port, "/v1/models", seconds)
        return status == 200 and any(entry.get("id") == served_name for entry in json.loads(body)["data"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return False


def _get(port: int, path: str, seconds: float) -> tuple[int, bytes]:
    # http.client knows no proxies: a proxy of the environment must not come between two local processes.
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(2**20)
    finally:
        connection.close()


def last_lines(log: str | Path, count: int = 12) -> tuple[str, ...]:
    """The end of a log, without blank lines, colours, and what a library says about its own leaks at exit."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, os.path.getsize(log) - 32768))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in text.splitlines()]
    said = [line for line in lines if line.strip() and not _NOISE.match(line)]
    return tuple(said[-count:])


def fault_in(log: str | Path) -> str:
    """The line of a log that says best why a server ended; empty where none does."""
    lines = last_lines(log, 80)
    telling = [line for line in lines if _FAULT.search(line)]
    # vLLM's outer processes report that an inner one failed; the inner one said why.
    inner = [line for line in telling if "root cause" not in line and "stack trace" not in line]
    best = (inner or telling or list(lines[-1:]) or [""])[-1]
    best = re.sub(r"^(\([^)]*\)\s*)?([A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\]\s*)?", "", best)
    return best.strip()[:240]


def death_of(record: ServerRecord, misses: int = 0, *, allowed: int = 3) -> Death | None:
    """Why a server must be given up, or None while it lives.

    Args:
        record: The server.
        misses: How many health checks in a row it has missed.
        allowed: How many it may miss; a busy one answers late.
    """
    reap(record.pid)
    if not record.alive:
        said = fault_in(record.log)
        reason = f"its process ended: {said}" if said else "its process ended"
    elif misses >= allowed:
        reason = f"it missed {misses} health checks in a row"
    else:
        return None
    return Death(record.name, reason, last_lines(record.log), record.log, time.time())


async def watch(
    servers: Sequence[ServerRecord], *, interval: float = 2.0, allowed: int = 5, seconds: float = 10.0
) -> Death:
    """Wait until one of some servers dies, and say which and why; cancel it to stop watching.

    Args:
        servers: Those to watch; at least one.
        interval: Seconds between looks.
        allowed: Health checks in a row that may be missed.
        seconds: How long a health check may take.
    """
    misses = dict.fromkeys((server.name for server in servers), 0)
    while True:
        for server in servers:
            if server.alive:
                well = await asyncio.to_thread(healthy, server.port, seconds=seconds)
                misses[server.name] = 0 if well else misses[server.name] + 1
            if (death := death_of(server, misses[server.name], allowed=allowed)) is not None:
                return death
        await asyncio.sleep(interval)
