"""One host through its life: take the step that the state machine asks for, tell it what happened."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Self

from fwfix.errors import FwfixError, HostError
from fwfix.executors.base import Executor
from fwfix.journal import StepResult, Written
from fwfix.lifecycle import (
    Answered,
    Checked,
    Event,
    Ready,
    Settled,
    State,
    Step,
    Stopped,
    Verified,
    announce,
    decide,
    evolve,
)
from fwfix.model.host import Platform
from fwfix.model.observation import Observation, is_undone
from fwfix.model.outcome import HostReport, Outcome, Probe, Reading, StepRecord
from fwfix.model.plan import HostPlan, Reason
from fwfix.model.script import Invocation, Result
from fwfix.probes import Probing, probe_now
from fwfix.runner.context import SCRIPT_SECONDS, Prepared, RunContext, look_at
from fwfix.runner.ends import event_of, refusal_of
from fwfix.runner.recheck import Recheck
from fwfix.runner.scripts import script_of
from fwfix.runner.turns import Life
from fwfix.runner.vantages import Lookout
from fwfix.verification import (
    UNDONE,
    Evidence,
    Verdict,
    compare_with_before,
    describe_before,
    judge_evidence,
    with_structure,
)

# A baseline that an open port settles at once; a filtered one is given this long.
BASELINE_SECONDS = 3.0
# A blocked probe needs no longer than this for its first packet to be counted on the host.
FIRST_PACKET_SECONDS = 0.15
# A vantage is first given this long: enough where a counter of ours says that its packets came.
GLANCE_SECONDS = 1.0
# Of what the timer leaves, the share for probes; the rest is for reading back and for confirming.
PROBING_SHARE = 2 / 3
_ASK_PAUSES = (0.5, 1.0, 2.0, 5.0)
# This changes nothing and is announced with the one that it follows: one wait for the disk less.
_FOLLOWING = {Step.APPLY: Step.VERIFY}
# How a life begins; the start of its wave announces these for all of its hosts, since they change nothing.
FIRST_STEPS = (Step.OBSERVE, Step.BASELINE)
_ANNOUNCED_BEFORE = frozenset((*FIRST_STEPS, *_FOLLOWING.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator accepts on this host.

    Attributes:
        recheck: says why a host that was observed again must not be started.
        still: says, right before it is armed, why a host must not be started any more.
    """

    accept_unproven: bool = False
    recheck: Recheck | None = None
    still: Callable[[HostPlan], Reason | None] | None = None


class HostRun:
    """Takes one host from its first look to its outcome.

    `start` is where a killed controller left it; without one, the life begins.
    """

    def __init__(
        self,
        plan: HostPlan,
        context: RunContext,
        *,
        lookout: Lookout,
        options: Options,
        prepared: Prepared | None = None,
        start: State | None = None,
    ) -> None:
        self._plan = plan
        self._context = context
        self._lookout = lookout
        self._options = options
        self._prepared = prepared
        self._state = start or State()
        self._driver = context.driver(plan.host)
        self._executor: Executor | None = prepared.executor if prepared else None
        self._fresh: Executor | None = None
        self._observation: Observation | None = prepared.observation if prepared else None
        self._before: tuple[Reading, ...] = ()
        self._probes: tuple[Probe, ...] = ()
        self._steps: list[StepRecord] = []
        self._notes: list[str] = []
        self._asked = 0
        self._invocation: Invocation | None = None
        self._result: Result | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for executor in (self._executor, self._fresh):
            if executor is not None:
                executor.close()

    def run(self) -> HostReport:
        """Go through the whole life, and wait for the journal where it has to be waited for."""
        life = self.live()
        while True:
            try:
                next(life)
            except StopIteration as end:
                report: HostReport = end.value
                return report

    def live(self) -> Life[HostReport]:
        """Go through the whole life; never raises for what happens on the host.

        Yields what it is about to wait for; whoever has something else to do meanwhile goes on when that is
        settled, from any thread. To write down the outcome, and to show it then, is left to whoever called.
        """
        while self._state.outcome is None:
            self._heed_brake()
            step = decide(self._state, now=time.monotonic())
            if step is Step.DONE:
                break
            latest = time.monotonic() + self._plan.deadline.total_seconds() + SCRIPT_SECONDS
            self._state = announce(self._state, step, reverts_by=latest)
            self._note_pending()
            event = yield from self._take(step, self._state)
            self._state = evolve(self._state, event, now=time.monotonic())
            self._note_pending()
        return self._report(self._state)

    def abandon(self, reason: Reason) -> HostReport:
        """Report what is certain when no further step may be taken, because the controller is not well."""
        outcome = Outcome.UNKNOWN if self._state.sent else Outcome.FAILED
        return self._report(self._state._replace(outcome=self._state.outcome or outcome, reason=reason))

    def _note_pending(self) -> None:
        name = self._plan.host.name
        if self._state.reverts_at is not None and self._state.outcome is None:
            self._context.pending[name] = self._state.reverts_at
        else:
            self._context.pending.pop(name, None)

    def _heed_brake(self) -> None:
        brake = self._context.brake
        reason = brake.stopped if self._state.sent else brake.held
        if reason is not None and not self._state.stopping and self._state.outcome is None:
            self._state = evolve(self._state, Stopped(reason=reason), now=time.monotonic())

    def _take(self, step: Step, state: State) -> Life[Event]:
        """Take one step: announced before, recorded after; an error about the host is an event."""
        self._result = None
        self._context.observer.host_step(self._plan.host.name, step)
        at, started = self._context.wall(), time.monotonic()
        try:
            if step not in _ANNOUNCED_BEFORE:
                written = self._announce(step, state)
                yield written
                written()
                # What the disk took, and the other hosts meanwhile, is not this one's.
                at, started = self._context.wall(), time.monotonic()
            event = self._TAKERS[step](self, state)
        except FwfixError as error:
            event = event_of(error)
        self._record(step, event, at=at, started=started)
        return event

    def _announce(self, step: Step, state: State) -> Written:
        """Hand in what is about to be done, with the script that is about to be sent, word for word."""
        self._invocation = script_of(step, self._plan, self._context, self._lookout)
        steps = (step, _FOLLOWING[step]) if step in _FOLLOWING else (step,)
        # When the host restores itself at the latest, should we hear nothing more of it.
        ends = None if self._invocation is None else state.reverts_at
        return self._context.log.hand_in_steps(
            self._plan.host.name,
            *steps,
            invocation=self._invocation,
            reverts_at=None if ends is None else self._context.wall_at(ends),
        )

    def _record(self, step: Step, event: Event, *, at: datetime, started: float) -> None:
        reason = getattr(event, "reason", None)
        ok = event.ok if isinstance(event, Answered) else reason is None or isinstance(event, Settled)
        record = StepRecord(
            step=step,
            ok=ok,
            at=at,
            took_ms=round((time.monotonic() - started) * 1000),
            message=reason.message if reason is not None else "",
        )
        self._steps.append(record)
        pending = event.reverts_at if isinstance(event, Answered) else None
        reverts_at = None if pending is None else self._context.wall_at(pending)
        result = StepResult(step=record, answer=self._result, reverts_at=reverts_at)
        self._context.log.record(self._plan.host.name, result)

    # --- the steps -------------------------------------------------------------------------

    def _observe(self, _: State) -> Event:
        if self._prepared is None:
            self._executor = self._context.open(self._plan.host)
            self._observation = self._look(self._executor)
        assert self._observation is not None
        if self._prepared is not None or self._options.recheck is None:
            return Ready()  # planned from this very observation
        return self._options.recheck(self._plan, self._observation, self._driver) or Ready()

    def _baseline(self, _: State) -> Event:
        targets = self._lookout.targets(self._plan)
        until = time.monotonic() + BASELINE_SECONDS
        self._before = probe_now(targets, until=until) + self._lookout.readings(self._plan, until=until)
        self._probes = describe_before(self._before)
        # To be let in may have taken long, or a person to type a password: the window may be over.
        late = None if self._options.still is None else self._options.still(self._plan)
        return Ready() if late is None else Settled(outcome=Outcome.SKIPPED, reason=late)

    def _change(self, state: State) -> Event:
        return self._send(self._executor, state)

    def _verify(self, state: State) -> Event:
        targets = self._lookout.targets(self._plan)
        left = self._latest(state) - time.monotonic()
        with Probing(targets, within=left * PROBING_SHARE) as probing:
            probing.wait(until=time.monotonic() + FIRST_PACKET_SECONDS)
            self._fresh = self._context.open(self._plan.host)
            verdict = self._settle(probing, self._fresh, state)
        self._probes = describe_before(self._before) + with_structure(verdict.probes)
        return Verified(reason=verdict.reason)

    def _settle(self, probing: Probing, executor: Executor, state: State) -> Verdict:
        """Look at counters until every probe has raised one or has ended, whichever comes first."""
        latest = self._latest(state)
        elsewhere = self._lookout.readings(self._plan, until=min(latest, time.monotonic() + GLANCE_SECONDS))
        # Where no packet is counted only the end of every probe settles it.
        until = latest if self._plan.host.platform is Platform.WINDOWS else time.monotonic()
        while True:
            probing.wait(until=until)
            observation = self._look(executor)
            evidence = self._evidence(observation, probing.readings() + elsewhere)
            self._context.counters[self._plan.host.name] = evidence.judgement.counters
            verdict = judge_evidence(evidence, accept_unproven=self._options.accept_unproven)
            if verdict.reason is not None and is_undone(observation.records, self._context.run_id):
                return replace(verdict, reason=UNDONE)
            if verdict.settled or time.monotonic() >= latest:
                return verdict
            until = min(latest, time.monotonic() + BASELINE_SECONDS)
            if not all(reading.settled for reading in elsewhere):
                elsewhere = self._lookout.readings(self._plan, until=until)

    def _evidence(self, observation: Observation, after: Sequence[Reading]) -> Evidence:
        assert self._observation is not None
        return Evidence(
            protections=self._plan.protections,
            vantages=self._lookout.vantages(self._plan),
            before=self._before,
            after=tuple(after),
            judgement=self._driver.judge(self._plan, self._context.run_id, observation),
            listeners_before=self._observation.listeners,
            listeners_after=observation.listeners,
        )

    def _confirm(self, state: State) -> Event:
        return self._send(self._fresh, state)

    def _revert(self, state: State) -> Event:
        """Undo: over the newest connection that is there, else over a new one; twice does no harm.

        The timer runs: a connection that has died costs its own time-out, so only one of them is tried.
        """
        kept = self._fresh or self._executor
        if kept is not None:
            try:
                return self._send(kept, state)
            except HostError:
                kept.close()
        self._fresh = None
        self._fresh = self._context.open(self._plan.host)
        return self._send(self._fresh, state)

    def _ask(self, _: State) -> Event:
        """Ask over a new connection what the file says; a pause before every time but the first."""
        if self._asked:
            self._context.brake.pause(_ASK_PAUSES[min(self._asked, len(_ASK_PAUSES)) - 1])
        self._asked += 1
        with_executor = self._context.open(self._plan.host)
        if self._fresh is not None:
            self._fresh.close()
        self._fresh = with_executor
        observation = self._look(with_executor)
        record = next((each for each in observation.records if each.run_id == self._context.run_id), None)
        if record is None:
            cleared = self._driver.is_clear(self._plan, self._context.run_id, observation)
            return Answered(ok=False, state=None, cleared=cleared)
        left = record.remaining
        reverts_at = None if left is None else time.monotonic() + left.total_seconds()
        return Answered(ok=True, state=record.state, reverts_at=reverts_at)

    def _check(self, state: State) -> Event:
        until = time.monotonic() + BASELINE_SECONDS
        readings = probe_now(self._lookout.targets(self._plan), until=until)
        if self._fresh is None:
            self._fresh = self._context.open(self._plan.host)
        observation = self._look(self._fresh)
        self._probes += tuple(replace(probe, phase="reverted") for probe in describe_before(readings))
        stealthy = self._plan.host.platform is Platform.WINDOWS
        differs = compare_with_before(self._before, readings, observation.listeners, stealthy=stealthy)
        if differs is None or state.cause is None:
            return Checked(reason=differs)
        return Checked(reason=replace(state.cause, message=f"{state.cause.message}; {differs.message}"))

    _TAKERS: ClassVar[Mapping[Step, Callable[["HostRun", State], Event]]] = {
        Step.OBSERVE: _observe,
        Step.BASELINE: _baseline,
        Step.ARM: _change,
        Step.APPLY: _change,
        Step.VERIFY: _verify,
        Step.CONFIRM: _confirm,
        Step.REVERT: _revert,
        Step.ASK: _ask,
        Step.CHECK: _check,
    }

    # --- what the steps share --------------------------------------------------------------

    def _look(self, executor: Executor) -> Observation:
        services = tuple(protection.service for protection in self._plan.protections)
        return look_at(executor, self._driver, services)

    def _send(self, executor: Executor | None, state: State) -> Answered:
        """Send the script that was announced; it may change the host."""
        assert executor is not None
        assert self._invocation is not None
        sent_at = time.monotonic()
        result = executor.run(self._invocation, deadline=min(sent_at + SCRIPT_SECONDS, self._latest(state)))
        self._result = result
        answer = self._driver.read_answer(result)
        self._notes.extend(answer.notes)
        # The timer ran while the answer travelled: count from the moment of sending.
        took = result.took_ms / 1000
        reverts_at = None if answer.remaining is None else sent_at + took + answer.remaining.total_seconds()
        return Answered(ok=answer.ok, state=answer.state, reverts_at=reverts_at, reason=refusal_of(answer))

    def _latest(self, state: State) -> float:
        if state.reverts_at is None or state.step in (Step.REVERT, Step.ASK):
            return time.monotonic() + SCRIPT_SECONDS
        return state.reverts_at

    def _report(self, state: State) -> HostReport:
        assert state.outcome is not None
        host = self._plan.host
        pending = state.outcome == "unknown" and state.reverts_at is not None
        return HostReport(
            name=host.name,
            address=host.address,
            platform=host.platform,
            labels=tuple(sorted(host.labels.items())),
            outcome=state.outcome,
            reason=state.reason,
            reverts_at=self._context.wall_at(state.reverts_at) if pending and state.reverts_at else None,
            hazards=self._plan.hazards,
            changes=self._plan.changes,
            probes=self._probes,
            steps=tuple(self._steps),
            notes=tuple(self._notes),
        )
