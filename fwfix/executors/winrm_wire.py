"""pywinrm on one connection of ours: no redirects, no second connection behind our back, hard time-outs."""

import base64
import logging
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from winrm.exceptions import WinRMError, WinRMTransportError
from winrm.protocol import Protocol
from winrm.transport import Transport

from fwfix.executors.winrm_endpoint import Endpoint
from fwfix.executors.winrm_errors import DroppedError, LogonRefusedError
from fwfix.executors.winrm_kerberos import bind_to_channel, fetch_ticket
from fwfix.executors.winrm_stream import Stream
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
_FIRST_BAD_STATUS = 300

T = TypeVar("T")
# Hears an envelope: the host's name, the HTTP status of an answer (0 for a request), and its text.
Tap = Callable[[str, int, str], None]


class Wire:
    """One connection and the pywinrm protocol on it; used up when the connection is."""

    def __init__(
        self, endpoint: Endpoint, stream: Stream, password: Secret | None, *, tap: Tap | None = None
    ) -> None:
        self._stream = stream
        self._adapter = _Adapter(endpoint, stream.socket)
        self._protocol = _TimedProtocol(endpoint, password, self._adapter)
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
        """Close the connection."""
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
    """pywinrm's transport with our adapter under it."""

    adapter: _Adapter
    deadline: float
    tap: Callable[[int, str], None] | None = None

    def send_message(self, message: str | bytes) -> bytes:
        """Send an envelope and return the answer; both are heard unsealed, and without any header."""
        if self.tap is None:
            untold: bytes = super().send_message(message)
            return untold
        self.tap(0, message.decode() if isinstance(message, bytes) else message)
        try:
            answer: bytes = super().send_message(message)
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

    def _send_message_request(
        self, session: requests.Session, prepared: requests.PreparedRequest
    ) -> requests.Response:
        """Send one request; a logon may be three of them."""
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
        if response.status_code == _UNAUTHORIZED:
            raise LogonRefusedError(
                attempted=_was_attempted(response),
                offered=response.headers.get("WWW-Authenticate", ""),
                by_ticket=self.auth_method == "kerberos",
            )
        if response.ok and "Authorization" in response.request.headers:
            self.adapter.settled = True
        if response.status_code >= _FIRST_BAD_STATUS:
            text = self._get_message_response_text(response) if response.content else b""
            raise WinRMTransportError("http", response.status_code, text.decode("utf-8", "replace"))
        return response

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        """Unseal an answer. One in clear is not read where we seal: anybody may have written it."""
        if self.encryption is None:
            return response.content
        if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() not in _SEALED:
            if response.ok:
                raise WinRMError("an answer was not sealed")
            return b""
        text: bytes = self.encryption.parse_encrypted_response(response)
        return text


class _TimedProtocol(Protocol):
    """pywinrm's protocol with time-outs that may change from request to request."""

    operation_seconds: float
    transport: _Transport

    def __init__(self, endpoint: Endpoint, password: Secret | None, adapter: _Adapter) -> None:
        settings: dict[str, Any] = {
            "endpoint": endpoint.url,
            "username": endpoint.user or None,
            "password": None if password is None else password.reveal(),
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

    def build_wsman_header(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - pywinrm's
        """Build the header of a request, with the time that this one may take."""
        header: dict[str, Any] = super().build_wsman_header(*args, **kwargs)
        header["env:Header"]["w:OperationTimeout"] = f"PT{self.operation_seconds:.3f}S"
        return header


def _was_attempted(response: requests.Response) -> bool:
    """Tell whether the server has seen a password, ticket or certificate and refused it."""
    kind, _, shown = (response.request.headers.get("Authorization") or "").partition(" ")
    if kind.lower() == "basic":
        return "basic" in response.headers.get("WWW-Authenticate", "basic").lower()
    if kind.lower() in {"ntlm", "negotiate"}:
        token = base64.b64decode(shown)
        return not token.startswith(b"NTLMSSP\0") or token.startswith(_LAST_NTLM_MESSAGE)
    return kind != ""
