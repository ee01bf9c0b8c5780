from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.store import CacheSize, Store

VALUES = st.binary(max_size=500) | st.binary(min_size=1, max_size=4).map(lambda piece: piece * 300)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=20))
def test_values_come_back_exactly(store: Store, values: dict[str, bytes]) -> None:
    store.cache_clear()
    store.cache_put(values)
    assert store.cache_get([*values, "never there and longer"]) == values
    assert store.cache_size().entries == len(values)


def test_more_keys_than_sqlite_takes_in_one_query(store: Store) -> None:
    values = {f"key{n}": str(n).encode() for n in range(2_500)}
    store.cache_put(values)
    assert store.cache_get(list(values)) == values
    assert store.cache_get([]) == {}


def test_new_value_replaces_and_clear_empties(store: Store) -> None:
    store.cache_put({"a": b"1", "b": b"2"})
    store.cache_put({"a": b"3"})
    assert store.cache_get(["a", "b"]) == {"a": b"3", "b": b"2"}
    store.cache_clear()
    assert store.cache_size() == CacheSize(0, 0)
    assert store.cache_get(["a"]) == {}


def test_what_compresses_is_compressed_and_noise_is_not(store: Store) -> None:
    store.cache_put({"words": b"Berlin, " * 200})
    assert store.cache_size().bytes < 100
    store.cache_clear()
    store.cache_put({"noise": os.urandom(1_000)})
    assert store.cache_size() == CacheSize(1, 1_001)
