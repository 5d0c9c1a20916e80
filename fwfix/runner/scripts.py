"""Which script takes a step on a host."""

from fwfix.lifecycle import Step
from fwfix.model.plan import HostPlan
from fwfix.model.script import Invocation
from fwfix.runner.context import RunContext
from fwfix.runner.vantages import Lookout
from fwfix.verification import probe_sources


def script_of(step: Step, plan: HostPlan, context: RunContext, lookout: Lookout) -> Invocation | None:
    """Return the script that may change a host; None for a step that only looks.

    Raises:
        ScriptError: the plan has none.
    """
    driver = context.driver(plan.host)
    match step:
        case Step.ARM:
            return driver.arm(plan, seconds=round(plan.deadline.total_seconds()), stamp=context.stamp)
        case Step.APPLY:
            sources = probe_sources(plan.protections, lookout.vantages(plan))
            return driver.apply(plan, probe_sources=sources)
        case Step.CONFIRM:
            return driver.confirm(plan)
        case Step.REVERT:
            return driver.rollback(context.run_id)
        case _:
            return None
