"""Is a host still what its plan was made for? Asked at apply, of every host for itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fwfix.drivers.base import Driver
from fwfix.lifecycle import Settled
from fwfix.model.observation import Observation
from fwfix.model.outcome import Outcome
from fwfix.model.plan import Acceptance, HostPlan, PlannedOutcome, Reason
from fwfix.model.policy import Address
from fwfix.planning import PlanInputs, Seen, plan_host


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """What a plan was made with, to judge a host by once more.

    Attributes:
        vantages: as for planning.
        accepted: the hazards that the plan accepts; a new one that stops is not among them.
    """

    run_id: str
    accepted: Acceptance
    created_at: datetime
    vantages: Mapping[str, tuple[Address, ...]]

    def __call__(self, plan: HostPlan, observation: Observation, driver: Driver) -> Settled | None:
        """Return why the host must not be started; None if it may."""
        host = plan.host
        if any(record.run_id == self.run_id for record in observation.records):
            return Settled(outcome=Outcome.SKIPPED, reason=_USED)
        inputs = PlanInputs(
            hosts=(host,),
            protections={host.name: plan.protections},
            seen={},
            drivers={host.platform: driver},
            run_id=self.run_id,
            created_at=self.created_at,
            confirm_within=plan.deadline,
            accepted=self.accepted,
            vantages=self.vantages,
        )
        again = plan_host(host, inputs, seen=Seen(observation=observation))
        if again.outcome is PlannedOutcome.FAILED:
            return Settled(outcome=Outcome.FAILED, reason=again.reason)
        if again.fingerprint != plan.fingerprint:
            return Settled(outcome=Outcome.SKIPPED, reason=_STALE)
        stopping = again.stopping(self.accepted)
        if stopping:
            return Settled(outcome=Outcome.SKIPPED, reason=hazard_reason(again, self.accepted))
        return None


_USED = Reason(
    code="record-exists",
    message="this plan was applied to this host before: a plan is for once",
    next="make a new plan; fwfix status shows what is on the host",
)
_STALE = Reason(
    code="stale-plan",
    message="this host is no longer what the plan was made for: the machine, its firewall, its listeners,"
    " our way to it, or fwfix's own rules have changed",
    next="plan this host again",
)


def hazard_reason(plan: HostPlan, accepted: Acceptance) -> Reason:
    """Return the reason of a host that a hazard keeps out of the run."""
    stopping = plan.stopping(accepted)
    accept = " ".join(f"--accept {code}" for code in dict.fromkeys(hazard.code for hazard in stopping))
    return Reason(
        code=f"hazard:{stopping[0].code}",
        message="; ".join(hazard.message for hazard in stopping),
        next=f"mend it, or accept it: {accept}",
    )
