"""One connection from first byte to last: HTTP, logon, sealing, SOAP, and the trouble that tests want."""

import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event

from fwfix.errors import LabError
from fwfix.lab.windows.wsman import service
from fwfix.lab.windows.wsman.auth import Accepted, Challenged, Gate
from fwfix.lab.windows.wsman.config import WsmanConfig
from fwfix.lab.windows.wsman.operations import Caller, Operations
from fwfix.lab.windows.wsman.sealing import SealError, is_sealed, protocol_of, seal, sealed_type, unseal
from fwfix.lab.windows.wsman.trouble import Mishap, Troubles
from fwfix.lab.windows.wsman.wire import BadRequestError, GoneError, Reply, Request, Wire

SOAP = "application/soap+xml;charset=UTF-8"
_PATHS = ("/wsman", "/wsman-anon/identify")
_HOST = re.compile(r"\[?([\w.-]+|(?<=\[)[0-9A-Fa-f:.]+)\]?(?::\d+)?\Z")
_STREAM = re.compile(rb"<rsp:Stream [^>]*>[^<]+</rsp:Stream>")
# What sealing puts around an envelope.
_SEALING = 4096
_DRAIN_SECONDS = 10


class VanishError(LabError):
    """The connection ends without an answer, because a test wants it so."""

    code = "vanish"

    def __init__(self, mishap: Mishap) -> None:
        super().__init__(mishap.value)
        self.mishap = mishap


@dataclass(slots=True, kw_only=True)
class Connection:
    """A connected client.

    Attributes:
        secure: TLS is on the socket.
        stopping: the server closes.
    """

    socket: socket.socket
    address: str
    secure: bool
    config: WsmanConfig
    gate: Gate
    operations: Operations
    troubles: Troubles
    stopping: Event
    _wire: Wire = field(init=False)
    _mishap: Mishap | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._wire = Wire(self.socket, silence=self.config.connection_timeout.total_seconds())

    def serve(self) -> None:
        """Answer requests until one side has enough."""
        longest = self.config.quotas.max_envelope_size_kb * 1024 + _SEALING
        with suppress(GoneError, VanishError):
            while not self.stopping.is_set():
                try:
                    request = self._wire.receive(longest_body=longest)
                except BadRequestError as error:
                    self._last(Reply(status=error.status, close=True))
                    return
                reply = self._reply(request)
                self._send(reply)
                if reply.close:
                    self._wire.drain(seconds=_DRAIN_SECONDS)
                    return

    def _reply(self, request: Request) -> Reply:
        self._mishap, status = self.troubles.arrive()
        self._vanish_early()
        if status is not None:
            return Reply(status=status)
        closing = request.header("connection").lower() == "close"
        reply = self._checked(request)
        return Reply(
            status=reply.status, body=reply.body, headers=reply.headers, close=reply.close or closing
        )

    def _checked(self, request: Request) -> Reply:
        """Refuse what is not for WinRM, then ask who it is."""
        path = request.target.partition("?")[0].rstrip("/").lower()
        if path not in _PATHS:
            return Reply(status=404)
        if request.method != "POST":
            return Reply(status=405, headers=(("Allow", "POST"),))
        if path != _PATHS[0] or request.header("wsmanidentify").lower() == "unauthenticated":
            found = service.identify_only(request.body)
            return Reply(status=400, close=True) if found is None else _soap(found)
        decision = self.gate.check(request)
        if isinstance(decision, Challenged):
            return Reply(status=401, headers=tuple(("WWW-Authenticate", offer) for offer in decision.offers))
        return self._authenticated(request, decision)

    def _authenticated(self, request: Request, accepted: Accepted) -> Reply:
        extra = (("WWW-Authenticate", accepted.last),) if accepted.last else ()
        if not request.body:
            return Reply(status=200, headers=extra)
        content_type = request.header("content-type")
        if is_sealed(content_type):
            return self._sealed(request, accepted, extra)
        if not content_type.lower().startswith("application/soap+xml"):
            return Reply(status=415, headers=extra)
        if not self.secure and not self.config.allow_unencrypted:
            return Reply(status=500, headers=extra)
        return _soap(self._soap_answer(request, request.body, accepted), extra)

    def _sealed(self, request: Request, accepted: Accepted, extra: tuple[tuple[str, str], ...]) -> Reply:
        if accepted.logon is None:
            return Reply(status=400, close=True)
        try:
            message = unseal(request.body, accepted.logon)
        except SealError:
            # The two ends no longer share a key: nothing on this connection can be understood any more.
            return Reply(status=400, close=True)
        found = self._soap_answer(request, message, accepted)
        protocol = protocol_of(request.header("content-type"))
        return Reply(
            status=found.status,
            body=seal(found.body, accepted.logon, protocol),
            headers=(("Content-Type", sealed_type(protocol)), *extra),
        )

    def _soap_answer(self, request: Request, body: bytes, accepted: Accepted) -> service.Answer:
        called = _HOST.match(request.header("host"))
        parsed = service.read(body, self.config, host=called[1] if called else self.config.machine.name)
        mishap, delay = self.troubles.perform(parsed.verb)
        self._mishap = self._mishap or mishap
        self._vanish_early()
        if parsed.refusal is not None or parsed.message is None:
            assert parsed.refusal is not None
            return parsed.refusal
        found = service.perform(
            parsed.message, self.operations, Caller(user=accepted.user, address=self.address)
        )
        self.stopping.wait(delay.total_seconds())
        if self._mishap is Mishap.REPEATED:
            return replace(found, body=_STREAM.sub(rb"\g<0>\g<0>", found.body))
        return found

    def _vanish_early(self) -> None:
        if self._mishap is Mishap.HANG:
            with suppress(GoneError, BadRequestError):
                self._wire.receive(longest_body=0)
        if self._mishap in (Mishap.LOST, Mishap.HANG):
            raise VanishError(self._mishap)

    def _send(self, reply: Reply) -> None:
        packed = reply.pack()
        if self._mishap is Mishap.RESET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._mishap is Mishap.CUT:
            self._wire.send(packed[: len(packed) // 2])
        if self._mishap not in (None, Mishap.REPEATED):
            raise VanishError(self._mishap)
        self._wire.send(packed)

    def _last(self, reply: Reply) -> None:
        self._wire.send(reply.pack())
        self._wire.drain(seconds=_DRAIN_SECONDS)


def _soap(found: service.Answer, extra: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status=found.status, body=found.body, headers=(("Content-Type", SOAP), *extra))
