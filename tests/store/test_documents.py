from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.annotation import Document, Label, LabelSet
from tools.errors import InputError, StoreError
from tools.store import Added, Store, fsck
from tools.store.codec import from_json, pack, to_json, unpack

# Every code point, lone surrogates and NUL among them.
TEXTS = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None), max_size=40) | st.sampled_from(
    ["", "\0", "a\0b", "\ud83d\ude00", "\ud83d", "😀", "e\u0301", "ภาษาไทย", "\x1b[31m", "{{ x }}", "a\r\nb\x85"],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(TEXTS, TEXTS)
def test_packing_is_exact_and_keeps_texts_apart(one: str, other: str) -> None:
    assert unpack(pack(one)) == one
    assert (pack(one) == pack(other)) == (one == other)


@given(JSON)
def test_json_is_exact(value: object) -> None:
    assert from_json(to_json(value)) == value


@settings(max_examples=40, deadline=None)
@given(st.lists(st.builds(Document, TEXTS, TEXTS, st.dictionaries(TEXTS, JSON, max_size=3)), max_size=8))
def test_documents_come_back_as_they_went_in(documents: list[Document]) -> None:
    unique = list({document.id: document for document in documents}.values())
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "s.db") as store:
        assert store.add_documents(unique) == Added(len(unique), 0)
        assert list(store.documents()) == unique
        assert [store.document(document.id) for document in unique] == unique
        assert fsck(store) == []


def test_text_is_readable_with_any_sqlite_tool(store: Store) -> None:
    store.add_documents([Document("a", "Grüße"), Document("b", "nul\0")])
    assert store.database.query("SELECT text, typeof(text) FROM documents") == [("Grüße", "text"), (b"nul\0", "blob")]


def test_order_numbers_and_pages(store: Store, documents: Callable[[int], list[Document]]) -> None:
    store.add_documents(documents(600))
    numbered = list(store.numbered_documents())
    assert [number for number, _ in numbered] == list(range(1, 601))
    assert [document.id for _, document in numbered] == [f"d{n}" for n in range(600)]
    assert [document.id for document in store.documents(after=store.sequence_number("d9"), limit=3)] == [
        "d10",
        "d11",
        "d12",
    ]
    assert len(list(store.documents(limit=300))) == 300
    assert list(store.documents(limit=0)) == []
    assert list(store.documents(after=600)) == []
    assert store.document_count() == 600


def test_same_again_is_skipped_and_another_text_is_refused(store: Store) -> None:
    store.add_documents([Document("a", "one", {"kept": True})])
    assert store.add_documents([Document("a", "one"), Document("b", "two"), Document("b", "two")]) == Added(1, 2)
    assert store.document("a").meta == {"kept": True}
    with pytest.raises(InputError, match="'a' is already there with another text"):
        store.add_documents([Document("c", "three"), Document("a", "ONE")])
    assert not store.has_document("c"), "the batch of a refused document is not kept"
    assert store.document("a").text == "one"


def test_batches_before_a_refused_document_are_kept(store: Store, documents: Callable[[int], list[Document]]) -> None:
    with pytest.raises(InputError, match="'d0'"):
        store.add_documents([*documents(1500), Document("d0", "other")])
    assert store.document_count() == 1000


def test_the_store_is_free_while_documents_are_awaited(store: Store) -> None:
    def reads_while_it_gives() -> Iterator[Document]:
        for n in range(2500):
            if n == 2100:
                store.save_label_set(LabelSet.of("person"))  # would be lost were a transaction open and undone
                assert store.document_count() == 2000
            yield Document(str(n), "x")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        store.add_documents(reads_while_it_gives())
    assert store.document_count() == 2000
    assert store.label_set() == LabelSet.of("person")


@pytest.mark.parametrize("meta", [{"x": object()}, {"x": {1, 2}}, {"x": b"bytes"}])
def test_meta_without_a_json_form_is_refused(store: Store, meta: dict[str, object]) -> None:
    with pytest.raises(InputError, match="document 'a': its meta has no JSON form"):
        store.add_documents([Document("a", "one", meta)])


def test_unknown_documents_are_named(store: Store) -> None:
    with pytest.raises(InputError, match="document 'x' is not in the store"):
        store.document("x")
    with pytest.raises(InputError, match="document '' is not in the store"):
        store.sequence_number("")
    assert not store.has_document("x")


def test_label_set_versions(store: Store) -> None:
    rich = LabelSet(
        (
            Label("person", "people", ("Ada",), ("Ada (language)",), "p", "", ("PER",)),
            Label("scientist", "who researches", parent="person"),
        ),
    )
    assert store.label_set() is None
    assert store.label_set_version() == 0
    assert [store.save_label_set(x) for x in (rich, rich, LabelSet.of("a"), rich)] == [1, 1, 2, 3]
    assert store.label_set() == rich
    assert store.label_set(2) == LabelSet.of("a")
    assert store.label_set_version() == 3
    with pytest.raises(StoreError, match="no version 4"):
        store.label_set(4)
    changed = LabelSet((Label("person", "people", ("Ada",), hotkey="q"),))
    assert store.save_label_set(changed) == 4, "a hotkey is not in the prompt's hash but is a change"
