"""The journal on a real disk: what goes in comes out, in order, and edits are seen."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.errors import JournalError, UsageError
from fwfix.journal import InForce, Journal, RunStart, RunState, StepResult
from fwfix.journal.checking import texts_of
from fwfix.journal.database import FILE_NAME
from fwfix.journal.values import results_in
from fwfix.model.host import (
    Become,
    Host,
    HostKeyPolicy,
    Platform,
    SshSettings,
    WinrmSettings,
    WinrmTransport,
)
from fwfix.model.outcome import HostReport, Outcome, Probe, ProbeResult, StepRecord, Target
from fwfix.model.plan import Reason
from fwfix.model.policy import Protocol
from fwfix.model.script import Invocation, Result, Script, TemplateOrigin
from fwfix.secrets import SecretKind, SecretRef

START = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
RUN = "20261121T220003Z-4f2a"
LATER = "20261122T220003Z-0001"
UNDO = "20261123T220003Z-0002"
LINUX = Host(
    name="label-gw-01",
    address="10.1.2.3",
    platform=Platform.LINUX,
    groups=("berlin",),
    labels={"site": "berlin"},
    probe_addresses=(ip_address("10.1.2.3"), ip_address("fd00::3")),
    ssh=SshSettings(
        user="ops",
        port=2222,
        password=SecretRef(kind=SecretKind.KEYRING, argument="corp/ops"),
        identity_file=Path("/home/ops/.ssh/id"),
        passphrase=SecretRef(kind=SecretKind.PROMPT),
        host_key=HostKeyPolicy.ACCEPT_NEW,
        jump="bastion-01",
        become=Become.SUDO,
        become_password=SecretRef(kind=SecretKind.COMMAND, argument="pass", command=("pass", "{host}")),
    ),
)
WINDOWS = Host(
    name="pos-win-07",
    address="10.1.2.4",
    platform=Platform.WINDOWS,
    winrm=WinrmSettings(
        user="CORP\\ops",
        password=SecretRef(kind=SecretKind.ENV, argument="OPS_PASSWORD"),
        transport=WinrmTransport.CERTIFICATE,
        ca_file=Path("/etc/corp.pem"),
        server_name="pos-win-07.corp.example",
    ),
)
BASTION = Host(name="bastion-01", address="10.9.9.9", platform=Platform.LINUX)
ARM = Invocation(
    script=Script(
        name="arm",
        text="#!/bin/sh\necho über \udce4\n",
        changes=True,
        templates=(TemplateOrigin(name="linux/arm.sh.j2", origin="builtin", sha256="00"),),
    ),
    arguments=("120", "ops"),
    attachments={"rollback.sh": "iptables -D INPUT 1\n"},
)


def start(run_id: str = RUN, *, command: str = "apply", target: str | None = None, day: int = 0) -> RunStart:
    return RunStart(
        run_id=run_id,
        command=command,
        started_at=START + timedelta(days=day),
        operator="ops (sudo)",
        controller="jump01",
        fwfix_version="0.1.0",
        ticket="CHG-1234",
        reason="finding",
        plan_digest="sha256:ab",
        plan_json='{"schema": "fwfix.plan/1"}\n',
        target=target,
        hosts=(LINUX, WINDOWS),
        others=(BASTION, LINUX),
    )


def ended(host: Host, outcome: Outcome) -> HostReport:
    return HostReport(name=host.name, address=host.address, platform=host.platform, outcome=outcome)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "made" / "on the way", now=lambda: START) as opened:
        yield opened


def edit(journal: Journal, statement: str) -> None:
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.executescript(statement)


def test_a_run_comes_back_with_everything_that_a_rollback_needs(journal: Journal) -> None:
    journal.start_run(start())

    run = journal.run(RUN)

    assert [entry.host for entry in run.hosts] == [LINUX, WINDOWS]
    assert run.others == (BASTION,)
    assert run.plan_json == '{"schema": "fwfix.plan/1"}\n'
    assert (run.command, run.target, run.started_at, run.finished_at) == ("apply", None, START, None)
    assert (run.operator, run.controller, run.ticket) == ("ops (sudo)", "jump01", "CHG-1234")
    assert (run.reason, run.plan_digest, run.host_count) == ("finding", "sha256:ab", 2)


def test_a_script_is_kept_word_for_word_with_its_arguments(journal: Journal) -> None:
    journal.start_run(start())
    journal.hand_in_steps(RUN, LINUX.name, ["arm", "apply"], invocation=ARM, reverts_at=START)()

    event = journal.events(RUN)[-1]

    script = event.body["script"]
    assert isinstance(script, dict)
    assert journal.text(script["sha256"]) == ARM.script.text
    assert journal.text(script["attachments"]["rollback.sh"]) == "iptables -D INPUT 1\n"
    assert script["arguments"] == ["120", "ops"]
    assert json.loads(journal.text(script["templates_sha256"])) == [
        {"name": "linux/arm.sh.j2", "origin": "builtin", "sha256": "00"}
    ]
    assert script["templates_sha256"] in texts_of(event)


def test_an_answer_is_kept_word_for_word(journal: Journal) -> None:
    journal.start_run(start())
    record = StepRecord(step="arm", ok=True, at=START, took_ms=31, message="armed")
    answer = Result(exit_code=0, stdout="state=armed\n", stderr="\x1b[1m", took_ms=30)
    journal.record(RUN, LINUX.name, StepResult(step=record, answer=answer))
    journal.hand_in_steps(RUN, LINUX.name, ["apply"])()

    (body,) = [result for event in journal.events(RUN) for result in results_in(event)]

    kept = body["answer"]
    assert isinstance(kept, dict)
    assert (journal.text(kept["stdout"]), journal.text(kept["stderr"])) == ("state=armed\n", "\x1b[1m")
    assert (body["step"], body["ok"], body["message"]) == ("arm", True, "armed")


@given(texts=st.lists(st.text(st.characters()), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_events_come_back_as_they_were_whatever_they_say(texts: list[str]) -> None:
    hosts = [replace(LINUX, name=f"gw-{number}") for number in range(len(texts))]
    with TemporaryDirectory() as folder, Journal.open(Path(folder)) as journal:
        journal.start_run(replace(start(), hosts=hosts))
        with ThreadPoolExecutor(len(texts)) as pool:
            bodies = [{"text": text} for text in texts]
            list(pool.map(lambda host, body: journal.append(RUN, host.name, "told", body), hosts, bodies))

        told = {event.host: event.body for event in journal.events(RUN) if event.kind == "told"}
        assert [event.seq for event in journal.events(RUN)] == [*range(1, len(texts) + 2)]
        assert told == {host.name: body for host, body in zip(hosts, bodies, strict=True)}
        assert journal.check(RUN) == ()


def test_events_replay_to_what_a_host_was_about_to_do(journal: Journal) -> None:
    journal.start_run(start())
    journal.hand_in_steps(RUN, LINUX.name, ["observe"])()
    observed = StepRecord(step="observe", ok=True, at=START, took_ms=1)
    journal.record(RUN, LINUX.name, StepResult(step=observed))
    journal.hand_in_steps(RUN, LINUX.name, ["arm"], reverts_at=START + timedelta(seconds=120))()

    linux, windows = journal.run(RUN).hosts

    assert (linux.announced, linux.completed) == (("observe", "arm"), ("observe",))
    assert linux.reverts_at == START + timedelta(seconds=120)
    assert linux.may_have_changed
    assert (windows.announced, windows.reverts_at, windows.may_have_changed) == ((), None, False)
    assert journal.host(RUN, LINUX.name) == linux


def test_an_outcome_comes_back_until_another_change_is_announced(journal: Journal) -> None:
    report = HostReport(
        name=LINUX.name,
        address=LINUX.address,
        platform="linux",
        outcome=Outcome.UNKNOWN,
        reason=Reason(code="lost", message="no answer"),
        reverts_at=START,
    )
    journal.start_run(start())
    journal.hand_in_steps(RUN, LINUX.name, ["arm"])()
    journal.finish_host(RUN, report)

    assert journal.host(RUN, LINUX.name).report == report
    assert journal.header(RUN).counts == {Outcome.UNKNOWN: 1}

    journal.hand_in_steps(RUN, LINUX.name, ["check"])()
    assert journal.host(RUN, LINUX.name).report == report
    journal.hand_in_steps(RUN, LINUX.name, ["revert"])()
    assert journal.host(RUN, LINUX.name).report is None
    assert journal.header(RUN).counts == {}


def test_probes_are_kept_with_their_time(journal: Journal) -> None:
    target = Target(vantage="controller", address=ip_address("fd00::3"), protocol=Protocol.TCP, port=9100)
    journal.start_run(start())
    met = Probe(phase="after", target=target, result=ProbeResult.FILTERED)
    journal.finish_host(RUN, replace(ended(LINUX, Outcome.APPLIED), probes=(met,)))

    event = journal.events(RUN)[-1]

    assert (event.kind, event.at) == ("outcome", "2026-11-21T22:00:03Z")
    (probe,) = event.body["probes"]  # type: ignore[misc]
    assert (probe["address"], probe["result"]) == ("fd00::3", "filtered")


def test_a_run_is_running_then_unfinished_or_finished(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as first:
        first.start_run(start())
        with Journal.open(tmp_path) as second:
            assert second.header(RUN).state is RunState.RUNNING
            assert second.unfinished() == ()
    with Journal.open(tmp_path) as third:
        assert [run.run_id for run in third.unfinished()] == [RUN]
        third.resume_run(RUN, command="recover", operator="ops", controller="jump01")
        assert third.header(RUN).state is RunState.RUNNING
        third.finish_run(RUN, exit_code=3, finished_at=START)
        run = third.header(RUN)
    assert (run.state, run.exit_code, run.finished_at) == (RunState.FINISHED, 3, START)


def test_a_run_that_somebody_works_on_cannot_be_taken_up(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as first, Journal.open(tmp_path) as second:
        first.start_run(start())
        with pytest.raises(JournalError, match="at work on run") as error:
            second.resume_run(RUN, command="recover", operator="ops", controller="jump01")
        assert "runs list" in error.value.next
        first.finish_run(RUN, exit_code=0)
        second.resume_run(RUN, command="apply", operator="ops", controller="jump01")


def test_the_settings_given_when_resuming_replace_the_recorded_ones(journal: Journal) -> None:
    moved = Host(name=LINUX.name, address="10.7.7.7", platform=Platform.LINUX)
    journal.start_run(start())
    journal.finish_run(RUN, exit_code=4)

    journal.resume_run(RUN, command="recover", operator="ops", controller="jump01", hosts=[moved])

    run = journal.run(RUN)
    assert [entry.host.address for entry in run.hosts] == ["10.7.7.7", WINDOWS.address]
    assert run.finished_at is None
    assert journal.check() == ()


def test_runs_come_newest_first_and_a_taken_run_id_is_refused(journal: Journal) -> None:
    journal.start_run(start())
    journal.start_run(start(LATER, day=1))
    journal.finish_run(RUN, exit_code=0)

    assert [run.run_id for run in journal.runs()] == [LATER, RUN]
    with pytest.raises(JournalError, match="already"):
        journal.start_run(start())
    assert journal.header(RUN).state is RunState.FINISHED


@pytest.mark.parametrize(
    ("wanted", "advice"),
    [
        ("20261121T220003Z-4f2b", "20261121T220003Z-4f2a"),
        ("4f2a", "20261121T220003Z-4f2a"),
        ("20261122", "20261122T220003Z-0001"),
        ("nonsense", "newest is 20261122T220003Z-0001"),
    ],
)
def test_an_unknown_run_is_a_usage_error_that_names_the_nearest(
    journal: Journal, wanted: str, advice: str
) -> None:
    journal.start_run(start())
    journal.start_run(start(LATER, day=1))

    with pytest.raises(UsageError, match="no run") as error:
        journal.run(wanted)

    assert advice in error.value.next


def test_only_runs_of_the_wanted_kind_are_named(journal: Journal) -> None:
    journal.start_run(start(LATER, command="rollback", target=RUN))
    with pytest.raises(UsageError, match="has no apply"):
        journal.run(f"{LATER[:-1]}f", command="apply")
    journal.start_run(start(day=1))
    with pytest.raises(UsageError) as error:
        journal.run(f"{LATER[:-1]}f", command="apply")
    assert RUN in error.value.next
    assert LATER not in error.value.next


def test_an_empty_journal_says_so(journal: Journal) -> None:
    assert (journal.runs(), journal.unfinished(), journal.hosts_in_force(), journal.check()) == (
        (),
        (),
        (),
        (),
    )
    with pytest.raises(UsageError, match="empty"):
        journal.events(RUN)


def in_force(journal: Journal) -> dict[str, tuple[str, bool]]:
    found = journal.hosts_in_force()
    assert all(isinstance(item, InForce) for item in found)
    return {item.host: (item.run_id, item.certain) for item in found}


def test_the_newest_applied_run_is_in_force_until_it_is_rolled_back(journal: Journal) -> None:
    for day, run_id in enumerate((RUN, LATER)):
        journal.start_run(start(run_id, day=day))
        for host in (LINUX, WINDOWS):
            journal.hand_in_steps(run_id, host.name, ["arm"])()
            journal.finish_host(run_id, ended(host, Outcome.APPLIED))
    assert in_force(journal) == {LINUX.name: (LATER, True), WINDOWS.name: (LATER, True)}

    journal.start_run(start(UNDO, command="rollback", target=LATER, day=2))
    journal.hand_in_steps(UNDO, LINUX.name, ["revert"])()
    assert in_force(journal)[LINUX.name] == (LATER, False)
    journal.finish_host(UNDO, ended(LINUX, Outcome.ROLLED_BACK))
    journal.finish_host(UNDO, ended(WINDOWS, Outcome.UNKNOWN))

    assert in_force(journal) == {LINUX.name: (RUN, True), WINDOWS.name: (LATER, False)}


@pytest.mark.parametrize("outcome", [Outcome.NOOP, Outcome.REVERTED, Outcome.FAILED, Outcome.SKIPPED])
def test_a_run_that_left_nothing_on_a_host_is_not_in_force_there(journal: Journal, outcome: Outcome) -> None:
    journal.start_run(start())
    journal.hand_in_steps(RUN, LINUX.name, ["arm"])()
    journal.finish_host(RUN, ended(LINUX, outcome))

    assert in_force(journal) == {}


def test_a_killed_run_may_be_in_force_where_a_change_was_announced(journal: Journal) -> None:
    journal.start_run(start())
    journal.hand_in_steps(RUN, LINUX.name, ["observe"])()
    assert in_force(journal) == {}
    journal.hand_in_steps(RUN, LINUX.name, ["arm"])()

    assert in_force(journal) == {LINUX.name: (RUN, False)}


def test_what_concerns_no_run_or_no_host_is_refused_and_costs_nobody_else_an_event(journal: Journal) -> None:
    journal.start_run(start())

    with pytest.raises(JournalError, match="no run"):
        journal.hand_in_steps(LATER, LINUX.name, ["arm"])()
    with pytest.raises(JournalError, match="no host"):
        journal.finish_host(RUN, ended(Host(name="x", address="y", platform=Platform.LINUX), Outcome.NOOP))
    with pytest.raises(TypeError):
        journal.append(RUN, None, "odd", {"not JSON": object()})

    assert [event.kind for event in journal.events(RUN)] == ["started"]
    assert journal.check() == ()


def test_500_hosts_at_once_share_their_flushes_and_keep_their_order(tmp_path: Path) -> None:
    hosts = tuple(Host(name=f"h{i}", address="10.0.0.1", platform=Platform.LINUX) for i in range(500))
    with Journal.open(tmp_path) as journal:
        journal.start_run(
            RunStart(
                run_id=RUN,
                command="apply",
                started_at=START,
                operator="o",
                controller="c",
                fwfix_version="0.1.0",
                hosts=hosts,
            )
        )
        before = journal.commits

        def live(host: Host) -> None:
            for number in range(8):
                journal.append(RUN, host.name, "odd", {"number": number})

        threads = [threading.Thread(target=live, args=(host,)) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        events = journal.events(RUN)[1:]
        assert len(events) == 4000
        for host in hosts:
            assert [event.body["number"] for event in events if event.host == host.name] == list(range(8))
        # A lone thread would need 4000.
        assert journal.commits - before < 400
        assert journal.check() == ()


TAMPERING = {
    "an event's body": "UPDATE events SET body = replace(body, 'CHG-1234', 'CHG-9999') WHERE seq = 1",
    "an event's host": "UPDATE events SET host = 'pos-win-07' WHERE seq = 2",
    "an event's time": "UPDATE events SET at = '2020-01-01T00:00:00Z' WHERE seq = 2",
    "an event in the middle": "DELETE FROM events WHERE seq = 2",
    "the last event": "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
    "all events": "DELETE FROM events",
    "the operator": "UPDATE runs SET operator = 'somebody else'",
    "the target": "UPDATE runs SET target = 'x'",
    "the time of its beginning": "UPDATE runs SET started_at = 'x'",
    "an outcome that is none": "UPDATE hosts SET outcome = 'x' WHERE outcome = 'reverted'",
    "the exit code": "UPDATE runs SET exit_code = 0",
    "where a host is": "UPDATE hosts SET record = replace(record, '10.1.2.3', '10.6.6.6')",
    "how a host ended": "UPDATE hosts SET outcome = 'applied' WHERE outcome = 'reverted'",
    "that a host ended": "UPDATE hosts SET outcome = NULL WHERE outcome = 'reverted'",
    "that a host may have changed": "UPDATE hosts SET changing = 0 WHERE changing = 1",
    "that a host belongs to the run": "UPDATE hosts SET role = 'other' WHERE outcome = 'reverted'",
    "a host": "DELETE FROM hosts WHERE name = 'pos-win-07'",
    "a script": "UPDATE texts SET packed = (SELECT max(packed) FROM texts)",
    "all texts": "DELETE FROM texts",
    "an infinite number for a null": "UPDATE events SET body = replace(body, 'null', 'Infinity')",
    "a number without end for a null": "UPDATE events SET body = replace(body, 'null', '1e999')",
    "no number for a null": "UPDATE events SET body = replace(body, 'null', 'NaN')",
    "a body that is no JSON": "UPDATE events SET body = '{' WHERE seq = 2",
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING.keys())
def test_an_edit_of_the_journal_is_found(journal: Journal, statement: str) -> None:
    journal.start_run(start())
    journal.hand_in_steps(RUN, LINUX.name, ["arm"], invocation=ARM)()
    journal.finish_host(RUN, ended(LINUX, Outcome.REVERTED))
    journal.finish_run(RUN, exit_code=3)
    assert journal.check(RUN) == ()

    edit(
        journal,
        f"DROP TRIGGER events_are_never_changed; DROP TRIGGER events_are_never_removed; {statement};",
    )

    assert {fault.run_id for fault in journal.check()} == {RUN}


@pytest.mark.parametrize("statement", ["UPDATE events SET kind = 'x'", "DELETE FROM events"])
def test_the_file_itself_refuses_to_change_an_event(journal: Journal, statement: str) -> None:
    journal.start_run(start())

    with pytest.raises(sqlite3.IntegrityError, match="never"):
        edit(journal, statement)


def test_no_secret_and_no_other_account_finds_its_way_in(journal: Journal, tmp_path: Path) -> None:
    journal.start_run(start())

    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert journal.directory.stat().st_mode & 0o777 == 0o700


def test_what_is_written_is_flushed_to_the_disk_before_anybody_is_told(journal: Journal) -> None:
    connection = journal._writer._connection

    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_writing_to_a_closed_journal_is_an_error(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(start())
    with pytest.raises(JournalError, match="closed"):
        journal.append(RUN, None, "odd", {})
    assert (tmp_path / FILE_NAME).exists()
