"""One SQLite file: opened, locked against a second writer, and safe to use from threads."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from tools.errors import StoreError
from tools.store import schema
from tools.store.faults import damaged, telling, telling_files
from tools.store.lock import take_lock

_BUSY_SECONDS = 20.0
_CACHE_KIB = 16_384
_WAL_LIMIT_BYTES = 64 << 20

Row = tuple[Any, ...]


class Database:
    """A connection with the rules every part of the store keeps.

    All use goes through one re-entrant lock, so that any thread may read and
    write; a transaction holds it until its end. Nothing is yielded to a caller
    while a statement is open: long readings go page by page.

    Attributes:
        path: The file, with links resolved.
        read_only: Whether it was opened for reading only.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: FileLock | None, *, read_only: bool | None = None
    ) -> None:
        self.path = path
        self.read_only = lock is None if read_only is None else read_only
        self._connection: sqlite3.Connection | None = connection
        self._lock = lock
        self._mutex = threading.RLock()
        self._depth = 0

    @classmethod
    def open(cls, path: Path, *, read_only: bool, durable: bool, shared: bool = False) -> Database:
        """Open a file; a writer makes or migrates it and takes the lock.

        A shared writer holds the lock only while it makes or migrates the file.
        Its transactions and another writer's wait for each other, as SQLite has
        it; what it changes must bear that others write in between.

        Raises:
            StoreError: It does not exist (reading), is locked (writing), is of
                another release, damaged, or not a store.
        """
        with telling_files(path):
            path = path.expanduser().resolve()
            if read_only and not path.is_file():
                raise StoreError(f"{path}: there is no store", "check the path; writing commands make one")
            if path.exists() and not path.is_file():
                raise StoreError(f"{path}: not a file", "give the path of a file")
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            unlocked = read_only or (shared and _is_current(path))
            lock = None if unlocked else take_lock(path)
        try:
            connection = _connect(path, read_only=read_only, durable=durable)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        if shared and lock is not None:
            lock.release()
            lock = None
        return cls(path, connection, lock, read_only=read_only)

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection.

        Raises:
            StoreError: It was closed.
        """
        if self._connection is None:
            raise StoreError(f"{self.path}: the store is closed")
        return self._connection

    def query(self, sql: str, *values: object) -> list[Row]:
        """All rows of a SELECT."""
        with self._mutex, telling(self.path):
            return self.connection.execute(sql, values).fetchall()

    def first(self, sql: str, *values: object) -> Row | None:
        """The first row of a SELECT, or None."""
        with self._mutex, telling(self.path):
            cursor = self.connection.execute(sql, values)
            row: Row | None = cursor.fetchone()
            cursor.close()
            return row

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        """The rows of a SELECT one by one; only inside ``snapshot`` or ``transaction``."""
        cursor = self.connection.execute(sql, values)
        try:
            yield from cursor
        finally:
            cursor.close()

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """A statement inside ``transaction``."""
        return self._in_transaction().execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Row]) -> None:
        """A statement for many rows, inside ``transaction``."""
        self._in_transaction().executemany(sql, values)

    def _in_transaction(self) -> sqlite3.Connection:
        # A full disk can end a transaction under our feet; what followed would then be kept on its own.
        if not self.connection.in_transaction:
            raise StoreError(f"{self.path}: the transaction has ended")
        return self.connection

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several SELECTs that see the file at one moment; other threads wait."""
        with self._mutex, telling(self.path):
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self._undo("ROLLBACK")  # nothing was written: only the view ends

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one, all or nothing of this inner part.

        Raises:
            StoreError: The store is open for reading only, closed, or cannot be
                written; nothing of the transaction is kept then.
        """
        if self.read_only:
            raise StoreError(f"{self.path}: the store is open for reading only")
        with self._mutex, telling(self.path):
            mark = f"inner{self._depth}"
            outer = self._depth == 0
            self.connection.execute("BEGIN IMMEDIATE" if outer else f"SAVEPOINT {mark}")
            self._depth += 1
            try:
                yield
                self.connection.execute("COMMIT" if outer else f"RELEASE {mark}")
            except BaseException:
                self._undo(*(["ROLLBACK"] if outer else [f"ROLLBACK TO {mark}", f"RELEASE {mark}"]))
                raise
            finally:
                self._depth -= 1

    def _undo(self, *statements: str) -> None:
        # SQLite ends a transaction itself when the disk is full; then there is nothing left to undo.
        for statement in statements:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute(statement)

    def close(self) -> None:
        """Close the file and give the lock back; calling twice is harmless."""
        with self._mutex:
            connection, self._connection = self._connection, None
            try:
                if connection is not None:
                    with telling(self.path):
                        connection.close()
            finally:
                if self._lock is not None:
                    self._lock.release()


def _is_current(path: Path) -> bool:
    """Whether there is a store that needs no writer of its own to be made or migrated."""
    if not path.is_file():
        return False
    with telling(path):
        connection = sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        try:
            return schema.version_of(connection) >= len(schema.STEPS)
        finally:
            connection.close()


def _connect(path: Path, *, read_only: bool, durable: bool) -> sqlite3.Connection:
    with telling(path):
        connection = sqlite3.connect(
            path.as_uri() + _mode(path, read_only=read_only),
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            _set_up(path, connection, read_only=read_only, durable=durable)
        except BaseException:
            connection.close()
            raise
    return connection


def _mode(path: Path, *, read_only: bool) -> str:
    if not read_only:
        return ""
    # On read-only media SQLite cannot make the log's index; without a log nothing can change there anyway.
    fixed = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    return "?immutable=1" if fixed else "?mode=ro"


def _set_up(path: Path, db: sqlite3.Connection, *, read_only: bool, durable: bool) -> None:
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    try:
        if read_only:
            version = schema.version_of(db)
            schema.check_version(version, schema.STEPS)
            if version < len(schema.STEPS):
                raise StoreError(
                    "the store was made by an older release, or is being made just now",
                    "any command that writes to it brings it up to date",
                )
        else:
            schema.check_version(schema.version_of(db), schema.STEPS)
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError("this disk does not support SQLite's write-ahead log", "keep projects on a local disk")
            db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            # NORMAL outlives a killed process; only FULL also outlives a power cut for the last commits.
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            schema.migrate(db, schema.STEPS)
            db.execute("PRAGMA foreign_keys = ON")
    except StoreError as error:
        raise type(error)(f"{path}: {error.message}", error.hint) from error
    except sqlite3.IntegrityError as error:
        raise damaged(path, str(error)) from error
