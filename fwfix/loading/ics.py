"""Blackouts from `.ics` files: whatever a calendar program writes closes at least as long as it says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

from fwfix.errors import InventoryError
from fwfix.model.window import Opening, later

_LARGEST = 8 * 1024 * 1024
# The clocks on Earth that are furthest ahead and behind: what names no zone is closed on all of them.
_AHEAD, _BEHIND = timedelta(hours=14), timedelta(hours=12)
_DAY = timedelta(days=1)
_UNTIL = re.compile(r"UNTIL=(\d{8})(T\d{6})?(Z)?")


class IcsFile:
    """A calendar file as it was when it was read: every event of it is a blackout.

    Days and times without a zone are closed wherever on Earth that day is.
    """

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            InventoryError: it cannot be read or is not a calendar.
        """
        self._path = path
        events = _calendar(path).walk("VEVENT")
        self._replaced = _replaced(events, path)
        # One that is shown as free closes too: programs mark events of whole days so by themselves.
        self._events = [each for each in events if str(each.get("STATUS", "")).upper() != "CANCELLED"]
        for event in self._events:
            if event.errors:  # icalendar drops what it cannot read; a blackout must not become shorter by it
                raise InventoryError(f"holds an event with a wrong {event.errors[0][0]}", path=path)

    def blackouts(self, until: datetime, *, most: int) -> Iterator[Opening]:
        """Yield every event, a recurring one as long as it begins until then; in no order.

        Raises:
            InventoryError: an event makes no sense, or recurs more than `most` times: a blackout must not end
                by itself.
        """
        for event in self._events:
            try:
                yield from _openings(event, self._replaced, until, most)
            except (TypeError, ValueError, OverflowError) as exc:
                raise InventoryError(f"holds an event that cannot be used: {exc}", path=self._path) from None


def _calendar(path: Path) -> Any:  # noqa: ANN401 - icalendar's own type
    import icalendar  # noqa: PLC0415 - only where a site has such a file

    try:
        if not path.is_file():
            path.stat()  # raises where nothing is there at all
            raise InventoryError("is not a file", path=path)
        if path.stat().st_size > _LARGEST:
            raise InventoryError("this calendar is larger than 8 MB", path=path)
        return icalendar.Calendar.from_ical(path.read_bytes())
    except OSError as exc:
        raise InventoryError(f"cannot be read: {exc.strerror}", path=path) from None
    except ValueError as exc:
        raise InventoryError(f"is not a calendar: {ascii(str(exc))[1:80]}", path=path) from None


def _replaced(events: Sequence[Any], path: Path) -> Mapping[str, set[date]]:
    """Return by UID the occurrences that an event of their own moves or cancels."""
    found: dict[str, set[date]] = {}
    named = [(str(event["UID"]), event.get("RECURRENCE-ID")) for event in events if "UID" in event]
    for uid, replaces in named:
        if "RANGE" in getattr(replaces, "params", ()):
            raise InventoryError(
                "holds an event that changes all that follow it in its series (RANGE)",
                path=path,
                next="End that series in the calendar program, and begin another one.",
            )
        if isinstance(when := getattr(replaces, "dt", None), date):
            found.setdefault(uid, set()).add(when)
    return found


def _openings(
    event: Any,  # noqa: ANN401 - icalendar's own type
    replaced: Mapping[str, set[date]],
    until: datetime,
    most: int,
) -> Iterator[Opening]:
    start = event.decoded("DTSTART", None)
    if start is None:
        raise ValueError("it has no start")
    excluded = {item.dt for dates in _listed(event.get("EXDATE")) for item in dates.dts}
    if "RECURRENCE-ID" not in event:
        excluded |= replaced.get(str(event.get("UID", "")), set())
    wall, elapsed = _lengths(event, start)
    for begin in _occurrences(event, start, until, most):
        if begin not in excluded:
            yield _closed(begin, wall, elapsed)
    for begin, end in _added(event):
        if begin in excluded:
            continue
        if end is None:
            yield _closed(begin, wall, elapsed)
        else:
            yield _closed(begin, _between(begin, end), timedelta(0))


def _lengths(event: Any, start: date) -> tuple[timedelta, timedelta]:  # noqa: ANN401 - icalendar's own type
    """Return how long an event is by the wall clock, and how long in elapsed time.

    They differ where the clocks change in between; the later end of the two closes.
    """
    end, length = event.decoded("DTEND", None), event.decoded("DURATION", None)
    if isinstance(length, timedelta):
        return length, length
    if isinstance(end, date):
        return _between(start, end), _elapsed(start, end)
    whole = timedelta(0) if isinstance(start, datetime) else _DAY
    return whole, whole


def _between(start: date, end: date) -> timedelta:
    """Return the time between two as their own clocks show it, or as it passes where their zones differ."""
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return _day_of(end) - _day_of(start)
    if start.tzinfo is not None and end.tzinfo is not None and str(start.tzinfo) != str(end.tzinfo):
        return end.astimezone(UTC) - start.astimezone(UTC)
    return end.replace(tzinfo=None) - start.replace(tzinfo=None)


def _elapsed(start: date, end: date) -> timedelta:
    aware = isinstance(start, datetime) and isinstance(end, datetime) and start.tzinfo and end.tzinfo
    if not aware:
        return _between(start, end)
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    return end.astimezone(UTC) - start.astimezone(UTC)


def _day_of(when: date) -> date:
    return when.date() if isinstance(when, datetime) else when


def _occurrences(
    event: Any,  # noqa: ANN401 - icalendar's own type
    start: date,
    until: datetime,
    most: int,
) -> Iterator[date]:
    rules = _listed(event.get("RRULE"))
    yield start  # also where the rule alone would leave it out
    if not rules:
        return
    from dateutil.rrule import rrulestr  # noqa: PLC0415 - icalendar brings it along

    is_day = not isinstance(start, datetime)
    first = datetime.combine(start, time()) if is_day else start
    assert isinstance(first, datetime)
    zone: tzinfo | None = first.tzinfo
    limit = later(until, _DAY).replace(tzinfo=None)  # no clock is further from UTC
    for rule in rules:
        text = _until_by_the_clock(rule.to_ical().decode(), zone)
        for count, each in enumerate(rrulestr(text, dtstart=first.replace(tzinfo=None))):
            if each > limit:
                break
            if count >= most:
                raise ValueError(f"it recurs more than {most} times until {until:%Y-%m-%d}")
            shown = each.date() if is_day else each.replace(tzinfo=zone)
            if shown != start:
                yield shown


def _until_by_the_clock(rule: str, zone: tzinfo | None) -> str:
    """Return a recurrence rule with its last moment by the wall clock of the event, and the day included."""

    def read(found: "re.Match[str]") -> str:
        if found[2] is None:
            return f"UNTIL={found[1]}T235959"
        last = datetime.strptime(found[1] + found[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        if found[3]:
            last = last + _AHEAD if zone is None else last.astimezone(zone)
        return f"UNTIL={last:%Y%m%dT%H%M%S}"

    return _UNTIL.sub(read, rule)


def _added(event: Any) -> Iterator[tuple[date, date | None]]:  # noqa: ANN401 - icalendar's own type
    """Yield what RDATE adds: starts, or periods with an end of their own."""
    for dates in _listed(event.get("RDATE")):
        for item in dates.dts:
            if not isinstance(item.dt, tuple):
                yield item.dt, None
                continue
            begin, end = item.dt
            yield begin, begin + end if isinstance(end, timedelta) else end


def _listed(found: Any) -> list[Any]:  # noqa: ANN401 - a property may stand in an event several times
    if found is None:
        return []
    return list(found) if isinstance(found, list) else [found]


def _closed(start: date, wall: timedelta, elapsed: timedelta) -> Opening:
    if wall < timedelta(0) >= elapsed:
        raise ValueError("it ends before it starts")
    if isinstance(start, datetime) and start.tzinfo is not None:
        begin = start.astimezone(UTC)
        return Opening(start=begin, end=max(begin + elapsed, (start + wall).astimezone(UTC)))
    local = start if isinstance(start, datetime) else datetime.combine(start, time())
    begin = local.replace(tzinfo=UTC)
    return Opening(start=begin - _AHEAD, end=begin + wall + _BEHIND)
