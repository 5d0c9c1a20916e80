"""pywinrm on one connection of ours: no redirects, no second connection behind our back, hard time-outs."""

import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from winrm.encryption import Encryption
from winrm.exceptions import WinRMError, WinRMTransportError
from winrm.protocol import Protocol

from fwfix.executors.winrm_endpoint import Endpoint
from fwfix.executors.winrm_http import Answer, Line
from fwfix.executors.winrm_kerberos import ByTicket
from fwfix.executors.winrm_logon import BY_CERTIFICATE, Logon, Named, Ntlm, check_let_in
from fwfix.executors.winrm_protocol import TimedProtocol
from fwfix.executors.winrm_stream import Stream
from fwfix.model.host import WinrmTransport
from fwfix.secrets import Secret

# What they log they also raise, and our errors say it once.
for _name in ("winrm.vendor.requests_kerberos", "spnego"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# The service answers when the time of an operation is over; one that is silent this much longer is gone.
_PATIENCE_SECONDS = 10.0
_SEALED = ("multipart/encrypted", "multipart/x-multi-encrypted")
_OK = 200
_PLAIN = "application/soap+xml;charset=UTF-8"

T = TypeVar("T")
# Hears an envelope: the host's name, the HTTP status of an answer (0 for a request), and its text.
Tap = Callable[[str, int, str], None]


class Wire:
    """One connection and the pywinrm protocol on it; used up when the connection is."""

    def __init__(
        self, endpoint: Endpoint, stream: Stream, password: Secret | None, *, tap: Tap | None = None
    ) -> None:
        self._stream = stream
        with suppress(OSError):  # the end of a tunnel is no TCP
            # A request may be longer than a packet; its end would wait until the rest is acknowledged.
            stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = _Transport(endpoint, stream.socket, password)
        if tap is not None:
            self._transport.tap = partial(tap, endpoint.host.name)
        self._protocol = _Protocol(endpoint, self._transport)

    @property
    def settled(self) -> bool:
        """The server has let us in on this connection."""
        return self._transport.settled

    def run(self, work: Callable[[Protocol], T], *, deadline: float, operation: float) -> T:
        """Do something with the protocol.

        Args:
            work: one or more requests; whatever pywinrm raises comes through.
            deadline: when the answer must be here.
            operation: seconds after which the service itself gives up.
        """
        self._protocol.operation_seconds = operation
        self._transport.deadline = min(deadline, time.monotonic() + operation + _PATIENCE_SECONDS)
        return work(self._protocol)

    def cut(self) -> None:
        """Wake whoever waits for an answer, from any thread."""
        self._stream.cut()

    def close(self) -> None:
        """Close the connection, where nobody waits on it any more."""
        self._stream.close()


class _Transport:
    """What pywinrm's protocol asks of its transport, on one connection: log on once, seal, send."""

    def __init__(self, endpoint: Endpoint, connected: socket.socket, password: Secret | None) -> None:
        self._endpoint = endpoint
        self._password = password
        self._line = Line(connected, endpoint.url)
        self._certificate: bytes | None = None
        if isinstance(connected, ssl.SSLSocket):
            self._certificate = connected.getpeercert(binary_form=True)
        self._standing = ""
        self._encryption: Any = None
        self.settled = False
        self.deadline = 0.0
        self.tap: Callable[[int, str], None] | None = None

    def send_message(self, message: str | bytes) -> bytes:
        """Send an envelope and return the answer; both are heard unsealed, and without any header."""
        body = message.encode() if isinstance(message, str) else message
        if self.tap is None:
            return self._exchange(body)
        self.tap(0, body.decode())
        try:
            answer = self._exchange(body)
        except WinRMTransportError as error:
            self.tap(error.code, error.response_text)
            raise
        self.tap(_OK, answer.decode("utf-8", "replace"))
        return answer

    def close_session(self) -> None:
        """Do nothing: who opened the connection closes it."""

    def _exchange(self, body: bytes) -> bytes:
        if not self.settled and self._endpoint.tls is not None:
            return self._log_on(body)
        if not self.settled:
            self._log_on(b"")  # sealing needs the keys first
        kind = _PLAIN
        if self._encryption is not None:
            sealed = self._encryption.prepare_encrypted_request(_Drafts, self._endpoint.url, body)
            body, kind = sealed.body, sealed.headers["Content-Type"]
        answer = self._post(body, self._standing, kind=kind)
        check_let_in(answer, attempted=self._standing != "")
        return self._content(answer)

    def _log_on(self, body: bytes) -> bytes:
        logon = self._logon()
        content = self._content(logon.enter(self._post, body))
        self.settled, self._standing = True, logon.standing
        if self._endpoint.tls is None:
            keys: Any = SimpleNamespace(auth=logon)
            self._encryption = Encryption(keys, self._endpoint.transport.value)
        return content

    def _logon(self) -> Logon:
        endpoint, certificate = self._endpoint, self._certificate
        server = urlsplit(endpoint.url).hostname or ""
        if endpoint.transport is WinrmTransport.KERBEROS:
            return ByTicket(endpoint.user, server=server, certificate=certificate, deadline=self.deadline)
        if self._password is None:
            return Named(BY_CERTIFICATE)
        if endpoint.transport is WinrmTransport.BASIC:
            return Named.by_password(endpoint.user, self._password)
        return Ntlm(endpoint.user, self._password, server=server, certificate=certificate)

    def _post(self, body: bytes, authorization: str, *, kind: str = _PLAIN) -> Answer:
        return self._line.post(body, kind=kind, deadline=self.deadline, authorization=authorization)

    def _content(self, answer: Answer) -> bytes:
        """Return what an answer says; one in clear is not read where we seal: anybody may have written it."""
        if not answer.ok:
            text = self._unsealed(answer) if answer.content else b""
            raise WinRMTransportError("http", answer.status_code, text.decode("utf-8", "replace"))
        return self._unsealed(answer)

    def _unsealed(self, answer: Answer) -> bytes:
        if self._encryption is None:
            return answer.content
        if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _SEALED:
            return bytes(self._encryption.parse_encrypted_response(answer))
        if answer.ok:
            raise WinRMError("an answer was not sealed")
        return b""


class _Drafts:
    """Stands in where pywinrm's encryption asks a session for a request, and fills in body and headers."""

    @staticmethod
    def prepare_request(request: Any) -> SimpleNamespace:  # noqa: ANN401 - one of requests
        """Return a request that has its body, and no header yet."""
        return SimpleNamespace(body=request.data, headers={})


class _Protocol(TimedProtocol):
    """pywinrm's protocol on our transport."""

    def __init__(self, endpoint: Endpoint, transport: _Transport) -> None:
        # pywinrm makes a transport of its own, which is not used; one for Kerberos wants no password.
        super().__init__(endpoint.url, transport="kerberos")
        self.transport = transport  # type: ignore[assignment] # two methods of it are called
        self.operation_seconds = float(self.operation_timeout_sec)
