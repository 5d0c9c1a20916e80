"""A saved plan for a change board: impact, test and backout, as Markdown."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from fwfix.model.duration import format_duration
from fwfix.model.hazard import Severity
from fwfix.model.host import Platform
from fwfix.model.plan import HostPlan, Plan, PlannedOutcome
from fwfix.model.wording import plural
from fwfix.output.text import printable

_BY_HAND = {
    Platform.LINUX: "sh /var/lib/fwfix/runs/{run_id}/rollback.sh",
    Platform.WINDOWS: "powershell -NoProfile -ExecutionPolicy Bypass"
    r" -File C:\ProgramData\fwfix\runs\{run_id}\rollback.ps1",
}
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|"})


def board_lines(plan: Plan, *, digest: str, approvals: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of a document; nothing that a host or an inventory says can format it."""
    yield f"# Change {plan.run_id}"
    yield ""
    for name, value in _facts(plan, digest):
        yield f"* {name}: {value}"
    for approval in approvals:
        yield f"* Signed by: {_text(approval)}"
    yield from _impact(plan)
    yield from _test(plan)
    yield from _backout(plan)


def _facts(plan: Plan, digest: str) -> Iterator[tuple[str, str]]:
    yield "Plan", f"`{digest}`"
    yield "Made", f"{_utc(plan.created_at)} by {_text(plan.operator)} on {_text(plan.controller)}"
    if plan.ticket:
        yield "Ticket", _text(plan.ticket)
    if plan.reason:
        yield "Reason", _text(plan.reason)
    if plan.expires_at is not None:
        yield "Expires", _utc(plan.expires_at)
    required = max((rule.required for rule in plan.approvals), default=0)
    if required:
        yield "Approvals required", str(required)


def _impact(plan: Plan) -> Iterator[str]:
    changing = [each for each in plan.hosts if each.outcome is PlannedOutcome.CHANGE]
    started = [each for each in changing if not each.stopping(plan.accepted)]
    yield from ("", "## Impact", "")
    yield (
        f"{len(started)} of {plural(len(plan.hosts), 'host')} to change, in "
        f"{plural(len(plan.waves), 'wave')} of {', '.join(str(len(wave)) for wave in plan.waves) or '0'}."
        f" The run stops when more than "
        f"{_text(plan.max_fail)} fail, or more than {_text(plan.max_unreachable)} cannot be reached."
    )
    yield from ("", "| Host | Address | Window | What changes | Hazards |", "|---|---|---|---|---|")
    for each in plan.hosts:
        hazards = "<br>".join(_hazards(each, plan)) or "none"
        window = _text(each.host.window or "none")
        yield (
            f"| {_text(each.host.name)} | {_text(each.host.address)} | {window}"
            f" | {'<br>'.join(_wishes(each))} | {hazards} |"
        )


def _wishes(each: HostPlan) -> Iterator[str]:
    if each.outcome is PlannedOutcome.NOOP:
        yield "nothing: it is as wanted"
        return
    if each.outcome is PlannedOutcome.FAILED:
        yield f"nothing: {_text(each.reason.message if each.reason else 'it could not be planned')}"
        return
    for protection in each.protections:
        allowed = ", ".join(str(network) for network in protection.allowed)
        who = f"everybody but {allowed}" if allowed else "everybody"
        yield f"{protection.service}: {protection.action} {who}"
    if each.supersedes:
        yield f"replaces run {each.supersedes}"


def _hazards(each: HostPlan, plan: Plan) -> Iterator[str]:
    for hazard in each.hazards:
        stops = hazard.severity is Severity.STOP
        accepted = plan.accepted.covers(hazard.code, each.host.name)
        effect = " (accepted)" if stops and accepted else " (the host is skipped)" if stops else ""
        yield f"{hazard.code}{effect}: {_text(hazard.message)}"


def _test(plan: Plan) -> Iterator[str]:
    ports = sorted({str(p.service) for each in plan.hosts for p in each.protections})
    vantages = ", ".join(["the controller", *(_text(host.name) for host in plan.vantages)])
    yield from ("", "## Test", "")
    yield f"Every host is tested right after its change, on {', '.join(ports) or 'no port'}, from {vantages}:"
    yield ""
    yield "* the ports are open from no vantage that must be blocked, and a rule of ours is proven to be why;"
    yield "* what was listening still listens, and those who must keep access still have it;"
    yield "* a new management connection works."
    yield ""
    yield "A host that fails one of these is put back at once. Later: `fwfix verify` with the inventory."


def _backout(plan: Plan) -> Iterator[str]:
    deadlines = [each.deadline for each in plan.hosts if each.outcome is PlannedOutcome.CHANGE]
    yield from ("", "## Backout", "")
    if deadlines:
        longest = format_duration(max(deadlines))
        yield (
            "Before anything changes each host gets a rehearsed timer of its own: unless it is confirmed"
            f" within {longest}, it restores itself, whatever becomes of the controller or the network."
        )
        yield ""
    yield f"* All hosts, later: `fwfix rollback {plan.run_id}`"
    yield f"* One host: `fwfix rollback {plan.run_id} -l HOST`"
    platforms = {each.host.platform for each in plan.hosts if each.outcome is PlannedOutcome.CHANGE}
    for platform, command in _BY_HAND.items():
        if platform in platforms:
            shown = command.format(run_id=plan.run_id)
            yield f"* On a {platform.capitalize()} host, by hand, without fwfix: `{shown}`"


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _text(text: str) -> str:
    return printable(text).translate(_SPECIAL)
