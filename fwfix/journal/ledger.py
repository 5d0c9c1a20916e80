"""The chain across runs: one row each time a run begins, goes on or ends, so that none can vanish."""

import sqlite3
from collections.abc import Iterator

from fwfix.canonical import canonical
from fwfix.journal.chain import sha256
from fwfix.journal.values import ChainFault

# SQLite keeps the highest number that was ever given out: so rows that are missing at the end show as well.
TABLES = (
    """CREATE TABLE ledger (
  n INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, seq INTEGER NOT NULL, head TEXT NOT NULL,
  previous TEXT NOT NULL, digest TEXT NOT NULL)""",
    """CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is never changed'); END""",
    """CREATE TRIGGER ledger_is_never_cut BEFORE DELETE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is never cut'); END""",
)
# What must stand in the ledger; a run's own chain covers what lies before.
_ENTERED = ("started", "resumed", "finished")

_Row = tuple[int, str, int, str, str, str]


def enter(connection: sqlite3.Connection, run_id: str) -> None:
    """Write where the chain of a run has come to; its events up to there are written already."""
    seq, head = connection.execute(
        "SELECT event_count, head FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    row = (_highest(connection) + 1, run_id, seq, head, read_head(connection))
    connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)", (*row, _digest_of(row)))


def enter_all(connection: sqlite3.Connection) -> None:
    """Write where every run has come to, in a journal that was made before there was a ledger."""
    for (run_id,) in connection.execute("SELECT run_id FROM runs ORDER BY rowid").fetchall():
        enter(connection, run_id)


def read_head(connection: sqlite3.Connection) -> str:
    """Return the digest of the newest row, which covers every row before it; empty if there is none."""
    row = connection.execute("SELECT digest FROM ledger ORDER BY n DESC LIMIT 1").fetchone()
    return "" if row is None else str(row[0])


def find_gaps(connection: sqlite3.Connection, *, expected: str | None = None) -> Iterator[ChainFault]:
    """Compare the ledger with its chain and with the runs; `expected` is a head that was read earlier."""
    rows: list[_Row] = connection.execute(
        "SELECT n, run_id, seq, head, previous, digest FROM ledger ORDER BY n"
    ).fetchall()
    yield from _chained(rows, highest=_highest(connection))
    yield from _present(connection, rows)
    yield from _entered(connection, rows)
    if expected is not None and expected not in {row[-1] for row in rows}:
        message = f"it never had the head {expected}, or what was written by then was changed or removed"
        yield ChainFault(run_id=None, seq=None, message=message)


def _chained(rows: list[_Row], *, highest: int) -> Iterator[ChainFault]:
    previous, wanted = "", 1
    for row in rows:
        number, _, _, _, before, digest = row
        if number != wanted:
            yield _missing(wanted, number - 1)
        elif before != previous:
            yield ChainFault(run_id=None, seq=None, message=f"row {number} of its ledger does not follow on")
        if digest != _digest_of(row[:-1]):
            yield ChainFault(run_id=None, seq=None, message=f"row {number} of its ledger was changed")
        previous, wanted = digest, number + 1
    if wanted <= highest:
        yield _missing(wanted, highest)


def _missing(first: int, last: int) -> ChainFault:
    which = f"row {first} of its ledger is" if first == last else f"rows {first} to {last} of its ledger are"
    return ChainFault(run_id=None, seq=None, message=f"{which} missing: runs were removed")


def _present(connection: sqlite3.Connection, rows: list[_Row]) -> Iterator[ChainFault]:
    runs = {run_id for (run_id,) in connection.execute("SELECT run_id FROM runs")}
    gone = dict.fromkeys(run_id for _, run_id, *_ in rows if run_id not in runs)
    for run_id in gone:
        yield ChainFault(run_id=run_id, seq=None, message="the whole run was removed")
    query = "SELECT digest FROM events WHERE run_id = ? AND seq = ?"
    for _, run_id, seq, head, *_ in rows:
        if run_id not in gone and connection.execute(query, (run_id, seq)).fetchone() != (head,):
            yield ChainFault(run_id=run_id, seq=seq, message="it is not the event that the ledger names")


def _entered(connection: sqlite3.Connection, rows: list[_Row]) -> Iterator[ChainFault]:
    known: dict[str, int] = {}
    for _, run_id, seq, *_ in rows:
        known[run_id] = max(seq, known.get(run_id, 0))
    marks = ", ".join("?" * len(_ENTERED))
    query = f"SELECT run_id, max(seq) FROM events WHERE kind IN ({marks}) GROUP BY run_id"  # noqa: S608
    for run_id, seq in connection.execute(query, _ENTERED):
        if seq > known.get(run_id, 0):
            yield ChainFault(run_id=run_id, seq=seq, message="the ledger does not name it")


def _highest(connection: sqlite3.Connection) -> int:
    """Return the highest number that was ever given out, as far as the file still knows."""
    (number,) = connection.execute(
        "SELECT coalesce(max(n), 0) FROM (SELECT n FROM ledger UNION ALL"
        " SELECT seq FROM sqlite_sequence WHERE name = 'ledger')"
    ).fetchone()
    return int(number)


def _digest_of(row: tuple[int, str, int, str, str]) -> str:
    return sha256(canonical(row))
