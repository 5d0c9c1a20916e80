"""`apply --continue RUN`: go on with the hosts that a run skipped or could not reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from fwfix.cli.admitting import check_secrets, gate_of, narrow
from fwfix.cli.approving import APPROVED, demanded, read_signed, refuse_by_site, refuse_unapproved
from fwfix.cli.carrying import Applying, Before, Paper, Work, carry_out, leave_run, opened, unique
from fwfix.cli.making import Made
from fwfix.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fwfix.approvals import Approval, Signature
    from fwfix.journal import Event, HostEntry, Journal, RunEntry
    from fwfix.model.host import Host
    from fwfix.model.outcome import HostReport
    from fwfix.model.plan import Plan
    from fwfix.model.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuing:
    """What the command line says about going on.

    Attributes:
        max_fail, max_unreachable: None where the plan's stay.
        again: the plan itself is applied again: hosts that a limit left out the first time are left, too.
    """

    run_id: str
    plan_file: Path | None = None
    inventory: Sequence[Path] | None = None
    limit: str | None = None
    waves: str | None = None
    max_fail: str | None = None
    max_unreachable: str | None = None
    again: bool = False


def continue_run(applying: Applying, wish: Continuing) -> NoReturn:
    """Go on with a run under its own id, on what it left."""
    from fwfix.cli.reporting import journal_of
    from fwfix.loading.site import load_site

    with journal_of(applying.context) as journal:
        go_on(applying, wish, journal, load_site())
    raise AssertionError  # go_on never returns; the context manager hides that


def go_on(applying: Applying, wish: Continuing, journal: Journal, site: Site) -> NoReturn:
    """Go on with a run of an open journal."""
    from fwfix.cli.reporting import begin, leave
    from fwfix.cli.session import make_renderer
    from fwfix.loading.plan_file import check_not_expired
    from fwfix.runner.undo import plans_of
    from fwfix.secret_store import SecretStore

    run = _to_go_on(journal, wish)
    whole = _whole_plan(run, wish)
    check_not_expired(whole, datetime.now(UTC))
    approvals = _approvals(applying, wish, run, whole, site=site, events=journal.events(run.run_id))
    undone = _undone_since(journal, run.run_id)
    reports = {entry.name: _as_it_is(entry.report, undone) for entry in run.hosts if entry.report is not None}
    ticket = applying.ticket or run.ticket
    begun = begin("apply", run_id=run.run_id, ticket=ticket, plan_digest=run.plan_digest)
    begun = replace(begun, started_at=run.started_at)
    asked = frozenset(each.host.name for each in narrow(whole, wish.limit, None).hosts)
    left = asked & (_left_of_plan(run, whole, asked) if wish.again else _left(run, whole))
    if not left:
        leave(
            applying.context,
            begun,
            [report for name, report in reports.items() if name in asked],
            as_json=applying.as_json,
            shown_run_id=run.run_id,
        )
    plan = _with_settings(narrow(_only(whole, left), None, wish.waves), wish.inventory)
    refuse_by_site(site, plan, ticket=ticket, changed=len(run.changed))
    store = SecretStore()
    check_secrets(plan, store)
    gate = gate_of(applying, plan, site, planned_later=True)
    hosts = tuple(each.host for each in plan.hosts)
    earlier = tuple(entry.host for entry in run.hosts)
    with opened(
        applying,
        begun,
        journal=journal,
        hosts=unique(run.others, earlier, plan.vantages, plan.jumps, hosts),
        vantages=plan.vantages,
        store=store,
        renderer=make_renderer(None),
    ) as work:
        work.surroundings.observer.run_started(hosts=len(plan.hosts), run_id=begun.run_id)
        made, planned_now = _plan_now(applying, plan, work, waves=wish.waves)
        # Hosts that are planned only now count among the most hosts of the site, too.
        refuse_by_site(site, made.plan, ticket=ticket, changed=len(run.changed))
        paper = Paper(
            plan_text=planned_now,
            approvals=approvals,
            before=Before(
                run=run,
                reports=reports,
                plans=plans_of(run),
                packets=_packets(journal.events(run.run_id)),
            ),
        )
        found, broken = carry_out(applying, made, work, gate=gate, paper=paper)
        # `--rollback-on-stop` also undoes hosts that a limit leaves out: what became of them is said, too.
        told = [each for each in found if each.name in asked or each is not reports.get(each.name)]
        leave_run(applying, work, told, broken=broken)
    raise AssertionError  # leave_run never returns; the context manager hides that


def _to_go_on(journal: Journal, wish: Continuing) -> RunEntry:
    """Return the run, if it is one that can go on.

    Raises:
        UsageError: it cannot.
    """
    from fwfix.journal import RunState

    run = journal.run(wish.run_id, command="apply")
    if run.command != "apply" or not run.plan_json:
        raise UsageError(f"{run.run_id} is a {run.command}, and only an apply can go on")
    if run.state is RunState.UNFINISHED:
        raise UsageError(
            f"{run.run_id} is unfinished: its controller is gone",
            next=f"First: fwfix runs recover {run.run_id}",
        )
    if run.state is RunState.RUNNING:
        raise UsageError(
            f"another fwfix is at work on run {run.run_id}",
            next="Wait for it; fwfix runs list shows when it ends.",
        )
    if run.plan_digest and (wish.inventory or wish.max_fail or wish.max_unreachable):
        raise UsageError(
            f"{run.run_id} applied a saved plan, which says this already",
            next="Leave out -i, --max-fail and --max-unreachable.",
        )
    return run


def _whole_plan(run: RunEntry, wish: Continuing) -> Plan:
    """Return the plan of a run, with what was planned when it went on before."""
    from fwfix.loading.plan_file import parse_plan

    assert run.plan_json is not None
    plan = parse_plan(run.plan_json.encode())
    for text in run.replanned:
        later = parse_plan(text.encode())
        plans = {each.host.name: each for each in later.hosts}
        hosts = tuple(plans.get(each.host.name, each) for each in plan.hosts)
        plan = replace(plan, hosts=hosts, waves=(*plan.waves, *later.waves))
    return replace(
        plan,
        max_fail=wish.max_fail or plan.max_fail,
        max_unreachable=wish.max_unreachable or plan.max_unreachable,
    )


def _undone_since(journal: Journal, run_id: str) -> Mapping[str, str]:
    """Return the hosts on which a rollback has undone a run, each with that rollback."""
    from fwfix.model.outcome import Outcome

    return {
        entry.name: rollback.run_id
        for rollback in journal.runs()
        if rollback.target == run_id
        for entry in journal.run(rollback.run_id).hosts
        if entry.report is not None and entry.report.outcome in (Outcome.ROLLED_BACK, Outcome.NOOP)
    }


def _as_it_is(report: HostReport, undone: Mapping[str, str]) -> HostReport:
    """Return a report that does not call a host applied on which the run was rolled back since."""
    from fwfix.model.outcome import Outcome
    from fwfix.model.plan import Reason

    if report.outcome is not Outcome.APPLIED or report.name not in undone:
        return report
    reason = Reason(
        code="rolled-back",
        message=f"rolled back since, by {undone[report.name]}",
        next="apply again where it is still wanted: fwfix plan, then fwfix apply",
    )
    return replace(report, outcome=Outcome.REVERTED, reason=reason)


def _approvals(
    applying: Applying, wish: Continuing, run: RunEntry, plan: Plan, *, site: Site, events: Sequence[Event]
) -> tuple[Approval, ...]:
    """Check once more who approved the plan; return what the journal does not hold yet."""
    from fwfix.approvals import Signature, require

    assert run.plan_json is not None
    demand = demanded(site, applying.asked.added_to(plan.approvals))
    if not run.plan_digest:
        refuse_unapproved(demand)
        return ()
    known = [
        Signature(name=str(event.body["file"]), text=str(event.body["signature"]).encode())
        for event in events
        if event.kind == APPROVED
    ]
    beside = _beside(wish, run)
    signatures = {each.text: each for each in (*known, *beside)}
    approvals = require(run.plan_json.encode(), list(signatures.values()), plan, demand)
    texts = {each.text for each in known}
    return tuple(each for each in approvals if each.signature.text not in texts)


def _beside(wish: Continuing, run: RunEntry) -> tuple[Signature, ...]:
    """Return the signatures beside the plan file, which must be the one that the run applied."""
    if wish.plan_file is None:
        return ()
    saved = read_signed(wish.plan_file)
    if saved.file.digest != run.plan_digest:
        raise UsageError(
            f"{wish.plan_file} is not the file that {run.run_id} applied",
            next=f"The journal has the right one: fwfix apply --continue {run.run_id}.",
        )
    return saved.signatures


def _left(run: RunEntry, plan: Plan) -> frozenset[str]:
    """Return the hosts that a run skipped or could not reach."""
    from fwfix.model.plan import PlannedOutcome

    # What a saved plan could not see was never approved, and is not planned now.
    saved = bool(run.plan_digest)
    blind = {each.host.name for each in plan.hosts if each.outcome is PlannedOutcome.FAILED}
    return frozenset(
        entry.name for entry in run.hosts if _was_left(entry) and not (saved and entry.name in blind)
    )


def _left_of_plan(run: RunEntry, plan: Plan, asked: frozenset[str]) -> frozenset[str]:
    """Return the hosts of a saved plan to which it was not applied yet.

    Raises:
        RefusedError: none of them is asked for.
    """
    hosts = {each.host.name for each in plan.hosts}
    left = _left(run, plan) | hosts - {entry.name for entry in run.hosts}
    if not left & asked:
        raise RefusedError(
            f"A plan is applied once to a host, and run {run.run_id} did so",
            next=f"fwfix runs show {run.run_id} tells what became of it. To go on from there, plan again.",
            code="record-exists",
        )
    return left


def _was_left(entry: HostEntry) -> bool:
    from fwfix.model.outcome import Outcome

    if entry.report is None or entry.may_have_changed:
        return False
    return entry.report.outcome in (Outcome.SKIPPED, Outcome.FAILED)


def _only(plan: Plan, names: frozenset[str]) -> Plan:
    waves = tuple(kept for wave in plan.waves if (kept := tuple(name for name in wave if name in names)))
    return replace(plan, hosts=tuple(each for each in plan.hosts if each.host.name in names), waves=waves)


def _with_settings(plan: Plan, paths: Sequence[Path] | None) -> Plan:
    """Let an inventory's connection settings win over those in the journal."""
    from fwfix.loading.inventory import load_inventory

    if not paths:
        return plan
    known = load_inventory(paths).hosts

    def settled(host: Host) -> Host:
        now = known.get(host.name)
        return host if now is None else replace(host, address=now.address, ssh=now.ssh, winrm=now.winrm)

    return replace(
        plan,
        hosts=tuple(replace(each, host=settled(each.host)) for each in plan.hosts),
        vantages=tuple(settled(host) for host in plan.vantages),
        jumps=tuple(settled(host) for host in plan.jumps),
    )


def _plan_now(applying: Applying, plan: Plan, work: Work, *, waves: str | None) -> tuple[Made, str | None]:
    """Plan the hosts that could not be observed when the run was planned, for what was wanted then."""
    from fwfix.loading.plan_file import dump_plan
    from fwfix.model.plan import PlannedOutcome
    from fwfix.planning import PlanInputs, plan_host, waves_of
    from fwfix.runner.fleet import observe_hosts
    from fwfix.runner.prepare import observed, vantage_addresses

    blind = {each.host.name: each for each in plan.hosts if each.outcome is PlannedOutcome.FAILED}
    if not blind:
        return Made(plan=plan, seen={}), None
    hosts = tuple(each.host for each in blind.values())
    protections = {name: each.protections for name, each in blind.items()}
    services = {name: tuple(p.service for p in needed) for name, needed in protections.items()}
    seen = observe_hosts(hosts, work.surroundings, services=services, forks=applying.forks, keep=True)
    inputs = PlanInputs(
        hosts=hosts,
        protections=protections,
        seen=observed(seen),
        drivers=work.surroundings.drivers,
        run_id=work.begun.run_id,
        created_at=plan.created_at,
        confirm_within=plan.confirm_within,
        accepted=plan.accepted,
        vantages=vantage_addresses(tuple(each.host for each in plan.hosts), plan.vantages),
        vantage_hosts=plan.vantages,
    )
    planned = {host.name: plan_host(host, inputs) for host in hosts}
    changing = [each for each in planned.values() if each.outcome is PlannedOutcome.CHANGE]
    new = waves_of(changing, waves, plan.accepted)
    text = dump_plan(replace(plan, hosts=tuple(planned.values()), waves=new)).decode()
    again = tuple(planned.get(each.host.name, each) for each in plan.hosts)
    return Made(plan=replace(plan, hosts=again, waves=(*plan.waves, *new)), seen=seen), text


def _packets(events: Sequence[Event]) -> Mapping[str, Mapping[str, int]]:
    """Return how the counters stood when the run read them last."""
    found: dict[str, Mapping[str, int]] = {}
    for event in events:
        packets = event.body.get("packets") if event.kind == "counters" else None
        if isinstance(packets, dict):
            found.update(packets)
    return found
