"""Who works at once: so many turns, and a host that stays silent gives its turn to the next one meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# A host that has not let us in for so long is probably dead, and its turn goes to another.
SILENT_SECONDS = 2.0
# The turns are multiplied by this at most: threads and half-open connections have an end too.
MOST_TIMES = 4
# How often to look whether somebody is silent.
_LOOK_SECONDS = 0.25

_here = threading.local()


@dataclass(slots=True)
class _Turn(Generic[T, R]):
    """One item, and what came of it.

    Attributes:
        knocking_since: when its host was asked to let us in; None while it is not waited for.
    """

    item: T
    knocking_since: float | None = None
    result: R | None = None
    error: BaseException | None = None

    def is_silent(self, now: float) -> bool:
        """Tell whether this turn only waits for a host that is probably dead."""
        since = self.knocking_since
        return since is not None and now - since >= SILENT_SECONDS


@contextmanager
def knocking() -> Iterator[None]:
    """Say that from here on nothing is done but wait for a host to let us in."""
    turn: _Turn[object, object] | None = getattr(_here, "turn", None)
    if turn is None:
        yield
        return
    turn.knocking_since = time.monotonic()
    try:
        yield
    finally:
        turn.knocking_since = None


class Turns(Generic[T, R]):
    """Threads that work on items, a limited number at once.

    The next item is begun only when somebody asks for the next result: whoever counts failures has counted
    the last one by then. One turn stays one turn: there nobody goes on beside a silent host.
    """

    def __init__(self, items: Sequence[T], work: Callable[[T], R], *, turns: int) -> None:
        self._waiting = iter(items)
        self._left = len(items)
        self._work = work
        self._turns = max(1, turns)
        self._most = self._turns * MOST_TIMES if self._turns > 1 else 1
        self._running: dict[int, _Turn[T, R]] = {}
        self._silent = 0
        self._look_at = 0.0
        self._todo: SimpleQueue[_Turn[T, R] | None] = SimpleQueue()
        self._ended: SimpleQueue[_Turn[T, R]] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def results(self) -> Iterator[tuple[T, R]]:
        """Yield as items end; what an item raised is raised here, and nothing more is begun then."""
        try:
            while True:
                self._begin()
                if not self._running:
                    return
                turn = self._next()
                if turn is None:
                    continue
                del self._running[id(turn)]
                if turn.error is not None:
                    raise turn.error
                yield turn.item, turn.result  # type: ignore[misc]  # there is a result without an error
        finally:
            for _ in self._threads:
                self._todo.put(None)
            for thread in self._threads:
                thread.join()

    def _begin(self) -> None:
        """Give away the turns that are free."""
        while self._left and len(self._running) < min(self._turns + self._silent, self._most):
            turn: _Turn[T, R] = _Turn(next(self._waiting))
            self._left -= 1
            self._running[id(turn)] = turn
            if len(self._threads) < len(self._running):
                number = len(self._threads)
                self._threads.append(threading.Thread(target=self._live, name=f"fwfix_{number}"))
                self._threads[-1].start()
            self._todo.put(turn)

    def _next(self) -> _Turn[T, R] | None:
        """Wait for the next end; while others wait for a turn, only until the next look for silent hosts."""
        if not self._left or self._most == self._turns:
            return self._ended.get()
        now = time.monotonic()
        if now >= self._look_at:
            self._silent = sum(turn.is_silent(now) for turn in self._running.values())
            self._look_at = now + _LOOK_SECONDS
            self._begin()
        try:
            return self._ended.get(timeout=max(0.0, self._look_at - now))
        except Empty:
            return None

    def _live(self) -> None:
        while (turn := self._todo.get()) is not None:
            _here.turn = turn
            try:
                turn.result = self._work(turn.item)
            except BaseException as error:  # noqa: BLE001 - it is raised where the results are asked for
                turn.error = error
            self._ended.put(turn)
