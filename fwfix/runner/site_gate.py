"""What no flag overrides, beside the windows of the hosts: the site's blackouts, and the end of a plan."""

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
        expires_at: datetime | None = None,
    ) -> None:
        """Read windows and blackouts; the site's count among the others, and again where these do not.

        From `expires_at` on no host is started any more, however long it waited for its window.
        """
        self._windows = WindowGate(
            hosts,
            windows=windows,
            blackouts=tuple(dict.fromkeys((*blackouts, *site_blackouts))),
            options=options,
            clock=clock,
        )
        self._site = Calendar(Inventory(hosts={}, groups={}, policies={}, blackouts=tuple(site_blackouts)))
        self._clock = clock
        self._expires_at = expires_at

    def __call__(self, plan: HostPlan, brake: Brake) -> Reason | None:
        """Return why a host must not be started; with `wait`, not before its window has opened."""
        expired = self._expired(plan.host, budget_of(plan))
        # It may have waited long, and the plan may have expired meanwhile.
        return expired or self._joined(plan, self._windows(plan, brake))

    def still(self, plan: HostPlan) -> Reason | None:
        """Return why a host must not be started any more: who lets us in late may be too late."""
        return self._joined(plan, self._windows.still(plan))

    def _joined(self, plan: HostPlan, refused: Reason | None) -> Reason | None:
        """Return what keeps a host from being started now, whatever its windows say."""
        budget = budget_of(plan)
        site = self._blackout(budget)
        if refused is not None:
            # What overrides another blackout must not be offered against the site's.
            return site if site is not None and site.code == refused.code else refused
        return self._expired(plan.host, budget) or site

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
            RefusedError: every host is outside its window, or the site has a blackout that is overridden, or
                the plan expires before any host may be started.
        """
        closed = self._blackout(min(budgets[host.name] for host in hosts)) if hosts else None
        if closed is not None and self.next_opening(budgets, hosts) is None:
            # What overrides another blackout must not be offered against this one.
            raise _refusal(closed)
        self._windows.refuse_closed(budgets, hosts)
        late = [self._expired(host, budgets[host.name]) for host in hosts]
        if late and late[0] is not None and all(late):
            raise _refusal(late[0])
        if closed is not None and self._windows.is_overridden:
            raise _refusal(closed)

    def _expired(self, host: Host, budget: timedelta) -> Reason | None:
        """Return why a host is not to be started, now or when its window opens: the plan ends before."""
        expires, now = self._expires_at, self._clock()
        if expires is None:
            return None
        starts = self._windows.start_of(host, budget, now)
        if starts is None or starts < expires:
            return None
        opens = f"may not start before {starts:%Y-%m-%dT%H:%M:%SZ}, and expires"
        said = "expired" if expires <= now else opens
        return Reason(
            code="expired-plan",
            message=f"this plan {said} at {expires:%Y-%m-%dT%H:%M:%SZ}",
            next="Make a new one with fwfix plan -o FILE.",
        )

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


def _refusal(reason: Reason) -> RefusedError:
    """Refuse the whole run for what keeps its hosts from being started."""
    return RefusedError(reason.message, next=reason.next, code=reason.code)
