"""Documents and label sets in the store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from tools.annotation import Document, Label, LabelSet
from tools.errors import InputError, StoreError
from tools.store.codec import from_json, pack, to_json, unpack
from tools.store.database import Database, Row
from tools.store.records import Added

BATCH_DOCUMENTS = 1_000
BATCH_CHARS = 4_000_000
PAGE_DOCUMENTS = 256
_COLUMNS = "d.seq, d.id, d.meta, d.text"


class Section:
    """What the store's parts share: the database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def _document_row(self, document_id: str) -> tuple[int, int]:
        """A document's sequence number and length in code points.

        Raises:
            InputError: It is not in the store.
        """
        row = self._db.first("SELECT seq, chars FROM documents WHERE id = ?", pack(document_id))
        if row is None:
            raise InputError(f"document {document_id!r} is not in the store", "add it first")
        return int(row[0]), int(row[1])

    def _document_rows(self, document_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Sequence numbers and lengths of several documents, by id.

        Raises:
            InputError: One is not in the store.
        """
        wanted = list(dict.fromkeys(document_ids))
        found: dict[str, tuple[int, int]] = {}
        for begin in range(0, len(wanted), PAGE_DOCUMENTS):
            names = [pack(name) for name in wanted[begin : begin + PAGE_DOCUMENTS]]
            marks = ",".join("?" * len(names))
            rows = self._db.query(f"SELECT id, seq, chars FROM documents WHERE id IN ({marks})", *names)
            found.update((unpack(name), (seq, chars)) for name, seq, chars in rows)
        missing = next((name for name in wanted if name not in found), None)
        if missing is not None:
            raise InputError(f"document {missing!r} is not in the store", "add it first")
        return found


class Documents(Section):
    """Documents, in the order they came, and the versions of the label set."""

    def add_documents(self, documents: Iterable[Document]) -> Added:
        """Add documents, a transaction for every thousand; each gets the next sequence number.

        One whose id and text are there already is skipped (its first ``meta`` stays).

        Args:
            documents: Read as a stream; the store is not locked while it is waited for.

        Returns:
            How many were added and how many skipped.

        Raises:
            InputError: An id is there with another text, or a meta has no JSON
                form; whole batches before that one's are kept.
        """
        added = skipped = 0
        for batch in _batches(documents):
            with self._db.transaction():
                new = sum(map(self._add, batch))
            added += new
            skipped += len(batch) - new
        return Added(added, skipped)

    def _add(self, document: Document) -> bool:
        name = pack(document.id)
        try:
            meta = to_json(dict(document.meta))
        except (TypeError, ValueError, RecursionError) as error:
            what = f"document {document.id!r}: its meta has no JSON form ({error})"
            raise InputError(what, "use plain values") from error
        new = self._db.execute(
            "INSERT INTO documents (id, chars, hash, meta, text) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            name, len(document.text), bytes.fromhex(document.hash), meta, pack(document.text),
        ).rowcount  # fmt: skip
        if new:
            return True
        old = self._db.first("SELECT hash FROM documents WHERE id = ?", name)
        if old is None or old[0].hex() != document.hash:
            what = f"document {document.id!r} is already there with another text"
            raise InputError(what, "ids must be unique; rename one of the two")
        return False

    def document(self, document_id: str) -> Document:
        """The document of an id.

        Raises:
            InputError: It is not in the store.
        """
        row = self._db.first(f"SELECT {_COLUMNS} FROM documents d WHERE id = ?", pack(document_id))
        if row is None:
            raise InputError(f"document {document_id!r} is not in the store", "add it first")
        return to_document(row)

    def has_document(self, document_id: str) -> bool:
        """Whether the store has a document of this id."""
        return self._db.first("SELECT 1 FROM documents WHERE id = ?", pack(document_id)) is not None

    def sequence_number(self, document_id: str) -> int:
        """A document's place in the order of arrival, from 1.

        Raises:
            InputError: It is not in the store.
        """
        return self._document_row(document_id)[0]

    def document_count(self) -> int:
        """How many documents there are."""
        row = self._db.first("SELECT count(*) FROM documents")
        return int(row[0]) if row else 0

    def documents(self, after: int = 0, limit: int | None = None) -> Iterator[Document]:
        """Documents in the order they came; memory stays flat and the store usable meanwhile.

        Args:
            after: Begin behind this sequence number.
            limit: The most to give.
        """
        return (document for _, document in self.numbered_documents(after, limit))

    def numbered_documents(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Document]]:
        """Like ``documents``, each with its sequence number, to go on from later."""
        left = limit
        while left is None or left > 0:
            page = self._page(after, PAGE_DOCUMENTS if left is None else min(left, PAGE_DOCUMENTS))
            if not page:
                return
            yield from page
            after = page[-1][0]
            left = None if left is None else left - len(page)

    def _page(self, after: int, limit: int) -> list[tuple[int, Document]]:
        sql = f"SELECT {_COLUMNS} FROM documents d WHERE d.seq > ? ORDER BY d.seq LIMIT ?"
        with self._db.snapshot():
            return take_page(self._db.rows(sql, after, limit))

    def save_label_set(self, labels: LabelSet) -> int:
        """Keep a label set as the one in force.

        Returns:
            Its version, from 1; the same again where nothing changed.
        """
        form = to_json(label_set_form(labels))
        with self._db.transaction():
            last = self._db.first("SELECT version, json FROM label_sets ORDER BY version DESC LIMIT 1")
            if last is not None and last[1] == form:
                return int(last[0])
            cursor = self._db.execute("INSERT INTO label_sets (json, created) VALUES (?, ?)", form, time.time())
            return int(cursor.lastrowid or 0)

    def label_set(self, version: int | None = None) -> LabelSet | None:
        """The label set in force, or an older version of it.

        Returns:
            None where none was saved yet.

        Raises:
            StoreError: There is no such version.
        """
        if version is None:
            row = self._db.first("SELECT json FROM label_sets ORDER BY version DESC LIMIT 1")
            return None if row is None else label_set_of(from_json(row[0]))
        row = self._db.first("SELECT json FROM label_sets WHERE version = ?", version)
        if row is None:
            raise StoreError(f"there is no version {version} of the label set", "versions count from 1")
        return label_set_of(from_json(row[0]))

    def label_set_version(self) -> int:
        """The version in force; 0 where none was saved yet."""
        row = self._db.first("SELECT max(version) FROM label_sets")
        return int(row[0] or 0) if row else 0


def to_document(row: Row) -> Document:
    """A document from its sequence number, id, meta and text as stored."""
    return Document(unpack(row[1]), unpack(row[3]), from_json(row[2]))


def take_page(rows: Iterator[Row]) -> list[tuple[int, Document]]:
    """Numbered documents from rows, until they are as much text as memory should hold at once."""
    page, chars = [], 0
    for row in rows:
        document = to_document(row)
        page.append((int(row[0]), document))
        chars += len(document.text)
        if chars > BATCH_CHARS:
            break
    return page


def label_set_form(labels: LabelSet) -> list[dict[str, Any]]:
    """A label set as plain values: a list of tables, every field present."""
    return [
        {
            "name": label.name,
            "description": label.description,
            "examples": list(label.examples),
            "counter_examples": list(label.counter_examples),
            "hotkey": label.hotkey,
            "parent": label.parent,
            "aliases": list(label.aliases),
        }
        for label in labels
    ]


def label_set_of(form: Iterable[dict[str, Any]]) -> LabelSet:
    """The label set of ``label_set_form``."""
    fields: Iterator[dict[str, Any]] = (
        {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()} for table in form
    )
    return LabelSet(tuple(Label(**table) for table in fields))


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    chars = 0
    for document in documents:
        batch.append(document)
        chars += len(document.text)
        if len(batch) >= BATCH_DOCUMENTS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
