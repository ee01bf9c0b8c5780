"""Start and stop vLLM servers on this machine; loopback only, one at a time, no orphans."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agent.models import serverstate
from agent.models.health import check_port, fault_in, free_port, healthy
from agent.models.places import Report, locked, make_folder, quiet, state_home
from agent.models.processes import end_session, identity_of, reap, spawn
from agent.models.serverspec import ServerSpec, build_command, build_environment
from agent.models.serverstate import ServerRecord
from tools.errors import EngineError

START_SECONDS = 600.0
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server as it is now.

    Attributes:
        record: The note about it.
        state: ready, starting, unresponsive (it runs but does not answer) or dead.
        users: Processes that use it.
        memory: Bytes that its processes hold in main memory.
    """

    record: ServerRecord
    state: str
    users: tuple[int, ...]
    memory: int


def start(
    spec: ServerSpec,
    *,
    port: int | None = None,
    keep: bool = True,
    seconds: float = START_SECONDS,
    progress: Report | None = None,
    command: Sequence[str] | None = None,
) -> ServerRecord:
    """Start a server and wait until it answers. One starts at a time, on the whole machine.

    Args:
        spec: What to serve.
        port: Where; by default a free one.
        keep: Whether it stays when its last user is done.
        seconds: The longest wait for it to answer.
        progress: Told how long it has taken so far.
        command: Another program to run in vLLM's place; ``{port}`` in it becomes the port.

    Raises:
        EngineError: It runs already, the port is taken, or the server ended or did not
            answer in time; nothing of it is left then.
    """
    report = progress or quiet
    if port is not None:
        check_port(port)
    with locked(serverstate.servers_folder() / ".start.lock", report=report):
        old = serverstate.read(spec.name)
        if old is not None and old.alive:
            raise EngineError(
                f"a server {spec.name} runs already on port {old.port}", f"quorum models stop {spec.name}"
            )
        return _launch(spec, port, keep, seconds, report, command)


def start_or_join(
    spec: ServerSpec, *, keep: bool, progress: Report | None = None, cancelled: threading.Event | None = None
) -> tuple[ServerRecord, Path]:
    """Start a server, or use one that another process started meanwhile; with a lease on it.

    Args:
        spec: What to serve.
        keep: Whether a server that is started here stays when its last user is done.
        progress: Told what it waits for.
        cancelled: Set by another thread to give up; nothing that was started here stays then.

    Raises:
        EngineError: It does not start.
    """
    report = progress or quiet
    with locked(serverstate.servers_folder() / ".start.lock", report=report, cancelled=cancelled):
        with serverstate.changing():
            old = serverstate.read(spec.name)
            if old is not None and old.max_model_len >= spec.max_model_len and healthy(old.port, old.served_name):
                return old, serverstate.take_lease(old.name)
        if old is not None and old.alive:
            # It hangs, or is too short for this use, and names must stay unique.
            spec = replace(spec, name=f"{spec.name}-{uuid.uuid4().hex[:4]}")
        record = _launch(spec, None, keep, START_SECONDS, report, None, cancelled)
        with serverstate.changing():
            return record, serverstate.take_lease(record.name)


def _launch(
    spec: ServerSpec,
    port: int | None,
    keep: bool,
    seconds: float,
    report: Report,
    command: Sequence[str] | None,
    cancelled: threading.Event | None = None,
) -> ServerRecord:
    """Spawn, note, wait; call it under the start lock."""
    log = make_folder(state_home() / "logs") / f"{spec.name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    at = port or free_port()
    line = [part.replace("{port}", str(at)) for part in command] if command else build_command(spec, at)
    try:
        pid = spawn(line, build_environment(spec, os.environ), log)
    except OSError as error:
        raise EngineError(f"{line[0]}: cannot be started ({error.strerror})", "quorum doctor says more") from error
    record = ServerRecord(
        name=spec.name,
        served_name=spec.served_name,
        revision=spec.revision,
        pid=pid,
        identity=identity_of(pid) or "",
        port=at,
        command=tuple(line),
        log=str(log),
        device=spec.device,
        max_model_len=spec.max_model_len,
        max_num_seqs=spec.max_num_seqs,
        started=time.time(),
        keep=keep,
        path=str(spec.path),
        adapters={adapter.name: adapter.revision for adapter in spec.adapters},
    )
    try:
        serverstate.forget(spec.name)
        serverstate.write(record)
        _await_health(record, seconds, report, cancelled)
    except BaseException:
        # Ctrl-C while it loads is a reason, too: whatever happened, no half-started server stays.
        end_session(record.pid, record.identity)
        serverstate.forget(record.name)
        raise
    return record


def _await_health(record: ServerRecord, seconds: float, report: Report, cancelled: threading.Event | None) -> None:
    begun = time.monotonic()
    told = -10.0
    while (passed := time.monotonic() - begun) < seconds:
        reap(record.pid)
        if cancelled is not None and cancelled.is_set():
            raise EngineError(f"the server {record.name} was given up while it started")
        if not record.alive:
            raise _start_error(record, "ended while starting")
        if healthy(record.port, record.served_name):
            report(f"{record.name}: ready after {passed:.0f} s on {record.url}")
            return
        if passed - told >= 5:
            report(f"{record.name}: starting on port {record.port}, {passed:.0f} s")
            told = passed
        time.sleep(POLL_SECONDS)
    raise _start_error(record, f"did not answer within {seconds:.0f} seconds")


def _start_error(record: ServerRecord, what: str) -> EngineError:
    reason = fault_in(record.log)
    said = f": {reason}" if reason else ""
    return EngineError(f"the server {record.name} {what}{said}", f"its log: {record.log}")


def stop(name: str, *, seconds: float = 15.0) -> bool:
    """End a server and everything it started.

    Args:
        name: Of the server, or of the model it serves.
        seconds: How long it may take to end by itself before it is killed.

    Returns:
        Whether one ran.

    Raises:
        EngineError: There is no such server.
    """
    known = serverstate.records()
    found = [record for record in known if name in (record.name, record.served_name)]
    if not found:
        names = ", ".join(record.name for record in known)
        raise EngineError(f"no server {name!r}", f"running: {names}" if names else "none was started by Quorum")
    ran = False
    for record in found:
        serverstate.forget(record.name)
        ran |= end_session(record.pid, record.identity, seconds=seconds)
    return ran


def status(*, seconds: float = 2.0) -> list[ServerStatus]:
    """Every server that was started here and not stopped, dead ones among them.

    Args:
        seconds: How long a health check may take.
    """
    return [_status(record, seconds) for record in serverstate.records()]


def _status(record: ServerRecord, seconds: float) -> ServerStatus:
    reap(record.pid)
    if not record.alive:
        return ServerStatus(record, "dead", (), 0)
    if healthy(record.port, record.served_name, seconds=seconds):
        state = "ready"
    else:
        state = "starting" if time.time() - record.started < START_SECONDS else "unresponsive"
    return ServerStatus(record, state, tuple(serverstate.users(record.name)), _memory(record.pid))


def _memory(pid: int) -> int:
    import psutil

    total = 0
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.Error):
                # Shared libraries are counted once for each process by the simpler figure.
                total += process.memory_full_info().uss
    return total


def kept(record: ServerRecord) -> ServerRecord:
    """Note that a server stays when its last user is done."""
    with serverstate.changing():
        now = replace(record, keep=True)
        serverstate.write(now)
    return now
