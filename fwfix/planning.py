"""What a run would do to each host, from what was seen there. Pure: no clock, no network, no randomness."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol as Interface

from fwfix import deadlines
from fwfix.errors import HostError, UsageError
from fwfix.fingerprint import fingerprint_of
from fwfix.hazards import CONTROLLER, Circumstances, find_hazards
from fwfix.model.draft import Desired, Draft
from fwfix.model.hazard import Hazard
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import ApprovalRule, WindowText
from fwfix.model.observation import Observation, in_force
from fwfix.model.plan import Acceptance, HostPlan, Plan, PlannedOutcome, Reason
from fwfix.model.policy import MANAGEMENT_PORTS, Address, Protection, Protocol
from fwfix.waves import in_turns, spread_waves

Splitter = Callable[[Sequence[HostPlan]], tuple[tuple[str, ...], ...]]


class Drafter(Interface):
    """What planning needs of a driver."""

    def draft(self, desired: Desired) -> Draft:
        """Say what would change on a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of looking at one host: an observation, or the reason why there is none."""

    observation: Observation | None = None
    reason: Reason | None = None
    round_trip: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """Everything that a plan follows from.

    Attributes:
        protections: what each host needs, by name, names resolved.
        seen: what was seen on each host, by name.
        run_id: goes into the rules and scripts; a plan that is only shown has one too.
        saved: the plan keeps its run id; else it says None.
        vantages: addresses by name of where probes come from; `controller` is this machine.
        waves: as asked for; None for the default.
        template_digest: computed from the scripts where empty.
    """

    hosts: Sequence[Host]
    protections: Mapping[str, tuple[Protection, ...]]
    seen: Mapping[str, Seen]
    drivers: Mapping[Platform, Drafter]
    run_id: str
    created_at: datetime
    saved: bool = True
    waves: str | None = None
    confirm_within: timedelta | None = None
    accepted: Acceptance = field(default_factory=Acceptance)
    vantages: Mapping[str, tuple[Address, ...]] = field(default_factory=lambda: MappingProxyType({}))
    vantage_hosts: tuple[Host, ...] = ()
    jump_hosts: tuple[Host, ...] = ()
    windows: tuple[WindowText, ...] = ()
    blackouts: tuple[str, ...] = ()
    max_fail: str = "0"
    max_unreachable: str = "10%"
    expires_at: datetime | None = None
    operator: str = ""
    controller: str = ""
    ticket: str = ""
    reason: str = ""
    inventory_digest: str = ""
    template_digest: str = ""
    fwfix_version: str = ""
    approvals: tuple[ApprovalRule, ...] = ()
    author_key: str = ""


def make_plan(inputs: PlanInputs, *, split: Splitter | None = None) -> Plan:
    """Return what one run would do.

    Args:
        inputs: everything that decides.
        split: another rule for waves than counts and percentages; it gets the hosts that change.

    Raises:
        UsageError: the waves or the time to confirm make no sense.
    """
    check_confirm_within(inputs.confirm_within)
    hosts = tuple(plan_host(host, inputs) for host in inputs.hosts)
    changing = [each for each in hosts if each.outcome is PlannedOutcome.CHANGE]
    return Plan(
        run_id=inputs.run_id if inputs.saved else None,
        created_at=inputs.created_at,
        hosts=hosts,
        waves=split(changing) if split else waves_of(changing, inputs.waves, inputs.accepted),
        accepted=inputs.accepted,
        confirm_within=inputs.confirm_within,
        max_fail=inputs.max_fail,
        max_unreachable=inputs.max_unreachable,
        expires_at=inputs.expires_at,
        operator=inputs.operator,
        controller=inputs.controller,
        ticket=inputs.ticket,
        reason=inputs.reason,
        inventory_digest=inputs.inventory_digest,
        template_digest=inputs.template_digest or _template_digest(hosts),
        fwfix_version=inputs.fwfix_version,
        vantages=inputs.vantage_hosts,
        jumps=inputs.jump_hosts,
        windows=inputs.windows,
        blackouts=inputs.blackouts,
        approvals=inputs.approvals,
        author_key=inputs.author_key,
    )


def waves_of(
    changing: Sequence[HostPlan], spec: str | None, accepted: Acceptance
) -> tuple[tuple[str, ...], ...]:
    """Split hosts into waves; those that a hazard keeps out come last, since they would try nothing out."""
    going = [each.host for each in changing if not each.stopping(accepted)]
    kept_out = [each.host for each in changing if each.stopping(accepted)]
    return spread_waves((*in_turns(going), *kept_out), spec)


def _template_digest(hosts: Sequence[HostPlan]) -> str:
    """Return a digest of every template that a script of the plan was made from; empty if there is none."""
    used = {
        (origin.name, origin.sha256)
        for each in hosts
        for script in each.scripts.values()
        for origin in script.templates
    }
    return fingerprint_of({"templates": [list(pair) for pair in sorted(used)]}) if used else ""


def check_confirm_within(asked: timedelta | None) -> None:
    """Refuse a time to confirm that no timer can keep.

    Raises:
        UsageError: it is too short.
    """
    if asked is not None and asked < deadlines.SHORTEST:
        raise UsageError(
            "--confirm-within is shorter than 5s",
            next="Leave it out: then it is computed for each host.",
        )


def plan_host(host: Host, inputs: PlanInputs, *, seen: Seen | None = None) -> HostPlan:
    """Return what would be done to one host; `seen` stands in for what the inputs know of it."""
    protections = inputs.protections.get(host.name, ())
    seen = seen or inputs.seen.get(host.name, Seen())
    if seen.observation is None:
        return _failed(host, protections, seen.reason or _NOT_SEEN)
    desired = Desired(host=host, run_id=inputs.run_id, protections=protections, observation=seen.observation)
    draft = draft_host(desired, inputs.drivers[host.platform])
    if isinstance(draft, Reason):
        return _failed(host, protections, draft)
    return _planned(desired, draft, seen, inputs)


def draft_host(desired: Desired, driver: Drafter) -> Draft | Reason:
    """Return what a driver proposes for one host, or why it is out of the question."""
    refused = _refuse(desired.host, desired.protections, desired.observation)
    if refused is not None:
        return refused
    try:
        return driver.draft(desired)
    except HostError as error:
        return Reason(code=error.code, message=error.message, next=error.next)


_NOT_SEEN = Reason(code="unreachable", message="this host was not looked at", next="run fwfix doctor on it")


def _failed(host: Host, protections: tuple[Protection, ...], reason: Reason) -> HostPlan:
    return HostPlan(host=host, outcome=PlannedOutcome.FAILED, reason=reason, protections=protections)


def _refuse(host: Host, protections: Sequence[Protection], observation: Observation) -> Reason | None:
    """Return why this host is out of the question: it is another machine, or we would lock ourselves out."""
    wanted = host.expect_hostname
    if wanted is not None and not _same_name(wanted, observation.hostname):
        return Reason(
            code="wrong-host",
            message=f"the machine at {host.address} calls itself {observation.hostname!r}, not {wanted!r}",
            next="correct the address or expect_hostname in the inventory",
        )
    carried = {port for port in (observation.management.port, *MANAGEMENT_PORTS) if port}
    closed = sorted(
        {
            port
            for protection in protections
            if protection.service.protocol is Protocol.TCP
            for port in protection.service.ports
            if port in carried
        }
    )
    if closed:
        return Reason(
            code="management-port",
            message=f"{closed[0]}/tcp carries the management of this host; it is never closed",
            next="take that port out of the policy",
        )
    return None


def _same_name(wanted: str, found: str) -> bool:
    """Compare host names; a short one stands for the full one."""
    wanted, found = wanted.lower().rstrip("."), found.lower().rstrip(".")
    return wanted == found or ("." not in wanted and wanted == found.partition(".")[0])


def _planned(desired: Desired, draft: Draft, seen: Seen, inputs: PlanInputs) -> HostPlan:
    host, observation = desired.host, desired.observation
    worst = deadlines.worst_case(
        round_trip=seen.round_trip,
        services=[protection.service for protection in desired.protections],
        addresses=len(draft.probe_addresses),
        # The controller, and a jump host, of which ssh_config alone may know.
        vantages=2 + len(inputs.vantage_hosts),
    )
    deadline = deadlines.deadline_for(host.platform, worst, inputs.confirm_within)
    hazards = hazards_of(desired, draft, vantages=inputs.vantages, deadline=deadline, worst_case=worst)
    return HostPlan(
        host=host,
        outcome=PlannedOutcome.NOOP if draft.in_place else PlannedOutcome.CHANGE,
        protections=desired.protections,
        identity=observation.identity,
        fingerprint=draft.fingerprint,
        changes=draft.changes,
        hazards=hazards,
        scripts=draft.scripts,
        probe_addresses=draft.probe_addresses,
        controller_address=observation.management.peer,
        backend=draft.backend,
        supersedes=draft.supersedes,
        deadline=deadline,
    )


def hazards_of(
    desired: Desired,
    draft: Draft,
    *,
    vantages: Mapping[str, tuple[Address, ...]],
    deadline: timedelta | None = None,
    worst_case: timedelta | None = None,
) -> tuple[Hazard, ...]:
    """Return what may go wrong on one host; nothing where there is nothing to change."""
    if draft.in_place:
        return ()
    standing = in_force(desired.observation.records)
    common = find_hazards(
        Circumstances(
            host=desired.host,
            observation=desired.observation,
            protections=desired.protections,
            probe_addresses=draft.probe_addresses,
            protected=draft.protected,
            in_force=standing.run_id if standing else "",
            vantages=vantages,
            deadline=deadline,
            worst_case=worst_case,
        )
    )
    return tuple(sorted({*draft.hazards, *common}))


__all__ = [
    "CONTROLLER",
    "Drafter",
    "PlanInputs",
    "Seen",
    "Splitter",
    "check_confirm_within",
    "draft_host",
    "hazards_of",
    "make_plan",
    "plan_host",
]
