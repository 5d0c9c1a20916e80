"""One thread that writes for all: what many hosts announce at once becomes durable together.

A transaction costs one flush of the disk, however many events are in it. So the thread takes everything
that waits, writes it in one transaction in the order in which it came, and lets all who wait go on together.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from fwfix.errors import FwfixError, JournalError
from fwfix.journal.database import explain
from fwfix.journal.transaction import Transaction

# Called again when the transaction that it was in had to be undone.
Job = Callable[[Transaction], None]
# Returns when a job is on disk; raises JournalError if it is not: then nothing of it was kept. For one call.
Written = Callable[[], None]

# More would only make one failure bigger.
_MOST_JOBS_AT_ONCE = 4096
# What nobody waits for is written after this at the latest.
_LATER_SECONDS = 0.5
# A job that makes one of these has only itself to blame.
_OWN_MISTAKES = (sqlite3.IntegrityError, FwfixError, ValueError, TypeError, KeyError)


class _Ticket:
    """One job and what became of it; not written until a commit says otherwise."""

    __slots__ = ("_done", "error", "job", "written")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.error: Exception | None = None
        self.written = False
        # Far cheaper than an Event, and there is only one who waits.
        self._done = threading.Lock()
        self._done.acquire()

    def wait(self) -> None:
        """Return when it is known what became of the job."""
        self._done.acquire()

    def settle(self) -> None:
        """Let who waits go on."""
        self._done.release()


class Writer:
    """Owns the only connection that writes.

    Attributes:
        commits: transactions that reached the disk.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.commits = 0
        self._connection = connection
        self._transaction = Transaction(connection)
        self._path = path
        self._waiting: SimpleQueue[_Ticket | None] = SimpleQueue()
        self._later: deque[Job] = deque()
        self._mistake: Exception | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="fwfix-journal", daemon=True)
        self._thread.start()

    def write(self, job: Job) -> None:
        """Run a job inside a transaction, behind all that was put before; return when it is on disk.

        Raises:
            JournalError: it is not; nothing of this job was kept.
        """
        self.hand_in(job)()

    def hand_in(self, job: Job) -> Written:
        """Run a job as `write` does, and leave the waiting to whoever is interested.

        Raises:
            JournalError: the journal takes no jobs any more.
        """
        ticket = _Ticket(job)
        with self._closing:
            self._refuse()
            self._waiting.put(ticket)

        def written() -> None:
            ticket.wait()
            if not ticket.written:
                raise self._explained(ticket.error) from ticket.error

        return written

    def put(self, job: Job) -> None:
        """Run a job before the next one that somebody waits for, or soon; a kill may still lose it.

        A job that the disk refuses is tried again; one that fails for itself fails every later `write`.
        """
        with self._closing:
            self._refuse()
            self._later.append(job)

    def close(self) -> None:
        """Write what waits, then stop. Harmless when closed before."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()
        self._connection.close()

    def _refuse(self) -> None:
        if self._closed:
            raise JournalError("The journal is closed.", next="Report this as a bug of fwfix.")
        if self._mistake is not None:
            raise self._explained(self._mistake) from self._mistake

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
            more = True
            while more:
                tickets, more = self._take()
                try:
                    self._transact(tickets)
                finally:
                    for ticket in tickets:
                        ticket.settle()
        finally:
            self._stop()

    def _stop(self) -> None:
        """Let nobody wait for a thread that is gone."""
        with self._closing:
            self._closed = True
        while True:
            try:
                ticket = self._waiting.get_nowait()
            except Empty:
                return
            if ticket is not None:
                ticket.settle()

    def _take(self) -> tuple[list[_Ticket], bool]:
        """Wait for somebody who waits, or for a while; tell whether more may come."""
        tickets: list[_Ticket] = []
        try:
            ticket = self._waiting.get(timeout=_LATER_SECONDS)
            while ticket is not None:
                tickets.append(ticket)
                if len(tickets) == _MOST_JOBS_AT_ONCE:
                    return tickets, True
                ticket = self._waiting.get_nowait()
        except Empty:
            return tickets, True
        return tickets, False

    def _transact(self, tickets: list[_Ticket]) -> None:
        # Whatever was put before these tickets came is here by now.
        put = [self._later.popleft() for _ in range(len(self._later))]
        if not put and not tickets:
            return
        try:
            if not self._try_together([*put, *(ticket.job for ticket in tickets)]):
                self._one_by_one(put, tickets)
        except sqlite3.Error as exc:
            self._undo()
            self._later.extendleft(reversed(put))
            for ticket in tickets:
                ticket.error = ticket.error or exc
            return
        self.commits += 1
        for ticket in tickets:
            ticket.written = ticket.error is None

    def _try_together(self, jobs: list[Job]) -> bool:
        """Write all jobs; tell whether none of them made a mistake of its own."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                job(self._transaction)
            self._transaction.flush()
        except _OWN_MISTAKES:
            self._undo()
            return False
        self._commit()
        return True

    def _one_by_one(self, put: list[Job], tickets: list[_Ticket]) -> None:
        """Write every job so that its own mistake does not cost the others their event."""
        self._connection.execute("BEGIN IMMEDIATE")
        for job in put:
            self._mistake = self._run(job) or self._mistake
        for ticket in tickets:
            ticket.error = self._run(ticket.job)
        self._commit()

    def _run(self, job: Job) -> Exception | None:
        self._connection.execute("SAVEPOINT job")
        error: Exception | None = None
        try:
            job(self._transaction)
            self._transaction.flush()
        except _OWN_MISTAKES as exc:
            error = exc
            self._connection.execute("ROLLBACK TO job")
            self._transaction.forget()
        self._connection.execute("RELEASE job")
        return error

    def _commit(self) -> None:
        self._connection.execute("COMMIT")
        self._transaction.committed()

    def _undo(self) -> None:
        self._transaction.forget()
        # SQLite may have rolled back already when the disk was full.
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # Still inside: the next BEGIN fails too, and says so to whoever waits then.
                return
