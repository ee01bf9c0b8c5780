"""The tables, and how a store of an older release becomes one of this release.

``PRAGMA user_version`` counts the steps that a file has been through. A step is
run in one transaction together with its count, so that a kill in between leaves
the file as it was. A released step is never edited; a change is a new step.

Columns without a type hold packed texts (see ``codec``): no type means BLOB
affinity, which converts nothing. ``doc`` is a document's sequence number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tools.errors import StoreError

APPLICATION_ID = 0x51524D31  # "QRM1": tells a store from any other SQLite file

_FIRST = (
    """CREATE TABLE documents (
        seq INTEGER PRIMARY KEY,
        id NOT NULL UNIQUE,
        chars INTEGER NOT NULL CHECK (chars >= 0),
        hash BLOB NOT NULL,
        meta NOT NULL,
        text NOT NULL
    )""",
    """CREATE TABLE label_sets (
        version INTEGER PRIMARY KEY,
        json NOT NULL,
        created REAL NOT NULL
    )""",
    """CREATE TABLE events (
        event INTEGER PRIMARY KEY AUTOINCREMENT,
        doc INTEGER NOT NULL REFERENCES documents (seq),
        annotator NOT NULL,
        time REAL NOT NULL,
        what NOT NULL,
        source NOT NULL,
        before,
        after
    )""",
    "CREATE INDEX events_by_document ON events (doc)",
    """CREATE TRIGGER events_stay BEFORE UPDATE ON events
        BEGIN SELECT RAISE (ABORT, 'events are append-only'); END""",
    """CREATE TRIGGER events_last BEFORE DELETE ON events
        BEGIN SELECT RAISE (ABORT, 'events are append-only'); END""",
    """CREATE TABLE annotations (
        doc INTEGER NOT NULL REFERENCES documents (seq),
        annotator NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('new', 'in_progress', 'done', 'flagged')),
        source NOT NULL,
        updated REAL NOT NULL,
        event INTEGER NOT NULL REFERENCES events (event),
        PRIMARY KEY (doc, annotator)
    ) WITHOUT ROWID""",
    """CREATE TABLE gold (
        doc INTEGER NOT NULL,
        annotator NOT NULL,
        start INTEGER NOT NULL CHECK (start >= 0),
        stop INTEGER NOT NULL CHECK (stop > start),
        label NOT NULL,
        source NOT NULL,
        created REAL NOT NULL,
        PRIMARY KEY (doc, annotator, start, stop, label),
        FOREIGN KEY (doc, annotator) REFERENCES annotations (doc, annotator) ON DELETE CASCADE
    ) WITHOUT ROWID""",
    """CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        kind NOT NULL,
        config NOT NULL,
        config_hash NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'stopped', 'failed', 'complete')),
        started REAL NOT NULL,
        finished REAL
    )""",
    """CREATE TABLE parts (
        run INTEGER NOT NULL REFERENCES runs (run),
        part INTEGER NOT NULL CHECK (part >= 0),
        fingerprint NOT NULL,
        passages INTEGER NOT NULL,
        predictions INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        usage NOT NULL,
        recorded REAL NOT NULL,
        PRIMARY KEY (run, part)
    ) WITHOUT ROWID""",
    """CREATE TABLE outcomes (
        run INTEGER NOT NULL,
        doc INTEGER NOT NULL REFERENCES documents (seq),
        passage INTEGER NOT NULL CHECK (passage >= 0),
        part INTEGER NOT NULL,
        kind TEXT NOT NULL,
        reason NOT NULL,
        ungrounded NOT NULL,
        demonstrations NOT NULL,
        PRIMARY KEY (run, doc, passage),
        FOREIGN KEY (run, part) REFERENCES parts (run, part) ON DELETE CASCADE
    ) WITHOUT ROWID""",
    "CREATE INDEX outcomes_by_part ON outcomes (run, part)",
    "CREATE INDEX outcomes_by_kind ON outcomes (run, kind)",
    """CREATE TABLE predictions (
        run INTEGER NOT NULL,
        doc INTEGER NOT NULL,
        passage INTEGER NOT NULL,
        rejected INTEGER NOT NULL CHECK (rejected IN (0, 1)),
        n INTEGER NOT NULL,
        start INTEGER NOT NULL CHECK (start >= 0),
        stop INTEGER NOT NULL CHECK (stop > start),
        label NOT NULL,
        confidence REAL NOT NULL,
        verdict REAL,
        votes NOT NULL,
        PRIMARY KEY (run, doc, passage, rejected, n),
        FOREIGN KEY (run, doc, passage) REFERENCES outcomes (run, doc, passage) ON DELETE CASCADE
    ) WITHOUT ROWID""",
    """CREATE TABLE responses (
        key NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    )""",
)

_CAMPAIGNS = (
    """CREATE TABLE campaigns (
        campaign INTEGER PRIMARY KEY,
        format INTEGER NOT NULL,
        settings NOT NULL,
        identity NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'stopped')),
        reason NOT NULL,
        started REAL NOT NULL
    )""",
    """CREATE TABLE rounds (
        campaign INTEGER NOT NULL REFERENCES campaigns (campaign),
        round INTEGER NOT NULL CHECK (round > 0),
        state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'assessed')),
        opened REAL NOT NULL,
        closed REAL,
        run INTEGER REFERENCES runs (run),
        identity NOT NULL,
        report NOT NULL,
        PRIMARY KEY (campaign, round)
    ) WITHOUT ROWID""",
    """CREATE TABLE items (
        campaign INTEGER NOT NULL,
        doc INTEGER NOT NULL REFERENCES documents (seq),
        round INTEGER NOT NULL,
        n INTEGER NOT NULL CHECK (n >= 0),
        audit INTEGER NOT NULL CHECK (audit IN (0, 1)),
        wanted INTEGER NOT NULL CHECK (wanted > 0),
        reason NOT NULL,
        PRIMARY KEY (campaign, doc),
        FOREIGN KEY (campaign, round) REFERENCES rounds (campaign, round)
    ) WITHOUT ROWID""",
    "CREATE INDEX items_by_round ON items (campaign, round, n)",
    """CREATE TABLE visits (
        campaign INTEGER NOT NULL,
        doc INTEGER NOT NULL,
        annotator NOT NULL,
        seconds REAL,
        skipped INTEGER NOT NULL CHECK (skipped IN (0, 1)),
        time REAL NOT NULL,
        PRIMARY KEY (campaign, doc, annotator),
        FOREIGN KEY (campaign, doc) REFERENCES items (campaign, doc)
    ) WITHOUT ROWID""",
    """CREATE TABLE leases (
        doc INTEGER NOT NULL REFERENCES documents (seq),
        annotator NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (doc, annotator)
    ) WITHOUT ROWID""",
    """CREATE TABLE resolutions (
        resolution INTEGER PRIMARY KEY AUTOINCREMENT,
        doc INTEGER NOT NULL REFERENCES documents (seq),
        reviewer NOT NULL,
        time REAL NOT NULL,
        versions NOT NULL,
        decision NOT NULL,
        reason NOT NULL,
        event INTEGER NOT NULL REFERENCES events (event)
    )""",
    "CREATE INDEX resolutions_by_document ON resolutions (doc)",
    """CREATE TRIGGER resolutions_stay BEFORE UPDATE ON resolutions
        BEGIN SELECT RAISE (ABORT, 'resolutions are append-only'); END""",
    """CREATE TRIGGER resolutions_last BEFORE DELETE ON resolutions
        BEGIN SELECT RAISE (ABORT, 'resolutions are append-only'); END""",
)

_LABELLING = (
    """CREATE TABLE reviews (
        doc INTEGER NOT NULL REFERENCES documents (seq),
        annotator NOT NULL,
        rejected NOT NULL,
        note NOT NULL,
        skipped INTEGER NOT NULL CHECK (skipped IN (0, 1)),
        PRIMARY KEY (doc, annotator)
    ) WITHOUT ROWID""",
    """CREATE TABLE actions (
        action INTEGER PRIMARY KEY AUTOINCREMENT,
        annotator NOT NULL,
        time REAL NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('do', 'undo', 'redo')),
        what NOT NULL,
        of INTEGER REFERENCES actions (action),
        below INTEGER REFERENCES actions (action),
        undo_top INTEGER REFERENCES actions (action),
        redo_top INTEGER REFERENCES actions (action)
    )""",
    "CREATE INDEX actions_by_annotator ON actions (annotator, action)",
    """CREATE TABLE changes (
        action INTEGER NOT NULL REFERENCES actions (action),
        doc INTEGER NOT NULL REFERENCES documents (seq),
        event INTEGER NOT NULL REFERENCES events (event),
        delta NOT NULL,
        PRIMARY KEY (action, doc)
    ) WITHOUT ROWID""",
    """CREATE TABLE guidelines (
        version INTEGER PRIMARY KEY,
        text NOT NULL,
        annotator NOT NULL,
        created REAL NOT NULL
    )""",
)

# An item is a document, or the part of one from ``start`` to ``stop``; ``finished`` says which parts of a document that
# is not done as a whole an annotator has finished. Tables with another key are made anew: SQLite cannot change one.
_PASSAGES = (
    """CREATE TABLE finished (
        doc INTEGER NOT NULL,
        annotator NOT NULL,
        start INTEGER NOT NULL CHECK (start >= 0),
        stop INTEGER NOT NULL CHECK (stop > start),
        PRIMARY KEY (doc, annotator, start),
        FOREIGN KEY (doc, annotator) REFERENCES annotations (doc, annotator) ON DELETE CASCADE
    ) WITHOUT ROWID""",
    """CREATE TABLE new_items (
        campaign INTEGER NOT NULL,
        doc INTEGER NOT NULL REFERENCES documents (seq),
        start INTEGER NOT NULL CHECK (start >= 0),
        stop INTEGER CHECK (stop > start),
        round INTEGER NOT NULL,
        n INTEGER NOT NULL CHECK (n >= 0),
        audit INTEGER NOT NULL CHECK (audit IN (0, 1)),
        wanted INTEGER NOT NULL CHECK (wanted > 0),
        reason NOT NULL,
        PRIMARY KEY (campaign, doc, start),
        FOREIGN KEY (campaign, round) REFERENCES rounds (campaign, round)
    ) WITHOUT ROWID""",
    """INSERT INTO new_items (campaign, doc, start, stop, round, n, audit, wanted, reason)
        SELECT campaign, doc, 0, NULL, round, n, audit, wanted, reason FROM items""",
    """CREATE TABLE new_visits (
        campaign INTEGER NOT NULL,
        doc INTEGER NOT NULL,
        start INTEGER NOT NULL,
        annotator NOT NULL,
        seconds REAL,
        skipped INTEGER NOT NULL CHECK (skipped IN (0, 1)),
        time REAL NOT NULL,
        PRIMARY KEY (campaign, doc, start, annotator),
        FOREIGN KEY (campaign, doc, start) REFERENCES new_items (campaign, doc, start)
    ) WITHOUT ROWID""",
    """INSERT INTO new_visits (campaign, doc, start, annotator, seconds, skipped, time)
        SELECT campaign, doc, 0, annotator, seconds, skipped, time FROM visits""",
    "DROP TABLE visits",
    "DROP TABLE items",
    "ALTER TABLE new_items RENAME TO items",
    "ALTER TABLE new_visits RENAME TO visits",
    "CREATE INDEX items_by_round ON items (campaign, round, n)",
)

STEPS: tuple[tuple[str, ...], ...] = (_FIRST, _CAMPAIGNS, _LABELLING, _PASSAGES)


def version_of(db: sqlite3.Connection) -> int:
    """How many steps the file has been through; 0 for an empty one.

    Raises:
        StoreError: The file is another program's database.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError("the file is another program's SQLite database, not a store", "give another path")
    return int(version)


def check_version(version: int, steps: Sequence[Sequence[str]]) -> None:
    """Refuse what a newer release has made.

    Raises:
        StoreError: The file has been through steps that this release does not know.
    """
    if version > len(steps):
        raise StoreError(
            f"the store was made by a newer release (its version is {version}, this release knows {len(steps)})",
            "upgrade quorum",
        )


def migrate(db: sqlite3.Connection, steps: Sequence[Sequence[str]]) -> int:
    """Run the steps that are missing, each in a transaction of its own.

    Args:
        db: A connection in autocommit mode, the only writer.
        steps: All steps from the first release on; each a list of statements.

    Returns:
        How many steps were run.

    Raises:
        StoreError: The file is not a store, or a newer release's.
    """
    done = version_of(db)
    check_version(done, steps)
    for number, step in enumerate(steps[done:], done + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in step:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return len(steps) - done
