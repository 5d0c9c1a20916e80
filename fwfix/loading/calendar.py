"""When hosts may be changed: the inventory's windows and blackouts, read from text and from .ics files."""

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path

from fwfix.errors import InventoryError
from fwfix.loading.ics import IcsFile
from fwfix.model.host import Host
from fwfix.model.inventory import Inventory
from fwfix.model.window import FIRST, Opening, Window, clip, earlier, later, merge, parse_window

_ICS = re.compile(r".*\.ics", re.IGNORECASE)
# Blackouts that recur are followed for so long: those of calendar files at first, and all where that does not
# suffice. What comes later counts as closed, since nobody looked; windows are followed for longer.
_NEAR, _FAR = timedelta(days=800), timedelta(days=366 * 6)
# Where a window has been open for longer, a blackout before that changes nothing any more.
_YEAR = timedelta(days=366)
# Every hour for eleven years. A file that holds no more in the near future passes the later look, too.
_MOST_NEAR, _MOST_FAR = 100_000, 1_000_000


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
        self._followed: tuple[datetime, tuple[Opening, ...]] = (FIRST, ())

    @cached_property
    def _read(self) -> tuple[IcsFile, ...]:
        """The calendar files, read when somebody asks."""
        return tuple(IcsFile(path) for path in self._files)

    def _fixed(self, until: datetime) -> tuple[datetime, tuple[Opening, ...]]:
        """Return the blackouts of the calendar files joined where they touch, and until when they are all."""
        followed, found = self._followed
        if until > followed:
            near = datetime.now(UTC) + _NEAR
            followed, most = (near, _MOST_NEAR) if until < near else (later(until, _FAR), _MOST_FAR)
            every = (each for file in self._read for each in file.blackouts(followed, most=most))
            found = tuple(merge(sorted(every)))
            self._followed = followed, found
        return followed, found

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
        return merge(self.openings(window, at))

    def openings(self, window: Window, at: datetime) -> Iterator[Opening]:
        """Yield the openings of a window that end after `at`, without the blackouts' part."""
        for opening in window.openings(at):
            yield from (left for left in clip(opening, self._closing(opening, at)) if left.end > at)

    def _closing(self, opening: Opening, at: datetime) -> Iterator[Opening]:
        """Yield the blackouts of an opening, as far as they are followed, and all that comes after."""
        if not self._files and not self._recurring:
            return
        followed = later(at, _FAR)
        if opening.start < followed:
            start = max(opening.start, earlier(at, _YEAR))
            yield from self.blackouts(Opening(start=start, end=min(opening.end, followed)))
        if opening.end > followed:
            yield Opening(start=max(opening.start, followed), end=opening.end)

    def blackouts(self, during: Opening) -> Iterator[Opening]:
        """Yield every blackout that touches a stretch of time, by its start."""
        recurring = (
            takewhile(lambda each: each.start < during.end, window.openings(during.start))
            for window in self._recurring
        )
        return heapq.merge(self._from_files(during), *recurring)

    def _from_files(self, during: Opening) -> Iterator[Opening]:
        now, told = max(during.start, datetime.now(UTC)), during.start
        # To follow events for years costs seconds, and who asks mostly wants the next opening alone.
        for until in (now, later(now, _FAR)):
            followed, found = self._fixed(until)
            end = during.end if until > now else min(during.end, followed)
            for each in islice(found, bisect_right(found, told, key=lambda each: each.end), None):
                if each.start >= end:
                    break
                yield Opening(start=max(each.start, told), end=each.end)
                told = each.end
            if end == during.end:
                return

    def blackout_at(self, instant: datetime) -> Opening | None:
        """Return the blackout that holds an instant, if one does; those that touch count as one."""
        ahead = Opening(start=instant, end=later(instant, _YEAR))
        blackout = next(merge(self.blackouts(ahead)), None)
        return blackout if blackout is not None and blackout.holds(instant) else None

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
