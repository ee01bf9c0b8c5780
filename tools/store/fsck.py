"""Checking a store: what must always hold, and does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from tools.annotation import Span, text_hash
from tools.annotation.prediction import OutcomeKind
from tools.store.codec import from_json, unpack
from tools.store.database import Database
from tools.store.documents import label_set_of
from tools.store.faults import DamagedStore, telling
from tools.store.records import Finding
from tools.store.store import Store
from tools.store.trail import snapshot_of

_MOST = 20
_RESTORE = "restore the file from a backup; run again what came after it"
_RERUN = "run the same extraction again with --fresh"
_REPORT = "this should not be possible: please report it, with the steps before it"


def fsck(store: Store | str | Path) -> list[Finding]:
    """Check a store's invariants; it is read only, also while another process writes.

    SQLite's own integrity and foreign keys; texts against their hashes; gold and
    predictions within their texts; entities in text order; parts whole, runs
    complete; the states of documents against the trail of events.

    Args:
        store: An open store or its file.

    Returns:
        What was found, the gravest kind of check first; empty where all is well.
        At most twenty findings a check.

    Raises:
        StoreError: There is no store, or it is another release's.
    """
    path = store.path if isinstance(store, Store) else Path(store)
    try:
        db = Database.open(path, read_only=True, durable=False)
    except DamagedStore as error:
        return [Finding("error", error.message, hint=_RESTORE)]
    try:
        with db.snapshot():
            return [finding for check in _CHECKS for finding in _limited(check, db)]
    finally:
        db.close()


def _limited(check: Callable[[Database], Iterator[Finding]], db: Database) -> Iterator[Finding]:
    findings = check(db)
    try:
        with telling(db.path):
            yield from islice(findings, _MOST)
            if (more := next(findings, None)) is not None:
                yield Finding(more.severity, f"more like these were left out, first: {more.what}", more.id, more.hint)
    except DamagedStore as error:
        yield Finding("error", error.message, hint=_RESTORE)


def _file(db: Database) -> Iterator[Finding]:
    for (line,) in db.query("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("error", f"SQLite: {line}", hint=_RESTORE)
    for table, row, parent, _ in db.query("PRAGMA foreign_key_check"):
        where = "" if row is None else f"row {row}"
        yield Finding("error", f"a row of {table} refers to a missing row of {parent}", where, _RESTORE)


def _documents(db: Database) -> Iterator[Finding]:
    # As blobs: a broken text must be a finding, not an error of the driver.
    sql = "SELECT CAST(id AS BLOB), chars, hash, CAST(text AS BLOB), CAST(meta AS BLOB) FROM documents ORDER BY seq"
    for name, chars, digest, text, meta in db.rows(sql):
        shown = name.decode("utf-8", "backslashreplace")
        try:
            value = unpack(text)
            good = len(value) == chars and text_hash(value) == digest.hex()
        except UnicodeDecodeError:
            good = False
        if not good:
            yield Finding("error", "the text is not the one that was added", shown, _RESTORE)
        try:
            from_json(meta)
        except ValueError:
            yield Finding("error", "the meta is not JSON", shown, _RESTORE)


def _gold(db: Database) -> Iterator[Finding]:
    sql = (
        "SELECT d.id, g.start, g.stop, d.chars FROM gold g JOIN documents d ON d.seq = g.doc"
        " WHERE g.start < 0 OR g.stop <= g.start OR g.stop > d.chars"
    )
    for name, start, stop, chars in db.rows(sql):
        yield Finding("error", f"gold {start}:{stop} lies beyond the text's {chars} characters", unpack(name), _RESTORE)
    last = db.first("SELECT json FROM label_sets ORDER BY version DESC LIMIT 1")
    if last is not None:
        names = set(label_set_of(from_json(last[0])).names)
        for label, count in db.rows("SELECT label, count(*) FROM gold GROUP BY label ORDER BY label"):
            if unpack(label) not in names:
                what = f"{count} gold spans have a label outside the label set"
                yield Finding("warning", what, unpack(label), "add it to the label set, or relabel them")


def _trail(db: Database) -> Iterator[Finding]:
    sql = (
        "SELECT a.doc, d.id, a.annotator, a.state, e.after FROM annotations a JOIN documents d ON d.seq = a.doc"
        " LEFT JOIN events e ON e.event = a.event AND e.doc = a.doc AND e.annotator = a.annotator"
    )
    for doc, name, who, state, after in db.rows(sql):
        rows = db.query("SELECT start, stop, label FROM gold WHERE doc = ? AND annotator = ?", doc, who)
        try:
            spans = tuple(sorted(Span(start, stop, unpack(label)) for start, stop, label in rows))
            said = snapshot_of(after)
            good = said is not None and said.state == state and said.spans == spans
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            yield Finding("error", f"{unpack(who)}'s decision is not what its last event says", unpack(name), _REPORT)
    sql = (
        "SELECT d.id, e.event FROM events e JOIN documents d ON d.seq = e.doc"
        " LEFT JOIN annotations a ON a.doc = e.doc AND a.annotator = e.annotator"
        " WHERE e.event = (SELECT max(x.event) FROM events x WHERE x.doc = e.doc AND x.annotator = e.annotator)"
        " AND ((e.after IS NULL) <> (a.event IS NULL) OR a.event < e.event)"
    )
    for name, event in db.rows(sql):
        yield Finding("error", f"event {event} is the last but does not count", unpack(name), _REPORT)


def _predictions(db: Database) -> Iterator[Finding]:
    sql = (
        "SELECT p.run, d.id, p.passage, p.start, p.stop, d.chars FROM predictions p JOIN documents d ON d.seq = p.doc"
        " WHERE p.start < 0 OR p.stop <= p.start OR p.stop > d.chars"
    )
    for run, name, passage, start, stop, chars in db.rows(sql):
        what = f"run {run}: prediction {start}:{stop} of passage {passage} lies beyond the text's {chars} characters"
        yield Finding("error", what, unpack(name), _RERUN)
    sql = (
        "SELECT p.run, d.id, p.passage FROM predictions p JOIN documents d ON d.seq = p.doc JOIN predictions q"
        " ON q.run = p.run AND q.doc = p.doc AND q.passage = p.passage AND q.rejected = p.rejected AND q.n = p.n + 1"
        " WHERE p.rejected = 0 AND q.start < p.start"
    )
    for run, name, passage in db.rows(sql):
        what = f"run {run}: the entities of passage {passage} are not in text order"
        yield Finding("warning", what, unpack(name), _REPORT)
    sql = (
        "SELECT p.run, d.id, p.passage FROM predictions p JOIN documents d ON d.seq = p.doc"
        " WHERE NOT p.confidence BETWEEN 0 AND 1 OR NOT coalesce(p.verdict, 0) BETWEEN 0 AND 1"
        " OR (typeof(p.votes) = 'text' AND NOT json_valid(p.votes))"
    )
    for run, name, passage in db.rows(sql):
        what = f"run {run}: a prediction of passage {passage} has an impossible confidence, verdict or votes"
        yield Finding("error", what, unpack(name), _RERUN)


def _outcomes(db: Database) -> Iterator[Finding]:
    kinds = ", ".join(f"'{kind.value}'" for kind in OutcomeKind)
    sql = f"SELECT run, kind, count(*) FROM outcomes WHERE kind NOT IN ({kinds}) GROUP BY run, kind"
    for run, kind, count in db.rows(sql):
        yield Finding("error", f"{count} passages ended in an unknown way: {kind}", f"run {run}", _RERUN)
    sql = (
        "SELECT o.run, d.id, o.passage FROM outcomes o JOIN documents d ON d.seq = o.doc"
        " JOIN predictions p ON p.run = o.run AND p.doc = o.doc AND p.passage = o.passage"
        " WHERE o.kind = 'failed' AND NOT p.rejected GROUP BY o.run, o.doc, o.passage"
    )
    for run, name, passage in db.rows(sql):
        yield Finding("error", f"run {run}: passage {passage} failed but has entities", unpack(name), _RERUN)


def _parts(db: Database) -> Iterator[Finding]:
    sql = (
        "SELECT s.run, s.part, s.passages, s.predictions, count(o.doc), coalesce(sum((SELECT count(*)"
        " FROM predictions p WHERE p.run = o.run AND p.doc = o.doc AND p.passage = o.passage)), 0)"
        " FROM parts s LEFT JOIN outcomes o ON o.run = s.run AND o.part = s.part GROUP BY s.run, s.part"
    )
    for run, part, passages, predictions, there, found in db.rows(sql):
        if (passages, predictions) != (there, found):
            what = f"the part is not whole: {there} of {passages} passages, {found} of {predictions} predictions"
            yield Finding("error", what, f"run {run} part {part}", _RERUN)
    sql = (
        "SELECT r.run, count(s.part), max(s.part) FROM runs r JOIN parts s ON s.run = r.run WHERE r.state = 'complete'"
        " GROUP BY r.run HAVING count(s.part) <> max(s.part) + 1"
    )
    for run, count, last in db.rows(sql):
        what = f"the run is called complete but has {count} of {last + 1} parts"
        yield Finding("error", what, f"run {run}", "run the same command again: it does what is missing")


_CHECKS = (_file, _documents, _gold, _trail, _predictions, _outcomes, _parts)
