"""What fwfix has on each host, from the hosts' own records."""

import time
from collections.abc import Mapping, Sequence

from fwfix.model.host import Host
from fwfix.model.observation import Observation, RecordState, RunRecord
from fwfix.report import status_entry
from fwfix.runner.context import RunContext
from fwfix.runner.fleet import Seen


def status_of(host: Host, seen: Seen, context: RunContext) -> Mapping[str, object]:
    """Return the entry of one host: the newest run that is not reverted, else the newest."""
    if seen.observation is None:
        reason = seen.reason
        entry = dict(status_entry(host.name))
        entry["error"] = (
            {"code": reason.code, "message": reason.message, "next": reason.next} if reason else None
        )
        return entry
    return entry_of(host, seen.observation, context)


def entry_of(host: Host, observation: Observation, context: RunContext) -> Mapping[str, object]:
    """Return the entry of an observed host."""
    records = sorted(observation.records, key=lambda record: record.run_id)
    alive = [record for record in records if record.state is not RecordState.REVERTED and not record.foreign]
    newest = next(reversed(alive or records), None)
    if newest is None:
        return status_entry(host.name)
    pending = newest.state in (RecordState.ARMING, RecordState.ARMED) and newest.remaining is not None
    reverts_at = None
    if pending and newest.remaining is not None:
        reverts_at = context.wall_at(time.monotonic() + newest.remaining.total_seconds())
    return status_entry(
        host.name,
        run_id=newest.run_id,
        state=newest.state,
        since=newest.since,
        operator=newest.operator,
        reverts_at=reverts_at,
        superseded=_superseded(alive, newest),
    )


def _superseded(alive: Sequence[RunRecord], newest: RunRecord) -> tuple[str, ...]:
    return tuple(record.run_id for record in alive if record.run_id != newest.run_id)
