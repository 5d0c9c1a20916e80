"""One thread that writes for all: what many hosts announce at once becomes durable together.

A transaction costs one flush of the disk, however many events are in it. So the thread takes everything
that waits, writes it in one transaction in the order in which it came, and lets all who wait go on together.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from fwfix.errors import FwfixError, JournalError
from fwfix.journal.database import explain

Job = Callable[[sqlite3.Connection], None]

# More would only make one failure bigger.
_MOST_JOBS_AT_ONCE = 4096


class _Ticket:
    """One job and what became of it; not written until a commit says otherwise."""

    __slots__ = ("done", "error", "job", "written")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = threading.Event()
        self.error: Exception | None = None
        self.written = False


class Writer:
    """Owns the only connection that writes.

    Attributes:
        commits: transactions that reached the disk.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.commits = 0
        self._connection = connection
        self._path = path
        self._waiting: deque[_Ticket] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="fwfix-journal", daemon=True)
        self._thread.start()

    def write(self, job: Job) -> None:
        """Run a job inside a transaction; return when it is on disk.

        Raises:
            JournalError: it is not; nothing of this job was kept.
        """
        ticket = _Ticket(job)
        with self._changed:
            if self._closed:
                raise JournalError("The journal is closed.", next="Report this as a bug of fwfix.")
            self._waiting.append(ticket)
            self._changed.notify()
        ticket.done.wait()
        if not ticket.written:
            raise self._explained(ticket.error) from ticket.error

    def close(self) -> None:
        """Write what waits, then stop. Harmless when closed before."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._connection.close()

    def _explained(self, error: Exception | None) -> FwfixError:
        # Every waiter raises an exception of its own: a traceback belongs to one thread.
        if isinstance(error, sqlite3.Error):
            return explain(self._path, error)
        if isinstance(error, FwfixError):
            return type(error)(error.message, next=error.next, code=error.code)
        return JournalError(
            f"The journal {self._path} could not be written: {error or 'its thread has stopped'}.",
            next="Report this as a bug of fwfix.",
        )

    def _work(self) -> None:
        try:
            while tickets := self._take():
                try:
                    self._transact(tickets)
                finally:
                    for ticket in tickets:
                        ticket.done.set()
        finally:
            self._stop()

    def _stop(self) -> None:
        """Let nobody wait for a thread that is gone."""
        with self._changed:
            self._closed = True
            for ticket in self._waiting:
                ticket.done.set()

    def _take(self) -> list[_Ticket]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            count = min(len(self._waiting), _MOST_JOBS_AT_ONCE)
            return [self._waiting.popleft() for _ in range(count)]

    def _transact(self, tickets: list[_Ticket]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for ticket in tickets:
                self._run(ticket)
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._undo()
            for ticket in tickets:
                ticket.error = ticket.error or exc
            return
        self.commits += 1
        for ticket in tickets:
            ticket.written = ticket.error is None

    def _run(self, ticket: _Ticket) -> None:
        """Run one job so that its own mistake does not cost the others their event."""
        self._connection.execute("SAVEPOINT job")
        try:
            ticket.job(self._connection)
        except (sqlite3.IntegrityError, FwfixError, ValueError, TypeError, KeyError) as exc:
            ticket.error = exc
            self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")

    def _undo(self) -> None:
        # SQLite may have rolled back already when the disk was full.
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # Still inside: the next BEGIN fails too, and says so to whoever waits then.
                return
