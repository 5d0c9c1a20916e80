"""What `apply` does, from a saved plan or from an inventory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from fwfix.cli.admitting import check_secrets, gate_of, make_gate, narrow
from fwfix.cli.approving import demanded, read_signed, refuse_by_site, refuse_early, refuse_unapproved
from fwfix.cli.carrying import Applying, Paper, Work, carry_out, leave_run, opened, unique
from fwfix.cli.continuing import Continuing, go_on
from fwfix.cli.making import Made, Wishes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fwfix.cli.approving import SignedPlan
    from fwfix.journal import Journal
    from fwfix.model.plan import Plan
    from fwfix.model.site import Site


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


def _test_credentials(plan: Plan, work: Work, *, forks: int) -> None:
    """Log on to every host before waiting for its window: a wrong password is found now, not at night."""
    from fwfix.runner.fleet import observe_hosts

    hosts = [each.host for each in plan.hosts]
    seen = observe_hosts(hosts, work.surroundings, services={}, forks=forks, keep=False)
    silent = [f"{name}: {each.reason.message}" for name, each in seen.items() if each.reason is not None]
    for line in silent:
        work.surroundings.observer.note(f"cannot be reached yet: {line}")
