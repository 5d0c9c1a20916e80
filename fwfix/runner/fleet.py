"""Many hosts: observe them at once, and take them through their lives wave by wave."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from fwfix.errors import FwfixError, HostError, SecretError
from fwfix.executors.base import Executor
from fwfix.journal import Written
from fwfix.model.host import Host
from fwfix.model.observation import Observation
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import HostPlan, Plan, PlannedOutcome, Reason
from fwfix.model.policy import Service
from fwfix.runner.context import (
    NOTHING_TO_WAIT_FOR,
    Brake,
    Prepared,
    RunContext,
    look_at,
    reason_of,
)
from fwfix.runner.host import FIRST_STEPS, HostRun, Options
from fwfix.runner.limits import Limits
from fwfix.runner.recheck import Recheck, hazard_reason
from fwfix.runner.turns import Life, Turns
from fwfix.runner.vantages import Lookout

T = TypeVar("T")
R = TypeVar("R")

# Connections that stay open between planning and applying at once; beyond it a host is observed again.
KEPT_CONNECTIONS = 256
# An observation older than this is made again before the host is armed.
FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of looking at one host.

    Attributes:
        prepared: kept for applying at once; None where it is not.
        round_trip: seconds that the look took, logon included.
    """

    observation: Observation | None
    reason: Reason | None
    prepared: Prepared | None
    round_trip: float


def each_host(items: Sequence[T], work: Callable[[T], R], *, forks: int) -> Iterator[tuple[T, R]]:
    """Do some work for every item, `forks` at a time; yield as they end.

    A host that does not let us in for a while makes room for another until it does.
    """

    def life(item: T) -> Life[R]:
        yield from ()
        return work(item)

    return Turns(items, life, turns=forks).results()


def observe_hosts(
    hosts: Sequence[Host],
    context: RunContext,
    *,
    services: Mapping[str, Sequence[Service]],
    forks: int,
    keep: bool,
) -> Mapping[str, Seen]:
    """Look at every host, read-only; a host that does not answer costs its own time and nobody else's."""
    kept = 0

    def look(host: Host) -> Seen:
        context.observer.host_step(host.name, "observe")
        try:
            return _look(host, context, services.get(host.name, ()))
        finally:
            context.observer.host_rests(host.name)

    found: dict[str, Seen] = {}
    for host, seen in each_host(hosts, look, forks=forks):
        if seen.prepared is not None and (not keep or kept >= KEPT_CONNECTIONS):
            seen.prepared.executor.close()
            seen = Seen(  # noqa: PLW2901 - the same, without its connection
                observation=seen.observation, reason=seen.reason, prepared=None, round_trip=seen.round_trip
            )
        kept += seen.prepared is not None
        found[host.name] = seen
    return found


def _look(host: Host, context: RunContext, services: Sequence[Service]) -> Seen:
    started = time.monotonic()
    executor: Executor | None = None
    stopped = context.brake.held
    if stopped is not None:
        return Seen(observation=None, reason=stopped, prepared=None, round_trip=0.0)
    try:
        driver = context.driver(host)
        context.prepare(host)
        started = time.monotonic()  # what a person takes to answer is no round trip
        executor = context.open(host)
        observation = look_at(executor, driver, services)
    except (HostError, SecretError) as error:
        if executor is not None:
            executor.close()
        took = time.monotonic() - started
        return Seen(observation=None, reason=reason_of(error), prepared=None, round_trip=took)
    prepared = Prepared(observation=observation, executor=executor, at=_passed())
    took = time.monotonic() - started
    return Seen(observation=observation, reason=None, prepared=prepared, round_trip=took)


def _passed() -> float:
    """Return seconds that go on while this machine sleeps, where it can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


Diary = Callable[[str, Mapping[str, object]], None]
LookBack = Callable[[Sequence[HostPlan]], None]


class Gate(Protocol):
    """Says of a host whether it may be started: before a look at it, and again right before it is armed."""

    def __call__(self, plan: HostPlan, brake: Brake) -> Reason | None:
        """Return why not; may wait until it may."""

    def still(self, plan: HostPlan) -> Reason | None:
        """Return why not any more."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """What became of a host, and how to wait until the journal has it on disk."""

    report: HostReport
    written: Written


class Fleet:
    """Applies a plan: waves in order, hosts of a wave at once, limits kept."""

    def __init__(
        self,
        plan: Plan,
        context: RunContext,
        *,
        lookout: Lookout,
        limits: Limits,
        forks: int,
        seen: Mapping[str, Seen] | None = None,
        recheck: Recheck | None = None,
        gate: Gate | None = None,
        diary: Diary | None = None,
        look_back: LookBack | None = None,
    ) -> None:
        """Prepare a run; nobody is contacted.

        Args:
            plan: what is applied.
            context: shared by all hosts.
            lookout: tests the ports.
            limits: say when it is enough.
            forks: hosts worked on at the same time.
            seen: what planning saw moments ago.
            recheck: says of a host seen again whether it is still what the plan was made for.
            gate: says of a host when it would be started whether it may.
            diary: writes down what concerns the whole run.
            look_back: is given the hosts applied so far before each wave but the first.
        """
        self._plan = plan
        self._context = context
        self._lookout = lookout
        self._limits = limits
        self._forks = forks
        self._seen = seen or {}
        self._recheck = recheck
        self._gate = gate
        self._diary = diary or _forget
        self._look_back = look_back
        self._hosts = {each.host.name: each for each in plan.hosts}
        self.broken = False

    def run(self, *, stop_after: int | None = None) -> tuple[HostReport, ...]:
        """Apply wave by wave and return one report a host, in the order of the plan."""
        untouched = [self._handed_in(report) for report in self._untouched()]
        for each in untouched:
            self._limits.count(each.report)
            each.written()
            self._context.observer.host_done(each.report)
        reports = {each.report.name: each.report for each in untouched}
        for number, wave in enumerate(self._plan.waves, 1):
            self._brake()
            if stop_after is not None and number > stop_after:
                self._hold(_stopped_after(stop_after, self._context.run_id))
            self._wave(number, [self._hosts[name] for name in wave if name not in reports], reports)
        self._drop_connections()
        return tuple(reports[each.host.name] for each in self._plan.hosts if each.host.name in reports)

    def _wave(self, number: int, waiting: Sequence[HostPlan], reports: dict[str, HostReport]) -> None:
        """Take the hosts of one wave through their lives; the wave has an end when the last of them has."""
        whole = {"number": number, "of": len(self._plan.waves), "hosts": len(waiting)}
        if self._context.brake.held is None and self._look_back is not None and number > 1:
            applied = [each for each in self._plan.hosts if _applied(each, reports)]
            self._attempt(partial(self._look_back, applied))
        begun = self._context.brake.held is None
        if begun:
            begins = {"names": [each.host.name for each in waiting], "steps": [*map(str, FIRST_STEPS)]}
            self._tell("wave", {**whole, "state": "started", **begins})
            self._context.observer.wave_started(number, of=len(self._plan.waves), hosts=len(waiting))
        for plan, ended in Turns(waiting, self._one, turns=self._forks).results():
            reports[plan.host.name] = report = self._shown(ended)
            self._limits.count(report)
            self._brake()
        if begun and not self.broken:
            outcomes = Counter(str(reports[each.host.name].outcome) for each in waiting)
            self._tell("wave", {**whole, "state": "ended", "summary": dict(sorted(outcomes.items()))})

    def _brake(self) -> None:
        exceeded = self._limits.exceeded
        if exceeded is not None:
            self._hold(exceeded)

    def _hold(self, reason: Reason) -> None:
        """Start no further host, and say so once."""
        if self._context.brake.held is not None:
            return
        self._context.brake.hold(reason)
        self._tell("stopped", {"code": reason.code, "message": reason.message})
        self._context.observer.note(f"stopped: {reason.message}")

    def _tell(self, kind: str, body: Mapping[str, object]) -> None:
        """Write down what concerns the whole run."""
        self._attempt(partial(self._diary, kind, body))

    def _attempt(self, write: Callable[[], None]) -> None:
        """Write something between hosts; a full disk stops the run, and all of it is still reported."""
        try:
            write()
        except FwfixError as error:
            self._broken(error)

    def _one(self, plan: HostPlan) -> Life[_Ended]:
        refused = self._gate(plan, self._context.brake) if self._gate is not None else None
        if refused is not None:
            return self._handed_in(untouched_report(plan, Outcome.SKIPPED, refused))
        seen = self._seen.get(plan.host.name)
        prepared = seen.prepared if seen else None
        if prepared is not None and _passed() - prepared.at > FRESH_SECONDS:
            prepared.executor.close()
            prepared = None
        accepted = self._plan.accepted.covers("unproven", plan.host.name)
        still = None if self._gate is None else self._gate.still
        options = Options(accept_unproven=accepted, recheck=self._recheck, still=still)
        with HostRun(plan, self._context, lookout=self._lookout, options=options, prepared=prepared) as run:
            try:
                return self._handed_in((yield from run.live()))
            except Exception as error:  # noqa: BLE001 - the one place: a bug or a full disk ends no other host's life
                return _Ended(run.abandon(self._broken(error)), NOTHING_TO_WAIT_FOR)

    def _handed_in(self, report: HostReport) -> _Ended:
        return _Ended(report, self._context.log.hand_in(report))

    def _shown(self, ended: _Ended) -> HostReport:
        """Show what became of a host, once that is on disk, and return it."""
        report = ended.report
        try:
            ended.written()
        except FwfixError as error:
            report = replace(report, reason=self._broken(error))
        self._context.observer.host_done(report)
        return report

    def _broken(self, error: Exception) -> Reason:
        """Stop the run, and return why: what was not confirmed is reverted by the timers of the hosts."""
        reason = Reason(
            code=error.code if isinstance(error, FwfixError) else "unexpected",
            message=f"{type(error).__name__}: {error}",
            next="fwfix runs recover brings the host to a known state",
        )
        self.broken = True
        self._context.brake.stop(reason)
        return reason

    def _untouched(self) -> Iterator[HostReport]:
        """Yield the reports of hosts that need nothing or must not be started."""
        for plan in self._plan.hosts:
            if plan.outcome is PlannedOutcome.NOOP:
                yield untouched_report(plan, Outcome.NOOP, None)
            elif plan.outcome is PlannedOutcome.FAILED:
                # A host that nobody looked at, because of an interruption, did not fail.
                unseen = plan.reason is not None and plan.reason == self._context.brake.stopped
                yield untouched_report(plan, Outcome.SKIPPED if unseen else Outcome.FAILED, plan.reason)
            elif stopping := plan.stopping(self._plan.accepted):
                yield untouched_report(plan, Outcome.SKIPPED, hazard_reason(stopping))

    def _drop_connections(self) -> None:
        for seen in self._seen.values():
            if seen.prepared is not None:
                seen.prepared.executor.close()


def untouched_report(plan: HostPlan, outcome: Outcome, reason: Reason | None) -> HostReport:
    """Return the report of a host that was not started."""
    return HostReport(
        name=plan.host.name,
        address=plan.host.address,
        platform=plan.host.platform,
        labels=tuple(sorted(plan.host.labels.items())),
        outcome=outcome,
        reason=reason,
        hazards=plan.hazards,
        changes=plan.changes,
    )


def _stopped_after(wave: int, run_id: str) -> Reason:
    return Reason(
        code="wave-stopped",
        message=f"the run was asked to stop after wave {wave}",
        next=f"go on with fwfix apply --continue {run_id}",
    )


def _applied(plan: HostPlan, reports: Mapping[str, HostReport]) -> bool:
    report = reports.get(plan.host.name)
    return report is not None and report.outcome is Outcome.APPLIED


def _forget(_kind: str, _body: Mapping[str, object]) -> None:
    """Write nothing down."""
