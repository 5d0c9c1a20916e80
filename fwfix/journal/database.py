"""The SQLite file: its tables, how it is opened, and what its errors mean for a person."""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from fwfix import __version__
from fwfix.errors import JournalError
from fwfix.journal import ledger

SCHEMA_VERSION = 2
FILE_NAME = "journal.sqlite3"
_APPLICATION_ID = 0x66776678  # "fwfx"

_TABLES = (
    """CREATE TABLE runs (
  run_id TEXT PRIMARY KEY, command TEXT NOT NULL, target TEXT,
  started_at TEXT NOT NULL, finished_at TEXT, exit_code INTEGER,
  operator TEXT NOT NULL, controller TEXT NOT NULL, fwfix_version TEXT NOT NULL,
  ticket TEXT NOT NULL, reason TEXT NOT NULL, plan_digest TEXT NOT NULL, plan_sha256 TEXT,
  pid INTEGER NOT NULL, event_count INTEGER NOT NULL DEFAULT 0, head TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE hosts (
  run_id TEXT NOT NULL REFERENCES runs, position INTEGER NOT NULL, name TEXT NOT NULL,
  role TEXT NOT NULL, record TEXT NOT NULL, outcome TEXT, changing INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, name)) WITHOUT ROWID""",
    """CREATE TABLE events (
  run_id TEXT NOT NULL REFERENCES runs, seq INTEGER NOT NULL, at TEXT NOT NULL, host TEXT,
  kind TEXT NOT NULL, body TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (run_id, seq))""",
    "CREATE TABLE texts (sha256 TEXT PRIMARY KEY, packed BLOB NOT NULL)",
    """CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
  BEGIN SELECT RAISE(ABORT, 'events are never changed'); END""",
    """CREATE TRIGGER events_are_never_removed BEFORE DELETE ON events
  BEGIN SELECT RAISE(ABORT, 'events are never removed'); END""",
    *ledger.TABLES,
)

_WITHOUT_JOURNAL = (
    "`fwfix status` and `fwfix rollback RUN -i INVENTORY` work without it, from the hosts' own records."
)
_ADVICE = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Make room, or name another directory with --state-dir."),
    sqlite3.SQLITE_IOERR: (
        "the disk refused to read or write",
        "Look for a full quota or a failing disk, or name another directory with --state-dir.",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process has been using it for too long",
        "Find out which fwfix is running (`fwfix runs list`), and try again.",
    ),
    sqlite3.SQLITE_READONLY: (
        "it cannot be written",
        "Make it writable, or name another directory with --state-dir.",
    ),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Make it accessible, or name another with --state-dir."),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", f"Move it away and keep it. {_WITHOUT_JOURNAL}"),
    sqlite3.SQLITE_NOTADB: (
        "it is not a journal, or is damaged",
        f"Move it away and keep it. {_WITHOUT_JOURNAL}",
    ),
}
_ADVICE[sqlite3.SQLITE_LOCKED] = _ADVICE[sqlite3.SQLITE_BUSY]
_ADVICE[sqlite3.SQLITE_PERM] = _ADVICE[sqlite3.SQLITE_AUTH] = _ADVICE[sqlite3.SQLITE_CANTOPEN]


def explain(path: Path, exc: sqlite3.Error) -> JournalError:
    """Say what an error of SQLite means and what to do."""
    # Extended codes carry the primary one in their low byte.
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    what, advice = _ADVICE.get(code, (str(exc), "Report this as a bug of fwfix, with this text."))
    return JournalError(f"The journal {path} cannot be used: {what} ({exc}).", next=advice)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn every error of SQLite into a JournalError."""
    try:
        yield
    except sqlite3.Error as exc:
        raise explain(path, exc) from exc


def reserve(path: Path) -> None:
    """Make sure that the file is there and that nobody but us can read or write it.

    Raises:
        JournalError: it is not ours, or cannot be made.
    """
    try:
        # SQLite gives its other files the permissions of this one.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise JournalError(
            f"The journal {path} cannot be opened: {exc.strerror}.",
            next="Make it accessible, or name another directory with --state-dir.",
        ) from exc
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise JournalError(
            f"The journal {path} is not a file of yours.", next="Name another directory with --state-dir."
        )


def connect(path: Path, *, busy: timedelta) -> sqlite3.Connection:
    """Open the file for transactions that are on disk when they return."""
    connection = sqlite3.connect(
        path, timeout=busy.total_seconds(), isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in a new file, add to those of an older fwfix, or see that they are ours to use.

    Two processes must not do this at once: a change to WAL does not wait for the other.

    Raises:
        JournalError: the file is of a newer fwfix, or of another program.
    """
    version = _number(connection, "PRAGMA user_version")
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"The journal {path} has format {version}; fwfix {__version__} knows format {SCHEMA_VERSION}.",
            next="Use the newer fwfix that wrote it, or name another directory with --state-dir.",
        )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _upgrade(connection) if version else _create(connection, path)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _create(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "SELECT count(*) FROM sqlite_master"):
        raise JournalError(
            f"{path} is a database of another program.", next="Name another directory with --state-dir."
        )
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Give a journal of format 1 its ledger; it names all runs as they are now."""
    for statement in ledger.TABLES:
        connection.execute(statement)
    ledger.enter_all(connection)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    value: int = connection.execute(query).fetchone()[0]
    return value
