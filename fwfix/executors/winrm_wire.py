"""pywinrm on one connection of ours: no redirects, no second connection behind our back, hard time-outs."""

import base64
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from spnego._ntlm_raw.crypto import ntowfv1
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from winrm.exceptions import WinRMError, WinRMTransportError
from winrm.protocol import Protocol
from winrm.transport import Transport

from fwfix.executors.winrm_endpoint import Endpoint
from fwfix.executors.winrm_errors import DroppedError, LogonRefusedError
from fwfix.executors.winrm_http import FIRST_BAD_STATUS, Answer, Line
from fwfix.executors.winrm_kerberos import bind_to_channel, fetch_ticket
from fwfix.executors.winrm_protocol import TimedProtocol
from fwfix.executors.winrm_stream import Stream
from fwfix.model.host import WinrmTransport
from fwfix.secrets import Secret

# What they log they also raise, and our errors say it once.
for _name in ("urllib3", "winrm.vendor.requests_kerberos", "spnego"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# The service answers when the time of an operation is over; one that is silent this much longer is gone.
_PATIENCE_SECONDS = 10.0
_SEALED = ("multipart/encrypted", "multipart/x-multi-encrypted")
_LAST_NTLM_MESSAGE = b"NTLMSSP\0\3"
_OK = 200
_UNAUTHORIZED = 401
_PLAIN = "application/soap+xml;charset=UTF-8"

T = TypeVar("T")
R = TypeVar("R", requests.Response, Answer)
# Hears an envelope: the host's name, the HTTP status of an answer (0 for a request), and its text.
Tap = Callable[[str, int, str], None]


class Wire:
    """One connection and the pywinrm protocol on it; used up when the connection is."""

    def __init__(
        self, endpoint: Endpoint, stream: Stream, password: Secret | None, *, tap: Tap | None = None
    ) -> None:
        self._stream = stream
        with suppress(OSError):  # the end of a tunnel is no TCP
            # urllib3 sends a request in two parts; the second would wait until the first is acknowledged.
            stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._adapter = _Adapter(endpoint, stream.socket)
        self._protocol = _Protocol(endpoint, password, self._adapter)
        self._protocol.transport.connected = stream.socket
        if tap is not None:
            self._protocol.transport.tap = partial(tap, endpoint.host.name)

    @property
    def settled(self) -> bool:
        """The server has let us in on this connection."""
        return self._adapter.settled

    def run(self, work: Callable[[Protocol], T], *, deadline: float, operation: float) -> T:
        """Do something with the protocol.

        Args:
            work: one or more requests; whatever pywinrm raises comes through.
            deadline: when the answer must be here.
            operation: seconds after which the service itself gives up.
        """
        self._protocol.operation_seconds = operation
        self._protocol.transport.deadline = min(deadline, time.monotonic() + operation + _PATIENCE_SECONDS)
        return work(self._protocol)

    def cut(self) -> None:
        """Wake whoever waits for an answer, from any thread."""
        self._stream.cut()

    def close(self) -> None:
        """Close the connection, where nobody waits on it any more."""
        self._protocol.transport.close_session()
        self._adapter.close()
        self._stream.close()


class _Adapter(HTTPAdapter):
    """Sends every request over the one socket that it was given."""

    def __init__(self, endpoint: Endpoint, connected: socket.socket) -> None:
        super().__init__(max_retries=0)
        self.settled = False
        self.certificate: bytes | None = None
        if isinstance(connected, ssl.SSLSocket):
            self.certificate = connected.getpeercert(binary_form=True)
        self._socket: socket.socket | None = connected
        # TLS, where there is any, is done: what is left is HTTP over a stream.
        self._pool = HTTPConnectionPool(endpoint.server_name, endpoint.port, maxsize=1, block=True)
        self._pool.ConnectionCls = self._connection  # type: ignore[assignment] # called only

    def get_connection_with_tls_context(self, *_: object, **__: object) -> HTTPConnectionPool:
        """Return the pool of one connection, whatever the request says about proxies and certificates."""
        return self._pool

    def cert_verify(self, *_: object, **__: object) -> None:
        """Do nothing: the stream was checked when it was opened."""

    def close(self) -> None:
        """Close the pool too."""
        self._pool.close()
        super().close()

    def _connection(self, *args: Any, **kwargs: Any) -> HTTPConnection:  # noqa: ANN401 - urllib3's
        made = HTTPConnection(*args, **kwargs)
        made._new_conn = self._take_socket  # type: ignore[method-assign]  # noqa: SLF001 - its way to a socket
        return made

    def _take_socket(self) -> socket.socket:
        if self._socket is None:
            # urllib3 would open a second connection, on which the keys of the first mean nothing.
            raise DroppedError("the connection was closed")
        taken, self._socket = self._socket, None
        return taken


class _Transport(Transport):
    """pywinrm's transport with our adapter under it, and with neither requests nor adapter once we are in."""

    adapter: _Adapter
    connected: socket.socket
    deadline: float
    tap: Callable[[int, str], None] | None = None
    _line: Line | None = None

    def send_message(self, message: str | bytes) -> bytes:
        """Send an envelope and return the answer; both are heard unsealed, and without any header."""
        if self.tap is None:
            return self._exchange(message)
        self.tap(0, message.decode() if isinstance(message, bytes) else message)
        try:
            answer = self._exchange(message)
        except WinRMTransportError as error:
            self.tap(error.code, error.response_text)
            raise
        self.tap(_OK, answer.decode("utf-8", "replace"))
        return answer

    def build_session(self) -> requests.Session:
        """Return the session; it takes neither proxies nor accounts (.netrc) from the environment."""
        by_ticket = self.auth_method == "kerberos"
        if by_ticket and self.session is None:
            fetch_ticket(self.endpoint, self.username, deadline=self.deadline)
        session: requests.Session = super().build_session()
        session.trust_env = False
        if by_ticket and self.adapter.certificate:
            bind_to_channel(session, self.adapter.certificate)
        return session

    def _exchange(self, message: str | bytes) -> bytes:
        # Building it may be a logon of its own: sealing needs the keys first.
        session = self.build_session()
        if not self.adapter.settled:
            first: bytes = super().send_message(message)
            return first
        if self._line is None:
            example = session.prepare_request(requests.Request("POST", self.endpoint, data=b""))
            self._line = Line(self.connected, example)
        body, kind = message.encode() if isinstance(message, str) else message, _PLAIN
        if self.encryption is not None:
            sealed: Any = self.encryption.prepare_encrypted_request(_Drafts(), self.endpoint, body)
            body, kind = sealed.body, sealed.headers["Content-Type"]
        answer = self._line.post(body, kind=kind, deadline=self.deadline)
        return self._get_message_response_text(self._accepted(answer))

    def _send_message_request(
        self, session: requests.Session, prepared: requests.PreparedRequest
    ) -> requests.Response:
        """Send one request by which we log on; it may be three of them."""
        # A logon comes before `build_session` returns.
        session.trust_env = False
        session.proxies = {}
        if session.adapters.get("http://") is not self.adapter:
            session.mount("http://", self.adapter)
            session.mount("https://", self.adapter)
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        response = session.send(prepared, timeout=remaining, allow_redirects=False)
        if response.ok and "Authorization" in response.request.headers:
            self.adapter.settled = True
        return self._accepted(response)

    def _accepted(self, response: R) -> R:
        """Return an answer that the status says is one."""
        if response.status_code == _UNAUTHORIZED:
            raise LogonRefusedError(
                attempted=_was_attempted(response),
                offered=response.headers.get("WWW-Authenticate", ""),
                by_ticket=self.auth_method == "kerberos",
            )
        if response.status_code >= FIRST_BAD_STATUS:
            text = self._get_message_response_text(response) if response.content else b""
            raise WinRMTransportError("http", response.status_code, text.decode("utf-8", "replace"))
        return response

    def _get_message_response_text(self, response: requests.Response | Answer) -> bytes:
        """Unseal an answer. One in clear is not read where we seal: anybody may have written it."""
        if self.encryption is None:
            return response.content
        if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() not in _SEALED:
            if response.ok:
                raise WinRMError("an answer was not sealed")
            return b""
        # Of the request of an answer it reads the URL, and of the answer what `Answer` has too.
        text: bytes = self.encryption.parse_encrypted_response(response)  # type: ignore[arg-type]
        return text


class _Drafts(requests.Session):
    """Stands in where pywinrm's encryption asks a session for a request, and fills in body and headers."""

    def __init__(self) -> None:
        """Leave out what sessions have: only `prepare_request` is asked for."""

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return a request that has its body, and no header yet."""
        draft = requests.PreparedRequest()
        draft.body, draft.headers = request.data, CaseInsensitiveDict()
        return draft


class _Protocol(TimedProtocol):
    """pywinrm's protocol on our transport."""

    transport: _Transport

    def __init__(self, endpoint: Endpoint, password: Secret | None, adapter: _Adapter) -> None:
        settings: dict[str, Any] = {
            "endpoint": endpoint.url,
            "username": endpoint.user or None,
            "password": None if password is None else _shown(password, endpoint),
            "ca_trust_path": None,
            # None would let requests set and remove $no_proxy, in which two hosts at once collide.
            "proxy": "",
            "message_encryption": "always" if endpoint.tls is None else "never",
            "server_cert_validation": "validate",
        }
        if endpoint.tls is not None:
            settings["cert_pem"] = str(endpoint.tls.cert_file) if endpoint.tls.cert_file else None
            settings["cert_key_pem"] = str(endpoint.tls.key_file) if endpoint.tls.key_file else None
        super().__init__(transport=endpoint.transport.value, **settings)
        self.transport = _Transport(auth_method=endpoint.transport.value, service="HTTP", **settings)
        self.transport.adapter = adapter
        self.operation_seconds = float(self.operation_timeout_sec)


def _shown(password: Secret, endpoint: Endpoint) -> str:
    """Return what proves that we know a password: for NTLM its hash, which requests_ntlm takes as well.

    From a password pyspnego would make the hash of LAN Manager too, in Python: a quarter of a logon, and
    of no use to NTLMv2. `ntowfv1` is not public there.
    """
    if endpoint.transport is not WinrmTransport.NTLM:
        return password.reveal()
    return f"{bytes(16).hex()}:{ntowfv1(password.reveal()).hex()}"


def _was_attempted(response: requests.Response | Answer) -> bool:
    """Tell whether the server has seen a password, ticket or certificate and refused it."""
    kind, _, shown = (response.request.headers.get("Authorization") or "").partition(" ")
    if kind.lower() == "basic":
        return "basic" in response.headers.get("WWW-Authenticate", "basic").lower()
    if kind.lower() in {"ntlm", "negotiate"}:
        token = base64.b64decode(shown)
        return not token.startswith(b"NTLMSSP\0") or token.startswith(_LAST_NTLM_MESSAGE)
    return kind != ""
