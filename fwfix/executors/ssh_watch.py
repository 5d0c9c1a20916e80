"""End what overstays its deadline: one thread cuts connections, since paramiko waits for ever."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watch:
    """Call a function when a deadline passes while a block is still running.

    One thread serves every connection; it starts with the first guard and ends with `close`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int]] = []
        self._cuts: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def guard(self, deadline: float, cut: Callable[[], None]) -> Iterator[None]:
        """Run a block; `cut` is called from another thread if it still runs at the deadline, never after it.

        Args:
            deadline: an instant of `time.monotonic()`.
            cut: must neither block nor raise.
        """
        number = self._add(deadline, cut)
        try:
            yield
        finally:
            with self._changed:
                self._cuts.pop(number, None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(5)

    def _add(self, deadline: float, cut: Callable[[], None]) -> int:
        with self._changed:
            number = next(self._numbers)
            self._cuts[number] = cut
            earlier = not self._queue or deadline < self._queue[0][0]
            heapq.heappush(self._queue, (deadline, number))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._serve, name="fwfix-ssh-watch", daemon=True)
                self._thread.start()
            elif earlier:
                self._changed.notify_all()
            return number

    def _serve(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                due = self._next_due()
                # With the lock held, which a block needs to end: a cut that came late would hit whatever is
                # done next over the same connection.
                if due is not None:
                    due()

    def _next_due(self) -> Callable[[], None] | None:
        while self._queue and self._queue[0][1] not in self._cuts:
            heapq.heappop(self._queue)
        if not self._queue:
            self._changed.wait()
            return None
        remaining = self._queue[0][0] - time.monotonic()
        if remaining > 0:
            self._changed.wait(remaining)
            return None
        _, number = heapq.heappop(self._queue)
        return self._cuts.pop(number, None)
