"""Runs of the journal for people: a table, and one run with its history."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

from fwfix.journal import Event, RunEntry, RunState
from fwfix.journal.documents import reports_of
from fwfix.journal.values import results_in
from fwfix.model.outcome import RunReport
from fwfix.model.wording import plural
from fwfix.output.summary import summary_lines
from fwfix.output.text import Line, Style, moment

_COLUMNS = ("RUN", "COMMAND", "STARTED", "STATE", "HOSTS", "OPERATOR", "TICKET")
_STYLES = {RunState.UNFINISHED: Style.BAD, RunState.RUNNING: Style.WARN}


def run_table(runs: Sequence[RunEntry], *, zone: tzinfo | None = None) -> Iterator[Line]:
    """Yield one line a run, newest first."""
    if not runs:
        yield Line("The journal has no runs.")
        return
    rows = [_COLUMNS, *(_row(run, zone) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    styles = [Style.TITLE, *(_STYLES.get(run.state, Style.PLAIN) for run in runs)]
    for row, style in zip(rows, styles, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield Line("  ".join(cells).rstrip(), style)


def _row(run: RunEntry, zone: tzinfo | None) -> tuple[str, ...]:
    counts = [f"{count} {outcome}" for outcome, count in run.counts.items()]
    without = run.host_count - sum(run.counts.values())
    if without:
        counts.append(f"{without} without outcome")
    return (
        run.run_id,
        f"{run.command} of {run.target}" if run.target else run.command,
        moment(run.started_at, zone),
        _state(run),
        ", ".join(counts),
        run.operator,
        run.ticket,
    )


def _state(run: RunEntry) -> str:
    return f"exit {run.exit_code}" if run.state is RunState.FINISHED else str(run.state)


def run_lines(run: RunEntry, events: Sequence[Event], *, zone: tzinfo | None = None) -> Iterator[Line]:
    """Yield one run: who, when, its history, and what became of its hosts."""
    of = f" of {run.target}" if run.target else ""
    yield Line(f"{run.command}{of} {run.run_id}: {_state(run)}", Style.TITLE)
    yield Line(f"started {moment(run.started_at, zone)} by {run.operator} on {run.controller}")
    if run.finished_at is not None:
        yield Line(f"finished {moment(run.finished_at, zone)}")
    if run.ticket or run.reason:
        yield Line(f"for {', '.join(text for text in (run.ticket, run.reason) if text)}")
    if run.state is RunState.UNFINISHED:
        yield Line("its controller is gone; next: `fwfix runs recover`", Style.BAD)
    yield Line()
    for event in events:
        yield from (Line(said, Style.FAINT) for said in _event(event))
    yield Line()
    yield from summary_lines(_as_report(run), zone=zone)


def _as_report(run: RunEntry) -> RunReport:
    return RunReport(
        command=run.command,
        run_id=run.run_id,
        started_at=run.started_at,
        # One without an end has taken no time that we know of.
        finished_at=run.finished_at or run.started_at,
        operator=run.operator,
        controller=run.controller,
        fwfix_version=run.fwfix_version,
        ticket=run.ticket,
        plan_digest=run.plan_digest,
        exit_code=run.exit_code or 0,
        hosts=reports_of(run),
    )


def _event(event: Event) -> Iterator[str]:
    begin = f"{event.at}  {event.host or '(run)'}  "
    for result in results_in(event):
        yield begin + _result(result)
    if event.kind != "step":
        yield begin + _said(event)


def _result(result: Mapping[str, object]) -> str:
    """Say how a step ended."""
    said = f"{result.get('step')} {'done' if result.get('ok') else 'failed'} ({result.get('took_ms')} ms)"
    return f"{said}: {result['message']}" if result.get("message") else said


def _said(event: Event) -> str:
    body = event.body
    match event.kind:
        case "announced":
            return _begins(body)
        case "outcome":
            probes = body.get("probes")
            met = f" ({plural(len(probes), 'probe')} recorded)" if isinstance(probes, list) and probes else ""
            return f"is {body.get('outcome')}{met}"
        case _:
            return _of_run(event)


def _begins(body: Mapping[str, object]) -> str:
    steps = body.get("steps")
    return f"begins {', '.join(map(str, steps))}" if isinstance(steps, list) else "begins"


def _of_run(event: Event) -> str:
    """Say what concerns the whole run."""
    body = event.body
    match event.kind:
        case "wave":
            begins = f": {_begins(body)}" if "steps" in body else ""
            return f"wave {body.get('number')} of {body.get('of')} {body.get('state')}{begins}"
        case "stopped":
            return f"stopped: {body.get('message')}"
        case "counters":
            turned = body.get("turned_away")
            where = f"on {', '.join(turned)}" if isinstance(turned, dict) and turned else "nowhere"
            return f"packets were turned away since: {where}"
        case "approved":
            principals = body.get("principals")
            names = ", ".join(map(str, principals)) if isinstance(principals, list) else ""
            return f"approved by {names} ({body.get('key')})"
        case "break-glass":
            return f"break-glass by {body.get('operator')}: {body.get('reason')}"
        case "ticket":
            return f"goes on for {body.get('ticket')}"
        case _:
            return event.kind
