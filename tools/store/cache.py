"""The response cache: answers of models by content address."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from tools.store.codec import pack, unpack
from tools.store.documents import Section
from tools.store.records import CacheSize

# Answers with log-probabilities are 200 to 1,200 bytes of JSON; level 1 takes 37 to 70 % off them for about 20 us
# to write and 6 us to read each. Below this size it saves next to nothing.
_COMPRESS_FROM = 200
_RAW, _ZLIB = b"r", b"z"
_KEYS_A_QUERY = 500


class Cache(Section):
    """Bytes by key; what is in it can be deleted without loss of truth."""

    def cache_get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that are there."""
        found: dict[str, bytes] = {}
        for begin in range(0, len(keys), _KEYS_A_QUERY):
            asked = [pack(key) for key in keys[begin : begin + _KEYS_A_QUERY]]
            marks = ",".join("?" * len(asked))
            rows = self._db.query(f"SELECT key, value FROM responses WHERE key IN ({marks})", *asked)
            found.update((unpack(key), _read(value)) for key, value in rows)
        return found

    def cache_put(self, values: Mapping[str, bytes]) -> None:
        """Keep values, in one transaction; a key that is there gets the new value."""
        if not values:
            return
        rows = [(pack(key), _written(value)) for key, value in values.items()]
        with self._db.transaction():
            self._db.executemany("INSERT OR REPLACE INTO responses (key, value) VALUES (?, ?)", rows)

    def cache_size(self) -> CacheSize:
        """How many entries there are and the bytes they take as stored."""
        row = self._db.first("SELECT count(*), coalesce(sum(length(value)), 0) FROM responses")
        return CacheSize(*row) if row else CacheSize(0, 0)

    def cache_clear(self) -> None:
        """Delete all entries; the file's room is used again by what comes next."""
        with self._db.transaction():
            self._db.execute("DELETE FROM responses")


def _written(value: bytes) -> bytes:
    if len(value) >= _COMPRESS_FROM:
        small = zlib.compress(value, 1)
        if len(small) < len(value):
            return _ZLIB + small
    return _RAW + value


def _read(value: bytes) -> bytes:
    return zlib.decompress(value[1:]) if value[:1] == _ZLIB else value[1:]
