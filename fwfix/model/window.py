"""Maintenance windows: when hosts may be changed. Pure; instants come in and go out as aware UTC.

A wall-clock time that a clock skips (DST) means the first instant after the gap; one that occurs twice means
its first occurrence. The weekday of a window is that of its start: Saturday 22:00-02:00 holds Sunday 01:00.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fwfix.model.duration import parse_duration

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANKS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_TIMES = re.compile(r"(\d{1,2}):(\d{2})(?:-(\d{1,2}):(\d{2})|\+(\S+))", re.ASCII)
_ISO_LENGTH = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)
_LONGEST = timedelta(days=31)
# Names in the zone database that stand for a machine's own time, or for none at all.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
_DAY = timedelta(days=1)
# Beyond this nobody plans; it bounds the search for the next opening of a rare day.
_HORIZON_DAYS = 366 * 8


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Opening:
    """One stretch of time in which hosts may be changed; `end` itself is outside."""

    start: datetime
    end: datetime

    def holds(self, instant: datetime) -> bool:
        """Tell whether an instant lies in it."""
        return self.start <= instant < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A window that opens once."""

    text: str
    opening: Opening

    timezone = "UTC"

    def openings(self, at: datetime) -> Iterator[Opening]:
        """Yield the opening if it ends after `at`."""
        if self.opening.end > at:
            yield self.opening


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule:
    """Which days: a weekday, in every week or by its rank in the month (-1 is the last)."""

    weekday: int
    rank: int = 0

    def matches(self, day: date) -> bool:
        """Tell whether a window starts on a day."""
        if day.weekday() != self.weekday:
            return False
        if self.rank == 0:
            return True
        if self.rank > 0:
            return (day.day - 1) // 7 + 1 == self.rank
        return (day + timedelta(days=7)).month != day.month


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A window that opens again and again.

    Attributes:
        end: by the wall clock; at or before `start` it is on the next day. None where `length` says it.
        length: elapsed time.
    """

    text: str
    days: tuple[DayRule, ...]
    start: time
    end: time | None
    length: timedelta | None
    zone: ZoneInfo

    @property
    def timezone(self) -> str:
        """The IANA name of the zone."""
        return self.zone.key

    def openings(self, at: datetime) -> Iterator[Opening]:
        """Yield openings that end after `at`, oldest first, not merged; those of no length are left out."""
        back = (self.length or _DAY) + 2 * _DAY
        first = (at.astimezone(self.zone) - back).date()
        for offset in range(_HORIZON_DAYS):
            day = first + timedelta(days=offset)
            if not any(rule.matches(day) for rule in self.days):
                continue
            opening = self._on(day)
            if opening.end > max(at, opening.start):
                yield opening

    def _on(self, day: date) -> Opening:
        start = instant_of(datetime.combine(day, self.start), self.zone)
        if self.length is not None:
            return Opening(start=start, end=start + self.length)
        assert self.end is not None
        last = day if self.end > self.start else day + _DAY
        return Opening(start=start, end=instant_of(datetime.combine(last, self.end), self.zone))


Window = Interval | Recurrence


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant of a wall-clock time: of two the first; for one that is skipped, the gap's end."""
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    # In a gap, fold=1 takes the offset after it and lands before the gap; the change is in between.
    low = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = instant
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def parse_window(text: str, timezone: str | None = None) -> Window:
    """Read an interval or a recurrence.

    Args:
        text: `2026-11-21T22:00+01:00/PT4H`, or `DAYS TIMES [ZONE]` such as `Sat 22:00-02:00 Europe/Berlin`.
        timezone: the zone where the text names none.

    Raises:
        ValueError: it is neither, or no zone is named anywhere: it is never the machine's own.
    """
    stripped = " ".join(text.split())
    if "/" in stripped.partition(" ")[0] and stripped[:1].isdigit() and "T" in stripped:
        return Interval(text=text, opening=_read_interval(stripped))
    return _read_recurrence(text, stripped, timezone)


def _read_interval(text: str) -> Opening:
    first, _, second = text.partition("/")
    try:
        start = _read_instant(first)
        end = start + _read_iso_length(second) if second.startswith("P") else _read_instant(second)
    except OverflowError:
        raise ValueError(f"{text!r} lies beyond the year 9999, or before the year 1") from None
    if end <= start:
        raise ValueError(f"{text!r} ends before it starts")
    return Opening(start=start, end=end)


def _read_instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-11-21T22:00+01:00") from None
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset: write {text}+01:00 or {text}Z")
    return instant.astimezone(UTC)


def _read_iso_length(text: str) -> timedelta:
    match = _ISO_LENGTH.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a length of time such as PT4H or P1DT30M")
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _read_recurrence(text: str, stripped: str, timezone: str | None) -> Recurrence:
    words = stripped.split(" ")
    index = next((n for n, word in enumerate(words) if _TIMES.fullmatch(word)), None)
    if index is None or index == 0:
        raise ValueError(
            f"{text!r} is not a maintenance window: write days, times and a zone, such as "
            "'Mon-Fri 22:00-02:00 Europe/Berlin', or an interval such as 2026-11-21T22:00+01:00/PT4H"
        )
    if len(words) - index > 2:  # noqa: PLR2004 - the times and the zone
        raise ValueError(f"{text!r}: {' '.join(words[index + 2 :])!r} after the zone makes no sense")
    named = words[index + 1] if len(words) > index + 1 else timezone
    if named is None:
        raise ValueError(f"{text!r} names no time zone: add one, such as Europe/Berlin or UTC")
    start, end, length = _read_times(words[index])
    return Recurrence(
        text=text,
        days=_read_days(" ".join(words[:index])),
        start=start,
        end=end,
        length=length,
        zone=_read_zone(named),
    )


def _read_zone(name: str) -> ZoneInfo:
    try:
        if name not in _NO_ZONES:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin or UTC")


def _read_times(text: str) -> tuple[time, time | None, timedelta | None]:
    match = _TIMES.fullmatch(text)
    assert match is not None
    start = _read_clock(match[1], match[2])
    if match[5] is None:
        return start, _read_clock(match[3], match[4]), None
    length = parse_duration(match[5])
    if not timedelta(0) < length <= _LONGEST:
        raise ValueError(f"{match[5]!r} is not a length between nothing and 31 days")
    return start, None, length


def _read_clock(hours: str, minutes: str) -> time:
    try:
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError(f"{hours}:{minutes} is not a time of day between 00:00 and 23:59") from None


def _read_days(text: str) -> tuple[DayRule, ...]:
    found: list[DayRule] = []
    for item in text.lower().split(","):
        found.extend(_read_day(item.strip(), text))
    return tuple(dict.fromkeys(found))


def _read_day(item: str, whole: str) -> Iterable[DayRule]:
    if item == "daily":
        return [DayRule(weekday=number) for number in range(7)]
    rank, _, day = item.partition(" ")
    if rank in _RANKS and day in _WEEKDAYS:
        return [DayRule(weekday=_WEEKDAYS.index(day), rank=_RANKS[rank])]
    first, _, last = item.partition("-")
    if first not in _WEEKDAYS or (last or first) not in _WEEKDAYS:
        raise ValueError(
            f"{whole!r} are not days: write Mon-Fri, Sat,Sun, daily, 1st Sat, 2nd Tue or last Sun"
        )
    begin, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last or first)
    return [DayRule(weekday=(begin + step) % 7) for step in range((end - begin) % 7 + 1)]


def clip(opening: Opening, blackouts: Iterable[Opening]) -> Iterator[Opening]:
    """Yield what is left of an opening once blackouts, sorted by their start, have taken their part."""
    start = opening.start
    for blackout in blackouts:
        if blackout.start >= opening.end:
            break
        if blackout.start > start:
            yield Opening(start=start, end=blackout.start)
        start = max(start, blackout.end)
        if start >= opening.end:
            return
    if start < opening.end:
        yield Opening(start=start, end=opening.end)


def intersect(one: Iterable[Opening], other: Iterable[Opening]) -> Iterator[Opening]:
    """Yield the stretches that lie in both, as far as they are asked for; both are as `merge` leaves them."""
    left, right = iter(one), iter(other)
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        start, end = max(a.start, b.start), min(a.end, b.end)
        if start < end:
            yield Opening(start=start, end=end)
        if a.end <= b.end:
            a = next(left, None)
        else:
            b = next(right, None)


def merge(openings: Iterable[Opening]) -> Iterator[Opening]:
    """Yield openings, which are sorted by their start, joined where they touch or overlap."""
    stretch: Opening | None = None
    for opening in openings:
        if stretch is None:
            stretch = opening
        elif opening.start <= stretch.end:
            stretch = Opening(start=stretch.start, end=max(stretch.end, opening.end))
        else:
            yield stretch
            stretch = opening
    if stretch is not None:
        yield stretch


def later(moment: datetime, by: timedelta) -> datetime:
    """Return a moment so much later, or the last one that there is."""
    return moment + min(by, LAST - moment)


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return a moment so much earlier, or the first one that there is."""
    return moment - min(by, moment - FIRST)
