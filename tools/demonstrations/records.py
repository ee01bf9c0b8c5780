"""What an index gives back about itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tools.demonstrations import codec
from tools.demonstrations.model import Demonstration, may_demonstrate


@dataclass(frozen=True, slots=True)
class Hit:
    """A neighbour: its key, the cosine, and for a mention the demonstrations that hold it."""

    key: str
    similarity: float
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """What became of demonstrations that were given to an index."""

    indexed: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Verification:
    """How an index compares with what it should hold.

    Attributes:
        matching: Demonstrations that are there exactly.
        missing: How many are not there.
        changed: How many are there with another text, spans or split.
        unexpected: How many are there that should not be.
        lost_mentions: How many mentions have no vector.
        examples: Ids of some that are missing or changed.
    """

    matching: int
    missing: int
    changed: int
    unexpected: int
    lost_mentions: int
    examples: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.changed or self.unexpected or self.lost_mentions)


def content_digest(demonstrations: Iterable[Demonstration]) -> str:
    """What ``DemonstrationIndex.digest`` is of an index that holds these demonstrations."""
    kept: dict[str, int] = {}
    for item in demonstrations:
        if may_demonstrate(item.split):
            kept[codec.key_of(item.id)] = codec.digest(codec.dump(item))
        else:
            kept.pop(codec.key_of(item.id), None)
    total = 0
    for value in kept.values():
        total ^= value
    return f"{total:032x}"
