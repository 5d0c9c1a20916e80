"""Undo one run on one host by the host's own record, and verify that the ports are as before it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from fwfix.drivers.base import Answer
from fwfix.errors import FwfixError, LostError
from fwfix.model.host import Host, Platform
from fwfix.model.observation import Observation, RecordState, RunRecord
from fwfix.model.outcome import (
    NO_RECORD,
    NOT_AS_BEFORE,
    HostReport,
    Outcome,
    Probe,
    ProbeResult,
    Reading,
    Target,
)
from fwfix.model.plan import Reason
from fwfix.model.policy import Address, Service
from fwfix.probes import probe_now
from fwfix.runner.context import RunContext, reason_of
from fwfix.runner.steps import HostSteps
from fwfix.verification import CONTROLLER, compare_with_before, describe_before

PROBE_SECONDS = 3.0
# A lost answer is asked after this often before the host counts as unknown.
ATTEMPTS = 4
_PAUSE_SECONDS = 2.0
_RECORDS = {Platform.LINUX: "/var/lib/fwfix", Platform.WINDOWS: r"%ProgramData%\fwfix"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What to undo on one host, as far as the journal knows it.

    Attributes:
        services: the ports whose state is compared; from the journal, else from the inventory's policies.
        before: how the ports answered before that run; empty where the journal is gone.
        addresses: where they are probed; empty asks the observation.
    """

    host: Host
    run_id: str
    services: tuple[Service, ...] = ()
    before: tuple[Reading, ...] = ()
    addresses: tuple[Address, ...] = ()


def roll_back(undo: Undo, context: RunContext) -> HostReport:
    """Undo a run on one host; what happens on the host is in the report, never an exception."""
    steps = HostSteps(undo.host, context)
    try:
        report = _Rollback(undo, context, steps).run()
    finally:
        steps.close()
    context.finish(report)
    return report


class _Rollback:
    def __init__(self, undo: Undo, context: RunContext, steps: HostSteps) -> None:
        self._undo = undo
        self._context = context
        self._steps = steps
        self._driver = context.driver(undo.host)
        self._probes: tuple[Probe, ...] = ()
        self._notes: list[str] = []
        self._sent = False

    def run(self) -> HostReport:
        stopped = self._context.brake.held
        if stopped is not None:
            return self._report(Outcome.FAILED, stopped)  # not started: its rules are in force as before
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            try:
                return self._try()
            except LostError as error:
                last = reason_of(error)
            except FwfixError as error:
                last = reason_of(error)
                if not self._sent:
                    return self._report(Outcome.FAILED, last)
        return self._report(Outcome.UNKNOWN if self._sent else Outcome.FAILED, last)

    def _try(self) -> HostReport:
        observation = self._steps.look(self._undo.services)
        record = _find(observation, self._undo.run_id)
        settled = self._already(record, observation)
        if settled is not None:
            return settled
        before = () if self._undo.before else self._probe(observation)
        self._sent = True
        result = self._steps.send("rollback", self._driver.rollback(self._undo.run_id))
        answer = self._driver.read_answer(result)
        self._notes.extend(answer.notes)
        if answer.state is RecordState.REVERTED:
            return self._verified(before, observation)
        named = not answer.holder or answer.holder in answer.message
        role = "is at work on it" if answer.code == "locked" else "must go first"
        holder = "" if named else f": {answer.holder} {role}"
        reason = Reason(
            code=answer.code or "revert-failed",
            message=f"{answer.message or 'the host did not undo the run'}{holder}",
            next=self._way_out(answer),
        )
        still = answer.state is RecordState.REVERTING
        return self._report(Outcome.UNKNOWN if still else Outcome.FAILED, reason)

    def _way_out(self, answer: Answer) -> str:
        if answer.code == "locked":
            return "wait until that run has ended (fwfix status says when), then try again"
        if answer.holder:
            return f"fwfix rollback {answer.holder} -l {self._undo.host.name}"
        return "look at the record's log on the host"

    def _already(self, record: RunRecord | None, observation: Observation) -> HostReport | None:
        if record is None:
            if self._sent:
                reason = Reason(code=NO_RECORD, message="the record of the run is gone from the host")
                return self._report(Outcome.UNKNOWN, reason)
            message = f"there is no record of run {self._undo.run_id} on the host"
            return self._report(Outcome.NOOP, Reason(code=NO_RECORD, message=message))
        if record.foreign:
            reason = Reason(
                code="foreign-record",
                message="the record came from another machine and is never acted on",
                next=f"remove {_RECORDS[self._undo.host.platform]} on the host if it is a clone",
            )
            return self._report(Outcome.FAILED, reason)
        if record.state is not RecordState.REVERTED:
            return None
        return self._verified((), observation) if self._sent else self._undone_before(observation)

    def _undone_before(self, observation: Observation) -> HostReport:
        """Say again that a port is not as before, as long as it is so and no newer run can be the cause."""
        newer = any(
            record.run_id > self._undo.run_id
            and record.state is not RecordState.REVERTED
            and not record.foreign
            for record in observation.records
        )
        differs = self._differs((), observation) if self._undo.before and not newer else None
        if differs is not None and differs.code == NOT_AS_BEFORE:
            return self._report(Outcome.ROLLED_BACK, differs)
        return self._report(Outcome.NOOP, None)

    def _verified(self, before: Sequence[Reading], observation: Observation) -> HostReport:
        """Probe: the ports must be as they were before the run; where they are not, look who listens."""
        if self._differs(before, observation) is None:
            return self._report(Outcome.ROLLED_BACK, None)
        try:
            observation = self._steps.look(self._undo.services, step="check")
        except FwfixError as error:
            # The record said `reverted`; that the second look failed does not change it.
            self._notes.append(f"not looked at again: {error.message}")
        return self._report(Outcome.ROLLED_BACK, self._differs(before, observation))

    def _differs(self, before: Sequence[Reading], observation: Observation) -> Reason | None:
        """Probe the ports; what is not as it was before the run, as far as the journal knows."""
        after = self._probe(observation)
        self._probes = describe_before(before) + tuple(
            Probe(
                phase="after",
                target=reading.target,
                result=reading.result,
                detail=reading.detail,
                took_ms=reading.took_ms,
                expected=None,
            )
            for reading in after
        )
        # A rule of the host's own firewall makes a Windows host keep silent where nothing listens.
        stealthy = self._undo.host.platform is Platform.WINDOWS
        return compare_with_before(self._undo.before, after, observation.listeners, stealthy=stealthy)

    def _probe(self, observation: Observation) -> tuple[Reading, ...]:
        addresses = self._undo.addresses or observation.addresses
        targets = [
            Target(vantage=CONTROLLER, address=address, protocol=service.protocol, port=port)
            for service in self._undo.services
            for port in service.ports
            for address in addresses
        ]
        return probe_now(targets, until=time.monotonic() + PROBE_SECONDS)

    def _report(self, outcome: Outcome, reason: Reason | None) -> HostReport:
        host = self._undo.host
        return HostReport(
            name=host.name,
            address=host.address,
            platform=host.platform,
            labels=tuple(sorted(host.labels.items())),
            outcome=outcome,
            reason=reason,
            probes=self._probes,
            steps=tuple(self._steps.records),
            notes=tuple(self._notes),
        )


def _find(observation: Observation, run_id: str) -> RunRecord | None:
    return next((record for record in observation.records if record.run_id == run_id), None)


def baseline_of(probes: Sequence[Probe]) -> tuple[Reading, ...]:
    """Return what the controller saw before a run, from the probes in the journal."""
    return tuple(
        Reading(target=probe.target, result=ProbeResult(probe.result), settled=True)
        for probe in probes
        if probe.phase == "before" and probe.target.vantage == CONTROLLER
    )
