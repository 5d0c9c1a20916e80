"""Faults of the network and of the host, on demand: which request meets which of them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum


class Mishap(Enum):
    """What happens to a request.

    LOST: the connection closes and nothing was done. UNANSWERED: done, then the connection closes. CUT: done,
    but half of the answer. RESET: done, then a TCP reset. HANG: not done, and no answer ever. REPEATED: done,
    and every part of the output in the answer comes twice.
    """

    LOST = "lost"
    UNANSWERED = "unanswered"
    CUT = "cut"
    RESET = "reset"
    HANG = "hang"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What goes wrong from now on; HTTP requests count from 1, those of the logon among them.

    Attributes:
        at: request number to what happens to it.
        on: last word of an action, such as "Receive", to what happens at its first time.
        status: request number to the HTTP status it gets instead of an answer.
        delay: every answer comes this much later.
        delays: last word of an action to a delay of its own.
    """

    at: Mapping[int, Mishap] = field(default_factory=dict)
    on: Mapping[str, Mishap] = field(default_factory=dict)
    status: Mapping[int, int] = field(default_factory=dict)
    delay: timedelta = timedelta()
    delays: Mapping[str, timedelta] = field(default_factory=dict)


class Troubles:
    """The trouble of one server, and how many requests it has met."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trouble = Trouble()
        self._met: set[str] = set()
        self._count = 0

    @property
    def count(self) -> int:
        """HTTP requests since the trouble was set."""
        with self._lock:
            return self._count

    def set(self, trouble: Trouble) -> None:
        """Replace the trouble; counting starts anew."""
        with self._lock:
            self._trouble = trouble
            self._met.clear()
            self._count = 0

    def arrive(self) -> tuple[Mishap | None, int | None]:
        """Count a request and return what happens to it, and the status it gets."""
        with self._lock:
            self._count += 1
            return self._trouble.at.get(self._count), self._trouble.status.get(self._count)

    def perform(self, action: str) -> tuple[Mishap | None, timedelta]:
        """Return what happens to an action, and how long its answer waits."""
        with self._lock:
            delay = self._trouble.delay + self._trouble.delays.get(action, timedelta())
            if action in self._met:
                return None, delay
            mishap = self._trouble.on.get(action)
            if mishap is not None:
                self._met.add(action)
            return mishap, delay
