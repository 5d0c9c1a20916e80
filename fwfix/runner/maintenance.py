"""Which hosts may be changed when: openings of windows, and whether a host's budget still fits. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from fwfix.deadlines import deadline_for, worst_case
from fwfix.loading.calendar import Calendar, NamedWindow
from fwfix.model.host import Host
from fwfix.model.plan import HostPlan, Reason
from fwfix.model.policy import Protection
from fwfix.model.window import Opening, intersect, merge

# After its deadline a host reverts by itself: the revert, and one more try of it, belong to the budget.
REVERT_ALLOWANCE = timedelta(seconds=60)
# Openings further away than these are nobody's plan for tonight.
_OPENINGS_LOOKED_AT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWindow:
    """When one host may be started.

    Attributes:
        name: of the host's window, for messages; empty where there is none.
        openings: finite, sorted, with blackouts taken out; None where nothing limits the host.
    """

    name: str
    openings: tuple[Opening, ...] | None

    def open_at(self, instant: datetime) -> Opening | None:
        """Return the opening that holds an instant."""
        return next((each for each in self.openings or () if each.holds(instant)), None)

    def next_after(self, instant: datetime) -> Opening | None:
        """Return the next opening that starts after an instant."""
        return next((each for each in self.openings or () if each.start > instant), None)


def budget_of(plan: HostPlan) -> timedelta:
    """Return the worst case of apply, verify and revert of a planned host."""
    return plan.deadline + REVERT_ALLOWANCE


def expected_budget(host: Host, protections: tuple[Protection, ...]) -> timedelta:
    """Return the same for a host that nobody looked at yet."""
    worst = worst_case(round_trip=1.0, protections=protections, addresses=2)
    return deadline_for(host.platform, worst, None) + REVERT_ALLOWANCE


def host_window(calendar: Calendar, host: Host, asked: NamedWindow | None, at: datetime) -> HostWindow:
    """Return when a host may be started: its own window and the one asked for together; blackouts win."""
    own = calendar.of_host(host)
    chosen = [each for each in (own, asked) if each is not None]
    if not chosen:
        return HostWindow(name="", openings=None)
    found = [merge(islice(calendar.openings(each.window, at), _OPENINGS_LOOKED_AT)) for each in chosen]
    openings = found[0] if len(found) == 1 else intersect(found[0], found[1])
    name = " and ".join(dict.fromkeys(each.name for each in chosen))
    return HostWindow(name=name, openings=openings)


def refuse_start(window: HostWindow, budget: timedelta, now: datetime) -> Reason | None:
    """Return why a host must not be started now; None if it may."""
    if window.openings is None:
        return None
    opening = window.open_at(now)
    if opening is not None and now + budget <= opening.end:
        return None
    following = window.next_after(now)
    opens = (
        f"it opens next at {following.start:%Y-%m-%dT%H:%M:%SZ}" if following else "it does not open again"
    )
    if opening is not None:
        needs = f"{round(budget.total_seconds())} s"
        return Reason(
            code="window-too-short",
            message=f"window {window.name} closes at {_z(opening.end)}, and this host may need {needs}",
            next=opens,
        )
    return Reason(code="outside-window", message=f"window {window.name} is closed", next=opens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One window as `fwfix maintenance` shows it."""

    window: NamedWindow
    hosts: tuple[str, ...]
    openings: tuple[Opening, ...]


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
        yield Listed(window=window, hosts=tuple(members[name]), openings=openings)


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


def _z(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
