"""Which hosts of a plan may be started: those asked for, with their secrets at hand, in their windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fwfix.cli.carrying import unique
from fwfix.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwfix.cli.carrying import Applying
    from fwfix.model.host import Host
    from fwfix.model.inventory import WindowText
    from fwfix.model.plan import Plan
    from fwfix.model.site import Site
    from fwfix.runner.site_gate import SiteGate
    from fwfix.secret_store import SecretStore


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


def check_secrets(plan: Plan, store: SecretStore) -> None:
    """Find out before any host is contacted that a secret is not there."""
    from fwfix.loading.references import secrets_of

    for host in unique(tuple(each.host for each in plan.hosts), plan.vantages, plan.jumps):
        for ref in secrets_of(host):
            store.check(ref)


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
