"""Standard input, output and error of a process on the twin."""

import threading
import time
from typing import Protocol

from fwfix.lab.windows.cmd.jobs import KilledError


class Writer(Protocol):
    """Where a process writes to."""

    def write(self, data: bytes, /) -> None:
        """Take all of the bytes; raise KilledError when the process was ended meanwhile."""


class Collector:
    """A writer that keeps what it is given: a pipe between two programs, or a test."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        """Keep the bytes."""
        self._chunks.append(bytes(data))

    @property
    def value(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._chunks)


class Nowhere:
    """The NUL device."""

    def write(self, data: bytes, /) -> None:
        """Forget the bytes."""


class InputPipe:
    """Standard input: one side writes and closes, the other reads to the end.

    While nobody reads, the pipe takes data until `capacity` bytes lie in it: a writer waits, as on Windows.
    """

    def __init__(self, data: bytes = b"", *, closed: bool = False, capacity: int = 1 << 20) -> None:
        self._ready = threading.Condition()
        self._buffer = bytearray(data)
        self._closed = closed
        self._broken = False
        self._killed = False
        self._waiting = False
        self._capacity = capacity

    @property
    def writable(self) -> bool:
        """Whether a reader may still take something."""
        with self._ready:
            return not (self._closed or self._broken or self._killed)

    def write(self, data: bytes, *, within: float) -> bool:
        """Append the bytes.

        Args:
            data: what the reader gets next.
            within: seconds to wait for room.

        Returns:
            False when there was no room in time; nothing was taken then.
        """
        deadline = time.monotonic() + within
        with self._ready:
            while len(self._buffer) >= self._capacity and not (self._waiting or self._broken or self._killed):
                if not self._ready.wait(deadline - time.monotonic()):
                    return False
            self._buffer += data
            self._ready.notify_all()
        return True

    def close(self) -> None:
        """Say that nothing follows."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def abandon(self) -> None:
        """Say that nobody reads any more."""
        with self._ready:
            self._broken = True
            self._ready.notify_all()

    def kill(self) -> None:
        """Wake a reader up with KilledError."""
        with self._ready:
            self._killed = True
            self._ready.notify_all()

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end; everything up to the end by default."""
        with self._ready:
            while not self._closed and (size < 0 or len(self._buffer) < size):
                self._wait()
            return self._take(len(self._buffer) if size < 0 else size)

    def read_some(self) -> bytes:
        """Return what is there as soon as anything is; empty at the end or when nobody reads any more."""
        with self._ready:
            while not (self._closed or self._broken or self._buffer):
                self._wait()
            return b"" if self._broken else self._take(len(self._buffer))

    def readline(self) -> bytes:
        """Return one line with its line feed, or the rest at the end."""
        with self._ready:
            while not self._closed and b"\n" not in self._buffer:
                self._wait()
            end = self._buffer.find(b"\n")
            return self._take(end + 1 if end >= 0 else len(self._buffer))

    def _wait(self) -> None:
        if self._killed:
            raise KilledError("The process was ended.")
        self._waiting = True
        self._ready.notify_all()
        self._ready.wait()
        self._waiting = False
        if self._killed:
            raise KilledError("The process was ended.")

    def _take(self, size: int) -> bytes:
        if self._killed:
            raise KilledError("The process was ended.")
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._ready.notify_all()
        return taken
