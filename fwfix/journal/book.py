"""The journal as the rest of fwfix uses it: start a run, announce, record, finish; ask what was."""

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from fwfix.canonical import canonical
from fwfix.errors import JournalError, UsageError
from fwfix.journal.database import FILE_NAME, connect, explained, prepare, reserve
from fwfix.journal.history import History
from fwfix.journal.lease import Lease
from fwfix.journal.records import (
    Texts,
    encode_hosts,
    insert_hosts,
    insert_run,
    mark_finished,
    mark_resumed,
    result_body,
    script_body,
    start_body,
)
from fwfix.journal.suggest import taken_run
from fwfix.journal.told import Told
from fwfix.journal.transaction import Transaction
from fwfix.journal.values import RunStart, StepResult, changes_host
from fwfix.journal.writer import KEPT_SECONDS, Job, Writer, Written
from fwfix.model.host import Host
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.runid import is_run_id
from fwfix.model.script import Invocation
from fwfix.report import host_record, maybe_timestamp, timestamp
from fwfix.state_dir import prepare_state_dir

_BUSY = timedelta(seconds=10)
_OPENING = ".opening"


def _now() -> datetime:
    return datetime.now(tz=UTC)


class Journal(History):
    """One open journal. Every method may be called from any thread.

    What writes returns when it is on disk, and raises JournalError if it is not: then the step
    must not be taken. Only `record`, `hand_in_steps` and `hand_in_host` return before.
    """

    def __init__(
        self, directory: Path, *, writer: Writer, reader: sqlite3.Connection, now: Callable[[], datetime]
    ) -> None:
        super().__init__(directory, reader)
        self._writer = writer
        self._now = now
        self._leases: dict[str, Lease] = {}

    @classmethod
    def open(
        cls, directory: Path, *, now: Callable[[], datetime] = _now, busy: timedelta = _BUSY
    ) -> "Journal":
        """Open the journal in a state directory; both are made if they are not there.

        Args:
            directory: the state directory.
            now: tells the time of events.
            busy: how long to wait for another process that writes.

        Raises:
            JournalError: the directory or the file cannot be used.
        """
        real = prepare_state_dir(directory)
        path = real / FILE_NAME
        reserve(path)
        lease = Lease.take(real, _OPENING, patience=busy)
        if lease is None:
            raise JournalError(f"Another process has held {real} for too long.", next="Try again.")
        with lease, explained(path):
            connection = connect(path, busy=busy)
            try:
                prepare(connection, path)
                reader = connect(path, busy=busy)
                reader.execute("PRAGMA query_only=ON")
            except BaseException:
                connection.close()
                raise
        return cls(real, writer=Writer(connection, path), reader=reader, now=now)

    def close(self) -> None:
        """Write what waits, let go of every run, and close. A run without an end stays unfinished."""
        self._writer.close()
        self.close_reader()
        for run_id in tuple(self._leases):
            self._release(run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def commits(self) -> int:
        """Transactions written so far: each flushes the disk once."""
        return self._writer.commits

    def start_run(self, start: RunStart) -> None:
        """Write the header of a run with its hosts and its plan, and take its lease.

        Raises:
            JournalError: it cannot be written, or the run id is taken.
        """
        records = encode_hosts(start.hosts, start.others)
        texts = Texts()
        plan = None if start.plan_json is None else texts.add(start.plan_json)
        body = canonical(start_body(start, {name: record for name, _, record in records}, plan))
        at = timestamp(start.started_at)
        self._lease(start.run_id)

        def job(transaction: Transaction) -> None:
            connection = transaction.connection
            if connection.execute("SELECT 1 FROM runs WHERE run_id = ?", (start.run_id,)).fetchone():
                raise taken_run(start.run_id)
            insert_run(connection, start, pid=os.getpid(), plan_sha256=plan)
            insert_hosts(connection, start.run_id, records)
            transaction.add_texts(texts.by_digest)
            transaction.append(run_id=start.run_id, at=at, host=None, kind="started", body=body)
            transaction.enter(start.run_id)

        try:
            self._writer.write(job)
        except BaseException:
            self._release(start.run_id)
            raise

    def resume_run(
        self,
        run_id: str,
        *,
        command: str,
        operator: str,
        controller: str,
        hosts: Sequence[Host] = (),
        others: Sequence[Host] = (),
    ) -> None:
        """Take up a run again, for `runs recover` and `apply --continue`; `finish_run` ends it again.

        Args:
            run_id: the run.
            command: `recover` or `apply`.
            operator: who does it now.
            controller: from where.
            hosts: replace the recorded connection settings of these hosts, or come in new.
            others: the same for jump hosts and vantages.

        Raises:
            UsageError: there is no such run.
            JournalError: another process works on it.
        """
        self.header(run_id)
        records = encode_hosts(hosts, others)
        body = canonical(
            {
                "command": command,
                "operator": operator,
                "controller": controller,
                "hosts": {name: record for name, _, record in records},
            }
        )
        self._lease(run_id)

        def job(transaction: Transaction) -> None:
            mark_resumed(transaction.connection, run_id, pid=os.getpid())
            insert_hosts(transaction.connection, run_id, records)
            at = timestamp(self._now())
            transaction.append(run_id=run_id, at=at, host=None, kind="resumed", body=body)
            transaction.enter(run_id)

        try:
            self._writer.write(job)
        except BaseException:
            self._release(run_id)
            raise

    def hand_in_steps(
        self,
        run_id: str,
        host: str,
        steps: Sequence[str],
        *,
        invocation: Invocation | None = None,
        reverts_at: datetime | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> Written:
        """Write which steps are about to be taken; take them only when what is returned has returned.

        Args:
            run_id: the run.
            host: its host.
            steps: every step that the script takes.
            invocation: the script as it will be run, kept word for word.
            reverts_at: when the host restores itself at the latest, if this arms it.
            detail: anything else that a later reader needs; JSON.
        """
        texts = Texts()
        script = None if invocation is None else script_body(invocation, texts)
        body: dict[str, object] = {
            "steps": list(steps),
            "script": script,
            "reverts_at": maybe_timestamp(reverts_at),
            "detail": dict(detail or {}),
        }
        return self._hand_in(run_id, host, "announced", body, texts=texts, mark=changes_host(steps))

    def record(self, run_id: str, host: str, result: StepResult) -> None:
        """Write the result of a step, and what the host answered, soon.

        It is on disk with the next announcement or outcome of its host, and after half a second at the
        latest. A kill in between loses what the host can be asked again.
        """
        texts = Texts()
        told = Told(
            run_id=run_id,
            host=host,
            at=self._now(),
            due=time.monotonic() + KEPT_SECONDS,
            body=result_body(result, texts),
            texts=texts,
        )
        self._writer.keep(told)

    def append(self, run_id: str, host: str | None, kind: str, body: Mapping[str, object]) -> None:
        """Write any other event; `host` None where it concerns the whole run."""
        self._writer.write(self._job(run_id, host, kind, body))

    def finish_host(self, run_id: str, report: HostReport) -> None:
        """Write how a host ended, with what the probes met."""
        self.hand_in_host(run_id, report)()

    def hand_in_host(self, run_id: str, report: HostReport) -> Written:
        """Write how a host ended as `finish_host` does; it is on disk when what is returned has returned."""
        body, outcome = host_record(report), report.outcome
        return self._hand_in(run_id, report.name, "outcome", body, texts=Texts(), mark=True, outcome=outcome)

    def finish_run(self, run_id: str, *, exit_code: int, finished_at: datetime | None = None) -> None:
        """Write the end of a run and let go of it."""
        end = timestamp(finished_at or self._now())
        body = canonical({"exit_code": exit_code, "finished_at": end})
        at = timestamp(self._now())

        def job(transaction: Transaction) -> None:
            mark_finished(transaction.connection, run_id=run_id, finished_at=end, exit_code=exit_code)
            transaction.append(run_id=run_id, at=at, host=None, kind="finished", body=body)
            transaction.enter(run_id)

        self._writer.write(job)
        self._release(run_id)

    def _hand_in(
        self,
        run_id: str,
        host: str,
        kind: str,
        body: dict[str, object],
        *,
        texts: Texts,
        mark: bool,
        outcome: Outcome | None = None,
    ) -> Written:
        """Hand in an event of a host with what is kept of it."""
        with self._writer.taking(run_id, host) as taken:
            if taken:
                body["results"] = [told.body for told in taken]
                for told in taken:
                    texts.by_digest.update(told.texts.by_digest)
            job = self._job(run_id, host, kind, body, texts=texts, mark=mark, outcome=outcome)
            return self._writer.hand_in(job, taken=taken)

    def _job(
        self,
        run_id: str,
        host: str | None,
        kind: str,
        body: Mapping[str, object],
        *,
        texts: Texts | None = None,
        mark: bool = False,
        outcome: Outcome | None = None,
    ) -> Job:
        """Return what appends one event."""
        written = canonical(body)
        at = timestamp(self._now())

        def job(transaction: Transaction) -> None:
            if texts is not None:
                transaction.add_texts(texts.by_digest)
            transaction.append(run_id=run_id, at=at, host=host, kind=kind, body=written)
            if mark and host is not None:
                transaction.mark(run_id, host, outcome)

        return job

    def _lease(self, run_id: str) -> None:
        if not is_run_id(run_id):
            raise UsageError(f"{run_id!r} is not a run id such as 20261121T220003Z-4f2a.")
        lease = Lease.take(self.directory, run_id)
        if lease is None:
            raise JournalError(
                f"Another fwfix is at work on run {run_id}.",
                next="Wait for it; `fwfix runs list` shows when it ends.",
            )
        self._leases[run_id] = lease

    def _release(self, run_id: str) -> None:
        lease = self._leases.pop(run_id, None)
        if lease is not None:
            lease.release()
