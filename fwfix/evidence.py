"""The evidence of one run as files: what was planned, what was run, what was seen, and how it ended."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

from fwfix import __version__
from fwfix.canonical import canonical
from fwfix.errors import JournalError, UsageError
from fwfix.journal import ChainFault, Event, Journal, RunEntry
from fwfix.journal.checking import texts_of
from fwfix.journal.documents import event_document, reports_of, show_document
from fwfix.model.outcome import HostReport, Outcome
from fwfix.output.text import printable
from fwfix.report import timestamp
from fwfix.signing import file_part

MANIFEST_SCHEMA = "fwfix.evidence/1"
_README = """Evidence of fwfix run {run_id}.

run.json       the report of the run: every host with its outcome, hazards, changes, probes and steps
plan.json      the plan, word for word (only where the run had one)
approvals/     signatures of those who approved plan.json, word for word: ssh-keygen -Y verify -n fwfix-plan
               -f ALLOWED_SIGNERS -I WHO -s approvals/KEY.sig < plan.json; approvals.json says who they were
hosts.csv      one line a host
probes.csv     every probe: when, from where, to what, and what it met
junit.xml      one test case a host
events.jsonl   the journal of the run, oldest first; each event names the digest of the one before
texts/         scripts as they were run, which templates they came from, and what the hosts answered, named by
               SHA-256 in events.jsonl
manifest.json  SHA-256 of every other file
manifest.json.KEY.sig  where it was signed: ssh-keygen -Y verify -n fwfix-evidence -f ALLOWED_SIGNERS
               -I WHO -s manifest.json.KEY.sig < manifest.json

`digest` of an event is the SHA-256 of the JSON array
[run_id, seq, at, host, kind, body, previous], where body is itself JSON text; both without
spaces, with sorted keys, in ASCII. `previous` of the first event is empty.
"""
_FAILURES = frozenset({Outcome.FAILED, Outcome.REVERTED, Outcome.DRIFT})


def export_run(journal: Journal, run_id: str, directory: Path, *, now: datetime) -> tuple[ChainFault, ...]:
    """Write the evidence of a run into a new or empty directory; return what is wrong with its chain.

    Raises:
        UsageError: there is no such run, or the directory cannot be used.
    """
    # Checked first: it reads all events once more, and those of a fleet need not be in memory twice.
    faults, head = journal.check(run_id), journal.head()
    run, events = journal.run(run_id), journal.events(run_id)
    try:
        _prepare(directory)
        entries = []
        for name, content in _files(journal, run, events):
            path = directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            entries.append({"path": name, "sha256": digest, "bytes": len(content)})
        # Last, so that a bundle that was cut short has none.
        manifest = _manifest(run_id, events, faults, now=now) | {"journal_head": head, "files": entries}
        (directory / "manifest.json").write_bytes(_json(manifest))
    except OSError as exc:
        raise UsageError(
            f"{directory} cannot be written: {exc.strerror}.", next="Name another directory."
        ) from exc
    return faults


def _prepare(directory: Path) -> None:
    if directory.is_dir():
        if any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty.", next="Name a directory that does not exist yet.")
    elif directory.exists():
        raise UsageError(f"{directory} is not a directory.", next="Name a directory that does not exist yet.")
    else:
        # Scripts and answers tell an attacker much about the hosts.
        directory.mkdir(mode=0o700, parents=True)


def _manifest(
    run_id: str, events: Sequence[Event], faults: Sequence[ChainFault], *, now: datetime
) -> dict[str, object]:
    return {
        "schema": MANIFEST_SCHEMA,
        "run_id": run_id,
        "made_at": timestamp(now),
        "fwfix_version": __version__,
        "events": len(events),
        "head": events[-1].digest if events else None,
        "chain_faults": [{"seq": fault.seq, "message": fault.message} for fault in faults],
    }


def _files(journal: Journal, run: RunEntry, events: Sequence[Event]) -> Iterator[tuple[str, bytes]]:
    reports = reports_of(run)
    yield "README.txt", _README.format(run_id=run.run_id).encode()
    document = show_document(run, ())
    del document["events"]
    yield "run.json", _json(document)
    if run.plan_json is not None:
        yield "plan.json", run.plan_json.encode("utf-8", "surrogatepass")
    yield from _approvals(events)
    yield "hosts.csv", _csv(_HOST_COLUMNS, map(_host_row, reports))
    yield "probes.csv", _csv(_PROBE_COLUMNS, _probe_rows(events))
    yield "junit.xml", _junit(run, reports)
    yield "events.jsonl", "".join(f"{canonical(event_document(event))}\n" for event in events).encode()
    for digest in sorted({digest for event in events for digest in texts_of(event)}):
        try:
            yield f"texts/{digest}", journal.text(digest).encode("utf-8", "surrogatepass")
        except JournalError:
            continue  # the manifest names it among the faults


def _approvals(events: Sequence[Event]) -> Iterator[tuple[str, bytes]]:
    """Yield who approved the plan, and each signature as a file that ssh-keygen takes."""
    bodies = {str(event.body["key"]): event.body for event in events if event.kind == "approved"}
    listed: list[Mapping[str, object]] = []
    for key, body in bodies.items():
        path = f"approvals/{file_part(key)}.sig"
        said = {name: value for name, value in body.items() if name != "signature"}
        listed.append({**said, "signature": path})
        yield path, str(body["signature"]).encode("utf-8", "replace")
    if listed:
        yield "approvals.json", _json(listed)


def _json(value: object) -> bytes:
    return f"{json.dumps(value, indent=2)}\n".encode()


_HOST_COLUMNS = (
    "name", "address", "platform", "labels", "outcome", "reason", "message", "next", "reverts_at"
)  # fmt: skip
_PROBE_COLUMNS = (
    "host", "recorded_at", "phase", "from", "address", "port", "family",
    "result", "expected", "proof", "detail", "took_ms",
)  # fmt: skip


def _host_row(report: HostReport) -> tuple[str, ...]:
    reason = report.reason
    return (
        report.name,
        report.address,
        report.platform,
        ",".join(f"{key}={value}" for key, value in report.labels),
        str(report.outcome),
        "" if reason is None else reason.code,
        "" if reason is None else reason.message,
        "" if reason is None else reason.next,
        "" if report.reverts_at is None else timestamp(report.reverts_at),
    )


def _probe_rows(events: Sequence[Event]) -> Iterator[tuple[str, ...]]:
    for event in events:
        if event.kind == "outcome":
            for probe in cast("list[Mapping[str, object]]", event.body["probes"]):
                values = (probe.get(column) for column in _PROBE_COLUMNS[2:])
                yield (event.host or "", event.at, *("" if value is None else str(value) for value in values))


def _csv(columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue().encode()


def _cell(value: str) -> str:
    """Make a value harmless: a spreadsheet would run what begins like a formula."""
    shown = printable(value)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t")) else shown


def _junit(run: RunEntry, reports: Sequence[HostReport]) -> bytes:
    outcomes = [report.outcome for report in reports]
    suite = ET.Element(
        "testsuite",
        name=f"fwfix {run.command} {run.run_id}",
        timestamp=timestamp(run.started_at).removesuffix("Z"),
        tests=str(len(reports)),
        failures=str(sum(outcome in _FAILURES for outcome in outcomes)),
        errors=str(outcomes.count(Outcome.UNKNOWN)),
        skipped=str(outcomes.count(Outcome.SKIPPED)),
    )
    for report in reports:
        seconds = sum(step.took_ms for step in report.steps) / 1000
        case = ET.SubElement(
            suite, "testcase", classname=report.platform, name=report.name, time=f"{seconds:.3f}"
        )
        _add_result(case, report)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n".encode()


def _add_result(case: ET.Element, report: HostReport) -> None:
    if report.outcome is Outcome.UNKNOWN:
        tag = "error"
    elif report.outcome is Outcome.SKIPPED:
        tag = "skipped"
    elif report.outcome in _FAILURES:
        tag = "failure"
    else:
        ET.SubElement(case, "system-out").text = str(report.outcome)
        return
    code, message = (report.reason.code, report.reason.message) if report.reason else ("", "")
    result = ET.SubElement(case, tag, message=printable(f"{report.outcome}: {message}"))
    if tag != "skipped":
        result.set("type", code or str(report.outcome))
