"""When hosts may be changed: the inventory's windows and blackouts, read from text and from .ics files."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from fwfix.errors import InventoryError
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory
from fwfix.model.window import Opening, Window, clip, merge, parse_window

_ICS = re.compile(r".*\.ics", re.IGNORECASE)
_LARGEST_ICS = 8 * 1024 * 1024
# The clocks on Earth that are furthest ahead and behind: what names no zone is closed on all of them.
_AHEAD, _BEHIND = timedelta(hours=14), timedelta(hours=12)
_DAY = timedelta(days=1)
# Calendar files are read for so long beyond the moment that somebody asks for.
_LOOK_AHEAD = timedelta(days=800)
_LAST = datetime.max.replace(tzinfo=UTC)
# Every hour for a decade; what recurs more often is refused, since a blackout must not end by itself.
_MOST_OCCURRENCES = 100_000
_UNTIL = re.compile(r"UNTIL=(\d{8})(T\d{6})?(Z)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWindow:
    """A window under the name that people know it by; one written inline has its text as its name."""

    name: str
    window: Window


class Calendar:
    """Windows of hosts, and the blackouts that win over them."""

    def __init__(self, inventory: Inventory) -> None:
        """Read every window and blackout.

        Raises:
            InventoryError: one of them is not one; names the place in the inventory.
        """
        self._inventory = inventory
        self.named: Mapping[str, NamedWindow] = {
            name: NamedWindow(
                name=name, window=self._parse(text.recurs, text.timezone, ("maintenance_windows", name))
            )
            for name, text in inventory.windows.items()
        }
        self._inline: dict[str, NamedWindow] = {}
        for host in inventory.hosts.values():
            self.of_host(host)
        self._files = tuple(Path(text) for text in inventory.blackouts if _ICS.fullmatch(text))
        self._recurring = tuple(
            self._parse(text, None, ("blackouts", text))
            for text in inventory.blackouts
            if not _ICS.fullmatch(text)
        )
        self._read: tuple[datetime | None, tuple[Opening, ...]] = (None, ())

    def _fixed(self, until: datetime) -> tuple[Opening, ...]:
        """Return the blackouts of the calendar files at least until then, opened when somebody asks.

        They are joined where they touch.
        """
        read_until, found = self._read
        if read_until is None or until > read_until:
            read_until = max(until, datetime.now(UTC))
            read_until += min(_LOOK_AHEAD, _LAST - read_until)
            each_one = (each for path in self._files for each in read_ics(path, until=read_until))
            found = tuple(merge(sorted(each_one)))
            self._read = read_until, found
        return found

    def read_files(self) -> None:
        """Open every calendar file now, and not only when a host is about to start.

        Raises:
            InventoryError: one cannot be read or understood.
        """
        self._fixed(datetime.now(UTC))

    def of_host(self, host: Host) -> NamedWindow | None:
        """Return the window of a host; None where it has none."""
        return None if host.window is None else self._find(host.window, ("hosts", host.name))

    def of_text(self, text: str) -> NamedWindow:
        """Return a window of the inventory by its name, or one written out.

        Raises:
            InventoryError: it is neither.
        """
        return self._find(text, None)

    def stretches(self, window: Window, at: datetime) -> Iterator[Opening]:
        """Yield when a window is open after `at` without the blackouts' part, in whole stretches."""
        # Where openings overlap, what is left of the later one begins inside what is left of the earlier one.
        pieces = (left for each in window.openings(at) for left in clip([each], self.blackouts(each)))
        return merge(left for left in pieces if left.end > at)

    def openings(self, window: Window, at: datetime) -> Iterator[Opening]:
        """Yield the openings of a window that end after `at`, without the blackouts' part."""
        for opening in window.openings(at):
            for left in clip([opening], self.blackouts(opening)):
                if left.end > at:
                    yield left

    def blackouts(self, during: Opening) -> Iterator[Opening]:
        """Yield every blackout that touches a stretch of time."""
        fixed = self._fixed(during.end)
        first = bisect_right(fixed, during.start, key=lambda each: each.end)
        yield from takewhile(lambda each: each.start < during.end, islice(fixed, first, None))
        for window in self._recurring:
            yield from takewhile(lambda each: each.start < during.end, window.openings(during.start))

    def blackout_at(self, instant: datetime) -> Opening | None:
        """Return the blackout that holds an instant, if one does."""
        moment = Opening(start=instant, end=instant + timedelta(seconds=1))
        return next((blackout for blackout in self.blackouts(moment) if blackout.holds(instant)), None)

    def _find(self, text: str, place: object) -> NamedWindow:
        if text in self.named:
            return self.named[text]
        if text not in self._inline:
            self._inline[text] = NamedWindow(name=text, window=self._parse(text, None, place))
        return self._inline[text]

    def _parse(self, text: str, timezone: str | None, place: object) -> Window:
        try:
            return parse_window(text, timezone)
        except ValueError as exc:
            nearest = get_close_matches(text, self._inventory.windows, n=1)
            hint = f"; did you mean the window {nearest[0]}?" if nearest else ""
            raise self._wrong(f"{exc}{hint}", place) from None

    def _wrong(self, message: str, place: object) -> InventoryError:
        where = self._inventory.places.get(place) if place is not None else None
        path, _, line = where.rpartition(":") if where else ("", "", "")
        return InventoryError(message, path=path or None, line=int(line) if line.isdigit() else None)


def read_ics(path: Path, *, until: datetime) -> tuple[Opening, ...]:
    """Return every event of a calendar file as a blackout, recurring ones as long as they begin until then.

    Days and times without a zone are closed wherever on Earth that day is.

    Raises:
        InventoryError: the file cannot be read or is not a calendar.
    """
    import icalendar  # noqa: PLC0415 - only where a site has such a file

    try:
        if path.stat().st_size > _LARGEST_ICS:
            raise InventoryError("this calendar is larger than 8 MB", path=path)
        calendar = icalendar.Calendar.from_ical(path.read_bytes())
    except OSError as exc:
        raise InventoryError(f"cannot be read: {exc.strerror}", path=path) from None
    except ValueError as exc:
        raise InventoryError(f"is not a calendar: {exc}", path=path) from None
    found: list[Opening] = []
    events = calendar.walk("VEVENT")
    replaced = _replaced(events, path)
    for event in events:
        # One that is shown as free closes too: programs mark events of whole days so by themselves.
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        if event.errors:  # icalendar drops what it cannot read; a blackout must not become shorter by it
            raise InventoryError(f"holds an event with a wrong {event.errors[0][0]}", path=path)
        try:
            found.extend(_event(event, replaced, until))
        except (TypeError, ValueError, OverflowError) as exc:
            raise InventoryError(f"holds an event that makes no sense: {exc}", path=path) from None
    return tuple(sorted(found))


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


def _event(
    event: Any,  # noqa: ANN401 - icalendar's own type
    replaced: Mapping[str, set[date]],
    until: datetime,
) -> Iterator[Opening]:
    start = event.decoded("DTSTART", None)
    if start is None:
        raise ValueError("it has no start")
    excluded = {item.dt for dates in _listed(event.get("EXDATE")) for item in dates.dts}
    if "RECURRENCE-ID" not in event:
        excluded |= replaced.get(str(event.get("UID", "")), set())
    for begin in _occurrences(event, start, excluded, until):
        yield _closed(begin, *_lengths(event, start))
    for begin, end in _added(event):
        if begin in excluded:
            continue
        wall, elapsed = _lengths(event, start) if end is None else (_between(begin, end), timedelta(0))
        yield _closed(begin, wall, elapsed)


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
    excluded: set[date],
    until: datetime,
) -> Iterator[date]:
    rules = _listed(event.get("RRULE"))
    if start not in excluded:
        yield start  # the first, also where the rule alone would leave it out
    if not rules:
        return
    from dateutil.rrule import rrulestr  # noqa: PLC0415 - icalendar brings it along

    is_day = not isinstance(start, datetime)
    first = datetime.combine(start, time()) if is_day else start
    assert isinstance(first, datetime)
    zone: tzinfo | None = first.tzinfo
    limit = until.replace(tzinfo=None) + min(_DAY, _LAST - until)  # no clock is further from UTC
    for rule in rules:
        text = _until_by_the_clock(rule.to_ical().decode(), zone)
        for count, each in enumerate(rrulestr(text, dtstart=first.replace(tzinfo=None))):
            if each > limit:
                break
            if count >= _MOST_OCCURRENCES:
                raise ValueError(f"it recurs more than {_MOST_OCCURRENCES} times")
            shown = each.date() if is_day else each.replace(tzinfo=zone)
            if shown != start and shown not in excluded:
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
