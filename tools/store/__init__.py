"""The durable store: one transactional SQLite file a project."""

from tools.store.faults import DamagedStore, DiskFull, LockedStore
from tools.store.fsck import fsck
from tools.store.lock import writer_of
from tools.store.records import (
    Added,
    CacheSize,
    DeadLetter,
    DocumentState,
    Event,
    Finding,
    Gold,
    Mark,
    Run,
    RunState,
    Snapshot,
)
from tools.store.store import Store

__all__ = [
    "Added",
    "CacheSize",
    "DamagedStore",
    "DeadLetter",
    "DiskFull",
    "DocumentState",
    "Event",
    "Finding",
    "Gold",
    "LockedStore",
    "Mark",
    "Run",
    "RunState",
    "Snapshot",
    "Store",
    "fsck",
    "writer_of",
]
