"""Finish what a killed controller left: ask each host what its file says, and bring it to a known state."""

import time
from collections.abc import Mapping

from fwfix.errors import JournalError
from fwfix.journal import HostEntry, RunEntry
from fwfix.lifecycle import CHANGING, State, Step
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.plan import HostPlan, PlannedOutcome, Reason
from fwfix.runner.context import RunContext, reason_of
from fwfix.runner.fleet import untouched_report
from fwfix.runner.host import HostRun, Options
from fwfix.runner.rollback import Undo, roll_back
from fwfix.runner.vantages import Lookout

_UNCONFIRMED = Reason(
    code="interrupted",
    message="the controller was gone before this host was confirmed",
    next="apply again where it is still wanted: fwfix plan, then fwfix apply",
)


def recover_host(
    entry: HostEntry,
    run: RunEntry,
    *,
    plans: Mapping[str, HostPlan],
    context: RunContext,
    lookout: Lookout,
) -> HostReport:
    """Bring one host of an unfinished run to a known state; never confirms anything.

    A host whose file says `confirmed` was confirmed by the run itself, after all of step 4.
    """
    if entry.report is not None and entry.report.outcome is not Outcome.UNKNOWN:
        return entry.report
    if run.target is not None:
        return roll_back(Undo(host=entry.host, run_id=run.target), context)
    plan = plans.get(entry.name) or HostPlan(host=entry.host, outcome=PlannedOutcome.CHANGE)
    if not entry.may_have_changed:
        reason = Reason(
            code="interrupted",
            message="the controller was gone before this host was started",
            next=f"go on with fwfix apply --continue {run.run_id}",
        )
        report = untouched_report(plan, Outcome.SKIPPED, reason)
        context.finish(report)
        return report
    sent = frozenset(Step(step) for step in entry.announced if step in CHANGING)
    # `confirm` is announced only once step 4 has passed, so that the journal is the proof of it.
    now = time.monotonic()
    ends = 0.0 if entry.reverts_at is None else (entry.reverts_at - context.wall()).total_seconds()
    start = State(
        step=Step.ASK,
        sent=sent,
        armed=True,
        verified=Step.CONFIRM in sent,
        reverts_at=now + ends,
        cause=_UNCONFIRMED,
    )
    with HostRun(plan, context, lookout=lookout, options=Options(), start=start) as life:
        try:
            report = life.run()
        except JournalError as error:
            context.brake.stop(reason_of(error))  # what cannot be written down is not started
            report = life.abandon(reason_of(error))
            context.observer.host_done(report)
        else:
            context.finish(report)
        return report
