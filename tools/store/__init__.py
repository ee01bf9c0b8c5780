"""The durable store: one transactional SQLite file a project."""

from tools.store.campaignrecords import (
    Campaign,
    CampaignState,
    Item,
    Lease,
    Resolution,
    Round,
    RoundState,
    Version,
    Visit,
)
from tools.store.faults import DamagedStore, DiskFull, LockedStore
from tools.store.fsck import fsck
from tools.store.labelling import Change, Decision, Done, Held, StaleDecision
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
    "Campaign",
    "CampaignState",
    "Change",
    "DamagedStore",
    "DeadLetter",
    "Decision",
    "DiskFull",
    "DocumentState",
    "Done",
    "Event",
    "Finding",
    "Gold",
    "Held",
    "Item",
    "Lease",
    "LockedStore",
    "Mark",
    "Resolution",
    "Round",
    "RoundState",
    "Run",
    "RunState",
    "Snapshot",
    "StaleDecision",
    "Store",
    "Version",
    "Visit",
    "fsck",
    "writer_of",
]
