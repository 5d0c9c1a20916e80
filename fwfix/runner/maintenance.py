"""Which hosts may be changed when: openings of windows, and whether a host's budget still fits. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import islice, takewhile

from fwfix.deadlines import deadline_for, worst_case
from fwfix.loading.calendar import Calendar, NamedWindow
from fwfix.model.host import Host
from fwfix.model.plan import HostPlan, Reason
from fwfix.model.policy import Service
from fwfix.model.window import Opening, intersect

# After its deadline a host reverts by itself: the revert, and one more try of it, belong to the budget.
REVERT_ALLOWANCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWindow:
    """When a host may be started, seen from one moment.

    Attributes:
        at: that moment.
        name: of the host's window, for messages; empty where there is none.
        limited: False where nothing limits the host.
        current: the opening in progress, blackouts taken out.
        following: the first opening that is still to come; None where it does not open again.
    """

    at: datetime
    name: str
    limited: bool = True
    current: Opening | None = None
    following: Opening | None = None

    def holds(self, instant: datetime) -> bool:
        """Tell whether it is the same at another moment: nothing has opened or closed since."""
        if self.current is not None:
            return self.at <= instant < self.current.end
        return self.at <= instant and (self.following is None or instant < self.following.start)


def budget_of(plan: HostPlan) -> timedelta:
    """Return the worst case of apply, verify and revert of a planned host."""
    return plan.deadline + REVERT_ALLOWANCE


def expected_budget(
    host: Host, services: Sequence[Service], confirm_within: timedelta | None = None
) -> timedelta:
    """Return the same for a host that nobody looked at yet."""
    worst = worst_case(round_trip=1.0, services=services, addresses=2, vantages=2)
    return deadline_for(host.platform, worst, confirm_within) + REVERT_ALLOWANCE


def windows_of(calendar: Calendar, host: Host, asked: NamedWindow | None) -> tuple[NamedWindow, ...]:
    """Return the windows that a host must keep to: its own, and the one asked for."""
    return tuple(each for each in (calendar.of_host(host), asked) if each is not None)


def open_stretches(calendar: Calendar, windows: Sequence[NamedWindow], at: datetime) -> Iterator[Opening]:
    """Yield when all of these windows are open after `at`, as long as each stretch really is; blackouts win.

    It ends where the windows themselves do: recurrences are followed for eight years.
    """
    found = [calendar.stretches(each.window, at) for each in windows]
    return reduce(intersect, found)


def host_window(calendar: Calendar, windows: Sequence[NamedWindow], at: datetime) -> HostWindow:
    """Return when a host with these windows may be started."""
    if not windows:
        return HostWindow(at=at, name="", limited=False)
    current: Opening | None = None
    following: Opening | None = None
    for each in open_stretches(calendar, windows, at):
        if each.start > at:
            following = each
            break
        current = each
    name = " and ".join(dict.fromkeys(each.name for each in windows))
    return HostWindow(at=at, name=name, current=current, following=following)


def refuse_start(window: HostWindow, budget: timedelta, now: datetime) -> Reason | None:
    """Return why a host must not be started now; None if it may."""
    opening, following = window.current, window.following
    if not window.limited or (opening is not None and now + budget <= opening.end):
        return None
    opens = f"it opens next at {_z(following.start)}" if following else "it does not open again"
    if opening is not None:
        return Reason(
            code="window-too-short",
            message=f"window {window.name} closes at {_z(opening.end)},"
            f" and this host may need {_seconds(budget)}",
            next=opens,
        )
    return Reason(code="outside-window", message=f"window {window.name} is closed", next=opens)


def blackout_now(calendar: Calendar, now: datetime) -> Reason | None:
    """Return why no host may be started: a blackout is on."""
    blackout = calendar.blackout_at(now)
    if blackout is None:
        return None
    return Reason(
        code="blackout",
        message=f"a blackout lasts until {_z(blackout.end)}",
        next="wait until then, or override it: --break-glass REASON",
    )


def blackout_ahead(calendar: Calendar, budget: timedelta, now: datetime) -> Reason | None:
    """Return why a host without a window must not be started: a blackout begins before its budget ends."""
    needed = Opening(start=now, end=now + budget)
    begins = min((each.start for each in calendar.blackouts(needed)), default=None)
    if begins is None:
        return None
    return Reason(
        code="blackout",
        message=f"a blackout begins at {_z(begins)}, and this host may need {_seconds(budget)}",
        next="wait until it is over, or override it: --break-glass REASON",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One window as `fwfix maintenance` shows it.

    Attributes:
        stretches: for how long it is open where it is open during these openings: openings may touch others.
    """

    window: NamedWindow
    hosts: tuple[str, ...]
    openings: tuple[Opening, ...]
    stretches: tuple[Opening, ...]


def list_windows(calendar: Calendar, hosts: Iterable[Host], at: datetime, count: int) -> Iterator[Listed]:
    """Yield every window with its hosts and next openings: named ones, then those written inline."""
    members: dict[str, list[str]] = {name: [] for name in calendar.named}
    known: dict[str, NamedWindow] = dict(calendar.named)
    for host in hosts:
        window = calendar.of_host(host)
        if window is not None:
            known.setdefault(window.name, window)
            members.setdefault(window.name, []).append(host.name)
    for name, window in known.items():
        openings = tuple(islice(calendar.openings(window.window, at), count))
        yield Listed(
            window=window,
            hosts=tuple(members[name]),
            openings=openings,
            stretches=tuple(_around(calendar, window, openings, at)),
        )


def _around(
    calendar: Calendar, window: NamedWindow, openings: Sequence[Opening], at: datetime
) -> Iterator[Opening]:
    """Yield for how long a window is open where it is open during some of its openings."""
    shown = max((each.end for each in openings), default=at)
    return takewhile(lambda each: each.start < shown, calendar.stretches(window.window, at))


def maintenance_document(listed: Iterable[Listed], at: datetime) -> Mapping[str, object]:
    """Return `fwfix.maintenance/1`."""
    return {
        "schema": "fwfix.maintenance/1",
        "at": _z(at),
        "windows": [
            {
                "name": each.window.name,
                "timezone": each.window.window.timezone,
                "open": any(opening.holds(at) for opening in each.openings),
                "hosts": list(each.hosts),
                "openings": [{"start": _z(one.start), "end": _z(one.end)} for one in each.openings],
            }
            for each in listed
        ],
    }


def _seconds(budget: timedelta) -> str:
    return f"{round(budget.total_seconds())} s"


def _z(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
