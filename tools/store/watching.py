"""Looking at a run that goes on in another process: what was recorded since the last look, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.store.codec import from_json
from tools.store.runs import UsageByTag, add_usage
from tools.store.store import Store

_END = 2**62


@dataclass(frozen=True, slots=True)
class PartMark:
    """A recorded part, without what is in it.

    Attributes:
        number: From 0.
        passages: How many it has.
        documents: How many documents begin in it.
        predictions: Spans that were found, those turned down included.
        recorded: When, in seconds since 1970 (UTC).
        usage: Tag to name to amount, over all attempts.
    """

    number: int
    passages: int
    documents: int
    predictions: int
    recorded: float
    usage: UsageByTag


@dataclass(frozen=True, slots=True)
class Marks:
    """The parts of a range, and the outcomes of their passages.

    Attributes:
        parts: By number.
        outcomes: Kind to number of passages.
    """

    parts: tuple[PartMark, ...]
    outcomes: Mapping[str, int]

    @property
    def usage(self) -> dict[str, dict[str, float]]:
        """All parts' usage together."""
        total: dict[str, dict[str, float]] = {}
        for part in self.parts:
            total = add_usage(total, part.usage)
        return total


def marks(store: Store, run_id: int, first: int = 0, until: int = _END) -> Marks:
    """What was recorded of the parts from one number to another (exclusive), at one moment.

    The whole of a run is read by two indexes; a range costs what is in it.
    """
    db = store.database
    where, values = "run = ? AND part >= ? AND part < ?", (run_id, first, until)
    whole = first == 0 and until == _END
    with db.snapshot():
        rows = db.query(
            f"SELECT part, passages, predictions, recorded, usage FROM parts WHERE {where} ORDER BY part", *values
        )
        begun: dict[int, int] = dict(
            db.query(
                "SELECT part, count(*) FROM outcomes INDEXED BY outcomes_by_part"
                f" WHERE {where} AND passage = 0 GROUP BY part",
                *values,
            )
        )
        kinds = "SELECT kind, count(*) FROM outcomes WHERE "
        counts = db.query(f"{kinds}{'run = ?' if whole else where} GROUP BY kind", *((run_id,) if whole else values))
    parts = tuple(
        PartMark(part, passages, int(begun.get(part, 0)), predictions, recorded, from_json(usage))
        for part, passages, predictions, recorded, usage in rows
    )
    return Marks(parts, {str(kind): int(count) for kind, count in counts})


def changes(store: Store) -> int:
    """A number that differs when another process has written since it was last asked for."""
    row = store.database.first("PRAGMA data_version")
    return int(row[0]) if row is not None else 0
