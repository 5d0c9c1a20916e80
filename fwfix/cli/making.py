"""Make a plan from an inventory: what `plan` shows and what `apply -i` does at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fwfix import __version__

if TYPE_CHECKING:
    from fwfix.cli.reporting import Begun
    from fwfix.cli.session import Loaded
    from fwfix.model.inventory import ApprovalRule
    from fwfix.model.plan import Plan
    from fwfix.model.policy import Protection
    from fwfix.runner.context import RunContext
    from fwfix.runner.fleet import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line says about a plan."""

    accept: Sequence[str] = ()
    waves: str | None = None
    confirm_within: timedelta | None = None
    max_fail: str = "0"
    max_unreachable: str = "10%"
    expires: timedelta | None = None
    reason: str = ""
    forks: int = 50
    saved: bool = False
    keep_connections: bool = False
    offline: bool = False
    approvals: tuple[ApprovalRule, ...] = ()
    author_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A plan with what it was made from; a saved plan was made from nothing that is still at hand."""

    plan: Plan
    seen: Mapping[str, Seen]


def make(
    loaded: Loaded,
    protections: Mapping[str, tuple[Protection, ...]],
    context: RunContext,
    *,
    begun: Begun,
    wishes: Wishes,
) -> Made:
    """Look at every host and plan."""
    from fwfix.cli.session import read_accept, services_of
    from fwfix.loading.references import jump_hosts
    from fwfix.model.plan import Acceptance
    from fwfix.planning import PlanInputs, make_plan
    from fwfix.runner.fleet import observe_hosts
    from fwfix.runner.prepare import assumed, observed, observed_addresses, vantage_addresses

    everywhere, some = read_accept(loaded, wishes.accept)
    _check(wishes, hosts=len(loaded.hosts))
    seen = (
        assumed(loaded.hosts, context)
        if wishes.offline
        else observe_hosts(
            loaded.hosts,
            context,
            services=services_of(protections),
            forks=wishes.forks,
            keep=wishes.keep_connections,
        )
    )
    plan = make_plan(
        PlanInputs(
            hosts=loaded.hosts,
            protections=protections,
            seen=observed(seen),
            drivers=context.drivers,
            run_id=begun.run_id,
            created_at=begun.started_at,
            saved=wishes.saved,
            waves=wishes.waves,
            confirm_within=wishes.confirm_within,
            accepted=Acceptance(everywhere=everywhere, hosts=some),
            vantages=vantage_addresses(loaded.hosts, loaded.vantage_hosts, observed=observed_addresses(seen)),
            vantage_hosts=loaded.vantage_hosts,
            jump_hosts=tuple(jump_hosts(loaded.inventory, (*loaded.hosts, *loaded.vantage_hosts))),
            windows=loaded.inventory.windows_in_use,
            blackouts=loaded.inventory.blackouts,
            max_fail=wishes.max_fail,
            max_unreachable=wishes.max_unreachable,
            expires_at=None if wishes.expires is None else begun.started_at + wishes.expires,
            operator=begun.operator,
            controller=begun.controller,
            ticket=begun.ticket,
            reason=wishes.reason,
            inventory_digest=loaded.inventory.digest,
            fwfix_version=__version__,
            approvals=wishes.approvals,
            author_key=wishes.author_key,
        )
    )
    return Made(plan=plan, seen=seen)


def _check(wishes: Wishes, *, hosts: int) -> None:
    """Refuse what makes no sense before any host is contacted."""
    from fwfix.planning import check_confirm_within
    from fwfix.runner.limits import parse_limit
    from fwfix.waves import wave_ends

    for text, option in ((wishes.max_fail, "--max-fail"), (wishes.max_unreachable, "--max-unreachable")):
        parse_limit(text, hosts=hosts, option=option)
    if wishes.waves is not None:
        wave_ends(hosts, wishes.waves)
    check_confirm_within(wishes.confirm_within)
