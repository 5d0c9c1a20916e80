"""Let an sshd connect to ports and close at once (direct-tcpip): never a byte, and only `open` is certain."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_OPEN
from paramiko.message import Message

from fwfix.model.outcome import ProbeResult, Reading, Target
from fwfix.model.policy import Protocol

# RFC 4254, 5.1: the only refusal that comes after an attempt to connect.
_CONNECT_FAILED = 2
_WINDOW = 1 << 15
_MOST_SAID = 200


@dataclass(slots=True)
class Knock:
    """One attempt.

    Attributes:
        refusal: the reason code and the words of the sshd; None while there is none.
    """

    started: float
    answered: threading.Event = field(default_factory=threading.Event)
    is_open: bool = False
    refusal: tuple[int, str] | None = None
    took: float = 0.0

    def settle(self) -> None:
        """Wake whoever waits."""
        self.took = time.monotonic() - self.started
        self.answered.set()


class KnockingTransport(paramiko.Transport):
    """A transport whose other end can be asked to connect to ports.

    An answer may come long after we stopped to wait for it, since a connection attempt cannot be taken back:
    whenever the other end connects, it is told to close at once.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._knocks: dict[int, Knock] = {}
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # as it came

    def knock(self, address: str, port: int) -> Knock:
        """Ask the other end to connect to a port; returns before it has."""
        knock = Knock(started=time.monotonic())
        with self.lock:
            number = self._next_channel()  # type: ignore[attr-defined] # left out of the stubs
            self.channels_seen[number] = True
            self.channel_events[number] = knock.answered
            self._knocks[number] = knock
        message = Message()
        message.add_byte(bytes([MSG_CHANNEL_OPEN]))
        message.add_string("direct-tcpip")
        for value in (number, _WINDOW, _WINDOW):
            message.add_int(value)
        for host, where in ((address, port), ("127.0.0.1", 0)):
            message.add_string(host)
            message.add_int(where)
        self._send_user_message(message)  # type: ignore[attr-defined] # the same
        return knock

    def _forget(self, number: int) -> Knock | None:
        with self.lock:
            knock = self._knocks.pop(number, None)
            if knock is not None:
                self.channel_events.pop(number, None)
            return knock

    def _parse_channel_open_success(self, m: Message) -> None:
        knock = self._forget(m.get_int())
        if knock is None:
            m.rewind()
            super()._parse_channel_open_success(m)  # type: ignore[misc] # the same
            return
        farewell = Message()
        farewell.add_byte(bytes([MSG_CHANNEL_CLOSE]))
        farewell.add_int(m.get_int())
        self._send_message(farewell)  # type: ignore[attr-defined] # the same
        knock.is_open = True
        knock.settle()

    def _parse_channel_open_failure(self, m: Message) -> None:
        knock = self._forget(m.get_int())
        if knock is None:
            m.rewind()
            super()._parse_channel_open_failure(m)  # type: ignore[misc] # the same
            return
        knock.refusal = (m.get_int(), m.get_text())
        knock.settle()


def knock_on(link: KnockingTransport, targets: Sequence[Target], *, until: float) -> tuple[Reading, ...]:
    """Return what an sshd says of TCP ports; nothing of those that it did not even try.

    Raises:
        SSHException: the connection is gone.
    """
    knocks = [
        (target, link.knock(str(target.address), target.port))
        for target in targets
        if target.protocol is Protocol.TCP
    ]
    for _, knock in knocks:
        knock.answered.wait(max(0.0, until - time.monotonic()))
    if not link.is_active():
        raise paramiko.SSHException("the connection was closed")
    readings = (_reading(target, knock) for target, knock in knocks)
    return tuple(reading for reading in readings if reading is not None)


def _reading(target: Target, knock: Knock) -> Reading | None:
    result, detail = ProbeResult.FILTERED, "no answer in time"
    if knock.is_open:
        result, detail = ProbeResult.OPEN, ""
    elif knock.refusal is not None:
        code, said = knock.refusal
        if code != _CONNECT_FAILED:
            return None  # not allowed, or no room: nothing was tried
        result, detail = _failed(said), _plain(said)
    settled = knock.answered.is_set()
    took = knock.took if settled else time.monotonic() - knock.started
    told = f"through direct-tcpip: {detail}" if detail else "through direct-tcpip"
    return Reading(target=target, result=result, settled=settled, detail=told, took_ms=round(took * 1000))


def _plain(said: str) -> str:
    """Return what another machine says so that it harms no terminal."""
    return "".join(char if char.isprintable() else " " for char in said)[:_MOST_SAID].strip()


def _failed(said: str) -> ProbeResult:
    """Say what the sshd's words mean; it may mean something else by them."""
    words = said.lower()
    if "refused" in words:
        return ProbeResult.CLOSED
    if "route" in words or "unreachable" in words:
        return ProbeResult.UNREACHABLE
    return ProbeResult.FILTERED
