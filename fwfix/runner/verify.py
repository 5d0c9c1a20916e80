"""Is a host as the policy wants it? Looks and probes; changes nothing."""

import time
from collections.abc import Sequence

from fwfix.drivers.base import Desired, Draft
from fwfix.errors import HostError
from fwfix.model.host import Host
from fwfix.model.observation import Observation, in_force
from fwfix.model.outcome import Expectation, HostReport, Outcome, Probe, ProbeResult, Reading
from fwfix.model.plan import Change, HostPlan, PlannedOutcome, Reason
from fwfix.model.policy import Protection
from fwfix.probes import probe_now
from fwfix.runner.context import RunContext, reason_of
from fwfix.runner.fleet import Seen
from fwfix.runner.vantages import Lookout
from fwfix.verification import STRUCTURE, protection_of

PROBE_SECONDS = 1.5


def verify_host(
    host: Host, protections: tuple[Protection, ...], *, seen: Seen, context: RunContext, lookout: Lookout
) -> HostReport:
    """Compare one observed host with its policy, and test its ports from every vantage."""
    if seen.observation is None:
        report = _report(host, Outcome.UNKNOWN, seen.reason)
    else:
        try:
            report = _verify(
                host, protections, observation=seen.observation, context=context, lookout=lookout
            )
        except HostError as error:  # it has no tool for rules at all, for example
            report = _report(host, Outcome.UNKNOWN, reason_of(error))
    context.observer.host_done(report)
    return report


def _verify(
    host: Host,
    protections: tuple[Protection, ...],
    *,
    observation: Observation,
    context: RunContext,
    lookout: Lookout,
) -> HostReport:
    standing = in_force(observation.records)
    run_id = standing.run_id if standing is not None else context.run_id
    draft = context.driver(host).draft(
        Desired(host=host, run_id=run_id, protections=protections, observation=observation)
    )
    plan = _as_plan(host, protections, observation, draft)
    until = time.monotonic() + PROBE_SECONDS
    readings = probe_now(lookout.targets(plan), until=until) + lookout.readings(plan, until=until)
    probes = _expected(plan, readings, lookout)
    problems = list(draft.problems)  # also where our rules stand and something goes past them
    problems += [
        f"{each.port}/{each.protocol} at {each.address} is open from {each.vantage}"
        for probe in probes
        for each in (probe.target,)
        if probe.expected is Expectation.BLOCKED and probe.result is ProbeResult.OPEN
    ]
    if not draft.in_place and not problems:
        problems = ["the rules are not in place"]
    if not problems:
        return _report(host, Outcome.OK, None, probes=probes)
    reason = Reason(
        code="drift",
        message="; ".join(problems),
        next="fwfix plan shows what would change; fwfix apply does it",
    )
    return _report(host, Outcome.DRIFT, reason, probes=probes, changes=draft.changes)


def _as_plan(
    host: Host, protections: tuple[Protection, ...], observation: Observation, draft: Draft
) -> HostPlan:
    return HostPlan(
        host=host,
        outcome=PlannedOutcome.NOOP,
        protections=protections,
        probe_addresses=draft.probe_addresses,
        controller_address=observation.management.peer,
        backend=draft.backend,
    )


def _expected(plan: HostPlan, readings: Sequence[Reading], lookout: Lookout) -> tuple[Probe, ...]:
    vantages = {vantage.name: vantage for vantage in lookout.vantages(plan)}
    found: list[Probe] = []
    for reading in readings:
        target = reading.target
        protection = protection_of(plan.protections, target.protocol, target.port)
        expected = vantages[target.vantage].expects(protection, target.family) if protection else None
        if expected is Expectation.OPEN:
            expected = None  # whether the service itself is up is not fwfix's business
        shut = expected is Expectation.BLOCKED and reading.result is not ProbeResult.OPEN
        found.append(
            Probe(
                phase="now",
                target=target,
                result=reading.result,
                expected=expected,
                proof=STRUCTURE if shut else None,
                detail=reading.detail,
                took_ms=reading.took_ms,
            )
        )
    return tuple(found)


def _report(
    host: Host,
    outcome: Outcome,
    reason: Reason | None,
    *,
    probes: tuple[Probe, ...] = (),
    changes: tuple[Change, ...] = (),
) -> HostReport:
    return HostReport(
        name=host.name,
        address=host.address,
        platform=host.platform,
        labels=tuple(sorted(host.labels.items())),
        outcome=outcome,
        reason=reason,
        probes=probes,
        changes=changes,
    )
