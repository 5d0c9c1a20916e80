"""The opening in progress and the next one are found however often blackouts interrupt them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.errors import RefusedError
from fwfix.loading.calendar import Calendar
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import Inventory, WindowText
from fwfix.model.plan import HostPlan, PlannedOutcome
from fwfix.model.window import Opening
from fwfix.runner.context import Brake
from fwfix.runner.gate import GateOptions, WindowGate
from fwfix.runner.maintenance import REVERT_ALLOWANCE, host_window, windows_of

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY = 24 * 60
# A Monday; minutes are counted from here, and what is asked about lies in the second week.
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
HORIZON = 5 * 7 * DAY


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence, as text and as minutes."""

    days: frozenset[int]
    start: int
    length: int

    @property
    def text(self) -> str:
        days = ",".join(DAYS[day] for day in sorted(self.days))
        return f"{days} {self.start // 60:02}:{self.start % 60:02}+{self.length}m UTC"

    def minutes(self) -> set[int]:
        return {
            minute
            for day in range(HORIZON // DAY)
            if day % 7 in self.days
            for minute in range(day * DAY + self.start, day * DAY + self.start + self.length)
        }


def rules(shortest: int, longest: int) -> st.SearchStrategy[Rule]:
    return st.builds(
        Rule,
        st.frozensets(st.integers(0, 6), min_size=1),
        st.integers(0, DAY - 1),
        st.integers(shortest, longest),
    )


def host(window: str) -> Host:
    return Host(name="h", address="10.0.0.1", platform=Platform.LINUX, window=window)


def runs(minutes: set[int]) -> Iterator[Opening]:
    """Yield every stretch of minutes without a gap."""
    for first in sorted(minute for minute in minutes if minute - 1 not in minutes):
        last = first
        while last + 1 in minutes:
            last += 1
        yield Opening(start=at_minute(first), end=at_minute(last + 1))


def at_minute(minute: int) -> datetime:
    return MONDAY + timedelta(minutes=minute)


@settings(max_examples=60, deadline=None)
@given(
    own=rules(1, 3 * DAY),
    asked=st.none() | rules(1, 2 * DAY),
    blackouts=st.lists(rules(1, DAY), max_size=4),
    minute=st.integers(7 * DAY, 9 * DAY),
)
def test_what_is_open_now_and_next_agrees_with_a_walk_over_every_minute(
    *, own: Rule, asked: Rule | None, blackouts: list[Rule], minute: int
) -> None:
    texts = tuple(dict.fromkeys(each.text for each in blackouts))
    calendar = Calendar(Inventory(hosts={}, groups={}, policies={}, blackouts=texts))
    windows = windows_of(calendar, host(own.text), calendar.of_text(asked.text) if asked else None)
    found = host_window(calendar, windows, at_minute(minute))

    left = own.minutes() & (asked.minutes() if asked else own.minutes())
    for each in blackouts:
        left -= each.minutes()
    expected = [each for each in runs(left) if each.start < at_minute(HORIZON - 7 * DAY)]
    now = [each for each in expected if each.holds(at_minute(minute))]
    later = [each for each in expected if each.start > at_minute(minute)]
    assert not later or found.following == later[0]
    assert (found.current is None) == (not now)
    if now and found.current is not None:
        edge = at_minute(HORIZON - 7 * DAY)
        assert min(found.current.end, edge) == min(now[0].end, edge)


@settings(max_examples=60, deadline=None)
@given(
    own=rules(1, 8 * 60),
    blackouts=st.lists(rules(1, 6 * 60), max_size=3),
    minute=st.integers(7 * DAY, 9 * DAY),
    budget=st.integers(1, 9 * 60),
)
def test_a_host_starts_where_every_minute_of_its_budget_is_inside_and_nowhere_else(
    *, own: Rule, blackouts: list[Rule], minute: int, budget: int
) -> None:
    left = own.minutes()
    for each in blackouts:
        left -= each.minutes()
    fits = all(each in left for each in range(minute, minute + budget))
    texts = dict.fromkeys(each.text for each in blackouts)
    asked = gate(own.text, *texts, at=at_minute(minute), options=GateOptions())
    deadline = timedelta(minutes=budget) - REVERT_ALLOWANCE
    plan = HostPlan(host=host(own.text), outcome=PlannedOutcome.CHANGE, deadline=deadline)
    assert (asked(plan, Brake()) is None) == fits


def test_a_window_can_be_asked_for_by_its_name() -> None:
    night = WindowText(name="night", recurs="Mon 22:00-23:00", timezone="Europe/Berlin")
    free = replace(host("x"), window=None)

    def ask(at: datetime) -> bool:
        options = GateOptions(window="night")
        asked = WindowGate([free], windows=(night,), blackouts=(), options=options, clock=lambda: at)
        plan = HostPlan(host=free, outcome=PlannedOutcome.CHANGE, deadline=timedelta(minutes=2))
        return asked(plan, Brake()) is None

    assert ask(MONDAY + timedelta(hours=21))
    assert not ask(MONDAY + timedelta(hours=22))


def gate(window: str, *blackouts: str, at: datetime, options: GateOptions) -> WindowGate:
    return WindowGate([host(window)], windows=(), blackouts=blackouts, options=options, clock=lambda: at)


def test_blackouts_of_a_minute_each_do_not_hide_what_opens_in_a_month() -> None:
    every_ten_minutes = [f"daily {minute // 60:02}:{minute % 60:02}+1m UTC" for minute in range(0, DAY, 10)]
    waiting = gate(
        "daily 00:00-00:00 UTC",
        *every_ten_minutes,
        at=MONDAY,
        options=GateOptions(wait=True, window="2026-12-02T09:05Z/PT4H"),
    )
    opens = waiting.next_opening({"h": timedelta(minutes=3)}, [host("daily 00:00-00:00 UTC")])
    assert opens == datetime(2026, 12, 2, 9, 5, tzinfo=UTC)


def test_a_long_blackout_does_not_hide_what_opens_behind_it() -> None:
    night = "daily 22:00-22:05 UTC"
    closed = gate(night, "2026-11-01T00:00Z/P200D", at=MONDAY, options=GateOptions(wait=True))
    opens = closed.next_opening({"h": timedelta(minutes=3)}, [host(night)])
    assert opens == datetime(2027, 5, 20, 22, tzinfo=UTC)


def test_nobody_waits_for_openings_that_are_all_too_short() -> None:
    short = "daily 22:00-22:05 UTC"
    options = GateOptions(wait=True)
    gate(short, at=MONDAY, options=options).refuse_closed({"h": timedelta(minutes=5)}, [host(short)])
    with pytest.raises(RefusedError, match="long enough"):
        gate(short, at=MONDAY, options=options).refuse_closed({"h": timedelta(minutes=6)}, [host(short)])


def test_a_window_that_is_always_open_is_asked_about_once_for_a_whole_fleet() -> None:
    always = "daily 00:00-00:00 UTC"
    now = [MONDAY]
    asked = WindowGate([host(always)], windows=(), blackouts=(), options=GateOptions(), clock=lambda: now[0])
    first = asked._window(host(always), now[0])
    assert asked._window(host(always), now[0] + timedelta(days=1)) is first
    assert asked._window(host(always), now[0] - timedelta(days=1)) is not first
