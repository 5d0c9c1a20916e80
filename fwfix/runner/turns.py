"""Who works at once: so many turns, and a host that stays silent gives its turn to the next one meanwhile.

A turn is no thread. A host that only waits for the journal leaves its thread to another one, and there are no
more threads than it takes: each further one makes Python move from one to the next more often, which costs
more than most steps do.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from fwfix.journal import Written

T = TypeVar("T")
R = TypeVar("R")

# Yields what it is about to wait for, and may go on in any thread when that is settled.
Life = Generator[Written, None, R]

# A host that has not let us in for so long is probably dead, and its turn goes to another.
SILENT_SECONDS = 2.0
# The turns are multiplied by this at most: threads and half-open connections have an end too.
MOST_TIMES = 4
# How often to look whether somebody is silent.
_LOOK_SECONDS = 0.25
# Threads lack where none has been without a turn since the last look, and they have slept for most of that
# time, or a turn has waited for so long; twice in a row: a busy machine may hold all of them up for once.
_HELP_SECONDS = 0.02
_MOST_ASLEEP = 0.5
_LONG_SECONDS = 0.25
# There are so many times as many then, at most: one look in vain is no reason for hundreds.
_MORE_TIMES = 4

_here = threading.local()


@dataclass(slots=True)
class _Turn(Generic[T, R]):
    """One item, and what came of it.

    Attributes:
        life: what is done for the item; none of it before a thread takes the turn.
        ready_at: since when it can go on.
        knocking_since: when its host was asked to let us in; None while it is not waited for.
    """

    item: T
    life: Life[R]
    ready_at: float = 0.0
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
    """Works on items, a limited number at once, on as many threads as that takes.

    The next item is begun only when somebody asks for the next result: whoever counts failures has counted
    the last one by then. One turn stays one turn: there nobody goes on beside a silent host.
    """

    def __init__(self, items: Sequence[T], begin: Callable[[T], Life[R]], *, turns: int) -> None:
        self._waiting = iter(items)
        self._left = len(items)
        self._begin_life = begin
        self._turns = max(1, turns)
        self._most = self._turns * MOST_TIMES if self._turns > 1 else 1
        self._running: dict[int, _Turn[T, R]] = {}
        self._silent = 0
        self._look_at = 0.0
        # Turns that a thread may take: those that go on before those that only begin.
        self._going_on: deque[_Turn[T, R]] = deque()
        self._fresh: deque[_Turn[T, R]] = deque()
        # True for each of them, and False for each thread that is not needed any more.
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._ended: SimpleQueue[_Turn[T, R]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._rested = False
        self._helper: threading.Thread | None = None
        self._over = threading.Event()

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
                if turn.error is not None:
                    raise turn.error
                yield turn.item, turn.result  # type: ignore[misc]  # there is a result without an error
        finally:
            self._end()

    def _begin(self) -> None:
        """Give away the turns that are free."""
        if self._silent:  # some may have ended since, and their turns are no longer to be had twice
            self._silent = self._count_silent(time.monotonic())
        while self._left and len(self._running) < min(self._turns + self._silent, self._most):
            item = next(self._waiting)
            turn = _Turn(item, self._begin_life(item))
            self._left -= 1
            self._running[id(turn)] = turn
            self._offer(turn, self._fresh)
        if self._running and not self._threads:
            self._start_thread()
            if self._most > 1:
                self._start_helper()

    def _start_helper(self) -> None:
        helper = threading.Thread(target=self._help, name="fwfix-turns", daemon=True)
        with suppress(RuntimeError):  # where there are no more threads to be had, nobody can help
            helper.start()
            self._helper = helper

    def _offer(self, turn: _Turn[T, R], turns: deque[_Turn[T, R]]) -> None:
        """Let a thread take a turn; called from any thread."""
        turn.ready_at = time.monotonic()
        turns.append(turn)
        self._calls.put(True)

    def _next(self) -> _Turn[T, R] | None:
        """Wait for the next end; while others wait for a turn, only until the next look for silent hosts."""
        timeout = None
        if self._left and self._most > self._turns:
            now = time.monotonic()
            if now >= self._look_at:
                self._silent = self._count_silent(now)
                self._look_at = now + _LOOK_SECONDS
                self._begin()
            timeout = max(0.0, self._look_at - now)
        try:
            turn = self._ended.get(timeout=timeout)
        except Empty:
            return None
        del self._running[id(turn)]
        return turn

    def _count_silent(self, now: float) -> int:
        return sum(turn.is_silent(now) for turn in self._running.values())

    def _help(self) -> None:
        """Start threads where those that there are wait for their hosts, whatever else is waited for."""
        looked, worked, lacked = time.monotonic(), time.process_time(), False
        while not self._over.wait(_HELP_SECONDS):
            now, work = time.monotonic(), time.process_time()
            asleep = work - worked < (now - looked) * (1 - _MOST_ASLEEP)
            busy = not self._rested and not self._calls.empty()
            lack = busy and (asleep or self._longest_wait(now) >= _LONG_SECONDS)
            if lack and lacked:
                number = min(self._calls.qsize(), len(self._running) - len(self._threads))
                for _ in range(min(number, len(self._threads) * (_MORE_TIMES - 1))):
                    self._start_thread()
            looked, worked, lacked, self._rested = now, work, lack, False

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._live, name=f"fwfix_{len(self._threads)}")
        try:
            thread.start()
        except RuntimeError:  # there are no more to be had: those that there are do all of the work
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _end(self) -> None:
        """Begin nothing more, bring to its end what was begun, and let the threads go."""
        self._left = 0
        try:
            while self._fresh:
                with suppress(IndexError):  # a thread may have taken the last one just now
                    del self._running[id(self._fresh.popleft())]
            while self._running:
                self._next()
        finally:
            self._over.set()
            if self._helper is not None:
                self._helper.join()
            for _ in self._threads:
                self._calls.put(False)
        for thread in self._threads:
            thread.join()

    def _live(self) -> None:
        while self._called():
            turn = self._take()
            if turn is None:
                continue
            _here.turn = turn
            try:
                next(turn.life).then(partial(self._offer, turn, self._going_on))
            except StopIteration as end:
                turn.result = end.value
            except BaseException as error:  # noqa: BLE001 - it is raised where the results are asked for
                turn.error = error
            else:
                continue
            self._ended.put(turn)

    def _called(self) -> bool:
        """Wait for a turn to take; tell whether the thread is still needed."""
        if not self._calls.empty():
            return self._calls.get()
        self._rested = True
        called = self._calls.get()
        self._rested = True
        return called

    def _take(self) -> _Turn[T, R] | None:
        """Return the turn that has waited longest, of those that go on if there is one; none may be left."""
        for turns in (self._going_on, self._fresh):
            with suppress(IndexError):
                return turns.popleft()
        return None

    def _longest_wait(self, now: float) -> float:
        """Return for how long a turn has waited for a thread."""
        waits = [0.0]
        for turns in (self._going_on, self._fresh):
            with suppress(IndexError):  # a thread may have taken the last one just now
                waits.append(now - turns[0].ready_at)
        return max(waits)
