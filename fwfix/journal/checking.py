"""Compare all that the journal says about a run with the chain of its events."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import cast

from fwfix.errors import JournalError
from fwfix.journal.chain import find_faults, sha256
from fwfix.journal.reading import read_events, read_text
from fwfix.journal.values import ChainFault, Event, changes_host, results_in

_HEADER = (
    "command, target, started_at, operator, controller, fwfix_version, ticket, reason, plan_digest,"
    " plan_sha256"
)


def check_run(connection: sqlite3.Connection, run_id: str) -> list[ChainFault]:
    """Return every place at which a run is not what was written; empty if there is none."""
    count, head = connection.execute(
        "SELECT event_count, head FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    try:
        events = list(read_events(connection, run_id))
        faults = list(find_faults(run_id, events, count=count, head=head))
        if not events or events[0].kind != "started":
            return [*faults, ChainFault(run_id=run_id, seq=1, message="the history has no beginning")]
        faults += _check_header(connection, run_id, events)
        faults += _check_hosts(connection, run_id, events)
        faults += _check_texts(connection, run_id, events)
    except (JournalError, KeyError, TypeError, AttributeError) as exc:
        return [ChainFault(run_id=run_id, seq=None, message=f"it cannot be read: {exc}")]
    return faults


def _check_header(connection: sqlite3.Connection, run_id: str, events: list[Event]) -> Iterator[ChainFault]:
    row = connection.execute(f"SELECT {_HEADER} FROM runs WHERE run_id = ?", (run_id,)).fetchone()  # noqa: S608
    for name, value in zip(_HEADER.split(", "), row, strict=True):
        if events[0].body.get(name) != value:
            yield ChainFault(run_id=run_id, seq=1, message=f"{name} of the run was changed")
    finished = connection.execute(
        "SELECT exit_code, finished_at FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    if finished != _end(events):
        yield ChainFault(run_id=run_id, seq=None, message="the end of the run was changed")


def _end(events: list[Event]) -> tuple[object, object]:
    for event in reversed(events):
        if event.kind == "finished":
            return event.body["exit_code"], event.body["finished_at"]
        if event.kind == "resumed":
            break
    return None, None


def _check_hosts(connection: sqlite3.Connection, run_id: str, events: list[Event]) -> Iterator[ChainFault]:
    wanted = _written_hosts(events)
    ends = _written_ends(events)
    rows = connection.execute(
        "SELECT name, role, record, outcome, changing FROM hosts WHERE run_id = ?", (run_id,)
    ).fetchall()
    if {row[0] for row in rows} != set(wanted):
        yield ChainFault(run_id=run_id, seq=None, message="the list of hosts was changed")
    for name, role, record, outcome, changing in rows:
        # A host of which something is told is one of the run's, and none that it only goes through.
        if wanted.get(name) != sha256(record) or (name in ends and role != "host"):
            yield ChainFault(run_id=run_id, seq=None, message=f"the record of host {name} was changed")
        if ends.get(name, (None, 0)) != (outcome, changing):
            yield ChainFault(run_id=run_id, seq=None, message=f"the outcome of host {name} was changed")


def _written_ends(events: list[Event]) -> dict[str, tuple[object, int]]:
    """Return how every host ended since it may last have changed, and whether it ever may have."""
    found: dict[str, tuple[object, int]] = {}
    for event in events:
        if event.host is None:
            continue
        outcome, changing = found.get(event.host, (None, 0))
        if event.kind == "outcome":
            outcome = event.body["outcome"]
        elif event.kind == "announced" and changes_host(cast("list[str]", event.body["steps"])):
            outcome, changing = None, 1
        found[event.host] = (outcome, changing)
    return found


def _written_hosts(events: list[Event]) -> dict[str, str]:
    digests = dict(cast("Mapping[str, str]", events[0].body["hosts"]))
    for event in events:
        if event.kind == "resumed":
            hosts = cast("Mapping[str, str]", event.body["hosts"])
            digests |= {name: sha256(record) for name, record in hosts.items()}
    return digests


def _check_texts(connection: sqlite3.Connection, run_id: str, events: list[Event]) -> Iterator[ChainFault]:
    for event in events:
        for digest in texts_of(event):
            try:
                same = sha256(read_text(connection, digest)) == digest
            except JournalError:
                same = False
            if not same:
                yield ChainFault(
                    run_id=run_id, seq=event.seq, message="a text that it names was changed or is gone"
                )


def texts_of(event: Event) -> Iterator[str]:
    """Yield the digest of every text that an event names."""
    plan, script = event.body.get("plan_sha256"), event.body.get("script")
    if event.kind == "started" and isinstance(plan, str):
        yield plan
    if isinstance(script, dict):
        yield script["sha256"]
        yield from script["attachments"].values()
        if "templates_sha256" in script:  # once they stood in the event itself
            yield script["templates_sha256"]
    for result in results_in(event):
        answer = result.get("answer")
        if isinstance(answer, dict):
            yield answer["stdout"]
            yield answer["stderr"]
