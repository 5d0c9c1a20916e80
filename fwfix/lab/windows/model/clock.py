"""The time of a host: real in the demo, moved by hand in tests."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

_STEP_SECONDS = 0.05


class HostClock(Protocol):
    """What a twin needs of a clock; it is also the clock of its PowerShell engine."""

    def now(self) -> datetime:
        """Return the host's idea of the time, aware."""

    def monotonic(self) -> float:
        """Return seconds that only grow, whatever happens to the time."""

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait; come back early once `stopped` says so."""

    def wait(self, seconds: float | None, wake: threading.Event) -> None:
        """Wait until the event is set or the seconds have passed; None for no limit. Clears the event."""


class RealHostClock:
    """The machine's time, with the skew of the host.

    Args:
        skew: how far the host is ahead.
    """

    def __init__(self, skew: timedelta = timedelta()) -> None:
        self.skew = skew

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.skew

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait in small steps."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stopped():
            time.sleep(min(left, _STEP_SECONDS))

    def wait(self, seconds: float | None, wake: threading.Event) -> None:
        """Wait for the event."""
        wake.wait(seconds)
        wake.clear()


class VirtualClock:
    """A clock that stands still until `advance`; sleepers wake when their time has come.

    Args:
        start: the time at the beginning.
    """

    def __init__(self, start: datetime = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)) -> None:
        self._moved = threading.Condition()
        self._now = start
        self._seconds = 0.0
        self._sleeping = 0

    def now(self) -> datetime:
        """Return the time."""
        with self._moved:
            return self._now

    def monotonic(self) -> float:
        """Return the seconds since the beginning."""
        with self._moved:
            return self._seconds

    @property
    def sleepers(self) -> int:
        """How many threads wait for time to pass: a test advances once those it knows of are asleep."""
        with self._moved:
            return self._sleeping

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait until the clock was moved far enough."""
        with self._moved:
            end = self._seconds + seconds
            self._sleeping += 1
            try:
                # The limit is for `stopped`, which nobody announces.
                while self._seconds < end and not stopped():
                    self._moved.wait(_STEP_SECONDS)
            finally:
                self._sleeping -= 1

    def wait(self, seconds: float | None, wake: threading.Event) -> None:
        """Wait for the event alone: whoever moves the clock sets it."""
        del seconds
        wake.wait()
        wake.clear()

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        with self._moved:
            self._now += by
            self._seconds += by.total_seconds()
            self._moved.notify_all()

    def set(self, now: datetime) -> None:
        """Set the time, as an administrator or NTP does; no time passes."""
        with self._moved:
            self._now = now
            self._moved.notify_all()
