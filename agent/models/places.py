"""Where models, servers' state and logs are kept: the user's folders, or what the environment says."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.errors import ModelError

Report = Callable[[str], None]
"""Told in a few words what is going on; for a progress line."""


def quiet(message: str) -> None:
    """A :data:`Report` for callers that want none."""


def cache_home() -> Path:
    """Where models are kept: ``QUORUM_CACHE``, ``QUORUM_HOME/cache``, or the user's cache folder."""
    if named := os.environ.get("QUORUM_CACHE"):
        return Path(named).expanduser()
    if home := os.environ.get("QUORUM_HOME"):
        return Path(home).expanduser() / "cache"
    from platformdirs import user_cache_path

    return user_cache_path("quorum")


def state_home() -> Path:
    """Where running servers are noted: ``QUORUM_HOME/state``, or the user's state folder."""
    if home := os.environ.get("QUORUM_HOME"):
        return Path(home).expanduser() / "state"
    from platformdirs import user_state_path

    return user_state_path("quorum")


@contextlib.contextmanager
def locked(
    lock: Path, *, report: Report = quiet, seconds: float = 1800.0, cancelled: threading.Event | None = None
) -> Iterator[None]:
    """Hold a file lock between processes; says so while another holds it.

    Args:
        lock: The lock file; made, with its folder, where missing.
        report: Told when there is something to wait for.
        seconds: The longest wait.
        cancelled: Set by another thread to end the wait.

    Raises:
        ModelError: The folder cannot be written, or the other process did not let go in time.
    """
    from filelock import FileLock, Timeout

    make_folder(lock.parent)
    held = FileLock(lock)
    deadline = time.monotonic() + seconds
    told = False
    try:
        while True:
            try:
                held.acquire(timeout=0.2 if told else 0)
                break
            except Timeout as error:
                if time.monotonic() > deadline or (cancelled is not None and cancelled.is_set()):
                    raise ModelError(
                        f"{lock}: another process held it for too long", "wait for it, or end it, and try again"
                    ) from error
            if not told:
                report(f"waiting for another process ({lock.name})")
                told = True
    except OSError as error:
        raise ModelError(f"{lock}: cannot be locked ({error.strerror})", "set QUORUM_HOME to a local folder") from error
    try:
        yield
    finally:
        held.release()


def make_folder(folder: Path) -> Path:
    """Make a folder that may exist.

    Raises:
        ModelError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"{folder}: cannot be made ({error.strerror})", "set QUORUM_CACHE or QUORUM_HOME to a folder of your own"
        ) from error
    return folder


def need_space(folder: Path, needed: int) -> None:
    """Refuse early where a disk is too full.

    Args:
        folder: An existing folder on the disk.
        needed: Bytes that will be written.

    Raises:
        ModelError: Fewer are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"{folder}: {free / 2**20:.0f} MiB are free, {needed / 2**20:.0f} MiB are needed",
            "make room, or set QUORUM_CACHE to a folder on another disk",
        )


@contextlib.contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that takes its place when the block ends well.

    Call it under a lock of the target: what a killed predecessor left is removed
    first, and an existing target is replaced by two renames.

    Raises:
        ModelError: Writing failed, for example on a full disk.
    """
    make_folder(target.parent)
    for stale in target.parent.glob(f".{target.name}.*.tmp"):
        shutil.rmtree(stale, ignore_errors=True)
    made = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        made.mkdir()
        yield made
        if target.exists():
            # rename() does not replace a folder that holds something.
            old = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
            target.rename(old)
            made.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            made.rename(target)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror})", "is the disk full?") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
