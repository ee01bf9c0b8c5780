"""The writer's lock: one process writes a store, and a second one learns which."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from tools.store.faults import LockedStore

_LOCK_SECONDS = 0.3  # longer than a writer_of() elsewhere holds it


def take_lock(path: Path) -> FileLock:
    """Take the writer's lock; the operating system frees it however the process ends.

    Args:
        path: The store's file, with links resolved.

    Raises:
        LockedStore: Another process, or this one, holds it.
    """
    file = path.with_name(path.name + ".lock")
    lock = FileLock(file, timeout=_LOCK_SECONDS, poll_interval=0.05, thread_local=False, on_acquired=_sign)
    try:
        lock.acquire()
    except Timeout:
        holder = _holder(file)
        who = "this process" if holder == os.getpid() else f"process {holder}" if holder else "another process"
        raise LockedStore(
            f"{path}: {who} is writing the store",
            "wait until it ends, or end it; commands that only read work meanwhile",
        ) from None
    return lock


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"{os.getpid()}\n".encode())


def _holder(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # not yet signed, or not readable: the message does without


def writer_of(path: str | Path) -> int | None:
    """The process that is writing a store now, for status and doctor commands.

    Args:
        path: The store's file.

    Returns:
        Its process id (0 where it is unknown), or None where nobody writes.
    """
    file = Path(path).expanduser().resolve()
    file = file.with_name(file.name + ".lock")
    if not file.exists():
        return None
    probe = FileLock(file, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        probe.acquire()
    except Timeout:
        return _holder(file) or 0
    except OSError:
        return None
    probe.release()
    return None
