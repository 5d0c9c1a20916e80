"""Is a host still what its plan was made for? Asked at apply, of every host for itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fwfix.drivers.base import Desired, Driver
from fwfix.lifecycle import Settled
from fwfix.model.hazard import Hazard
from fwfix.model.observation import Observation
from fwfix.model.outcome import Outcome
from fwfix.model.plan import Acceptance, HostPlan, Reason
from fwfix.model.policy import Address
from fwfix.planning import draft_host, hazards_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """What a plan was made with, to judge a host by once more.

    Attributes:
        vantages: as for planning.
        accepted: the hazards that the plan accepts; a new one that stops is not among them.
    """

    run_id: str
    accepted: Acceptance
    vantages: Mapping[str, tuple[Address, ...]]

    def __call__(self, plan: HostPlan, observation: Observation, driver: Driver) -> Settled | None:
        """Return why the host must not be started; None if it may."""
        host = plan.host
        if any(record.run_id == self.run_id for record in observation.records):
            return Settled(outcome=Outcome.SKIPPED, reason=_USED)
        desired = Desired(
            host=host, run_id=self.run_id, protections=plan.protections, observation=observation
        )
        draft = draft_host(desired, driver)
        if isinstance(draft, Reason):
            return Settled(outcome=Outcome.FAILED, reason=draft)
        if draft.fingerprint != plan.fingerprint:
            return Settled(outcome=Outcome.SKIPPED, reason=_STALE)
        # A short deadline only warns, and the plan has said so.
        hazards = hazards_of(desired, draft, vantages=self.vantages)
        stopping = self.accepted.stopping(hazards, host.name)
        return Settled(outcome=Outcome.SKIPPED, reason=hazard_reason(stopping)) if stopping else None


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


def hazard_reason(stopping: Sequence[Hazard]) -> Reason:
    """Return the reason of a host that hazards keep out of the run."""
    accept = " ".join(f"--accept {code}" for code in dict.fromkeys(hazard.code for hazard in stopping))
    return Reason(
        code=f"hazard:{stopping[0].code}",
        message="; ".join(hazard.message for hazard in stopping),
        next=f"mend it, or accept it: {accept}",
    )
