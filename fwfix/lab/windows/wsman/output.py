"""What a command has written and nobody has fetched yet."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from fwfix.lab.windows.cmd.jobs import KilledError
from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.faults import FaultError

_LARGEST_CHUNK = 32768
# <rsp:Stream Name="..." CommandId="...">...</rsp:Stream>
_ELEMENT = 128
_MOST_CHUNKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What one Receive brings.

    Attributes:
        chunks: stream name and bytes, in the order written.
        exit_code: None while the command runs, or has more to fetch.
    """

    chunks: tuple[tuple[str, bytes], ...]
    exit_code: int | None = None


class Output:
    """The output pipes of one command; a writer waits while too much lies unfetched."""

    def __init__(self, *, capacity: int = 1 << 20) -> None:
        self._changed = threading.Condition()
        self._chunks: deque[tuple[str, bytes]] = deque()
        self._size = 0
        self._capacity = capacity
        self._exit_code: int | None = None
        self._killed = False
        self._aborted = False

    @property
    def finished(self) -> bool:
        """Whether the command has ended."""
        with self._changed:
            return self._exit_code is not None

    def writer(self, stream: str) -> "StreamWriter":
        """Return where a process writes one stream to."""
        return StreamWriter(output=self, stream=stream)

    def write(self, stream: str, data: bytes) -> None:
        """Append to a stream; wait for room.

        Raises:
            KilledError: the process was ended.
        """
        with self._changed:
            while self._size >= self._capacity and not self._killed:
                self._changed.wait()
            if self._killed:
                raise KilledError("The process was ended.")
            for start in range(0, len(data), _LARGEST_CHUNK):
                self._append(stream, bytes(data[start : start + _LARGEST_CHUNK]))
            self._size += len(data)
            self._changed.notify_all()

    def kill(self) -> None:
        """Make every writer unwind."""
        with self._changed:
            self._killed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Make every Receive fail that waits."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def finish(self, exit_code: int) -> None:
        """Say that the command has ended."""
        with self._changed:
            self._exit_code = exit_code
            self._changed.notify_all()

    def take(self, streams: Collection[str], *, most: int, within: float, linger: float) -> Portion | None:
        """Return what there is.

        Args:
            streams: names of the wanted ones.
            most: bytes that the chunks may take in the answer; one byte of output always fits.
            within: seconds to wait for the first byte, or for the end.
            linger: seconds to wait for more, once there is something.

        Returns:
            None when there was nothing in time.

        Raises:
            FaultError: the command was taken away meanwhile.
        """
        deadline = time.monotonic() + within
        with self._changed:
            if not self._wait(lambda: self._has(streams) or self._exit_code is not None, deadline):
                return None
            settled = min(deadline, time.monotonic() + linger)
            self._wait(lambda: self._exit_code is not None or self._size >= most, settled)
            chunks = self._taken(streams, most)
            done = self._exit_code is not None and not self._has(streams)
            self._changed.notify_all()
            return Portion(chunks=chunks, exit_code=self._exit_code if done else None)

    def _wait(self, ready: Callable[[], bool], deadline: float) -> bool:
        while not ready():
            if self._aborted:
                raise FaultError(faults.ABORTED)
            if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                return ready()
        return True

    def _append(self, stream: str, data: bytes) -> None:
        """Keep a write as a chunk of its own, as Windows does, until there are too many to be worth it."""
        if len(self._chunks) >= _MOST_CHUNKS:
            before, earlier = self._chunks[-1]
            if before == stream and len(earlier) + len(data) <= _LARGEST_CHUNK:
                self._chunks[-1] = (stream, earlier + data)
                return
        self._chunks.append((stream, data))

    def _has(self, streams: Collection[str]) -> bool:
        return any(stream in streams for stream, _ in self._chunks)

    def _taken(self, streams: Collection[str], most: int) -> tuple[tuple[str, bytes], ...]:
        taken: list[tuple[str, bytes]] = []
        kept: deque[tuple[str, bytes]] = deque()
        size = 0
        while self._chunks:
            stream, data = self._chunks.popleft()
            if stream not in streams:
                kept.append((stream, data))
                continue
            if not taken and _cost(data) > most:
                cut = max(1, (most - _ELEMENT) * 3 // 4)
                self._chunks.appendleft((stream, data[cut:]))
                data = data[:cut]
            elif size + _cost(data) > most:
                kept.append((stream, data))
                break
            taken.append((stream, data))
            size += _cost(data)
        kept.extend(self._chunks)
        self._chunks = kept
        self._size -= sum(len(data) for _, data in taken)
        return tuple(taken)


def _cost(data: bytes) -> int:
    """Return what a chunk takes in an answer: base64, and an element around it."""
    return 4 * (len(data) + 2) // 3 + _ELEMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWriter:
    """One output stream of a process."""

    output: Output
    stream: str

    def write(self, data: bytes, /) -> None:
        """Append to the stream."""
        if data:
            self.output.write(self.stream, data)
