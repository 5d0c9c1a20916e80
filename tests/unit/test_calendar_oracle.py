"""Windows less blackouts, written as text and as events, against sums that know nothing of the program."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from fwfix.loading.calendar import Calendar
from fwfix.model.inventory import Inventory

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = 24 * 60
_BEGINS = datetime(2026, 11, 16, tzinfo=UTC)  # a Monday


@dataclass(frozen=True)
class Weekly:
    """From a minute of some days of the week on, for a number of minutes; all of it in UTC."""

    days: frozenset[int]
    start: int
    length: int

    def holds(self, instant: datetime) -> bool:
        week = [day * _DAY + self.start for day in self.days]
        minute = (instant - _BEGINS) // timedelta(minutes=1) % (7 * _DAY)
        return any((minute - start) % (7 * _DAY) < self.length for start in week)

    def as_text(self) -> str:
        days = ",".join(_DAYS[day] for day in sorted(self.days))
        return f"{days} {self.start // 60:02}:{self.start % 60:02}+{self.length}m UTC"

    def as_event(self, since: int) -> str:
        first = _BEGINS - timedelta(weeks=since) + timedelta(minutes=self.start, days=min(self.days))
        days = ",".join(_DAYS[day][:2].upper() for day in sorted(self.days))
        lines = (
            f"DTSTART:{first:%Y%m%dT%H%M%SZ}",
            f"DURATION:PT{self.length}M",
            f"RRULE:FREQ=WEEKLY;BYDAY={days}",
        )
        return "".join(f"{line}\r\n" for line in ("BEGIN:VEVENT", *lines, "END:VEVENT"))


def _opens(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00Z")


WEEKLY = st.builds(
    Weekly,
    days=st.frozensets(st.integers(0, 6), min_size=1, max_size=3),
    start=st.integers(0, _DAY - 1),
    length=st.integers(1, 30 * 60),
)


@given(
    window=st.one_of(st.sampled_from(["2000-01-01", "2024-02-29", "2026-11-20"]), WEEKLY),
    texts=st.lists(WEEKLY, max_size=2),
    events=st.lists(st.tuples(WEEKLY, st.integers(0, 500)), max_size=3),
    asked=st.lists(st.integers(0, 20 * _DAY), min_size=2, max_size=30).map(sorted),
)
@settings(max_examples=150, deadline=None)
def test_a_window_is_open_where_it_is_and_no_blackout_is(
    window: str | Weekly,
    texts: Sequence[Weekly],
    events: Sequence[tuple[Weekly, int]],
    asked: Sequence[int],
) -> None:
    now = _BEGINS + timedelta(minutes=asked[0])
    with TemporaryDirectory() as folder:
        path = Path(folder, "freeze.ics")
        content = "".join(event.as_event(since) for event, since in events)
        path.write_text(f"BEGIN:VCALENDAR\r\n{content}END:VCALENDAR\r\n", newline="")
        blackouts = (*(text.as_text() for text in texts), *([str(path)] if events else []))
        calendar = Calendar(Inventory(hosts={}, groups={}, policies={}, blackouts=blackouts))
        text = f"{window}T00:00Z/2999-01-01T00:00Z" if isinstance(window, str) else window.as_text()
        named = calendar.of_text(text)
        last = _BEGINS + timedelta(minutes=asked[-1])
        found = []
        for stretch in calendar.stretches(named.window, now):
            if stretch.start > last:
                break
            found.append(stretch)
        closed = [*texts, *(event for event, _ in events)]
        for minutes in asked:
            instant = _BEGINS + timedelta(minutes=minutes)
            is_open = _opens(window) <= instant if isinstance(window, str) else window.holds(instant)
            expected = is_open and not any(each.holds(instant) for each in closed)
            assert any(stretch.holds(instant) for stretch in found) == expected, instant
            blackout = calendar.blackout_at(instant)
            assert (blackout is not None) == any(each.holds(instant) for each in closed), instant
            if blackout is not None and blackout.end < instant + timedelta(days=300):
                assert not any(each.holds(blackout.end) for each in closed)
                before = blackout.end - timedelta(minutes=1)
                assert any(each.holds(before) for each in closed)
    assert all(one.end < other.start for one, other in pairwise(found))
