"""Let at most eight logons to one sshd be under way: beyond ten it drops them (MaxStartups 10:30:100)."""

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from fwfix.errors import UnreachableError

HANDSHAKES_AT_ONCE = 8


class Gate:
    """Take turns, per sshd."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way: dict[Hashable, int] = {}

    @contextmanager
    def turn(self, sshd: Hashable, *, where: str, deadline: float) -> Iterator[None]:
        """Wait for a turn, and hold it for the length of the block.

        Raises:
            UnreachableError: none came before the deadline.
        """
        with self._changed:
            while self._under_way.get(sshd, 0) >= HANDSHAKES_AT_ONCE:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    raise UnreachableError(
                        f"{where}: {HANDSHAKES_AT_ONCE} other logons there are under way already.",
                        next="Lower --forks, or raise --connect-timeout.",
                    )
            self._under_way[sshd] = self._under_way.get(sshd, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way[sshd] -= 1
                if not self._under_way[sshd]:
                    del self._under_way[sshd]
                self._changed.notify_all()
