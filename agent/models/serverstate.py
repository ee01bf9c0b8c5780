"""Notes about the servers that Quorum started: one JSON file each, and a lease for each of their users."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agent.models.places import locked, make_folder, state_home
from agent.models.processes import identity_of
from agent.models.serverspec import HOST, Device

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A server that was started here.

    Attributes:
        name: What commands call it.
        served_name: The model's name in its API.
        revision: Configuration and weights that it serves.
        pid: Its process, the leader of a session of its own.
        identity: What tells that process from a later one with the same number.
        port: On the loopback device.
        command: How it was started.
        log: The file with its output.
        device: cpu or cuda.
        max_model_len: Tokens of prompt and answer together.
        max_num_seqs: Requests it decodes at the same time.
        started: Seconds since the epoch.
        keep: Whether it stays when its last user is done.
        path: The checkpoint's folder, whose tokenizer counts tokens.
        adapters: Served name to revision, for adapters that it applies.
    """

    name: str
    served_name: str
    revision: str
    pid: int
    identity: str
    port: int
    command: tuple[str, ...]
    log: str
    device: Device
    max_model_len: int
    max_num_seqs: int
    started: float
    keep: bool
    path: str
    adapters: dict[str, str]

    @property
    def url(self) -> str:
        """Base address of its API."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Whether its process, and not another with that number, runs."""
        return identity_of(self.pid) == self.identity


_RECORD = TypeAdapter(ServerRecord)


def servers_folder() -> Path:
    """Where the notes are."""
    return state_home() / "servers"


def write(record: ServerRecord) -> None:
    """Note a server; readers see the old note or the new one, never half of it."""
    folder = make_folder(servers_folder())
    part = folder / f".{record.name}.{uuid.uuid4().hex[:8]}.part"
    part.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    part.replace(folder / f"{record.name}.json")


def read(name: str) -> ServerRecord | None:
    """The note about a server; None where there is none, or it is damaged (which is logged)."""
    path = servers_folder() / f"{name}.json"
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        logger.warning("%s: not a note about a server (%s); left aside", path, reason)
        return None


def records() -> list[ServerRecord]:
    """All notes, by name, whether their servers run or not."""
    return [record for path in sorted(servers_folder().glob("*.json")) if (record := read(path.stem)) is not None]


def forget(name: str) -> None:
    """Remove the note about a server and its leases."""
    (servers_folder() / f"{name}.json").unlink(missing_ok=True)
    for lease in _leases(name):
        lease.unlink(missing_ok=True)


@contextmanager
def changing() -> Iterator[None]:
    """Hold the notes still while deciding whether a server is used or ended; brief."""
    with locked(servers_folder() / ".notes.lock", seconds=60):
        yield


def take_lease(name: str) -> Path:
    """Say that this process uses a server; call it while ``changing``."""
    lease = servers_folder() / f"{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.lease"
    lease.write_text(identity_of(os.getpid()) or "", encoding="utf-8")
    return lease


def users(name: str) -> list[int]:
    """The living processes that use a server; leases of others are cleared away."""
    found = []
    for lease in _leases(name):
        pid = int(lease.name.split(".")[-3])
        try:
            held = lease.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        if held and identity_of(pid) == held:
            found.append(pid)
        else:
            lease.unlink(missing_ok=True)
    return found


def _leases(name: str) -> list[Path]:
    return [path for path in servers_folder().glob("*.lease") if path.name.rsplit(".", 3)[0] == name]
