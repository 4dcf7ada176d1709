"""The tables of a history in SQLite, and how those of earlier versions become today's."""

import sqlite3

from auditor.history.history import HistoryError

APPLICATION = 0x41554449
"""Marks the file as a history of audits ("AUDI")."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE audits (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            factory TEXT NOT NULL,
            task TEXT NOT NULL,
            started TEXT NOT NULL,
            moment REAL NOT NULL,
            verdict TEXT NOT NULL,
            checkpoint TEXT NOT NULL,
            clean INTEGER NOT NULL,
            by_hand INTEGER NOT NULL DEFAULT 0,
            only TEXT,
            glance BLOB NOT NULL,
            measures BLOB NOT NULL,
            record BLOB NOT NULL
        )
        """,
        "CREATE INDEX audits_of_subject ON audits (name, factory, task, moment)",
        "CREATE INDEX audits_by_moment ON audits (moment)",
    ),
)
"""What leads from each version to the next; an empty file is of version 0.

`moment` is in seconds since 1970, `only` a JSON list; the blobs are compressed JSON. The record
stands last, so that whoever reads the others does not read it.
"""


def brought_up(db: sqlite3.Connection) -> None:
    """Bring a database to today's version, one writer after the other.

    Raises:
        HistoryError: it is no history, or one of a newer version.
        sqlite3.Error: it can't be written.
    """
    if version_of(db) == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[version_of(db) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def version_of(db: sqlite3.Connection) -> int:
    """Return the version of a database; that of an empty one is 0.

    Raises:
        HistoryError: it is no history, or one of a newer version.
    """
    # In this order: who sees the tables that another writer has just made sees its mark as well.
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION and (application or tables):
        raise HistoryError("a database of another program")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise HistoryError(
            f"of version {version}, written by a newer auditor; this one reads up to version "
            f"{len(MIGRATIONS)}: install that auditor, or name another file"
        )
    return int(version) if tables else 0
