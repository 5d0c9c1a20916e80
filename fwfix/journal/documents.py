"""Runs of the journal as JSON: a line of the list, a whole run, its events."""

from collections.abc import Sequence

from fwfix.journal.values import Event, HostEntry, RunEntry, RunState
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import Reason
from fwfix.report import RUN_SCHEMA, count_outcomes, host_document, maybe_timestamp, timestamp


def list_entry(run: RunEntry) -> dict[str, object]:
    """Return what `runs list` says about one run; null where it has no end yet."""
    outcomes = [outcome for outcome, count in run.counts.items() for _ in range(count)]
    return {
        "run_id": run.run_id,
        "command": run.command,
        "target": run.target,
        "state": str(run.state),
        "started_at": timestamp(run.started_at),
        "finished_at": maybe_timestamp(run.finished_at),
        "operator": run.operator,
        "controller": run.controller,
        "fwfix_version": run.fwfix_version,
        "ticket": run.ticket or None,
        "plan_digest": run.plan_digest or None,
        "exit_code": run.exit_code,
        "hosts": run.host_count,
        "summary": count_outcomes(run.command, outcomes),
    }


def show_document(run: RunEntry, events: Sequence[Event]) -> dict[str, object]:
    """Return the document of a run as its command printed it, and `events`."""
    reports = reports_of(run)
    return {
        "schema": RUN_SCHEMA,
        "command": run.command,
        "run_id": run.run_id,
        "started_at": timestamp(run.started_at),
        "finished_at": maybe_timestamp(run.finished_at),
        "operator": run.operator,
        "controller": run.controller,
        "fwfix_version": run.fwfix_version,
        "ticket": run.ticket or None,
        "plan_digest": run.plan_digest or None,
        "exit_code": run.exit_code,
        "summary": count_outcomes(run.command, (report.outcome for report in reports)),
        "hosts": [host_document(report) for report in reports],
        "events": [event_document(event) for event in events],
    }


def event_document(event: Event) -> dict[str, object]:
    """Return one event with what is needed to check the chain."""
    return {
        "run_id": event.run_id,
        "seq": event.seq,
        "at": event.at,
        "host": event.host,
        "kind": event.kind,
        "body": event.body,
        "previous": event.previous,
        "digest": event.digest,
    }


def reports_of(run: RunEntry) -> tuple[HostReport, ...]:
    """Return a report for every host; for one without an outcome, what the journal can say."""
    return tuple(entry.report or _without_outcome(run, entry) for entry in run.hosts)


def _without_outcome(run: RunEntry, entry: HostEntry) -> HostReport:
    at_work = run.state is RunState.RUNNING
    if entry.may_have_changed:
        # With the step that was under way stands what would have followed.
        undone = [step for step in entry.announced if step not in entry.completed]
        left_at = undone[0] if undone else entry.announced[-1]
        outcome, what = Outcome.UNKNOWN, f"the step under way, or just done, is {left_at}"
    else:
        outcome, what = Outcome.SKIPPED, "nothing that changes the host was announced"
    return HostReport(
        name=entry.name,
        address=entry.host.address,
        platform=str(entry.host.platform),
        labels=tuple(entry.host.labels.items()),
        outcome=outcome,
        reason=Reason(
            code="running" if at_work else "unfinished",
            message=what,
            next="wait for the run to end" if at_work else "run `fwfix runs recover`",
        ),
        reverts_at=entry.reverts_at,
    )
