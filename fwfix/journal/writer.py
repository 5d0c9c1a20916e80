"""One thread that writes for all: what many hosts announce at once becomes durable together.

A transaction costs one flush of the disk, however many events are in it. So the thread takes everything
that waits, writes it in one transaction in the order in which it came, and lets all who wait go on together.
A result that nobody waits for is kept for a moment: if an event of its host follows, that takes it along.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from fwfix.errors import FwfixError, JournalError
from fwfix.journal.database import explain
from fwfix.journal.told import Told
from fwfix.journal.transaction import Transaction

# Called again when the transaction that it was in had to be undone.
Job = Callable[[Transaction], None]
# More would only make one failure bigger.
_MOST_JOBS_AT_ONCE = 4096
# A result that nobody waits for is kept for so long; how often to look for such.
KEPT_SECONDS = 0.25
_LOOK_SECONDS = 0.2
# A job that makes one of these has only itself to blame.
_OWN_MISTAKES = (sqlite3.IntegrityError, FwfixError, ValueError, TypeError, KeyError, RecursionError)


class Written(Protocol):
    """A job on its way to the disk."""

    def __call__(self) -> None:
        """Return when it is on disk; for one call.

        Raises:
            JournalError: it is not, and nothing of it was kept.
        """

    def then(self, go_on: Callable[[], object]) -> None:
        """Call something, from any thread, as soon as it is known what became of the job; once, not twice."""


class _Ticket:
    """One job and what became of it; not written until a commit says otherwise.

    Attributes:
        taken: the results that it writes as part of itself; None: all that is kept goes before it.
    """

    __slots__ = ("_done", "_go_on", "_path", "_settled", "error", "job", "taken", "written")

    def __init__(self, job: Job, taken: Sequence[Told] | None, path: Path) -> None:
        self.job = job
        self.taken = taken
        self.error: Exception | None = None
        self.written = False
        self._path = path
        self._settled = False
        self._go_on: list[Callable[[], object]] = []
        # Far cheaper than an Event, and there is only one who waits.
        self._done = threading.Lock()
        self._done.acquire()

    def __call__(self) -> None:
        """Wait for the disk; see `Written`."""
        self._done.acquire()
        if not self.written:
            raise _explained(self._path, self.error) from self.error

    def then(self, go_on: Callable[[], object]) -> None:
        """Call back; see `Written`."""
        self._go_on.append(go_on)
        if self._settled:
            self._call_back()

    def settle(self) -> None:
        """Let who waits go on."""
        self._settled = True
        self._done.release()
        self._call_back()

    def _call_back(self) -> None:
        try:
            go_on = self._go_on.pop()
        except IndexError:  # of the one who asks and the one who settles, this is the second
            return
        go_on()


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
        self._kept: dict[tuple[str, str], list[Told]] = {}
        self._mistake: Exception | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="fwfix-journal", daemon=True)
        self._thread.start()

    def write(self, job: Job) -> None:
        """Run a job inside a transaction, behind all that is kept; return when it is on disk.

        Raises:
            JournalError: it is not; nothing of this job was kept.
        """
        self.hand_in(job)()

    def hand_in(self, job: Job, *, taken: Sequence[Told] | None = None) -> Written:
        """Run a job inside a transaction, and leave the waiting to whoever is interested.

        Args:
            job: what is done inside the transaction.
            taken: what it writes of the results that were kept; None: all of them are written before it.

        Raises:
            JournalError: the journal takes no jobs any more.
        """
        ticket = _Ticket(job, taken, self._path)
        with self._lock:
            self._refuse()
            self._waiting.put(ticket)
        return ticket

    def keep(self, told: Told) -> None:
        """Write a result soon; a kill may still lose it.

        One that the disk refuses is tried again; one that fails for itself fails every later `write`.
        """
        with self._lock:
            self._refuse()
            self._kept.setdefault((told.run_id, told.host), []).append(told)

    @contextmanager
    def taking(self, run_id: str, host: str) -> Iterator[Sequence[Told]]:
        """Take the results that are kept of a host, oldest first, to hand them in with something else."""
        with self._lock:
            taken = self._kept.pop((run_id, host), ())
        try:
            yield taken
        except BaseException:
            self._put_back(taken)
            raise

    def _put_back(self, results: Sequence[Told]) -> None:
        """Keep results as before, and no longer than until the next transaction: others may follow them."""
        with self._lock:
            for told in reversed(results):
                self._kept.setdefault((told.run_id, told.host), []).insert(0, replace(told, due=0.0))

    def close(self) -> None:
        """Write what waits, then stop. Harmless when closed before."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()
        self._connection.close()

    def _refuse(self) -> None:
        if self._closed:
            raise JournalError("The journal is closed.", next="Report this as a bug of fwfix.")
        if self._mistake is not None:
            raise _explained(self._path, self._mistake) from self._mistake

    def _work(self) -> None:
        try:
            more = True
            while more:
                tickets, more = self._take()
                everything = not more or any(ticket.taken is None for ticket in tickets)
                try:
                    self._transact(tickets, self._due(everything=everything))
                finally:
                    for ticket in tickets:
                        ticket.settle()
        finally:
            self._stop()

    def _due(self, *, everything: bool) -> list[Told]:
        """Stop keeping what was kept for long enough, or all of it; the oldest of a host is due first."""
        now = time.monotonic()
        with self._lock:
            due = [key for key, results in self._kept.items() if everything or results[0].due <= now]
            return [told for key in due for told in self._kept.pop(key)]

    def _stop(self) -> None:
        """Let nobody wait for a thread that is gone."""
        with self._lock:
            self._closed = True
        while True:
            try:
                ticket = self._waiting.get_nowait()
            except Empty:
                return
            if ticket is not None:
                ticket.settle()

    def _take(self) -> tuple[list[_Ticket], bool]:
        """Wait for somebody who waits, or until the next look for what is due; tell whether more may come."""
        tickets: list[_Ticket] = []
        try:
            ticket = self._waiting.get(timeout=_LOOK_SECONDS)
            while ticket is not None:
                tickets.append(ticket)
                if len(tickets) == _MOST_JOBS_AT_ONCE:
                    return tickets, True
                ticket = self._waiting.get_nowait()
        except Empty:
            return tickets, True
        return tickets, False

    def _transact(self, tickets: list[_Ticket], due: list[Told]) -> None:
        if not due and not tickets:
            return
        try:
            if not self._try_together([*due, *(ticket.job for ticket in tickets)]):
                self._one_by_one(due, tickets)
        except sqlite3.Error as exc:
            self._undo()
            for ticket in tickets:
                ticket.error = ticket.error or exc
            unwritten = due
        else:
            self.commits += 1
            for ticket in tickets:
                ticket.written = ticket.error is None
            unwritten = []
        with_them = [told for ticket in tickets if not ticket.written for told in ticket.taken or ()]
        self._put_back([*unwritten, *with_them])

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

    def _one_by_one(self, due: list[Told], tickets: list[_Ticket]) -> None:
        """Write every job so that its own mistake does not cost the others their event."""
        self._connection.execute("BEGIN IMMEDIATE")
        for told in due:
            self._mistake = self._run(told) or self._mistake
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


def _explained(path: Path, error: Exception | None) -> FwfixError:
    # Every waiter raises an exception of its own: a traceback belongs to one thread.
    if isinstance(error, sqlite3.Error):
        return explain(path, error)
    if isinstance(error, FwfixError):
        return type(error)(error.message, next=error.next, code=error.code)
    return JournalError(
        f"The journal {path} could not be written: {error or 'its thread has stopped'}.",
        next="Report this as a bug of fwfix.",
    )
