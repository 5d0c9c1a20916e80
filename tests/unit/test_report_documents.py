"""The JSON of the contract, key by key, and back."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.journal.documents import reports_of
from fwfix.journal.values import HostEntry, RunEntry, RunState
from fwfix.model.hazard import STOP_CODES, WARN_CODES, Hazard
from fwfix.model.host import Host, Platform
from fwfix.model.observation import RecordState
from fwfix.model.outcome import (
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
from fwfix.report import (
    count_outcomes,
    exit_code,
    host_document,
    host_record,
    is_amiss,
    read_host_record,
    read_timestamp,
    run_document,
    runs_document,
    status_document,
    status_entry,
    timestamp,
)

START = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
END = datetime(2026, 11, 21, 22, 0, 9, 999_999, tzinfo=UTC)
TARGET = Target(vantage="controller", address=ip_address("10.1.2.3"), protocol=Protocol.TCP, port=9100)
BEFORE = Probe(phase="before", target=TARGET, result=ProbeResult.OPEN, took_ms=1)
AFTER = Probe(
    phase="after",
    target=TARGET,
    result=ProbeResult.FILTERED,
    expected=Expectation.BLOCKED,
    proof="counter +1",
    took_ms=260,
)
HOST = HostReport(
    name="label-gw-01",
    address="10.1.2.3",
    platform="linux",
    labels=(("site", "berlin"),),
    outcome=Outcome.APPLIED,
    hazards=(Hazard(code="listener-unknown", message="..."),),
    changes=(
        Change(
            op=ChangeOp.ADD,
            object="rule",
            family=Family.IPV4,
            text="-A FWFIX-20261121T220003Z-4f2a -p tcp ...",
        ),
    ),
    probes=(BEFORE, AFTER),
    steps=(StepRecord(step="observe", ok=True, at=START, took_ms=31),),
)
# Contract section 6, word for word, with one host.
DOCUMENT = """
{
  "schema": "fwfix.run/1",
  "command": "apply",
  "run_id": "20261121T220003Z-4f2a",
  "started_at": "2026-11-21T22:00:03Z",
  "finished_at": "2026-11-21T22:00:09Z",
  "operator": "ops (sudo)", "controller": "jump01", "fwfix_version": "0.1.0", "ticket": "CHG-1234", "plan_digest": "sha256:...",
  "exit_code": 0,
  "summary": {"applied": 1, "noop": 0, "reverted": 0, "failed": 0, "unknown": 0, "skipped": 0},
  "hosts": [
    {
      "name": "label-gw-01", "address": "10.1.2.3", "platform": "linux", "labels": {"site": "berlin"},
      "outcome": "applied", "reason": null, "reverts_at": null,
      "hazards": [{"code": "listener-unknown", "severity": "warn", "message": "..."}],
      "changes": [{"op": "add", "object": "rule", "family": "ipv4", "text": "-A FWFIX-20261121T220003Z-4f2a -p tcp ..."}],
      "probes": [{"phase": "before", "from": "controller", "port": "9100/tcp", "family": "ipv4",
                  "result": "open", "expected": null, "took_ms": 1},
                 {"phase": "after", "from": "controller", "port": "9100/tcp", "family": "ipv4",
                  "result": "filtered", "expected": "blocked", "proof": "counter +1", "took_ms": 260}],
      "steps": [{"step": "observe", "ok": true, "at": "2026-11-21T22:00:03Z", "took_ms": 31}]
    }
  ]
}
"""  # noqa: E501 - as the contract writes it


def report(command: str = "apply", **changes: object) -> RunReport:
    values: dict[str, object] = {
        "command": command,
        "run_id": "20261121T220003Z-4f2a",
        "started_at": START,
        "finished_at": END,
        "operator": "ops (sudo)",
        "controller": "jump01",
        "fwfix_version": "0.1.0",
        "ticket": "CHG-1234",
        "plan_digest": "sha256:...",
        "exit_code": 0,
        "hosts": (HOST,),
    }
    return RunReport(**(values | changes))  # type: ignore[arg-type]


def test_the_document_is_the_one_of_the_contract_with_its_keys_in_order() -> None:
    assert json.dumps(run_document(report())) == json.dumps(json.loads(DOCUMENT))


def test_what_is_not_known_is_null() -> None:
    document = run_document(report(command="plan", run_id=None, ticket="", plan_digest="", hosts=()))

    assert [document[key] for key in ("run_id", "ticket", "plan_digest")] == [None, None, None]


def test_a_reason_and_the_time_of_the_revert_are_written_out() -> None:
    host = HostReport(
        name="h",
        address="10.0.0.1",
        platform="linux",
        outcome=Outcome.UNKNOWN,
        reason=Reason(code="lost", message="no answer", next="wait"),
        reverts_at=datetime.fromisoformat("2026-11-21T23:04:05.9+01:00"),
    )

    document = host_document(host)

    assert document["reason"] == {"code": "lost", "message": "no answer", "next": "wait"}
    assert document["reverts_at"] == "2026-11-21T22:04:05Z"


@pytest.mark.parametrize(
    ("command", "outcomes"),
    [
        ("plan", ["change", "noop", "failed"]),
        ("apply", ["applied", "noop", "reverted", "failed", "unknown", "skipped"]),
        ("rollback", ["rolled_back", "noop", "failed", "unknown"]),
        ("verify", ["ok", "drift", "unknown"]),
        ("recover", ["applied", "noop", "reverted", "failed", "unknown", "skipped", "rolled_back"]),
    ],
)
def test_the_summary_counts_every_outcome_that_a_command_can_have(command: str, outcomes: list[str]) -> None:
    assert count_outcomes(command, [Outcome.NOOP] if "noop" in outcomes else []) == {
        outcome: int(outcome == "noop") for outcome in outcomes
    }


def test_the_summary_adds_up_even_with_an_outcome_that_nobody_expected() -> None:
    assert count_outcomes("verify", [Outcome.OK, Outcome.FAILED]) == {
        "ok": 1,
        "drift": 0,
        "unknown": 0,
        "failed": 1,
    }


A, N, R, F, U, S = (
    Outcome.APPLIED,
    Outcome.NOOP,
    Outcome.REVERTED,
    Outcome.FAILED,
    Outcome.UNKNOWN,
    Outcome.SKIPPED,
)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([N, N], 0),
        ([A, N], 0),
        ([A, F], 3),
        ([A, R], 3),
        ([A, S], 3),
        ([N, S], 3),
        ([F], 3),
        ([S, S], 5),
        ([S, F], 3),
        ([S, U], 4),
        ([A, F, R, S, U], 4),
        ([Outcome.ROLLED_BACK, N], 0),
        ([Outcome.ROLLED_BACK, F], 3),
        ([Outcome.ROLLED_BACK, U], 4),
        ([Outcome.OK], 0),
        ([Outcome.OK, Outcome.DRIFT], 6),
        ([Outcome.DRIFT, U], 4),
        ([Outcome.CHANGE, N], 0),
        ([Outcome.CHANGE, F], 3),
    ],
)
def test_the_exit_code_follows_from_the_outcomes(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code


def test_a_run_that_was_undone_without_the_ports_coming_back_is_a_failure() -> None:
    blocked = replace(
        HOST, outcome=Outcome.ROLLED_BACK, reason=Reason(code="not-as-before", message="filtered")
    )
    stopped = replace(blocked, reason=Reason(code="listener-gone", message="nothing listens"))
    assert (is_amiss(blocked), is_amiss(stopped), is_amiss(replace(stopped, reason=None))) == (
        True,
        False,
        False,
    )
    assert exit_code([Outcome.ROLLED_BACK], amiss=True) == 3
    assert exit_code([Outcome.ROLLED_BACK, Outcome.UNKNOWN], amiss=True) == 4


@pytest.mark.parametrize(
    ("outcomes", "code"), [([Outcome.CHANGE], 6), ([N], 0), ([Outcome.CHANGE, F], 3), ([], 0)]
)
def test_pending_changes_count_with_detailed_exitcode_only(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes, detailed=True) == code


@pytest.mark.parametrize("outcomes", [[], [A], [U], [S], [Outcome.DRIFT]])
def test_an_interruption_comes_before_every_outcome_and_an_error_before_that(outcomes: list[Outcome]) -> None:
    assert exit_code(outcomes, interrupted=True) == 130
    assert exit_code(outcomes, interrupted=True, unexpected=True) == 1


def test_lists_of_runs_and_status_have_the_keys_of_the_contract() -> None:
    assert runs_document([{"run_id": "x"}]) == {"schema": "fwfix.runs/1", "runs": [{"run_id": "x"}]}
    entry = status_entry("h", run_id="r", state=RecordState.ARMED, since=START, reverts_at=END, operator="o")
    empty = status_entry("i")

    document = status_document([entry, empty])

    assert json.dumps(document) == json.dumps(
        {
            "schema": "fwfix.status/1",
            "hosts": [
                {
                    "name": "h",
                    "run_id": "r",
                    "state": "armed",
                    "since": "2026-11-21T22:00:03Z",
                    "operator": "o",
                    "reverts_at": "2026-11-21T22:00:09Z",
                    "superseded": [],
                },
                {
                    "name": "i",
                    "run_id": None,
                    "state": None,
                    "since": None,
                    "operator": None,
                    "reverts_at": None,
                    "superseded": [],
                },
            ],
        }
    )


TEXTS = st.text(max_size=20)
MOMENTS = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - Hypothesis wants naive bounds
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))
NUMBERS = st.integers(min_value=0, max_value=10**9)
PROBES = st.builds(
    Probe,
    phase=TEXTS,
    target=st.builds(
        Target,
        vantage=TEXTS,
        address=st.ip_addresses(),
        protocol=st.sampled_from(Protocol),
        port=st.integers(min_value=1, max_value=65535),
    ),
    result=st.sampled_from(ProbeResult),
    expected=st.none() | st.sampled_from(Expectation),
    proof=st.none() | TEXTS,
    detail=TEXTS,
    took_ms=NUMBERS,
)
REPORTS = st.builds(
    HostReport,
    name=TEXTS,
    address=TEXTS,
    platform=st.sampled_from(["linux", "windows"]),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3).map(lambda labels: tuple(labels.items())),
    outcome=st.sampled_from(Outcome),
    reason=st.none() | st.builds(Reason, code=TEXTS, message=TEXTS, next=TEXTS),
    reverts_at=st.none() | MOMENTS,
    hazards=st.lists(
        st.builds(Hazard, code=st.sampled_from(sorted(STOP_CODES | WARN_CODES)), message=TEXTS), max_size=2
    ).map(tuple),
    changes=st.lists(
        st.builds(
            Change,
            op=st.sampled_from(ChangeOp),
            object=TEXTS,
            family=st.none() | st.sampled_from(Family),
            text=TEXTS,
        ),
        max_size=2,
    ).map(tuple),
    probes=st.lists(PROBES, max_size=2).map(tuple),
    steps=st.lists(
        st.builds(StepRecord, step=TEXTS, ok=st.booleans(), at=MOMENTS, took_ms=NUMBERS, message=TEXTS),
        max_size=2,
    ).map(tuple),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
)


@given(REPORTS)
def test_a_host_record_comes_back_from_json_as_it_was(host: HostReport) -> None:
    assert read_host_record(json.loads(json.dumps(host_record(host)))) == host


@given(REPORTS)
def test_the_record_holds_everything_that_the_document_says(host: HostReport) -> None:
    document, record = host_document(host), host_record(host)

    assert list(record)[: len(document)] == list(document)
    for shown, kept in zip(document["probes"], record["probes"], strict=True):  # type: ignore[call-overload]
        assert shown.items() <= kept.items()


@pytest.mark.parametrize(
    "broken", [{}, {"labels": []}, {"outcome": "perhaps"}, {"steps": {}}, {"probes": [1]}, {"name": None}]
)
def test_something_else_than_a_host_record_is_refused(broken: dict[str, object]) -> None:
    record = host_record(HOST) | broken if broken else {}

    with pytest.raises((KeyError, ValueError, TypeError)):
        read_host_record(record)


@given(MOMENTS)
def test_a_timestamp_comes_back_as_it_was(moment: datetime) -> None:
    assert read_timestamp(timestamp(moment)) == moment


@pytest.mark.parametrize(
    ("completed", "left_at"),
    [(("observe", "arm"), "apply"), (("observe", "arm", "apply"), "verify"), ((), "observe")],
)
def test_a_host_without_an_outcome_was_left_at_the_first_step_not_known_to_be_done(
    completed: tuple[str, ...], left_at: str
) -> None:
    host = Host(name="gw", address="10.0.0.1", platform=Platform.LINUX)
    announced = ("observe", "arm", "apply", "verify")
    run = RunEntry(
        run_id="20261121T220003Z-4f2a",
        command="apply",
        target=None,
        state=RunState.UNFINISHED,
        started_at=datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC),
        finished_at=None,
        exit_code=None,
        operator="ops",
        controller="jump01",
        fwfix_version="0.1.0",
        ticket="",
        reason="",
        plan_digest="",
        pid=1,
        host_count=1,
        counts={},
        hosts=(HostEntry(host=host, announced=announced, completed=completed),),
    )
    (report,) = reports_of(run)
    assert report.outcome is Outcome.UNKNOWN
    assert report.reason is not None
    assert report.reason.message.endswith(f" is {left_at}")
