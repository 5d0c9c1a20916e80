"""What `apply` does, from a saved plan or from an inventory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fwfix.cli.approving import demanded, read_signed, refuse_by_site, refuse_early, refuse_unapproved
from fwfix.cli.carrying import Applying, Paper, Work, carry_out, leave_run, opened, unique
from fwfix.cli.making import Made, Wishes
from fwfix.errors import UsageError

if TYPE_CHECKING:
    from fwfix.cli.approving import SignedPlan
    from fwfix.journal import Journal
    from fwfix.model.host import Host
    from fwfix.model.inventory import WindowText
    from fwfix.model.plan import Plan
    from fwfix.model.site import Site
    from fwfix.runner.site_gate import SiteGate
    from fwfix.secret_store import SecretStore


def from_inventory(
    applying: Applying,
    paths: Sequence[Path] | None,
    limit: str | None,
    *,
    templates: Sequence[Path] | None,
    wishes: Wishes,
) -> NoReturn:
    """Plan and apply at once."""
    from fwfix.cli.making import make
    from fwfix.cli.reporting import begin, journal_of
    from fwfix.cli.session import load, make_renderer, protections_of
    from fwfix.loading.site import load_site
    from fwfix.runner.maintenance import expected_budget

    site = load_site()
    loaded = load(paths, limit)
    inventory = loaded.inventory
    rules = applying.asked.added_to([inventory.approvals])
    refuse_unapproved(demanded(site, rules))
    protections = protections_of(loaded)
    refuse_early(site, protections, ticket=applying.ticket)
    gate = make_gate(applying, loaded.hosts, inventory.windows_in_use, inventory.blackouts, site)
    budgets = {
        host.name: expected_budget(host, inventory.services_of(host), wishes.confirm_within)
        for host in loaded.hosts
    }
    gate.refuse_closed(budgets, loaded.hosts)
    begun = begin("apply", ticket=applying.ticket)
    with (
        journal_of(applying.context) as journal,
        opened(
            applying,
            begun,
            journal=journal,
            hosts=tuple(inventory.hosts.values()),
            vantages=loaded.vantage_hosts,
            store=loaded.store,
            renderer=make_renderer(templates, inventory),
        ) as work,
    ):
        work.surroundings.observer.run_started(hosts=len(loaded.hosts), run_id=begun.run_id)
        made = make(loaded, protections, work.surroundings, begun=begun, wishes=wishes)
        refuse_by_site(site, made.plan, ticket=applying.ticket)
        reports, broken = carry_out(applying, made, work, gate=gate, paper=Paper())
        leave_run(applying, work, reports, broken=broken)
    raise AssertionError  # leave_run never returns; the context managers hide that


def from_plan(applying: Applying, path: Path, limit: str | None, *, waves: str | None) -> NoReturn:
    """Apply a saved plan: nothing that was not in it, on hosts that are still what it was made for.

    It is applied once to a host; those that it was not applied to yet may follow, under the same run id.
    """
    from fwfix.cli.continuing import Continuing, go_on
    from fwfix.cli.reporting import journal_of
    from fwfix.loading.site import load_site

    site, saved = load_site(), read_signed(path)
    run_id = saved.plan.run_id
    with journal_of(applying.context) as journal:
        if run_id is not None and journal.knows(run_id):
            wish = Continuing(run_id=run_id, plan_file=path, limit=limit, waves=waves, again=True)
            go_on(applying, wish, journal, site)
        _apply_first(applying, saved, narrow(saved.plan, limit, waves), journal=journal, site=site)
    raise AssertionError  # neither returns; the context manager hides that


def _apply_first(
    applying: Applying, saved: SignedPlan, plan: Plan, *, journal: Journal, site: Site
) -> NoReturn:
    from fwfix.approvals import require
    from fwfix.cli.reporting import begin
    from fwfix.cli.session import make_renderer
    from fwfix.loading.plan_file import check_not_expired
    from fwfix.secret_store import SecretStore

    check_not_expired(saved.plan, datetime.now(UTC))
    demand = demanded(site, applying.asked.added_to(saved.plan.approvals))
    approvals = require(saved.content, saved.signatures, saved.plan, demand)
    ticket = applying.ticket or plan.ticket
    refuse_by_site(site, plan, ticket=ticket)
    store = SecretStore()
    check_secrets(plan, store)
    gate = gate_of(applying, plan, site)
    begun = begin("apply", run_id=plan.run_id, ticket=ticket, plan_digest=saved.file.digest)
    with opened(
        applying,
        begun,
        journal=journal,
        hosts=unique(tuple(each.host for each in plan.hosts), plan.vantages, plan.jumps),
        vantages=plan.vantages,
        store=store,
        renderer=make_renderer(None),
    ) as work:
        work.surroundings.observer.run_started(hosts=len(plan.hosts), run_id=begun.run_id)
        if applying.gate.wait:
            _test_credentials(plan, work, forks=applying.forks)
        paper = Paper(plan_text=saved.content.decode(), approvals=approvals)
        reports, broken = carry_out(applying, Made(plan=plan, seen={}), work, gate=gate, paper=paper)
        leave_run(applying, work, reports, broken=broken)
    raise AssertionError  # leave_run never returns; the context manager hides that


def narrow(plan: Plan, limit: str | None, waves: str | None) -> Plan:
    """Return a plan with fewer hosts or smaller waves; never with more.

    Raises:
        UsageError: the limit matches nothing, or the waves are larger than the plan's.
    """
    from fwfix.loading.limit import select_hosts
    from fwfix.model.inventory import Inventory
    from fwfix.waves import spread_waves, wave_ends

    hosts = {each.host.name: each.host for each in plan.hosts}
    groups: dict[str, tuple[str, ...]] = {}
    for host in hosts.values():
        for group in host.groups:
            groups[group] = (*groups.get(group, ()), host.name)
    chosen = {host.name for host in select_hosts(Inventory(hosts=hosts, groups=groups, policies={}), limit)}
    kept = tuple(kept for wave in plan.waves if (kept := tuple(name for name in wave if name in chosen)))
    if waves is not None:
        wave_ends(len(chosen), waves)  # also where no host is in a wave yet: a wrong step is never ignored
        asked = spread_waves([hosts[name] for wave in kept for name in wave], waves)
        if not all(any(set(small) <= set(large) for large in kept) for small in asked):
            raise UsageError(
                f"--waves {waves} makes larger waves than the plan",
                next="Only smaller waves can be asked for.",
            )
        kept = asked
    return replace(plan, hosts=tuple(each for each in plan.hosts if each.host.name in chosen), waves=kept)


def gate_of(applying: Applying, plan: Plan, site: Site, *, planned_later: bool = False) -> SiteGate:
    """Return the gate of a plan; `planned_later` counts hosts that could not be observed as well.

    Raises:
        RefusedError: no host of it may be started now.
    """
    from fwfix.model.plan import PlannedOutcome
    from fwfix.runner.maintenance import budget_of, expected_budget

    budgets = {
        each.host.name: budget_of(each) for each in plan.hosts if each.outcome is PlannedOutcome.CHANGE
    }
    if planned_later:
        budgets |= {
            each.host.name: expected_budget(
                each.host, [protection.service for protection in each.protections], plan.confirm_within
            )
            for each in plan.hosts
            if each.outcome is PlannedOutcome.FAILED
        }
    gate = make_gate(
        applying,
        [each.host for each in plan.hosts],
        plan.windows,
        plan.blackouts,
        site,
        expires_at=plan.expires_at,
    )
    gate.refuse_closed(budgets, [each.host for each in plan.hosts if each.host.name in budgets])
    return gate


def make_gate(
    applying: Applying,
    hosts: Sequence[Host],
    windows: Iterable[WindowText],
    blackouts: Sequence[str],
    site: Site,
    *,
    expires_at: datetime | None = None,
) -> SiteGate:
    """Return what says of a host whether it may be started now."""
    from fwfix.runner.site_gate import SiteGate

    return SiteGate(
        hosts,
        windows=tuple(windows),
        blackouts=blackouts,
        site_blackouts=site.blackouts,
        options=applying.gate,
        clock=lambda: datetime.now(UTC),
        expires_at=expires_at,
    )


def _test_credentials(plan: Plan, work: Work, *, forks: int) -> None:
    """Log on to every host before waiting for its window: a wrong password is found now, not at night."""
    from fwfix.runner.fleet import observe_hosts

    hosts = [each.host for each in plan.hosts]
    seen = observe_hosts(hosts, work.surroundings, services={}, forks=forks, keep=False)
    silent = [f"{name}: {each.reason.message}" for name, each in seen.items() if each.reason is not None]
    for line in silent:
        work.surroundings.observer.note(f"cannot be reached yet: {line}")


def check_secrets(plan: Plan, store: SecretStore) -> None:
    """Find out before any host is contacted that a secret is not there."""
    from fwfix.loading.references import secrets_of

    for host in unique(tuple(each.host for each in plan.hosts), plan.vantages, plan.jumps):
        for ref in secrets_of(host):
            store.check(ref)
