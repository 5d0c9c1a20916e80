"""What becomes durable together: events are chained in memory and written with one statement each kind.

Many rows go into SQLite as one JSON text: it lets the other threads have Python once, not at every row.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping

from fwfix.canonical import canonical
from fwfix.errors import JournalError
from fwfix.journal import ledger
from fwfix.journal.chain import digest_of
from fwfix.journal.records import Packed
from fwfix.model.outcome import Outcome

_Row = tuple[str, int, str, str | None, str, str, str, str]
_COLUMNS = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(8))
_EVENTS = f"INSERT INTO events SELECT {_COLUMNS} FROM json_each(?)"  # noqa: S608 - numbers of ours
_HOSTS = (
    "UPDATE hosts SET changing = max(changing, ?), outcome = ?"
    " WHERE run_id = ? AND name IN (SELECT value FROM json_each(?))"
)

# Digests of texts that are known to be in the file; with more of them, begin anew.
_MOST_KEPT = 4096


class Transaction:
    """Collects events and texts; nothing of them is in the file before `flush`.

    Where a chain ends is read anew for every transaction: another process may have gone on with the run.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._kept: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was collected is not written."""
        self._ends: dict[str, tuple[int, str]] = {}
        self._rows: list[_Row] = []
        self._texts: dict[str, Packed] = {}
        self._marks: dict[tuple[str, str], tuple[bool, str | None]] = {}
        self._sent: set[str] = set()

    def add_texts(self, texts: Mapping[str, Packed]) -> None:
        """Keep texts, by digest, that are not kept yet."""
        for digest, packed in texts.items():
            if digest not in self._kept:
                self._texts[digest] = packed

    def append(self, *, run_id: str, at: str, host: str | None, kind: str, body: str) -> None:
        """Append one event to a run's chain.

        Args:
            run_id: the run; it is there.
            at: when, as the JSON writes it.
            host: None if it concerns the whole run.
            kind: what happened.
            body: canonical JSON.

        Raises:
            JournalError: there is no such run.
        """
        count, previous = self._ends.get(run_id) or self._read_end(run_id)
        seq = count + 1
        digest = digest_of(run_id=run_id, seq=seq, at=at, host=host, kind=kind, body=body, previous=previous)
        self._rows.append((run_id, seq, at, host, kind, body, previous, digest))
        self._ends[run_id] = (seq, digest)

    def mark(self, run_id: str, host: str, outcome: Outcome | None) -> None:
        """Note how a host ended; None: it may be changed from now on, and an earlier outcome is not all."""
        changing, _ = self._marks.get((run_id, host), (False, None))
        self._marks[run_id, host] = (changing or outcome is None, None if outcome is None else str(outcome))

    def enter(self, run_id: str) -> None:
        """Put into the journal's own chain how far a run has come, now that it begins, goes on or ends."""
        self.flush()
        ledger.enter(self.connection, run_id)

    def flush(self) -> None:
        """Write what was collected."""
        if self._texts:
            self.connection.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", self._texts.items())
            self._sent.update(self._texts)
            self._texts = {}
        if self._rows:
            self.connection.execute(_EVENTS, (canonical(self._rows),))
            self._rows = []
        if self._marks:
            self._mark_hosts()
        self.connection.executemany(
            "UPDATE runs SET event_count = ?, head = ? WHERE run_id = ?",
            [(count, head, run_id) for run_id, (count, head) in self._ends.items()],
        )

    def _mark_hosts(self) -> None:
        alike: defaultdict[tuple[bool, str | None, str], list[str]] = defaultdict(list)
        for (run_id, host), mark in self._marks.items():
            alike[*mark, run_id].append(host)
        for mark_of_run, hosts in alike.items():
            if self.connection.execute(_HOSTS, (*mark_of_run, canonical(hosts))).rowcount != len(hosts):
                named = f"{', '.join(hosts)} of run {mark_of_run[-1]}"
                raise JournalError(f"The journal has no host {named}.", next="Report this as a bug of fwfix.")
        self._marks = {}

    def committed(self) -> None:
        """Remember which texts need not be written again."""
        if len(self._kept) > _MOST_KEPT:
            self._kept.clear()
        self._kept |= self._sent
        self.forget()

    def _read_end(self, run_id: str) -> tuple[int, str]:
        row = self.connection.execute(
            "SELECT event_count, head FROM runs WHERE run_id = ?", (run_id,)
        ).fetchone()
        if row is None:
            raise JournalError(f"The journal has no run {run_id}.", next="`fwfix runs list` shows the runs.")
        return row[0], row[1]
