"""A run that was stopped puts back what it had applied: `apply --rollback-on-stop`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import HostPlan, Reason
from fwfix.output.observe import Nobody
from fwfix.runner.context import Brake, RunContext
from fwfix.runner.fleet import each_host
from fwfix.runner.rollback import Undo, baseline_of, roll_back


def undo_applied(
    reports: Sequence[HostReport],
    plans: Mapping[str, HostPlan],
    context: RunContext,
    *,
    forks: int,
    because: Reason,
) -> tuple[HostReport, ...]:
    """Undo a run on the hosts on which it was applied, and return the reports as they are then."""
    own = replace(
        context,
        brake=_OnlyInterruptions(context.brake),
        log=context.log.without_outcomes(),
        observer=Nobody(),
    )
    applied = [each for each in reports if each.outcome is Outcome.APPLIED]

    def work(report: HostReport) -> HostReport:
        context.observer.host_step(report.name, "rollback")
        plan = plans[report.name]
        undo = Undo(
            host=plan.host,
            run_id=context.run_id,
            services=tuple(protection.service for protection in plan.protections),
            before=baseline_of(report.probes),
            addresses=plan.probe_addresses,
        )
        undone = _of_apply(report, roll_back(undo, own), because, run_id=context.run_id)
        context.finish(undone)
        return undone

    found = {report.name: undone for report, undone in each_host(applied, work, forks=forks)}
    return tuple(found.get(report.name, report) for report in reports)


def _of_apply(report: HostReport, undone: HostReport, because: Reason, *, run_id: str) -> HostReport:
    """Say in the words of `apply` what became of a host; one that could not be undone is still applied."""
    whole = replace(
        report,
        steps=(*report.steps, *undone.steps),
        notes=(*report.notes, *undone.notes),
        probes=report.probes,
    )
    match undone.outcome:
        case Outcome.ROLLED_BACK | Outcome.NOOP:
            differs = f"; {undone.reason.message}" if undone.reason is not None else ""
            reason = replace(because, message=f"rolled back: {because.message}{differs}")
            return replace(whole, outcome=Outcome.REVERTED, reason=reason)
        case Outcome.UNKNOWN:
            return replace(whole, outcome=Outcome.UNKNOWN, reason=undone.reason)
        case _:
            why = undone.reason.message if undone.reason is not None else "it could not be undone"
            reason = Reason(
                code="rollback-failed",
                message=f"still applied, although the run was stopped: {why}",
                next=f"fwfix rollback {run_id} -l {report.name}",
            )
            return replace(whole, reason=reason)


class _OnlyInterruptions(Brake):
    """The brake of what is done after a run has been stopped: only a signal still holds it."""

    def __init__(self, brake: Brake) -> None:
        super().__init__()
        self._brake = brake

    def stop(self, reason: Reason) -> None:
        """Interrupt the run."""
        self._brake.stop(reason)

    @property
    def stopped(self) -> Reason | None:
        """Why the run is interrupted, if it is."""
        return self._brake.stopped

    @property
    def held(self) -> Reason | None:
        """The same: hosts are only put back now."""
        return self._brake.stopped

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond an interruption."""
        self._brake.pause(seconds)
