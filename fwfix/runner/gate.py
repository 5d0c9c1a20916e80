"""Lets a host start only inside its window, and only where its whole budget still fits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from fwfix.errors import RefusedError
from fwfix.loading.calendar import Calendar, NamedWindow
from fwfix.model.duration import format_duration
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory, WindowText
from fwfix.model.plan import HostPlan, Reason
from fwfix.model.window import LAST, Opening, clip
from fwfix.runner.context import Brake
from fwfix.runner.maintenance import (
    HostWindow,
    blackout_ahead,
    blackout_now,
    budget_of,
    host_window,
    open_stretches,
    refuse_start,
    windows_of,
)

# The wall clock is asked again this often while waiting: it may step, and the machine may have slept.
_LOOK_AGAIN_SECONDS = 15.0
# While waiting, how long it still takes is said once when no more than this is left.
_SAID_AT = tuple(timedelta(minutes=minutes) for minutes in (60, 30, 10, 5, 1))
# Nobody waits longer than this for a blackout to end.
_FAR = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """What the command line says about windows.

    Attributes:
        window: a name, an interval or a recurrence; narrows each host's own window.
        now: start hosts that have no window at all, although others have one.
        break_glass: why windows and blackouts do not count; empty where they do.
    """

    window: str | None = None
    wait: bool = False
    now: bool = False
    break_glass: str = ""


class WindowGate:
    """Says of each host at the moment at which it would be started whether it may."""

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        windows: Sequence[WindowText],
        blackouts: Sequence[str],
        options: GateOptions,
        clock: Callable[[], datetime],
    ) -> None:
        by_name = {host.name: host for host in hosts}
        named: Mapping[str, WindowText] = {text.name: text for text in windows}
        inventory = Inventory(
            hosts=MappingProxyType(by_name), groups={}, policies={}, windows=named, blackouts=tuple(blackouts)
        )
        self._calendar = Calendar(inventory)
        self._asked: NamedWindow | None = self._calendar.of_text(options.window) if options.window else None
        self._options = options
        self._clock = clock
        self._known: dict[tuple[NamedWindow, ...], HostWindow] = {}
        self._coming: dict[tuple[tuple[NamedWindow, ...], timedelta], tuple[datetime, datetime | None]] = {}
        self._tell: Callable[[str], None] = _keep_silent
        self._told: set[tuple[datetime, timedelta]] = set()
        # Where windows are in use, a host without one is an oversight until somebody says otherwise.
        self._in_use = bool(windows) or any(host.window is not None for host in hosts)

    def __call__(self, plan: HostPlan, brake: Brake) -> Reason | None:
        """Return why a host must not be started; with `wait`, not before its window has opened."""
        while True:
            budget = budget_of(plan)
            reason = self._refuse(plan.host, budget)
            if reason is None or not self._options.wait:
                return reason
            opens = self._opens(plan.host, budget)
            if opens is None:
                return reason
            if brake.held is not None:
                return brake.held  # it would have waited: what keeps it out is the stop
            left = opens - self._clock()
            self._count_down(opens, left)
            brake.pause(min(_LOOK_AGAIN_SECONDS, max(0.05, left.total_seconds())))

    def still(self, plan: HostPlan) -> Reason | None:
        """Return why a host must not be started now; waits for nothing."""
        return self._refuse(plan.host, budget_of(plan))

    def count_down_to(self, tell: Callable[[str], None]) -> None:
        """Tell somebody, while hosts wait, how long it still takes."""
        self._tell = tell

    def _count_down(self, opens: datetime, left: timedelta) -> None:
        passed = min((each for each in _SAID_AT if left <= each), default=None)
        if passed is not None and (opens, passed) not in self._told:
            self._told.add((opens, passed))
            rounded = timedelta(seconds=max(1, round(left.total_seconds())))
            self._tell(f"the window opens in {format_duration(rounded)}, at {opens:%Y-%m-%dT%H:%M:%SZ}")

    def soonest_first(self, plans: Sequence[HostPlan]) -> tuple[HostPlan, ...]:
        """Return hosts by when they may be started: who waits for tomorrow keeps nobody from starting now."""
        if not self._options.wait:
            return tuple(plans)
        now = self._clock()
        return tuple(sorted(plans, key=lambda plan: self.start_of(plan.host, budget_of(plan), now) or LAST))

    def start_of(self, host: Host, budget: timedelta, now: datetime) -> datetime | None:
        """Return when a host may be started: now, or at an opening to come; None if never."""
        return now if self._refuse(host, budget) is None else self._opens(host, budget)

    @property
    def is_overridden(self) -> bool:
        """Whether the glass was broken, so that windows and blackouts do not count."""
        return bool(self._options.break_glass)

    def next_opening(self, budgets: Mapping[str, timedelta], hosts: Sequence[Host]) -> datetime | None:
        """Return when the first of the hosts may be started, and its budget fits; None if none ever may."""
        found = (self._opens(host, budgets[host.name]) for host in hosts)
        return min((opens for opens in found if opens is not None), default=None)

    def refuse_closed(self, budgets: Mapping[str, timedelta], hosts: Sequence[Host]) -> None:
        """Refuse the whole run where no host may be started now; nobody has been contacted.

        Raises:
            RefusedError: every host is outside its window, with `wait` for ever; names the next opening.
        """
        if not hosts:
            return
        reasons = [self._refuse(host, budgets[host.name]) for host in hosts]
        if any(reason is None for reason in reasons):
            return
        first = reasons[0]
        assert first is not None
        opens = self.next_opening(budgets, hosts)
        if self._options.wait and opens is not None:
            return
        if opens is not None:
            said = f"The next opening is at {opens:%Y-%m-%dT%H:%M:%SZ}; wait for it with --wait."
        elif self._window(hosts[0], self._clock()).following is not None:
            said = "No opening to come is long enough."
        else:
            said = first.next
        raise RefusedError(f"no host may be started now: {first.message}", next=said, code=first.code)

    def _opens(self, host: Host, budget: timedelta) -> datetime | None:
        """Return when a host that is held up now may be started; None if that is not to be expected."""
        now = self._clock()
        windows = windows_of(self._calendar, host, self._asked)
        # To find that there is none takes years of openings, and the hosts of a fleet share a few windows.
        looked, opens = self._coming.get((windows, budget), (None, None))
        if looked is None or now < looked or (opens is not None and opens <= now):
            opens = self._look_for(windows, budget, now)
            self._coming[windows, budget] = now, opens
        return opens

    def _look_for(
        self, windows: tuple[NamedWindow, ...], budget: timedelta, now: datetime
    ) -> datetime | None:
        if windows:
            coming = (each for each in open_stretches(self._calendar, windows, now) if each.start > now)
            return next((each.start for each in coming if each.end - each.start >= budget), None)
        if self._in_use and not self._options.now:
            return None
        # Without a window only a blackout holds it up.
        ahead = Opening(start=now, end=now + _FAR)
        free = clip(ahead, self._calendar.blackouts(ahead))
        return next((left.start for left in free if left.end - left.start >= budget), None)

    def _window(self, host: Host, now: datetime) -> HostWindow:
        windows = windows_of(self._calendar, host, self._asked)
        known = self._known.get(windows)
        if known is None or not known.holds(now):
            known = self._known[windows] = host_window(self._calendar, windows, now)
        return known

    def _refuse(self, host: Host, budget: timedelta) -> Reason | None:
        if self._options.break_glass:
            return None
        now = self._clock()
        blackout = blackout_now(self._calendar, now)
        if blackout is not None:
            return blackout
        window = self._window(host, now)
        if not window.limited and self._in_use and not self._options.now:
            return Reason(
                code="no-window",
                message=f"{host.name} has no maintenance window, and others in this inventory have",
                next="give it a window, name one with --window, or start it with --now",
            )
        if not window.limited:
            return blackout_ahead(self._calendar, budget, now)
        return refuse_start(window, budget, now)


def _keep_silent(_text: str) -> None:
    """Tell nobody."""
