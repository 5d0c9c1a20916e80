"""What becomes of a host is shown only once it is on disk, and stops the run where it cannot be written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.errors import JournalError, UnreachableError
from fwfix.executors.scripted import ScriptedConnector
from fwfix.journal import HostEntry, RunEntry, RunState
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import HostPlan, Plan, PlannedOutcome, Reason
from fwfix.output.observe import Nobody
from fwfix.rendering.environment import Renderer
from fwfix.runner.context import Log, RunContext
from fwfix.runner.fleet import Diary, Fleet, LookBack, untouched_report
from fwfix.runner.limits import Limits
from fwfix.runner.recover import recover_host
from fwfix.runner.stopping import undo_applied
from fwfix.runner.vantages import Lookout

NAMES = tuple(f"gw-{number}" for number in range(4))


@dataclass
class Told:
    """What happened, in order."""

    lines: list[str] = field(default_factory=list)


@dataclass
class SlowDisk(Log):
    """Writes an outcome only when somebody waits for it."""

    told: Told
    full: bool = False

    def hand_in(self, report: HostReport) -> Callable[[], None]:
        def written() -> None:
            if self.full:
                raise JournalError("The disk is full.", next="Make room.")
            self.told.lines.append(f"on disk: {report.name}")

        return written


@dataclass
class Audience(Nobody):
    """Notes who was shown."""

    told: Told

    def host_done(self, report: HostReport) -> None:
        self.told.lines.append(f"shown: {report.name}")


def silent_hosts(told: Told, renderer: Renderer, *, full: bool) -> RunContext:
    silent = UnreachableError("nobody answers", next="look for it")
    return RunContext(
        run_id="20261121T220003Z-4f2a",
        connector=ScriptedConnector({}, unreachable=dict.fromkeys(NAMES, silent)),
        drivers={Platform.LINUX: LinuxDriver(renderer)},
        log=SlowDisk(told, full=full),
        observer=Audience(told),
        stamp=Stamp(operator="me", controller="here"),
    )


def applied_to_silent_hosts(
    told: Told,
    *,
    full: bool = False,
    waves: tuple[tuple[str, ...], ...] = (NAMES,),
    diary: Diary | None = None,
    look_back: LookBack | None = None,
) -> tuple[Fleet, tuple[HostReport, ...]]:
    """Run a plan for hosts that do not answer, one after the other."""
    renderer = Renderer(())
    context = silent_hosts(told, renderer, full=full)
    plan = Plan(
        run_id=context.run_id,
        created_at=datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC),
        hosts=tuple(
            HostPlan(
                host=Host(name=name, address="10.1.2.3", platform=Platform.LINUX),
                outcome=PlannedOutcome.CHANGE,
            )
            for name in NAMES
        ),
        waves=waves,
    )
    limits = Limits(run_id=context.run_id, max_fail=0, max_unreachable=len(NAMES))
    fleet = Fleet(
        plan,
        context,
        lookout=Lookout(context, (), renderer),
        limits=limits,
        forks=1,
        diary=diary,
        look_back=look_back,
    )
    return fleet, fleet.run()


def test_a_host_is_shown_once_its_outcome_is_on_disk() -> None:
    told = Told()
    fleet, reports = applied_to_silent_hosts(told)
    assert told.lines == [line for name in NAMES for line in (f"on disk: {name}", f"shown: {name}")]
    assert {report.outcome for report in reports} == {Outcome.FAILED}
    assert not fleet.broken


def test_the_first_steps_of_the_hosts_of_a_wave_are_announced_with_its_start() -> None:
    told = Told()

    def write(kind: str, body: Mapping[str, object]) -> None:
        told.lines.append(f"{kind} {body['number']} {body['state']}: {body.get('names')} {body.get('steps')}")

    applied_to_silent_hosts(told, waves=(NAMES[:1], NAMES[1:2]), diary=write)
    first, second = NAMES[:2]
    assert told.lines == [
        f"wave 1 started: ['{first}'] ['observe', 'baseline']",
        *(f"on disk: {first}", f"shown: {first}", "wave 1 ended: None None"),
        f"wave 2 started: ['{second}'] ['observe', 'baseline']",
        *(f"on disk: {second}", f"shown: {second}", "wave 2 ended: None None"),
    ]


def test_an_outcome_that_cannot_be_written_stops_the_run_and_is_shown_with_the_reason() -> None:
    told = Told()
    fleet, reports = applied_to_silent_hosts(told, full=True)
    assert fleet.broken
    first, *others = reports
    assert (first.name, first.outcome) == (NAMES[0], Outcome.FAILED)
    assert first.reason is not None
    assert "disk is full" in first.reason.message
    assert {report.outcome for report in others} == {Outcome.SKIPPED}


@pytest.mark.parametrize("lost", ["started", "ended", "counters"])
def test_what_cannot_be_written_between_waves_stops_the_run_and_those_that_ended_are_reported(
    lost: str,
) -> None:
    def write(kind: str, body: Mapping[str, object]) -> None:
        first = body.get("number") == 1
        if body.get("state") == lost and first == (lost == "ended"):
            raise JournalError(f"The disk is full for {kind}.", next="Make room.")

    def look_back(_: Sequence[HostPlan]) -> None:
        write("counters", {"state": "counters", "number": 2})

    fleet, reports = applied_to_silent_hosts(
        Told(), waves=(NAMES[:2], NAMES[2:]), diary=write, look_back=look_back
    )
    assert fleet.broken
    assert [report.outcome for report in reports] == [Outcome.FAILED] * 2 + [Outcome.SKIPPED] * 2
    last = reports[-1].reason
    assert last is not None
    assert "The disk is full" in last.message


def test_what_becomes_of_hosts_that_are_put_back_is_reported_where_it_cannot_be_written() -> None:
    context = silent_hosts(Told(), Renderer(()), full=True)
    hosts = [Host(name=name, address="10.1.2.3", platform=Platform.LINUX) for name in NAMES]
    plans = {each.name: HostPlan(host=each, outcome=PlannedOutcome.CHANGE) for each in hosts}
    applied = [untouched_report(each, Outcome.APPLIED, None) for each in plans.values()]
    because = Reason(code="max-fail", message="one too many")
    reports = undo_applied(applied, plans, context, forks=1, because=because)
    assert [report.name for report in reports] == list(NAMES)
    assert context.brake.stopped is not None
    assert context.brake.stopped.message == "The disk is full."


@pytest.mark.parametrize("announced", [(), ("arm",)])
def test_what_becomes_of_recovered_hosts_is_reported_where_it_cannot_be_written(
    announced: tuple[str, ...],
) -> None:
    renderer = Renderer(())
    context = silent_hosts(told := Told(), renderer, full=True)
    host = Host(name=NAMES[0], address="10.1.2.3", platform=Platform.LINUX)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    entry = HostEntry(host=host, announced=announced, reverts_at=long_ago if announced else None)
    run = RunEntry(
        run_id=context.run_id,
        command="apply",
        target=None,
        state=RunState.UNFINISHED,
        started_at=datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC),
        finished_at=None,
        exit_code=None,
        operator="me",
        controller="here",
        fwfix_version="0",
        ticket="",
        reason="",
        plan_digest="",
        pid=1,
        host_count=1,
        counts={},
        hosts=(entry,),
    )
    lookout = Lookout(context, (), renderer)
    report = recover_host(entry, run, plans={}, context=context, lookout=lookout)
    assert report.outcome is (Outcome.UNKNOWN if announced else Outcome.SKIPPED)
    assert context.brake.stopped is not None
    assert told.lines == [f"shown: {NAMES[0]}"]
