"""What the journal knows: runs, hosts, events, and which run is in force where."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fwfix.errors import UsageError
from fwfix.journal import ledger, reading
from fwfix.journal.checking import check_run
from fwfix.journal.database import FILE_NAME, explained
from fwfix.journal.lease import is_held
from fwfix.journal.suggest import unknown_run
from fwfix.journal.values import ChainFault, Event, HostEntry, InForce, RunEntry, RunState


class History:
    """Reads the journal. Every method may be called from any thread."""

    def __init__(self, directory: Path, reader: sqlite3.Connection) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        self._reader = reader
        self._reading = threading.RLock()

    def runs(self) -> tuple[RunEntry, ...]:
        """Return all runs without their hosts, newest first."""
        states = self._states()
        with self._read() as connection:
            return tuple(reading.read_headers(connection, states))

    def unfinished(self) -> tuple[RunEntry, ...]:
        """Return the runs whose controller is gone before their end, newest first."""
        states = self._states()
        # Every command asks this, so that it must not read all runs there ever were.
        left = [run_id for run_id, held in states.held.items() if not held]
        with self._read() as connection:
            found = [reading.read_headers(connection, states, run_id=run_id) for run_id in left]
        return tuple(run for runs in found for run in runs if run.state is RunState.UNFINISHED)

    def header(self, run_id: str, *, command: str | None = None) -> RunEntry:
        """Return one run without its hosts.

        Args:
            run_id: which.
            command: where there is none, only runs of this command may have been meant.

        Raises:
            UsageError: there is no such run; names those that it may have meant.
        """
        states = self._states()
        with self._read() as connection:
            found = reading.read_headers(connection, states, run_id=run_id)
            if found:
                return found[0]
            runs = reading.read_headers(connection, states)
            known = [run.run_id for run in runs if command in (None, run.command)]
            raise unknown_run(run_id, known, command=command)

    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of all runs, newest first."""
        with self._read() as connection:
            return tuple(reading.read_run_ids(connection))

    def knows(self, run_id: str) -> bool:
        """Tell whether there is such a run."""
        return run_id in self.run_ids()

    def run(self, run_id: str, *, command: str | None = None) -> RunEntry:
        """Return one run with its hosts, as their events add up, and its plan; `command` as for `header`.

        Raises:
            UsageError: there is no such run; names those that it may have meant.
        """
        header = self.header(run_id, command=command)
        with self._read() as connection:
            hosts, others = reading.read_hosts(connection, run_id)
            plan = reading.read_plan(connection, run_id)
            replanned = reading.read_replanned(connection, run_id)
        return replace(header, hosts=hosts, others=others, plan_json=plan, replanned=replanned)

    def host(self, run_id: str, name: str) -> HostEntry:
        """Return one host of a run, as its events add up.

        Raises:
            UsageError: there is no such run, or the run has no such host.
        """
        self.header(run_id)
        with self._read() as connection:
            hosts, _ = reading.read_hosts(connection, run_id, name=name)
        if not hosts:
            raise UsageError(
                f"Run {run_id} has no host {name}.", next=f"`fwfix runs show {run_id}` names them."
            )
        return hosts[0]

    def events(self, run_id: str) -> tuple[Event, ...]:
        """Return the events of a run, oldest first.

        Raises:
            UsageError: there is no such run.
        """
        self.header(run_id)
        with self._read() as connection:
            return tuple(reading.read_events(connection, run_id))

    def text(self, sha256: str) -> str:
        """Return a script, an answer or a plan that an event names by digest."""
        with self._read() as connection:
            return reading.read_text(connection, sha256)

    def hosts_in_force(self) -> tuple[InForce, ...]:
        """Say for every host on which a run has its rules, or may have, which run that is."""
        with self._read() as connection:
            return reading.read_in_force(connection)

    def check(self, run_id: str | None = None, *, expected: str | None = None) -> tuple[ChainFault, ...]:
        """Compare the chain of one run, or of all and the ledger, with what was written.

        Args:
            run_id: the only run of interest.
            expected: what `head` was at some time.

        Returns:
            Every place that is not as it was written; empty if nothing was changed.
        """
        # By their ids alone: a header that cannot be read is a fault like any other.
        known = self.run_ids()
        if run_id is not None and run_id not in known:
            self.header(run_id)
        chosen = known if run_id is None else (run_id,)
        with self._read() as connection:
            faults = [fault for each in reversed(chosen) for fault in check_run(connection, each)]
            gaps = ledger.find_gaps(connection, expected=expected)
            faults += [gap for gap in gaps if run_id in (None, gap.run_id) or expected is not None]
        return tuple(faults)

    def head(self) -> str:
        """Return the digest that covers every run that has begun, gone on or ended; empty for no run."""
        with self._read() as connection:
            return ledger.read_head(connection)

    def close_reader(self) -> None:
        """Close the connection; harmless when it is closed."""
        with self._reading:
            self._reader.close()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """Lend the reading connection inside one transaction: all that is read in it is of one moment."""
        with self._reading, explained(self.path):
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    def _states(self) -> reading.States:
        # Asked before the runs are read: a controller writes the end of a run and then lets go of it.
        with self._read() as connection:
            open_ended = reading.read_run_ids(connection, open_ended=True)
        return reading.States({run_id: is_held(self.directory, run_id) for run_id in open_ended})
