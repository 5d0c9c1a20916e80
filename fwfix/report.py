"""Turn what a run says into the JSON of the contract, and back."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from math import floor

from fwfix.model.hazard import Hazard
from fwfix.model.observation import RecordState
from fwfix.model.outcome import (
    NOT_AS_BEFORE,
    Expectation,
    HostReport,
    Outcome,
    Probe,
    ProbeResult,
    RunReport,
    StepRecord,
    Target,
)
from fwfix.model.plan import Change, ChangeOp, Reason
from fwfix.model.policy import Family, Protocol

Json = Mapping[str, object]

RUN_SCHEMA = "fwfix.run/1"
RUNS_SCHEMA = "fwfix.runs/1"
STATUS_SCHEMA = "fwfix.status/1"

_OF_APPLY = (
    Outcome.APPLIED,
    Outcome.NOOP,
    Outcome.REVERTED,
    Outcome.FAILED,
    Outcome.UNKNOWN,
    Outcome.SKIPPED,
)
_EXPECTED_OUTCOMES: Mapping[str, tuple[Outcome, ...]] = {
    "plan": (Outcome.CHANGE, Outcome.NOOP, Outcome.FAILED),
    "apply": _OF_APPLY,
    "rollback": (Outcome.ROLLED_BACK, Outcome.NOOP, Outcome.FAILED, Outcome.UNKNOWN),
    "verify": (Outcome.OK, Outcome.DRIFT, Outcome.UNKNOWN),
    "recover": (*_OF_APPLY, Outcome.ROLLED_BACK),
}


def timestamp(instant: datetime) -> str:
    """Write an aware instant as the JSON does: UTC, to the second, `Z`."""
    return _second(floor(instant.timestamp()))


@lru_cache(maxsize=64)
def _second(since_1970: int) -> str:
    """Write one second; hosts have many instants, and most are of the last few seconds."""
    return f"{datetime.fromtimestamp(since_1970, UTC).isoformat()[:19]}Z"


def read_timestamp(text: str) -> datetime:
    """Read what `timestamp` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def maybe_timestamp(instant: datetime | None) -> str | None:
    """Write an instant, or null."""
    return None if instant is None else timestamp(instant)


def count_outcomes(command: str, outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count hosts by outcome: every outcome that the command can have, then any other that occurred."""
    counts = Counter(outcomes)
    known = _EXPECTED_OUTCOMES.get(command, _OF_APPLY)
    others = tuple(outcome for outcome in Outcome if outcome not in known and counts[outcome])
    return {str(outcome): counts[outcome] for outcome in (*known, *others)}


def exit_code(
    outcomes: Iterable[Outcome],
    *,
    detailed: bool = False,
    interrupted: bool = False,
    unexpected: bool = False,
    amiss: bool = False,
) -> int:
    """Return the exit code of a command that came as far as having an outcome per host (contract 2).

    Args:
        outcomes: one per host of the run.
        detailed: `plan --detailed-exitcode`.
        interrupted: a signal ended the run.
        unexpected: something went wrong that nobody foresaw.
        amiss: a run was undone, and yet a port is not as it was before it.
    """
    seen = list(outcomes)
    if unexpected:
        return 1
    if interrupted:
        return 130
    if Outcome.UNKNOWN in seen:
        return 4
    if seen and all(outcome is Outcome.SKIPPED for outcome in seen):
        return 5
    if amiss or {Outcome.FAILED, Outcome.REVERTED, Outcome.SKIPPED}.intersection(seen):
        return 3
    pending = Outcome.CHANGE in seen and detailed
    return 6 if pending or Outcome.DRIFT in seen else 0


def is_amiss(report: HostReport) -> bool:
    """Tell whether a run was undone on a host, and yet a port that was open before it is blocked still.

    A service that was stopped in the meantime is none of ours (E8).
    """
    undone = report.outcome is Outcome.ROLLED_BACK
    return undone and report.reason is not None and report.reason.code == NOT_AS_BEFORE


def run_document(report: RunReport) -> dict[str, object]:
    """Return the document `fwfix.run/1`."""
    return {
        "schema": RUN_SCHEMA,
        "command": report.command,
        "run_id": report.run_id,
        "started_at": timestamp(report.started_at),
        "finished_at": timestamp(report.finished_at),
        "operator": report.operator,
        "controller": report.controller,
        "fwfix_version": report.fwfix_version,
        "ticket": report.ticket or None,
        "plan_digest": report.plan_digest or None,
        "exit_code": report.exit_code,
        "summary": count_outcomes(report.command, (host.outcome for host in report.hosts)),
        "hosts": [host_document(host) for host in report.hosts],
    }


def host_document(report: HostReport) -> dict[str, object]:
    """Return one entry of `hosts`."""
    return _host_outline(report) | {
        "probes": [probe_document(probe) for probe in report.probes],
        "steps": [step_document(step) for step in report.steps],
    }


def _host_outline(report: HostReport) -> dict[str, object]:
    return {
        "name": report.name,
        "address": report.address,
        "platform": report.platform,
        "labels": dict(report.labels),
        "outcome": str(report.outcome),
        "reason": None if report.reason is None else reason_document(report.reason),
        "reverts_at": maybe_timestamp(report.reverts_at),
        "hazards": [hazard_document(hazard) for hazard in report.hazards],
        "changes": [change_document(change) for change in report.changes],
    }


def reason_document(reason: Reason) -> dict[str, object]:
    """Return a reason: code, message, next."""
    return {"code": reason.code, "message": reason.message, "next": reason.next}


def hazard_document(hazard: Hazard) -> dict[str, object]:
    """Return a hazard: code, severity, message."""
    return {"code": hazard.code, "severity": str(hazard.severity), "message": hazard.message}


def change_document(change: Change) -> dict[str, object]:
    """Return a change: op, object, family, text."""
    family = None if change.family is None else str(change.family)
    return {"op": str(change.op), "object": change.object, "family": family, "text": change.text}


def probe_document(probe: Probe) -> dict[str, object]:
    """Return a probe; `proof` is there only where there is one."""
    document: dict[str, object] = {
        "phase": probe.phase,
        "from": probe.target.vantage,
        "port": f"{probe.target.port}/{probe.target.protocol}",
        "family": str(probe.target.family),
        "result": str(probe.result),
        "expected": None if probe.expected is None else str(probe.expected),
    }
    if probe.proof is not None:
        document["proof"] = probe.proof
    document["took_ms"] = probe.took_ms
    return document


def step_document(step: StepRecord) -> dict[str, object]:
    """Return a step: step, ok, at, took_ms."""
    return {"step": step.step, "ok": step.ok, "at": timestamp(step.at), "took_ms": step.took_ms}


def host_record(report: HostReport) -> dict[str, object]:
    """Return everything about a host, for the journal: the document and what it leaves out."""
    return _host_outline(report) | {
        "probes": [probe_record(probe) for probe in report.probes],
        "steps": [step_document(step) | {"message": step.message} for step in report.steps],
        "notes": list(report.notes),
    }


def probe_record(probe: Probe) -> dict[str, object]:
    """Return a probe with its address and its detail, for the journal."""
    return probe_document(probe) | {"address": str(probe.target.address), "detail": probe.detail}


def read_host_record(record: Json) -> HostReport:
    """Read what `host_record` returned.

    Raises:
        KeyError, ValueError, TypeError: it is something else.
    """
    reason = record["reason"]
    reverts_at = record["reverts_at"]
    return HostReport(
        name=_text(record["name"]),
        address=_text(record["address"]),
        platform=_text(record["platform"]),
        labels=tuple((key, _text(value)) for key, value in _mapping(record["labels"]).items()),
        outcome=Outcome(_text(record["outcome"])),
        reason=None if reason is None else _read_reason(_mapping(reason)),
        reverts_at=None if reverts_at is None else read_timestamp(_text(reverts_at)),
        hazards=tuple(_read_hazard(item) for item in _mappings(record["hazards"])),
        changes=tuple(_read_change(item) for item in _mappings(record["changes"])),
        probes=tuple(read_probe_record(item) for item in _mappings(record["probes"])),
        steps=tuple(read_step_record(item) for item in _mappings(record["steps"])),
        notes=tuple(_text(note) for note in _list(record["notes"])),
    )


def _read_reason(item: Json) -> Reason:
    return Reason(code=_text(item["code"]), message=_text(item["message"]), next=_text(item["next"]))


def _read_hazard(item: Json) -> Hazard:
    return Hazard(code=_text(item["code"]), message=_text(item["message"]))


def _read_change(item: Json) -> Change:
    family = item["family"]
    return Change(
        op=ChangeOp(_text(item["op"])),
        object=_text(item["object"]),
        family=None if family is None else Family(_text(family)),
        text=_text(item["text"]),
    )


def read_probe_record(item: Json) -> Probe:
    """Read what `probe_record` returned."""
    port, protocol = _text(item["port"]).split("/")
    expected, proof = item["expected"], item.get("proof")
    return Probe(
        phase=_text(item["phase"]),
        target=Target(
            vantage=_text(item["from"]),
            address=ip_address(_text(item["address"])),
            protocol=Protocol(protocol),
            port=int(port),
        ),
        result=ProbeResult(_text(item["result"])),
        expected=None if expected is None else Expectation(_text(expected)),
        proof=None if proof is None else _text(proof),
        detail=_text(item["detail"]),
        took_ms=_number(item["took_ms"]),
    )


def read_step_record(item: Json) -> StepRecord:
    """Read one step of what `host_record` returned."""
    return StepRecord(
        step=_text(item["step"]),
        ok=item["ok"] is True,
        at=read_timestamp(_text(item["at"])),
        took_ms=_number(item["took_ms"]),
        message=_text(item.get("message", "")),
    )


def runs_document(runs: Sequence[Json]) -> dict[str, object]:
    """Return the document `fwfix.runs/1`."""
    return {"schema": RUNS_SCHEMA, "runs": [dict(run) for run in runs]}


def status_document(hosts: Sequence[Json]) -> dict[str, object]:
    """Return the document `fwfix.status/1` from entries made by `status_entry`."""
    return {"schema": STATUS_SCHEMA, "hosts": [dict(host) for host in hosts]}


def status_entry(
    name: str,
    *,
    run_id: str | None = None,
    state: RecordState | None = None,
    since: datetime | None = None,
    operator: str | None = None,
    reverts_at: datetime | None = None,
    superseded: Sequence[str] = (),
) -> dict[str, object]:
    """Return what fwfix has on one host; all null where it has nothing."""
    return {
        "name": name,
        "run_id": run_id,
        "state": None if state is None else str(state),
        "since": maybe_timestamp(since),
        "operator": operator,
        "reverts_at": maybe_timestamp(reverts_at),
        "superseded": list(superseded),
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value


def _mappings(value: object) -> list[dict[str, object]]:
    return [_mapping(item) for item in _list(value)]
