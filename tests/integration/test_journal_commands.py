"""`fwfix runs`: list, show, check and export, as a person and as a program see them."""

import csv
import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner, Result

from fwfix.canonical import canonical
from fwfix.cli import main, runs
from fwfix.cli.options import Program
from fwfix.errors import JournalError, UsageError
from fwfix.journal import Journal, RunStart, StepResult
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import (
    Expectation,
    HostReport,
    Outcome,
    Probe,
    ProbeResult,
    StepRecord,
    Target,
)
from fwfix.model.plan import Reason
from fwfix.model.policy import Protocol
from fwfix.model.script import Invocation, Script
from fwfix.model.script import Result as Answer

RUN = "20261121T220003Z-4f2a"
START = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
HOSTS = tuple(
    Host(name=name, address="10.0.0.1", platform=Platform.LINUX) for name in ("good", "bad", "gone")
)
PROBE = Probe(
    phase="after",
    target=Target(vantage="controller", address=ip_address("fd00::3"), protocol=Protocol.TCP, port=9100),
    result=ProbeResult.FILTERED,
    expected=Expectation.BLOCKED,
    proof="counter +1",
    took_ms=260,
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A journal with a run that applied one host, reverted one, and was killed at the third."""
    directory = tmp_path / "state"
    with Journal.open(directory, now=lambda: START) as journal:
        journal.start_run(
            RunStart(
                run_id=RUN,
                command="apply",
                started_at=START,
                operator="ops (sudo)",
                controller="jump01",
                fwfix_version="0.1.0",
                ticket="CHG-1234",
                plan_json='{"schema": "fwfix.plan/1"}',
                hosts=HOSTS,
            )
        )
        script = Script(name="arm", text="echo armed\n", changes=True)
        for host in HOSTS:
            journal.hand_in_steps(RUN, host.name, ["arm"], invocation=Invocation(script=script))()
        record = StepRecord(step="arm", ok=True, at=START, took_ms=31)
        answer = Answer(exit_code=0, stdout="state=armed \x1b[2J\n", stderr="", took_ms=30)
        journal.record(RUN, "good", StepResult(step=record, answer=answer))
        journal.finish_host(RUN, ended("good", Outcome.APPLIED, probes=(PROBE,)))
        reason = Reason(code="probe-open", message="=cmd|'/c calc'\x1b[2J", next="look")
        journal.finish_host(RUN, ended("bad", Outcome.REVERTED, reason=reason))
    return directory


def ended(name: str, outcome: Outcome, **more: object) -> HostReport:
    values: dict[str, object] = {"name": name, "address": "10.0.0.1", "platform": "linux", "outcome": outcome}
    return HostReport(**(values | more))  # type: ignore[arg-type]


def run(state: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.add_typer(runs.app)

    @app.callback()
    def configure(context: typer.Context) -> None:
        context.obj = Program(state_dir=state, color=False)

    return CliRunner().invoke(app, ["runs", *arguments])


def test_an_empty_journal_lists_no_runs(tmp_path: Path) -> None:
    assert run(tmp_path / "new", "list").stdout == "The journal has no runs.\n"
    assert json.loads(run(tmp_path / "new", "list", "--json").stdout) == {
        "schema": "fwfix.runs/1",
        "runs": [],
    }


def test_the_list_says_what_is_unfinished(state: Path) -> None:
    result = run(state, "list")

    assert result.exit_code == 0
    header, line = result.stdout.splitlines()
    assert header.split()[:2] == ["RUN", "COMMAND"]
    assert line.startswith(f"{RUN}  apply")
    assert "unfinished" in line
    assert "1 without outcome" in line
    assert "ops (sudo)" in line


def test_the_list_as_json_has_one_object_a_run(state: Path) -> None:
    (entry,) = json.loads(run(state, "list", "--json").stdout)["runs"]

    assert (entry["run_id"], entry["command"], entry["state"]) == (RUN, "apply", "unfinished")
    assert (entry["finished_at"], entry["exit_code"], entry["hosts"]) == (None, None, 3)
    assert entry["summary"]["applied"] == entry["summary"]["reverted"] == 1


def test_a_run_as_json_is_its_report_with_events(state: Path) -> None:
    document = json.loads(run(state, "show", RUN, "--json").stdout)

    assert document["schema"] == "fwfix.run/1"
    assert [(host["name"], host["outcome"]) for host in document["hosts"]] == [
        ("good", "applied"),
        ("bad", "reverted"),
        ("gone", "unknown"),
    ]
    assert document["hosts"][2]["reason"]["code"] == "unfinished"
    assert "runs recover" in document["hosts"][2]["reason"]["next"]
    assert [event["seq"] for event in document["events"]] == list(range(1, len(document["events"]) + 1))


def test_a_run_for_people_shows_history_and_trouble_and_no_control_characters(state: Path) -> None:
    result = run(state, "show", RUN)

    assert "begins arm" in result.stdout
    assert "good  is applied (1 probe recorded)" in result.stdout
    assert "unknown: gone" in result.stdout
    assert "its controller is gone" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", [("show",), ("check",), ("export", "OUT")])
def test_an_unknown_run_names_the_nearest(state: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    name, *more = command
    result = run(state, name, "20261121T220003Z-4f2b", *(str(tmp_path / item) for item in more))

    assert isinstance(result.exception, UsageError)
    assert RUN in result.exception.next
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize("command", [("rollback",), ("apply", "--continue")])
def test_a_rollback_is_not_offered_where_only_an_apply_is_taken(
    state: Path, command: tuple[str, ...]
) -> None:
    undone = "20261122T220003Z-4f2c"
    with Journal.open(state, now=lambda: START) as journal:
        journal.start_run(
            RunStart(
                run_id=undone,
                command="rollback",
                target=RUN,
                started_at=START,
                operator="ops",
                controller="jump01",
                fwfix_version="0.1.0",
                hosts=HOSTS,
            )
        )
    words = ["--state-dir", str(state), *command, "20261122T220003Z-4f2b", "--yes"]
    result = CliRunner().invoke(main.app, words)

    assert isinstance(result.exception, UsageError)
    assert RUN in result.exception.next
    assert undone not in result.exception.next


def test_check_passes_what_was_written_and_finds_what_was_edited(state: Path) -> None:
    assert run(state, "check").exit_code == 0
    assert json.loads(run(state, "check", RUN, "--json").stdout)["ok"] is True
    with closing(sqlite3.connect(state / "journal.sqlite3")) as connection, connection:
        connection.execute("UPDATE runs SET operator = 'nobody'")

    result = run(state, "check")

    assert result.exit_code == 2
    assert f"{RUN} event 1: operator of the run was changed" in result.stdout
    assert json.loads(run(state, "check", "--json").stdout)["ok"] is False


def test_the_evidence_holds_everything_and_its_digests_are_right(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    assert run(state, "export", RUN, str(out)).exit_code == 0

    manifest = json.loads((out / "manifest.json").read_text())
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {entry["path"] for entry in manifest["files"]} == files - {"manifest.json"}
    for entry in manifest["files"]:
        assert hashlib.sha256((out / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
    assert {"plan.json", "run.json", "hosts.csv", "probes.csv", "junit.xml", "events.jsonl"} <= files
    assert (out / "plan.json").read_text() == '{"schema": "fwfix.plan/1"}'
    assert out.stat().st_mode & 0o777 == 0o700
    for name in (path for path in files if path.startswith("texts/")):
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == Path(name).name


def test_the_chain_in_the_evidence_can_be_checked_as_its_readme_says(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    run(state, "export", RUN, str(out))

    previous = ""
    for line in (out / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        assert event["previous"] == previous
        fields = [event[key] for key in ("run_id", "seq", "at", "host", "kind")]
        array = canonical([*fields, canonical(event["body"]), previous])
        previous = hashlib.sha256(array.encode()).hexdigest()
        assert event["digest"] == previous
    assert json.loads((out / "manifest.json").read_text())["head"] == previous


def test_tables_and_junit_can_be_read_by_other_programs(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    run(state, "export", RUN, str(out))

    with (out / "hosts.csv").open(newline="") as file:
        hosts = {row["name"]: row for row in csv.DictReader(file)}
    with (out / "probes.csv").open(newline="") as file:
        (probe,) = csv.DictReader(file)
    suite = ET.parse(out / "junit.xml").getroot()[0]
    assert hosts["good"]["outcome"] == "applied"
    # A spreadsheet would run it.
    assert hosts["bad"]["message"] == "'=cmd|'/c calc'\\x1b[2J"
    assert (probe["from"], probe["address"], probe["recorded_at"]) == (
        "controller",
        "fd00::3",
        "2026-11-21T22:00:03Z",
    )
    assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "0"]
    assert [case[0].tag for case in suite] == ["system-out", "failure", "error"]


def test_a_directory_with_something_in_it_is_refused_and_left_alone(state: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")

    for name in ("full", "file"):
        result = run(state, "export", RUN, str(tmp_path / name))
        assert isinstance(result.exception, UsageError)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_evidence_of_an_edited_run_is_written_but_not_silently(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "journal.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM texts")

    result = run(state, "export", RUN, str(tmp_path / "out"))

    # The plan itself is gone, so that there is nothing to export.
    assert isinstance(result.exception, JournalError)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_edited_header_is_named_in_the_manifest(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "journal.sqlite3")) as connection, connection:
        connection.execute("UPDATE runs SET ticket = 'CHG-9999'")

    result = run(state, "export", RUN, str(tmp_path / "out"))

    assert result.exit_code == 2
    assert "NOT as it was written" in result.stdout
    (fault,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["chain_faults"]
    assert "ticket" in fault["message"]


def test_a_key_that_is_none_leaves_no_bundle_without_its_signature(state: Path, tmp_path: Path) -> None:
    result = run(state, "export", RUN, str(tmp_path / "out"), "--sign", str(tmp_path / "nosuch"))
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "out").exists()


def test_what_concerns_the_whole_run_is_told_to_people_as_well(state: Path) -> None:
    said = {
        "wave": (
            {"number": 1, "of": 2, "state": "started", "names": ["good"], "steps": ["observe", "baseline"]},
            "wave 1 of 2 started: begins observe, baseline",
        ),
        "stopped": ({"message": "too many failed"}, "stopped: too many failed"),
        "counters": ({"turned_away": {"gw": {"9100/tcp IPv4": 2}}}, "packets were turned away since: on gw"),
        "approved": ({"principals": ["alice"], "key": "SHA256:a"}, "approved by alice (SHA256:a)"),
        "break-glass": ({"operator": "ops", "reason": "a fire"}, "break-glass by ops: a fire"),
        "ticket": ({"ticket": "CHG-2"}, "goes on for CHG-2"),
    }
    with Journal.open(state) as journal:
        for kind, (body, _) in said.items():
            journal.append(RUN, None, kind, body)
    shown = run(state, "show", RUN).stdout
    assert [text for _, text in said.values() if f"  (run)  {text}\n" not in shown] == []
