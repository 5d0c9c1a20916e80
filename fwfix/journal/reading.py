"""Read runs, hosts and events back, and replay what a host was about to do."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import cast

from fwfix.errors import JournalError
from fwfix.journal.hosts import host_from_json
from fwfix.journal.records import unpack
from fwfix.journal.values import Event, HostEntry, InForce, RunEntry, RunState, changes_host, results_in
from fwfix.model.host import Host
from fwfix.model.outcome import HostReport, Outcome
from fwfix.report import read_host_record, read_timestamp

_HEADER = (
    "run_id, command, target, started_at, finished_at, exit_code, operator, controller, fwfix_version,"
    " ticket, reason, plan_digest, pid, plan_sha256"
)


def _finite(text: str) -> float:
    """Read a number; one that is none was never written, and would look like the null that was."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


_BODIES = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def damaged(what: str, exc: Exception) -> JournalError:
    """Say that something in the journal is not what we wrote."""
    return JournalError(f"{what} in the journal cannot be read: {exc!r}.", next="Run `fwfix runs check`.")


def read_events(connection: sqlite3.Connection, run_id: str, *, host: str | None = None) -> Iterator[Event]:
    """Yield the events of a run, oldest first; those of one host where it is named."""
    query = "SELECT run_id, seq, at, host, kind, body, previous, digest FROM events WHERE run_id = ?"
    arguments: tuple[str, ...] = (run_id,)
    if host is not None:
        query, arguments = f"{query} AND host = ?", (run_id, host)
    for row in connection.execute(f"{query} ORDER BY seq", arguments):
        try:
            body = cast("Mapping[str, object]", _BODIES.decode(row[5]))
        except ValueError as exc:
            raise damaged(f"Event {row[1]} of {run_id}", exc) from exc
        yield Event(
            run_id=row[0],
            seq=row[1],
            at=row[2],
            host=row[3],
            kind=row[4],
            body=body,
            previous=row[6],
            digest=row[7],
        )


@dataclass(frozen=True, slots=True)
class States:
    """Tells which runs somebody works on.

    Attributes:
        held: whether the lease is held, for every run that had no end a moment ago.
    """

    held: Mapping[str, bool]

    def of(self, run_id: str, finished: str | None) -> RunState:
        """Return the state of a run."""
        if finished is not None:
            return RunState.FINISHED
        # A run that was not asked for began after we asked.
        return RunState.RUNNING if self.held.get(run_id, True) else RunState.UNFINISHED


def read_run_ids(connection: sqlite3.Connection, *, open_ended: bool = False) -> list[str]:
    """Return the ids of all runs, or of those without an end, newest first."""
    chosen = " WHERE finished_at IS NULL" if open_ended else ""
    rows = connection.execute(f"SELECT run_id FROM runs{chosen} ORDER BY rowid DESC")  # noqa: S608 - our own texts
    return [row[0] for row in rows]


def read_headers(
    connection: sqlite3.Connection, states: States, *, run_id: str | None = None
) -> list[RunEntry]:
    """Return runs without their hosts, newest first."""
    chosen = "" if run_id is None else " WHERE run_id = ?"
    rows = connection.execute(
        f"SELECT {_HEADER} FROM runs{chosen} ORDER BY started_at DESC, rowid DESC",  # noqa: S608 - our own texts
        () if run_id is None else (run_id,),
    ).fetchall()
    counts = _read_counts(connection, run_id)
    return [_read_header(row, counts.get(row[0], {}), states) for row in rows]


def _read_counts(connection: sqlite3.Connection, run_id: str | None) -> dict[str, dict[str | None, int]]:
    chosen = "" if run_id is None else " AND run_id = ?"
    rows = connection.execute(
        f"SELECT run_id, outcome, count(*) FROM hosts WHERE role = 'host'{chosen} GROUP BY run_id, outcome",  # noqa: S608
        () if run_id is None else (run_id,),
    )
    counts: dict[str, dict[str | None, int]] = {}
    for run, outcome, count in rows:
        counts.setdefault(run, {})[outcome] = count
    return counts


def _read_header(row: tuple[object, ...], counts: Mapping[str | None, int], states: States) -> RunEntry:
    text = cast("tuple[str, ...]", row)
    try:
        return RunEntry(
            run_id=text[0],
            command=text[1],
            target=text[2],
            state=states.of(text[0], text[4]),
            started_at=read_timestamp(text[3]),
            finished_at=None if row[4] is None else read_timestamp(text[4]),
            exit_code=cast("int | None", row[5]),
            operator=text[6],
            controller=text[7],
            fwfix_version=text[8],
            ticket=text[9],
            reason=text[10],
            plan_digest=text[11],
            pid=cast("int", row[12]),
            host_count=sum(counts.values()),
            counts={Outcome(outcome): count for outcome, count in counts.items() if outcome is not None},
        )
    except (ValueError, TypeError) as exc:
        raise damaged(f"Run {row[0]}", exc) from exc


@dataclass(slots=True)
class _Replay:
    """What the events of one host add up to."""

    announced: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    reverts_at: datetime | None = None
    report: HostReport | None = None

    def add(self, event: Event) -> None:
        for result in results_in(event):
            self.completed.append(cast("str", result["step"]))
            self._heed(result)
        if event.kind == "announced":
            steps = cast("list[str]", event.body["steps"])
            self.announced.extend(steps)
            if changes_host(steps):
                self.report = None  # an earlier outcome is no longer the whole story
        elif event.kind == "outcome":
            self.report = read_host_record(event.body)
            return
        self._heed(event.body)

    def _heed(self, body: Mapping[str, object]) -> None:
        deadline = body.get("reverts_at")
        if isinstance(deadline, str):
            self.reverts_at = read_timestamp(deadline)


def read_hosts(
    connection: sqlite3.Connection, run_id: str, *, name: str | None = None
) -> tuple[tuple[HostEntry, ...], tuple[Host, ...]]:
    """Return the hosts of a run, replayed, and the others that it needs to reach them."""
    replays: dict[str, _Replay] = {}
    for event in read_events(connection, run_id, host=name):
        if event.host is not None:
            try:
                replays.setdefault(event.host, _Replay()).add(event)
            except (KeyError, ValueError, TypeError) as exc:
                raise damaged(f"Event {event.seq} of {run_id}", exc) from exc
    entries: list[HostEntry] = []
    others: list[Host] = []
    for host, role in _read_records(connection, run_id):
        if role == "other":
            others.append(host)
        elif name is None or host.name == name:
            entries.append(_entry(host, replays.get(host.name, _Replay())))
    return tuple(entries), tuple(others)


def _entry(host: Host, replay: _Replay) -> HostEntry:
    return HostEntry(
        host=host,
        announced=tuple(replay.announced),
        completed=tuple(replay.completed),
        reverts_at=replay.reverts_at,
        report=replay.report,
    )


def _read_records(connection: sqlite3.Connection, run_id: str) -> Iterator[tuple[Host, str]]:
    rows = connection.execute(
        "SELECT name, role, record FROM hosts WHERE run_id = ? ORDER BY position", (run_id,)
    ).fetchall()
    for name, role, record in rows:
        try:
            yield host_from_json(json.loads(record)), role
        except ValueError as exc:
            raise damaged(f"Host {name} of {run_id}", exc) from exc


def read_text(connection: sqlite3.Connection, sha256: str) -> str:
    """Return a script, an answer or a plan by its digest."""
    row = connection.execute("SELECT packed FROM texts WHERE sha256 = ?", (sha256,)).fetchone()
    if row is None:
        raise JournalError(f"The journal has no text {sha256}.", next="Run `fwfix runs check`.")
    return unpack(row[0])


def read_plan(connection: sqlite3.Connection, run_id: str) -> str | None:
    """Return the plan of a run, word for word."""
    row = connection.execute("SELECT plan_sha256 FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None or row[0] is None else read_text(connection, row[0])


def read_replanned(connection: sqlite3.Connection, run_id: str) -> tuple[str, ...]:
    """Return the plans that were made when a run went on, oldest first."""
    rows = connection.execute(
        "SELECT body FROM events WHERE run_id = ? AND kind = 'replanned' ORDER BY seq", (run_id,)
    ).fetchall()
    try:
        return tuple(str(json.loads(body)["plan"]) for (body,) in rows)
    except (ValueError, KeyError, TypeError) as exc:
        raise damaged(f"A plan of {run_id}", exc) from exc


def read_in_force(connection: sqlite3.Connection) -> tuple[InForce, ...]:
    """Say per host which run has its rules there: the newest that applied and was not undone."""
    rows = connection.execute(
        "SELECT r.run_id, r.command, r.target, h.name, h.outcome, h.changing FROM hosts h"
        " JOIN runs r USING (run_id) WHERE h.role = 'host' ORDER BY r.started_at, r.rowid, h.position"
    )
    return tuple(_in_force(rows))


def _in_force(rows: Iterable[tuple[str, str, str | None, str, str | None, int]]) -> list[InForce]:
    standing: dict[str, dict[str, bool]] = {}
    for run_id, command, target, host, outcome, changing in rows:
        runs = standing.setdefault(host, {})
        if command == "rollback":
            if outcome in {"rolled_back", "noop"} and target is not None:
                runs.pop(target, None)
            elif target in runs and (outcome == "unknown" or (outcome is None and changing)):
                runs[target] = False
        elif outcome == "rolled_back":
            runs.pop(run_id, None)
        elif outcome == "applied":
            runs[run_id] = True
        elif outcome == "unknown" or (outcome is None and changing):
            runs[run_id] = False
    return [
        InForce(host=host, run_id=newest, certain=runs[newest])
        for host, runs in standing.items()
        if runs
        for newest in (max(runs),)
    ]
