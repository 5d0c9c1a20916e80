"""Processes of the twin: which run, how many may, and how a whole tree of them ends at once."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from fwfix.errors import LabError


class KilledError(LabError):
    """The process was ended from outside; its program must unwind."""

    code = "killed"


class TooManyProcessesError(LabError):
    """The shell has as many processes as it may."""

    code = "process-quota"


class ProcessTable:
    """The processes of one shell. Process ids are multiples of four, as on Windows."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._running: dict[int, str] = {}
        self._ids = count(1000, 4)

    @property
    def running(self) -> Mapping[int, str]:
        """Process id to image name, now."""
        with self._lock:
            return dict(self._running)

    @contextmanager
    def process(self, image: str) -> Iterator[int]:
        """Count a process for as long as the block runs.

        Raises:
            TooManyProcessesError: the quota is used up.
        """
        with self._lock:
            if len(self._running) >= self._limit:
                raise TooManyProcessesError(f"{self._limit} processes run in this shell already.")
            pid = next(self._ids)
            self._running[pid] = image
        try:
            yield pid
        finally:
            with self._lock:
                del self._running[pid]


class Job:
    """One command and everything it started; they end together, as in a job object of Windows."""

    def __init__(self, processes: ProcessTable) -> None:
        self.processes = processes
        self.killed = threading.Event()
        self._lock = threading.Lock()
        self._hooks: list[Callable[[], None]] = []

    def on_kill(self, hook: Callable[[], None]) -> None:
        """Call the hook when the job is killed, or now if it was."""
        with self._lock:
            if not self.killed.is_set():
                self._hooks.append(hook)
                return
        hook()

    def kill(self) -> None:
        """End every process of the job; safe to repeat."""
        with self._lock:
            self.killed.set()
            hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook()

    def check(self) -> None:
        """Raise KilledError when the job was killed: a program calls it where it does not block."""
        if self.killed.is_set():
            raise KilledError("The process was ended.")

    def sleep(self, seconds: float) -> None:
        """Sleep like a process: a kill ends it at once."""
        if self.killed.wait(seconds):
            raise KilledError("The process was ended.")
