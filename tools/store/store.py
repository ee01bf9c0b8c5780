"""The store: one SQLite file that holds all that must not be lost."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.store.browsing import Browsing
from tools.store.cache import Cache
from tools.store.campaigns import Campaigns
from tools.store.database import Database
from tools.store.documents import Documents
from tools.store.labelling import Labelling
from tools.store.resolutions import Resolutions
from tools.store.results import Results
from tools.store.runs import Runs
from tools.store.trail import Trail


class Store(Documents, Campaigns, Resolutions, Labelling, Trail, Runs, Results, Cache, Browsing):
    """Documents, label sets, human decisions, runs with their results, and the response cache.

    One process writes, any number read meanwhile. Any thread of the writing
    process may call anything; calls wait for one another. What a call that
    returned has written outlives a killed process. Iterators hold neither a
    lock nor a statement between two items.

    Every call may raise StoreError: the file is damaged, busy or read-only, or
    (``DiskFull``) there is no room; what was committed before is kept.
    """

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, durable: bool = False, shared: bool = False) -> Self:
        """Open a store; a writer makes it where there is none and brings it up to date.

        Args:
            path: The file. Beside it stand ``-wal`` and ``-shm`` (SQLite's, while
                it is open) and ``.lock``, which holds the writer's process id.
            read_only: Only read, also while another process writes.
            durable: Outlive a power cut too: every commit waits for the disk. For
                human labelling; a run, which can repeat what it lost, does without.
            shared: Write beside other writers, for people who label in several
                windows or while a run goes on: the lock is held only while the
                file is made or migrated.

        Raises:
            StoreError: There is no store (reading), another process writes it
                (``LockedStore``), a newer release made it, or it is damaged
                (``DamagedStore``).
        """
        return cls(Database.open(Path(path), read_only=read_only, durable=durable, shared=shared))

    @property
    def path(self) -> Path:
        """The file."""
        return self._db.path

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only."""
        return self._db.read_only

    @property
    def database(self) -> Database:
        """The database beneath, for checks and tools that need SQL."""
        return self._db

    def transaction(self) -> AbstractContextManager[None]:
        """Several writes as one: all of them, or none when the block raises."""
        return self._db.transaction()

    def close(self) -> None:
        """Close the file and give the writer's lock back; calling twice is harmless."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
