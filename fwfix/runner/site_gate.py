"""The site's blackouts, which no flag overrides, in front of the windows of the hosts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from fwfix.errors import RefusedError
from fwfix.loading.calendar import Calendar
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory, WindowText
from fwfix.model.plan import HostPlan, Reason
from fwfix.runner.context import Brake
from fwfix.runner.gate import GateOptions, WindowGate
from fwfix.runner.maintenance import blackout_ahead, blackout_now, budget_of


class SiteGate:
    """Says of each host when it would be started whether it may: by its windows, and by the site."""

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        windows: Sequence[WindowText],
        blackouts: Sequence[str],
        site_blackouts: Sequence[str],
        options: GateOptions,
        clock: Callable[[], datetime],
    ) -> None:
        """Read windows and blackouts; the site's count among the others, and again where these do not."""
        self._windows = WindowGate(
            hosts,
            windows=windows,
            blackouts=tuple(dict.fromkeys((*blackouts, *site_blackouts))),
            options=options,
            clock=clock,
        )
        self._site = Calendar(Inventory(hosts={}, groups={}, policies={}, blackouts=tuple(site_blackouts)))
        self._clock = clock

    def __call__(self, plan: HostPlan, brake: Brake) -> Reason | None:
        """Return why a host must not be started."""
        return self._windows(plan, brake) or self._blackout(budget_of(plan))

    def next_opening(self, budgets: Mapping[str, timedelta], hosts: Sequence[Host]) -> datetime | None:
        """Return when the first of the hosts may be started, and its budget fits; None if none ever may."""
        return self._windows.next_opening(budgets, hosts)

    def count_down_to(self, tell: Callable[[str], None]) -> None:
        """Tell somebody, while hosts wait, how long it still takes."""
        self._windows.count_down_to(tell)

    def soonest_first(self, plans: Sequence[HostPlan]) -> tuple[HostPlan, ...]:
        """Return hosts by when they may be started, where they wait for it."""
        return self._windows.soonest_first(plans)

    def refuse_closed(self, budgets: Mapping[str, timedelta], hosts: Sequence[Host]) -> None:
        """Refuse the whole run where no host may be started now; nobody has been contacted.

        Raises:
            RefusedError: every host is outside its window, or the site has a blackout that is overridden.
        """
        self._windows.refuse_closed(budgets, hosts)
        if not self._windows.is_overridden or not hosts:
            return
        reason = self._blackout(min(budgets[host.name] for host in hosts))
        if reason is not None:
            raise RefusedError(reason.message, next=reason.next, code=reason.code)

    def _blackout(self, budget: timedelta) -> Reason | None:
        now = self._clock()
        reason = blackout_now(self._site, now) or blackout_ahead(self._site, budget, now)
        if reason is None:
            return None
        return Reason(
            code="blackout",
            message=f"the site says: {reason.message}",
            next="wait until then; --break-glass does not override the site's own blackouts",
        )
