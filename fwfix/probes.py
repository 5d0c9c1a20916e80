"""Re-test ports from the controller: connect and close, and never a byte into a TCP port (A8)."""

import contextlib
import errno
import math
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

# Saves a call into the kernel where there is such a flag.
_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)
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


@dataclass(slots=True, eq=False)
class _Knock:
    """One target under way.

    Attributes:
        sock: of the attempt that waits for an answer; None while there is none.
        reading: None until it is settled.
    """

    target: Target
    started: float
    tries: int = 0
    ends: float = 0.0
    sock: socket.socket | None = None
    reading: Reading | None = None


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
        self._poll = select.poll()  # few sockets: nothing to set up and to tear down
        self._attempts = attempts if within >= attempts * ATTEMPT_SECONDS else 1
        self._seconds = max(SHORTEST_ATTEMPT, min(ATTEMPT_SECONDS, within))
        self._waiting: dict[int, _Knock] = {}
        now = time.monotonic()
        self._knocks = [_Knock(target=target, started=now) for target in dict.fromkeys(targets)]
        for knock in self._knocks:
            self._try(knock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for knock in tuple(self._waiting.values()):
            self._drop(knock)

    def wait(self, *, until: float) -> bool:
        """Wait until everything is settled, or until an instant of `time.monotonic()`; tell which."""
        while self._waiting:
            now = time.monotonic()
            self._retry(now)
            if now >= until or not self._waiting:
                break
            nearest = min(until, *(knock.ends for knock in self._waiting.values()))
            for descriptor, _ in self._poll.poll(_ms_at_least(nearest - now)):
                self._answered(self._waiting[descriptor])
        return not self._waiting

    def readings(self) -> tuple[Reading, ...]:
        """Return what is known; a target that has not answered yet reads as filtered, not settled."""
        now = time.monotonic()
        return tuple(
            knock.reading
            or Reading(
                target=knock.target,
                result=ProbeResult.FILTERED,
                settled=False,
                took_ms=_ms(now - knock.started),
            )
            for knock in self._knocks
        )

    def _try(self, knock: _Knock) -> None:
        target = knock.target
        udp = target.protocol is Protocol.UDP
        family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version
        knock.tries += 1
        knock.ends = time.monotonic() + (UDP_ATTEMPT_SECONDS if udp else self._seconds)
        try:
            sock = socket.socket(family, (socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) | _NONBLOCK)
        except OSError as error:
            self._settle(knock, ProbeResult.LOCAL_ERROR, error.strerror or str(error))
            return
        if not _NONBLOCK:
            sock.setblocking(False)
        knock.sock = sock
        self._waiting[sock.fileno()] = knock
        code = sock.connect_ex((str(target.address), target.port))
        if code in (0, errno.EINPROGRESS) and udp:
            code = _send(sock, target.port)
        if code not in (0, errno.EINPROGRESS):
            self._failed_here(knock, code)
        elif not udp and (met := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._met(knock, met)  # a neighbour refuses before we could wait
        else:
            self._poll.register(sock, select.POLLIN if udp else select.POLLOUT)

    def _failed_here(self, knock: _Knock, code: int) -> None:
        """Settle what this machine itself refused, before any packet could leave."""
        known = {errno.ENETUNREACH: ProbeResult.UNREACHABLE, errno.ECONNREFUSED: ProbeResult.CLOSED}
        self._settle(knock, known.get(code, ProbeResult.LOCAL_ERROR), errno.errorcode.get(code, str(code)))

    def _answered(self, knock: _Knock) -> None:
        assert knock.sock is not None
        if knock.target.protocol is Protocol.UDP:
            try:
                knock.sock.recv(2048)
                code = 0
            except OSError as error:
                code = error.errno or 0
        else:
            code = knock.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._met(knock, code)

    def _met(self, knock: _Knock, code: int) -> None:
        result = _MEANING.get(code, ProbeResult.LOCAL_ERROR)
        self._settle(knock, result, "" if code == 0 else errno.errorcode.get(code, str(code)))

    def _retry(self, now: float) -> None:
        for knock in [knock for knock in self._waiting.values() if knock.ends <= now]:
            udp = knock.target.protocol is Protocol.UDP
            if knock.tries >= (UDP_ATTEMPTS if udp else self._attempts):
                self._settle(knock, ProbeResult.FILTERED, f"no answer in {knock.tries} attempts")
            else:
                self._drop(knock)
                self._try(knock)

    def _settle(self, knock: _Knock, result: ProbeResult, detail: str) -> None:
        self._drop(knock)
        took = _ms(time.monotonic() - knock.started)
        knock.reading = Reading(target=knock.target, result=result, settled=True, detail=detail, took_ms=took)

    def _drop(self, knock: _Knock) -> None:
        if knock.sock is None:
            return
        del self._waiting[knock.sock.fileno()]
        with contextlib.suppress(KeyError):  # it never came so far
            self._poll.unregister(knock.sock)
        knock.sock.close()
        knock.sock = None


def _send(sock: socket.socket, port: int) -> int:
    """Send what a UDP port is asked with; return the error that this machine met, or nothing."""
    try:
        sock.send(discover_datagram(port))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def probe_now(targets: Sequence[Target], *, until: float, attempts: int = 1) -> tuple[Reading, ...]:
    """Probe once and return what is known at the end; an open port answers at once."""
    with Probing(targets, attempts=attempts) as probing:
        probing.wait(until=until)
        return tuple(replace(reading, settled=True) for reading in probing.readings())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _ms_at_least(seconds: float) -> int:
    """Return milliseconds to wait: no instant too early, or we would look again and again."""
    return max(0, math.ceil(seconds * 1000))
