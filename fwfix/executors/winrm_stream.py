"""Get a byte stream to a WinRM service: TCP, a proxy's or a jump host's tunnel, then TLS."""

import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import certifi

from fwfix.errors import AuthError, ConnectError, HostKeyError, UnreachableError
from fwfix.executors.ssh_dial import dial
from fwfix.executors.ssh_target import Target
from fwfix.executors.ssh_watch import Watch
from fwfix.executors.winrm_endpoint import Endpoint, TlsTrust, bracketed
from fwfix.executors.winrm_errors import Stage, foreign_errors

_PROXY_PORTS = {"http": 80, "https": 443}
_LONGEST_HEADER = 65_536
_READ = 65_536
_SUCCESS = (b"2",)
# A descriptor that is closed goes to the next connection at once, and a late cut would be that one's.
_TURN = threading.Lock()


class Channel(Protocol):
    """A tunnel through a jump host, as paramiko has them."""

    def recv(self, size: int, /) -> bytes:
        """Return what is there; empty at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send everything."""

    def close(self) -> None:
        """End both directions, and wake whoever waits."""


class Tunnel(Protocol):
    """Opens tunnels through jump hosts."""

    def __call__(self, jump: str, address: str, port: int, *, deadline: float) -> Channel:
        """Return a tunnel through a jump host to an address."""


class PrepareJump(Protocol):
    """Gets the secrets of a jump host that take time."""

    def __call__(self, jump: str, *, deadline: float) -> None:
        """Ask people and programs now; the deadline is for reading settings."""


class Bridge:
    """Makes a channel look like a connected socket, which TLS and HTTP need."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.socket, self._inner = socket.socketpair()
        works = (self._forth, self._back)
        self._lock = threading.Lock()
        self._running = len(works)
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name="fwfix-winrm-bridge", daemon=True)
            for work in works
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the tunnel and wait for its threads."""
        self._channel.close()
        with self._lock, suppress(OSError):
            self._inner.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _run(self, work: Callable[[], None]) -> None:
        """Carry bytes; the last thread closes the socket that both read and write."""
        try:
            work()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._inner.close()

    def _forth(self) -> None:
        with suppress(OSError, EOFError):
            while data := self._inner.recv(_READ):
                self._channel.sendall(data)
        self._channel.close()

    def _back(self) -> None:
        with suppress(OSError, EOFError):
            while data := self._channel.recv(_READ):
                self._inner.sendall(data)
        with suppress(OSError):
            self._inner.shutdown(socket.SHUT_RDWR)


class Stream:
    """One connection to one WinRM service, ready for HTTP."""

    def __init__(self, connected: socket.socket, bridge: Bridge | None) -> None:
        self.socket = connected
        self._bridge = bridge

    def cut(self) -> None:
        """Wake whoever reads or writes it, for good, from any thread."""
        cut(self.socket)

    def close(self) -> None:
        """Close it, where nobody reads or writes it any more; leaves no thread behind."""
        with _TURN:
            self.socket.close()
        if self._bridge is not None:
            self._bridge.close()


def cut(connected: socket.socket) -> None:
    """Shut a socket down beneath its TLS, whose own shutdown would not be safe from another thread."""
    with _TURN, suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _close(connected: socket.socket) -> None:
    with _TURN:
        connected.close()


class Streams:
    """Opens streams; shares what TLS needs between hosts."""

    def __init__(self, *, watch: Watch, tunnel: Tunnel | None) -> None:
        self._watch = watch
        self._tunnel = tunnel
        self._contexts: dict[TlsTrust, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def open(self, endpoint: Endpoint, *, deadline: float) -> Stream:
        """Connect.

        Raises:
            ConnectError: its subclasses say why.
        """
        with foreign_errors(endpoint.where, Stage.CONNECT):
            context = None if endpoint.tls is None else self._context(endpoint.tls)
            bridge, connected = None, None
            if endpoint.jump:
                bridge = Bridge(self._through(endpoint, deadline))
                connected = bridge.socket
            elif endpoint.proxy:
                # Said of the proxy: the host itself was not asked anything.
                with foreign_errors(f"The proxy {endpoint.proxy}", Stage.CONNECT):
                    connected = self._through_proxy(endpoint, deadline)
            else:
                connected = dial(_target(endpoint.address, endpoint.port), deadline=deadline)
            try:
                if context is not None and endpoint.tls is not None:
                    connected = self._secured(connected, context, endpoint.server_name, deadline)
                    _check_fingerprint(connected, endpoint.tls, endpoint.where)
            except BaseException:
                _close(connected)
                if bridge is not None:
                    bridge.close()
                raise
            return Stream(connected, bridge)

    def _through(self, endpoint: Endpoint, deadline: float) -> Channel:
        if self._tunnel is None:
            raise ConnectError(f"{endpoint.where}: there is no SSH for the jump host {endpoint.jump}.")
        return self._tunnel(endpoint.jump, endpoint.address, endpoint.port, deadline=deadline)

    def _through_proxy(self, endpoint: Endpoint, deadline: float) -> socket.socket:
        parts = urlsplit(endpoint.proxy)
        name = parts.hostname or ""
        connected = dial(_target(name, parts.port or _PROXY_PORTS[parts.scheme]), deadline=deadline)
        try:
            if parts.scheme == "https":
                connected = self._secured(connected, self._context(TlsTrust()), name, deadline)
            with self._watch.guard(deadline, lambda: cut(connected)):
                _ask_for_tunnel(connected, endpoint, deadline)
        except BaseException:
            _close(connected)
            raise
        return connected

    def _secured(
        self, connected: socket.socket, context: ssl.SSLContext, name: str, deadline: float
    ) -> ssl.SSLSocket:
        wrapped = context.wrap_socket(connected, server_hostname=name, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(max(0.01, deadline - time.monotonic()))
            with self._watch.guard(deadline, lambda: cut(wrapped)):
                wrapped.do_handshake()
        except BaseException:
            _close(wrapped)
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            raise
        return wrapped

    def _context(self, trust: TlsTrust) -> ssl.SSLContext:
        """Return the context for a kind of trust: reading the system's authorities takes its time."""
        with self._lock:
            # Only whether there is a fingerprint decides what the context does.
            key = replace(trust, fingerprint="pinned" if trust.fingerprint else "")
            if key not in self._contexts:
                self._contexts[key] = make_context(trust)
            return self._contexts[key]


def make_context(trust: TlsTrust) -> ssl.SSLContext:
    """Make what TLS connections share; the environment (SSL_CERT_FILE and the like) has no say in it.

    Raises:
        ConnectError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust.ca_file is not None:
        try:
            context.load_verify_locations(trust.ca_file)
        except OSError as error:
            raise _bad_file("ca_file", trust.ca_file, error) from error
        # A single server's own certificate may stand in for an authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    elif trust.fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust_system(context)
    if trust.cert_file is not None:
        try:
            context.load_cert_chain(trust.cert_file, trust.key_file, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise _bad_file("cert_file, key_file", trust.cert_file, error) from error
    return context


def _trust_system(context: ssl.SSLContext) -> None:
    built_in = ssl.get_default_verify_paths()
    file, folder = Path(built_in.openssl_cafile), Path(built_in.openssl_capath)
    if file.is_file():
        context.load_verify_locations(cafile=file, capath=folder if folder.is_dir() else None)
    else:
        context.load_verify_locations(cafile=certifi.where(), capath=str(folder) if folder.is_dir() else None)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _bad_file(key: str, path: Path, error: Exception) -> AuthError:
    return AuthError(f"{key} {path} cannot be used: {error}.", next="Give PEM files.", code="winrm-settings")


def _check_fingerprint(connected: socket.socket, trust: TlsTrust, where: str) -> None:
    if not trust.fingerprint or not isinstance(connected, ssl.SSLSocket):
        return
    found = hashlib.sha256(connected.getpeercert(binary_form=True) or b"").hexdigest()
    if not hmac.compare_digest(found, trust.fingerprint):
        raise HostKeyError(
            f"{where} shows another certificate than the pinned one: {found}.",
            next="Compare it on the host, then correct fingerprint.",
            code="tls-untrusted",
        )


def _target(address: str, port: int) -> Target:
    return Target(name=address, address=address, port=port, user="", key_name=address)


def _ask_for_tunnel(connected: socket.socket, endpoint: Endpoint, deadline: float) -> None:
    goal = f"{bracketed(endpoint.address)}:{endpoint.port}"
    connected.settimeout(max(0.01, deadline - time.monotonic()))
    connected.sendall(f"CONNECT {goal} HTTP/1.1\r\nHost: {goal}\r\n\r\n".encode("ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        # Byte by byte, so that nothing of what follows the answer is taken away.
        byte = connected.recv(1)
        if not byte or len(answer) > _LONGEST_HEADER:
            raise UnreachableError(f"The proxy {endpoint.proxy} hung up.", next="Check proxy.")
        answer += byte
    status = answer.partition(b" ")[2][:3]
    if not status.startswith(_SUCCESS):
        raise UnreachableError(
            f"The proxy {endpoint.proxy} opens no tunnel to {goal}: {status.decode('ascii', 'replace')}.",
            next="Allow CONNECT to that port in the proxy.",
            code="proxy",
        )
