"""Looking through documents page by page: what waits for a decision, what fits a filter, where a text occurs.

Everything goes by sequence number and reads a page at a time, so that the first
screen of a million documents is there as quickly as that of ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tools.store.codec import pack, unpack
from tools.store.documents import Section
from tools.store.records import DocumentState

SCAN = 20_000
_FINISHED = "('done', 'flagged')"


@dataclass(frozen=True, slots=True)
class Listed:
    """A document as a list shows it.

    Attributes:
        seq: Its place in the order of arrival, from 1.
        id: Its id.
        chars: Its length in code points.
        head: The beginning of its text.
        state: How far the last who touched it is with it.
        annotator: Who that was; empty where nobody did.
        marks: How many spans they marked.
    """

    seq: int
    id: str
    chars: int
    head: str
    state: DocumentState
    annotator: str
    marks: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents to list; what is left at its default does not filter.

    Attributes:
        state: A document's state, by the last who touched it.
        annotator: Somebody who has touched it.
        label: A type that is marked or suggested in it.
        below: A suggestion in it has a lower confidence than this.
        disagreement: The members of the quorum gave a suggestion in it different types.
        run: Whose suggestions count; None for those of any run.
        text: A text that occurs in it, upper and lower case alike.
    """

    state: DocumentState | None = None
    annotator: str = ""
    label: str = ""
    below: float | None = None
    disagreement: bool = False
    run: int | None = None
    text: str = ""

    @property
    def empty(self) -> bool:
        """Whether everything fits."""
        return self == Filter(run=self.run)


class Browsing(Section):
    """Reading lists of documents."""

    def document_span(self) -> tuple[int, int]:
        """The first and last sequence number; (1, 0) in an empty store."""
        # Two look-ups at the ends of the tree; both aggregates in one SELECT would read all of it.
        row = self._db.first("SELECT (SELECT min(seq) FROM documents), (SELECT max(seq) FROM documents)")
        return (1, 0) if row is None or row[0] is None else (int(row[0]), int(row[1]))

    def document_id(self, seq: int) -> str | None:
        """The id of a sequence number, or None."""
        row = self._db.first("SELECT id FROM documents WHERE seq = ?", seq)
        return None if row is None else unpack(row[0])

    def listed(self, first: int, last: int, head: int = 200) -> list[Listed]:
        """The documents of a range of sequence numbers, in order.

        Args:
            first: The first number.
            last: The last number, included.
            head: Code points of the text to give.
        """
        rows = self._db.query(
            "SELECT d.seq, d.id, d.chars, substr(d.text, 1, ?3), a.state, a.annotator,"
            " (SELECT count(*) FROM gold g WHERE g.doc = d.seq AND g.annotator = a.annotator)"
            " FROM documents d LEFT JOIN annotations a ON a.doc = d.seq AND a.event ="
            " (SELECT max(b.event) FROM annotations b WHERE b.doc = d.seq)"
            " WHERE d.seq BETWEEN ?1 AND ?2 ORDER BY d.seq",
            first, last, head,
        )  # fmt: skip
        return [
            Listed(
                seq, unpack(name), chars, _head(text), DocumentState(state or "new"), unpack(who) if who else "", marks
            )
            for seq, name, chars, text, state, who, marks in rows
        ]

    def undecided(
        self, annotator: str, after: int = 0, limit: int = 1, *, skipped: bool = False, backward: bool = False
    ) -> list[tuple[int, str]]:
        """Documents that nobody has finished, as (sequence number, id).

        Args:
            annotator: Whose skipping counts.
            after: Begin behind this number (before it, going backward).
            limit: The most to give.
            skipped: Those that the annotator skipped, instead of the others.
            backward: From the last to the first.
        """
        side, order = ("<", "DESC") if backward else (">", "ASC")
        rows = self._db.query(
            f"SELECT d.seq, d.id FROM documents d WHERE d.seq {side} ?1"
            f" AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.doc = d.seq AND a.state IN {_FINISHED})"
            f" AND {'' if skipped else 'NOT'} EXISTS"
            " (SELECT 1 FROM reviews r WHERE r.doc = d.seq AND r.annotator = ?2 AND r.skipped)"
            f" ORDER BY d.seq {order} LIMIT ?3",
            after, pack(annotator), limit,
        )  # fmt: skip
        return [(seq, unpack(name)) for seq, name in rows]

    def finished_count(self) -> int:
        """How many documents somebody has finished."""
        row = self._db.first(f"SELECT count(DISTINCT doc) FROM annotations WHERE state IN {_FINISHED}")
        return int(row[0]) if row else 0

    def matching(self, wanted: Filter, after: int = 0) -> Iterator[list[int]]:
        """The sequence numbers that fit a filter, range by range, so that a screen can show the first at once.

        Args:
            wanted: The filter.
            after: Begin behind this number.
        """
        _, last = self.document_span()
        sql, values = _conditions(wanted)
        size = SCAN if not wanted.text else SCAN // 10
        for begin in range(after, last, size):
            rows = self._db.query(
                f"SELECT d.seq FROM documents d WHERE d.seq > ? AND d.seq <= ? {sql} ORDER BY d.seq",
                begin, begin + size, *values,
            )  # fmt: skip
            yield [row[0] for row in rows]

    def occurrences(self, mention: str, limit: int = 1000) -> Iterator[tuple[int, str, str]]:
        """Documents whose text holds a mention exactly, as (sequence number, id, text), in order.

        Args:
            mention: The text to look for.
            limit: The most documents to give.
        """
        _, last = self.document_span()
        size, given = SCAN // 10, 0
        for begin in range(0, last, size):
            rows = self._db.query(
                "SELECT d.seq, d.id, d.text FROM documents d WHERE d.seq > ? AND d.seq <= ? AND instr(d.text, ?) > 0"
                " ORDER BY d.seq",
                begin, begin + size, pack(mention),
            )  # fmt: skip
            for seq, name, text in rows:
                if given == limit:
                    return
                given += 1
                yield seq, unpack(name), unpack(text)

    def run_of(self, document_id: str) -> int | None:
        """The latest run that has results for a document, or None."""
        doc, _ = self._document_row(document_id)
        for (run,) in self._db.query("SELECT run FROM runs ORDER BY run DESC"):
            if self._db.first("SELECT 1 FROM outcomes WHERE run = ? AND doc = ? LIMIT 1", run, doc) is not None:
                return int(run)
        return None

    def labelled_with(self, labels: tuple[str, ...], annotator: str) -> list[str]:
        """The documents an annotator has finished with a mark of one of these types, in order."""
        marks = ",".join("?" * len(labels))
        rows = self._db.query(
            "SELECT d.id FROM documents d JOIN annotations a ON a.doc = d.seq"
            " WHERE a.annotator = ? AND a.state = 'done'"
            " AND EXISTS (SELECT 1 FROM gold g WHERE g.doc = a.doc AND g.annotator = a.annotator"
            f" AND g.label IN ({marks})) ORDER BY d.seq",
            pack(annotator), *map(pack, labels),
        )  # fmt: skip
        return [unpack(row[0]) for row in rows]

    def everybody(self) -> list[str]:
        """All who have touched a document, in order of code points."""
        return sorted(unpack(row[0]) for row in self._db.query("SELECT DISTINCT annotator FROM annotations"))


def _conditions(wanted: Filter) -> tuple[str, list[object]]:
    parts: list[str] = []
    values: list[object] = []
    if wanted.state is DocumentState.NEW:
        parts.append("NOT EXISTS (SELECT 1 FROM annotations a WHERE a.doc = d.seq AND a.state <> 'new')")
    elif wanted.state is not None:
        parts.append("(SELECT a.state FROM annotations a WHERE a.doc = d.seq ORDER BY a.event DESC LIMIT 1) = ?")
        values.append(wanted.state.value)
    if wanted.annotator:
        parts.append("EXISTS (SELECT 1 FROM annotations a WHERE a.doc = d.seq AND a.annotator = ?)")
        values.append(pack(wanted.annotator))
    suggested = "EXISTS (SELECT 1 FROM predictions p WHERE p.doc = d.seq AND p.rejected = 0 {})"
    run = "AND p.run = ?" if wanted.run is not None else "AND p.run IN (SELECT run FROM runs)"
    runs: list[object] = [wanted.run] if wanted.run is not None else []
    if wanted.label:
        gold = "EXISTS (SELECT 1 FROM gold g WHERE g.doc = d.seq AND g.label = ?)"
        parts.append(f"({gold} OR {suggested.format(run + ' AND p.label = ?')})")
        values += [pack(wanted.label), *runs, pack(wanted.label)]
    if wanted.below is not None:
        parts.append(suggested.format(run + " AND p.confidence < ?"))
        values += [*runs, wanted.below]
    if wanted.disagreement:
        parts.append(
            suggested.format(
                run + " AND EXISTS (SELECT 1 FROM json_each(CAST(p.votes AS TEXT)) v"
                " WHERE json_extract(v.value, '$[2]') <> CAST(p.label AS TEXT))"
            )
        )
        values += runs
    if wanted.text:
        # SQLite folds ASCII only; other scripts are compared as written and in lower case.
        parts.append("(instr(lower(d.text), ?) > 0 OR instr(d.text, ?) > 0)")
        values += [pack(wanted.text.lower()), pack(wanted.text)]
    return "".join(f" AND {part}" for part in parts), values


def _head(value: str | bytes) -> str:
    # A packed text that was cut may end inside a character.
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
