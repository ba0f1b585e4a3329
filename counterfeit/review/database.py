"""The review's one file, ``review.sqlite`` in WAL mode: items, decisions and the audit log."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counterfeit.errors import UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS item (
  id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, name TEXT NOT NULL, file TEXT NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('scored', 'gold')), truth INTEGER,
  captured TEXT NOT NULL, score REAL NOT NULL, band TEXT NOT NULL, priority REAL NOT NULL, sampled INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'second', 'disputed', 'done')),
  verdict TEXT, version INTEGER NOT NULL DEFAULT 0, holder TEXT, held_until REAL);
CREATE INDEX IF NOT EXISTS waiting ON item (priority DESC, id) WHERE state != 'done';
CREATE INDEX IF NOT EXISTS by_state ON item (state, priority DESC, id, score);
CREATE INDEX IF NOT EXISTS held ON item (holder) WHERE holder IS NOT NULL;
CREATE TABLE IF NOT EXISTS listing (item INTEGER NOT NULL REFERENCES item (id), path TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS listing_of ON listing (item);
CREATE TABLE IF NOT EXISTS unreadable (path TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS decision (
  event INTEGER PRIMARY KEY REFERENCES event (id), item INTEGER NOT NULL REFERENCES item (id),
  reviewer TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, note TEXT NOT NULL, at TEXT NOT NULL,
  undone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS decision_of ON decision (item);
CREATE INDEX IF NOT EXISTS decision_by ON decision (reviewer, event);
CREATE TABLE IF NOT EXISTS skip (
  item INTEGER NOT NULL REFERENCES item (id), reviewer TEXT NOT NULL, event INTEGER NOT NULL,
  PRIMARY KEY (item, reviewer)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token (hash TEXT PRIMARY KEY, reviewer TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
  hash TEXT PRIMARY KEY, reviewer TEXT NOT NULL, form_token TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, reviewer TEXT, item INTEGER, detail TEXT NOT NULL,
  previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS event_is_never_changed BEFORE UPDATE ON event
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS event_is_never_removed BEFORE DELETE ON event
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""


class Database:
    """One connection a thread; writers wait for each other for up to 10 seconds.

    Args:
        path: the file.
        create: make it where it is not there.

    Raises:
        UserError: it is not there and is not to be made, or is no database.
    """

    def __init__(self, path: Path, create: bool = False) -> None:
        if not create and not path.is_file():
            raise UserError(f"{path} is not there: open the review first, python -m counterfeit.review {path.parent}")
        self.path = path
        self._local = threading.local()
        try:
            self.reading().executescript(SCHEMA)
        except sqlite3.Error as error:
            raise UserError(f"cannot open {path}: {error}") from error

    def reading(self) -> sqlite3.Connection:
        """The connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit is on the disk before it is acknowledged.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its first line; all of it happens, or nothing."""
        connection = self.reading()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def get(self, key: str) -> str | None:
        """A setting of the review."""
        row = self.reading().execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])


def put(db: sqlite3.Connection, key: str, value: str) -> None:
    """Store a setting within the transaction of the caller."""
    db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))
