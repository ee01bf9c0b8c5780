"""What SQLite and the disk complain of, told in a line and a hint."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.errors import StoreError

# A quota or a file-size limit shows as a failed write, not as a full disk.
_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}
_PERMISSIONS = "check the path, and the permissions of the file and its folder"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(StoreError):
    """The disk, a quota or a limit leaves no room; what was committed before is kept."""


class DamagedStore(StoreError):
    """The file's content is not what SQLite or the store once wrote."""


class LockedStore(StoreError):
    """Another process is writing the store."""


def disk_full(path: Path, reason: str) -> DiskFull:
    """The error for a disk without room."""
    return DiskFull(
        f"{path}: no room to write ({reason})",
        "free some space on that disk and run the same command again; what was stored before is kept",
    )


def damaged(path: Path, reason: str) -> DamagedStore:
    """The error for a file that cannot be trusted."""
    return DamagedStore(
        f"{path}: the store is damaged ({reason})",
        "look with: quorum fsck; restore the file, with its -wal file, from a backup",
    )


def told(path: Path, error: sqlite3.Error) -> StoreError:
    """The StoreError that says what an error of SQLite means for a person."""
    code = getattr(error, "sqlite_errorcode", None)
    code = -1 if code is None else int(code)
    primary, reason = code & 0xFF, str(error)
    if code in _FULL:
        return disk_full(path, reason)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in reason:
        return damaged(path, reason)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{path}: the store is busy ({reason})", "another program holds it; try again later")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(f"{path}: the store cannot be written ({reason})", _PERMISSIONS)
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"{path}: the store cannot be opened ({reason})", _PERMISSIONS)
    return StoreError(f"{path}: {reason}")


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into StoreErrors.

    Raises:
        StoreError: Whatever SQLite raised; ``DiskFull`` and ``DamagedStore`` where it is that.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise told(path, error) from error


@contextmanager
def telling_files(path: Path) -> Iterator[None]:
    """Turn errors of the file system, while a store is opened, into StoreErrors.

    Raises:
        StoreError: Whatever the system raised; ``DiskFull`` where there is no room.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_SPACE:
            raise disk_full(path, reason) from error
        raise StoreError(f"{path}: the store cannot be opened ({reason})", _PERMISSIONS) from error
