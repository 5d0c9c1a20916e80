"""Re-test ports from the controller: connect and close, and never a byte into a TCP port (A8)."""

import errno
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.policy import Address, Protocol

# C7: below a second IPv6 rejects and rate-limited ICMP are misread; all attempts must agree.
ATTEMPT_SECONDS = 3.0
SHORTEST_ATTEMPT = 1.0
ATTEMPTS = 2
# Silence is what UDP says whether it is open or not (C9), so there is little to wait for.
UDP_ATTEMPT_SECONDS = 0.4
UDP_ATTEMPTS = 3

# A5: discover, for the device type that answers on the port. Prints nothing.
_BJNP_DEVICE = {8611: 1, 8612: 2}
# C2: what the answer to a connection attempt means.
_MEANING = {
    0: ProbeResult.OPEN,
    errno.ECONNREFUSED: ProbeResult.CLOSED,
    errno.ETIMEDOUT: ProbeResult.FILTERED,
    errno.EACCES: ProbeResult.PROHIBITED,
    errno.EPERM: ProbeResult.PROHIBITED,
    errno.ENOPROTOOPT: ProbeResult.PROHIBITED,
    errno.EHOSTUNREACH: ProbeResult.UNREACHABLE,
    errno.ENETUNREACH: ProbeResult.UNREACHABLE,
    errno.ECONNRESET: ProbeResult.CLOSED,
}


def discover_datagram(port: int) -> bytes:
    """Return what a UDP probe sends: nothing, or a BJNP discover on the two ports that answer one."""
    device = _BJNP_DEVICE.get(port)
    if device is None:
        return b""
    return b"BJNP" + bytes([device, 0x01]) + bytes([0, 0, 0, 1]) + bytes(6)


def source_address(destination: Address) -> Address | None:
    """Return the address from which this machine would reach a destination; None without a route."""
    from ipaddress import ip_address  # noqa: PLC0415 - only here

    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(destination), 9))
        except OSError:
            return None
        return ip_address(str(sock.getsockname()[0]).partition("%")[0])


class Probing:
    """A set of probes under way; use as a context manager, so that no socket stays behind.

    `wait` may be called again and again: each call goes on where the last one ended.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        attempts: int = ATTEMPTS,
        within: float = ATTEMPTS * ATTEMPT_SECONDS,
    ) -> None:
        """Start.

        Args:
            targets: what to try; all of them at once.
            attempts: how often, where nothing answers.
            within: seconds for all attempts; where that is too short, there is one, and a shorter one.
        """
        self._selector = selectors.PollSelector()  # few sockets: nothing to set up and to tear down
        self._attempts = attempts if within >= attempts * ATTEMPT_SECONDS else 1
        self._seconds = max(SHORTEST_ATTEMPT, min(ATTEMPT_SECONDS, within))
        self._started: dict[Target, float] = {}
        self._tries: dict[Target, int] = dict.fromkeys(targets, 0)
        self._ends: dict[Target, float] = {}
        self._sockets: dict[Target, socket.socket] = {}
        self._readings: dict[Target, Reading] = {}
        for target in self._tries:
            self._try(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for target in tuple(self._sockets):
            self._drop(target)
        self._selector.close()

    def wait(self, *, until: float) -> bool:
        """Wait until everything is settled, or until an instant of `time.monotonic()`; tell which."""
        while self._sockets:
            now = time.monotonic()
            self._retry(now)
            if now >= until or not self._sockets:
                break
            nearest = min((self._ends[target] for target in self._sockets), default=until)
            for key, _ in self._selector.select(max(0.0, min(nearest, until) - now)):
                self._answered(key.data)
        return not self._sockets

    def readings(self) -> tuple[Reading, ...]:
        """Return what is known; a target that has not answered yet reads as filtered, not settled."""
        now = time.monotonic()
        waiting = {
            target: Reading(
                target=target,
                result=ProbeResult.FILTERED,
                settled=False,
                took_ms=_ms(now - self._started[target]),
            )
            for target in self._sockets
        }
        return tuple(self._readings.get(target) or waiting[target] for target in self._tries)

    def _try(self, target: Target) -> None:
        udp = target.protocol is Protocol.UDP
        family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version
        now = time.monotonic()
        self._started.setdefault(target, now)
        self._tries[target] += 1
        self._ends[target] = now + (UDP_ATTEMPT_SECONDS if udp else self._seconds)
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        except OSError as error:
            self._settle(target, ProbeResult.LOCAL_ERROR, error.strerror or str(error))
            return
        sock.setblocking(False)
        self._sockets[target] = sock
        code = sock.connect_ex((str(target.address), target.port))
        if code not in (0, errno.EINPROGRESS):
            self._failed_here(target, code)
            return
        if udp:
            self._send(target, sock)
        if target in self._sockets:
            self._selector.register(sock, selectors.EVENT_READ if udp else selectors.EVENT_WRITE, target)

    def _send(self, target: Target, sock: socket.socket) -> None:
        try:
            sock.send(discover_datagram(target.port))
        except OSError as error:
            self._failed_here(target, error.errno or 0)

    def _failed_here(self, target: Target, code: int) -> None:
        """Settle what this machine itself refused, before any packet could leave."""
        known = {errno.ENETUNREACH: ProbeResult.UNREACHABLE, errno.ECONNREFUSED: ProbeResult.CLOSED}
        self._settle(target, known.get(code, ProbeResult.LOCAL_ERROR), errno.errorcode.get(code, str(code)))

    def _answered(self, target: Target) -> None:
        sock = self._sockets[target]
        if target.protocol is Protocol.UDP:
            try:
                sock.recv(2048)
                code = 0
            except OSError as error:
                code = error.errno or 0
        else:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        result = _MEANING.get(code, ProbeResult.LOCAL_ERROR)
        self._settle(target, result, "" if code == 0 else errno.errorcode.get(code, str(code)))

    def _retry(self, now: float) -> None:
        for target in [target for target in self._sockets if self._ends[target] <= now]:
            udp = target.protocol is Protocol.UDP
            self._drop(target)
            if self._tries[target] >= (UDP_ATTEMPTS if udp else self._attempts):
                self._settle(target, ProbeResult.FILTERED, f"no answer in {self._tries[target]} attempts")
            else:
                self._try(target)

    def _settle(self, target: Target, result: ProbeResult, detail: str) -> None:
        self._drop(target)
        took = _ms(time.monotonic() - self._started[target])
        self._readings[target] = Reading(
            target=target, result=result, settled=True, detail=detail, took_ms=took
        )

    def _drop(self, target: Target) -> None:
        sock = self._sockets.pop(target, None)
        if sock is None:
            return
        if sock.fileno() in self._selector.get_map():
            self._selector.unregister(sock)
        sock.close()


def probe_now(targets: Sequence[Target], *, until: float, attempts: int = 1) -> tuple[Reading, ...]:
    """Probe once and return what is known at the end; an open port answers at once."""
    with Probing(targets, attempts=attempts) as probing:
        probing.wait(until=until)
        return tuple(replace(reading, settled=True) for reading in probing.readings())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
