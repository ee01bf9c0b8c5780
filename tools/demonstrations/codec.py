"""How demonstrations and mentions are written into Chroma, and read back exactly.

Chroma takes UTF-8 only; ids and texts may hold lone surrogates and NULs. Keys
are hashes, and payloads are JSON with everything beyond ASCII escaped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from tools.annotation import Span
from tools.demonstrations.model import Demonstration

KEY_LENGTH = 32
# A mention of thousands of sentences is found through its first owners; others
# are found through their other mentions, and equal similarities are ties anyhow.
MAX_OWNERS = 256


def key_of(text: str) -> str:
    """The key of an id or a mention text: 32 hex digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_LENGTH // 2).hexdigest()


def dump(demonstration: Demonstration) -> str:
    """A demonstration as one ASCII line."""
    spans = [[span.start, span.end, span.label] for span in demonstration.spans]
    d = demonstration
    return json.dumps([d.id, d.document_id, d.text, spans, d.split, d.document_hash], separators=(",", ":"))


def load(payload: str) -> Demonstration:
    """What :func:`dump` wrote.

    Raises:
        ValueError: It is something else.
    """
    try:
        identifier, document_id, text, spans, split, document_hash = json.loads(payload)
        placed = tuple(Span(start, end, label) for start, end, label in spans)
    except TypeError as error:
        raise ValueError(f"not a demonstration: {error}") from error
    return Demonstration(identifier, document_id, text, placed, split, document_hash)


def digest(payload: str) -> int:
    """A 128-bit hash of a payload; those of a whole index are joined by exclusive or, in any order."""
    return int(key_of(payload), 16)


@dataclass(frozen=True, slots=True)
class Posting:
    """A distinct mention text: the demonstrations that hold it.

    Attributes:
        owners: Keys of at most ``MAX_OWNERS`` of them.
        count: How many there are in all.
    """

    owners: tuple[str, ...] = ()
    count: int = 0

    def without(self, gone: Iterable[str]) -> Posting:
        """The posting when some demonstrations are removed."""
        lost = set(gone)
        return Posting(tuple(key for key in self.owners if key not in lost), max(0, self.count - len(lost)))

    def including(self, new: Iterable[str]) -> Posting:
        """The posting when some demonstrations are added."""
        added = list(new)
        return Posting((*self.owners, *added)[:MAX_OWNERS], self.count + len(added))

    def metadata(self) -> dict[str, str | int]:
        """As Chroma keeps it."""
        return {"owners": "".join(self.owners), "count": self.count}


def owners_of(metadata: object) -> tuple[str, ...]:
    """The owners in a mention's metadata."""
    joined = str(metadata["owners"]) if isinstance(metadata, dict) else ""
    return tuple(joined[i : i + KEY_LENGTH] for i in range(0, len(joined), KEY_LENGTH))


def posting_of(metadata: object) -> Posting:
    """The posting in a mention's metadata."""
    return Posting(owners_of(metadata), int(metadata["count"]) if isinstance(metadata, dict) else 0)
