"""A plan for people: it reads like a diff, host by host."""

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from fwfix.model.duration import format_duration
from fwfix.model.hazard import Hazard, Severity
from fwfix.model.plan import Acceptance, Change, ChangeOp, HostPlan, Plan, PlannedOutcome
from fwfix.model.policy import Family, Protection
from fwfix.model.wording import plural
from fwfix.output.text import Line, Style, moment

# Hazards that say who loses something, as opposed to what may not work.
_CUTTING = frozenset({"session-would-be-cut", "family-loses-access", "nobody-allowed", "bjnp-client"})
_SAYS = {
    PlannedOutcome.CHANGE: "would change",
    PlannedOutcome.NOOP: "is as wanted",
    PlannedOutcome.FAILED: "could not be planned",
}


def plan_lines(plan: Plan, *, show_scripts: bool = False, zone: tzinfo | None = None) -> Iterator[Line]:
    """Yield the whole plan: every host as a diff, then what it adds up to."""
    yield from _header(plan, zone)
    for host in plan.hosts:
        yield Line()
        yield from host_lines(host, accepted=plan.accepted)
        if show_scripts:
            yield from script_lines(host)
    yield Line()
    yield from _footer(plan)


def _header(plan: Plan, zone: tzinfo | None) -> Iterator[Line]:
    name = f"Plan {plan.run_id}" if plan.run_id else "Plan (not saved)"
    yield Line(
        f"{name}, made {moment(plan.created_at, zone)} by {plan.operator} on {plan.controller}", Style.TITLE
    )
    if plan.ticket or plan.reason:
        yield Line(f"for {', '.join(text for text in (plan.ticket, plan.reason) if text)}")
    if plan.expires_at is not None:
        yield Line(f"expires {moment(plan.expires_at, zone)}")
    if plan.waves:
        sizes = ", ".join(str(len(wave)) for wave in plan.waves[:-1])
        last = plural(len(plan.waves[-1]), "host")
        yield Line(f"{plural(len(plan.waves), 'wave')} of {sizes}{', ' if sizes else ''}{last}")


def host_lines(host: HostPlan, *, accepted: Acceptance) -> Iterator[Line]:
    """Yield one host: what is wanted, the diff by family, who would be cut off, hazards."""
    yield _title(host, accepted)
    if host.reason is not None:
        yield Line(f"  {host.reason.code}: {host.reason.message}", Style.BAD)
        if host.reason.next:
            yield Line(f"  next: {host.reason.next}")
    for protection in host.protections:
        yield Line(f"  {_wish(protection)}")
    if host.supersedes:
        yield Line(f"  replaces run {host.supersedes}, which is in force")
    yield from diff_lines(host.changes)
    yield from _cut_off(host)
    for hazard in sorted(host.hazards, key=lambda hazard: (hazard.severity, hazard.code)):
        yield _hazard(hazard, accepted=accepted.covers(hazard.code, host.host.name))
    if host.outcome is PlannedOutcome.CHANGE and host.deadline:
        yield Line(f"  restores itself unless confirmed within {format_duration(host.deadline)} of arming")


def _title(host: HostPlan, accepted: Acceptance) -> Line:
    where = ", ".join(text for text in (host.host.address, str(host.host.platform), host.backend) if text)
    stopping = host.stopping(accepted)
    if host.outcome is PlannedOutcome.CHANGE and stopping:
        codes = " ".join(f"--accept {code}" for code in dict.fromkeys(hazard.code for hazard in stopping))
        return Line(f"{host.host.name} ({where}) would be skipped, unless with {codes}", Style.TITLE)
    return Line(f"{host.host.name} ({where}) {_SAYS[host.outcome]}", Style.TITLE)


def _wish(protection: Protection) -> str:
    allowed = ", ".join(str(network) for network in protection.allowed)
    who = f"everybody but {allowed}" if allowed else "everybody"
    logged = ", with a log entry" if protection.log else ""
    return f"{protection.service}: {protection.action} {who}{logged}"


def diff_lines(changes: Sequence[Change]) -> Iterator[Line]:
    """Yield `+` and `-` lines under the family that they belong to, in the order of the changes."""
    families: tuple[Family | None, ...] = (None, *Family)
    for family in families:
        chosen = [change for change in changes if change.family is family]
        if chosen and family is not None:
            yield Line(f"  {family}:")
        for change in chosen:
            sign, style = ("+", Style.GOOD) if change.op is ChangeOp.ADD else ("-", Style.BAD)
            first, *rest = change.text.splitlines() or [""]
            yield Line(f"  {sign} {change.object} {first}", style)
            for line in rest:
                yield Line(f"  {sign}   {line}", style)


def _cut_off(host: HostPlan) -> Iterator[Line]:
    if host.outcome is not PlannedOutcome.CHANGE:
        return
    cutting = [hazard for hazard in host.hazards if hazard.code in _CUTTING]
    if not cutting:
        if host.identity:  # observed, so that we know
            yield Line("  would be cut off: nobody who is connected now")
        return
    for hazard in cutting:
        yield Line(f"  would be cut off: {hazard.message}", Style.WARN)


def _hazard(hazard: Hazard, *, accepted: bool) -> Line:
    style = Style.BAD if hazard.severity is Severity.STOP and not accepted else Style.WARN
    return Line(
        f"  ! {hazard.severity}{' (accepted)' if accepted else ''} {hazard.code}: {hazard.message}", style
    )


def script_lines(host: HostPlan) -> Iterator[Line]:
    """Yield every script of a host as it will be run."""
    for name, script in host.scripts.items():
        yield Line(f"  script {name} (sha256 {script.sha256})", Style.TITLE)
        for origin in script.templates:
            yield Line(f"  from {origin.name} ({origin.origin})", Style.FAINT)
        for line in script.text.split("\n"):
            yield Line(f"  | {line}")


def _footer(plan: Plan) -> Iterator[Line]:
    changing = [host for host in plan.hosts if host.outcome is PlannedOutcome.CHANGE]
    stopped = sum(bool(host.stopping(plan.accepted)) for host in changing)
    wanted = sum(host.outcome is PlannedOutcome.NOOP for host in plan.hosts)
    failed = sum(host.outcome is PlannedOutcome.FAILED for host in plan.hosts)
    parts = [f"{len(changing) - stopped} to change", f"{wanted} as wanted already"]
    if stopped:
        parts.append(f"{stopped} to skip because of a hazard")
    if failed:
        parts.append(f"{failed} failed")
    yield Line(f"{plural(len(plan.hosts), 'host')}: {', '.join(parts)}.", Style.TITLE)
