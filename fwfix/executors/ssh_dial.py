"""Get a byte stream to an sshd: over TCP or through a ProxyCommand."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from fwfix.errors import UnreachableError
from fwfix.executors.ssh_target import Target
from fwfix.executors.sudo import tail

_ERRORS_READ = 100_000
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_SocketAddress = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


def dial(target: Target, *, deadline: float) -> socket.socket:
    """Connect over TCP to the first address that answers; every address gets its share of the time.

    Raises:
        OSError: nobody answered; the error of the last address.
        UnreachableError: the name did not resolve in time.
    """
    addresses = _resolve(target, deadline=deadline)
    failure: OSError = TimeoutError()
    for index, (family, address) in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - index)
        if share <= 0:
            break
        try:
            return _connect(target, family, address, timeout=share)
        except OSError as error:
            failure = error
    raise failure


def _connect(target: Target, family: int, address: object, *, timeout: float) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if target.bind_interface:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, target.bind_interface.encode())
        if target.bind_address:
            connection.bind((target.bind_address, 0))
        connection.connect(address)  # type: ignore[arg-type]
    except OSError:
        connection.close()
        raise
    return connection


def _resolve(target: Target, *, deadline: float) -> Sequence[_SocketAddress]:
    family = _FAMILIES.get(target.family, socket.AF_UNSPEC)
    try:
        return _lookup(target.address, target.port, family, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name
    found: list[Sequence[_SocketAddress] | socket.gaierror] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(_lookup(target.address, target.port, family, 0))
        except socket.gaierror as error:
            found.append(error)
        done.set()

    # The resolver cannot be interrupted; where it hangs, only this thread waits for its own time-out.
    threading.Thread(target=look_up, name="fwfix-resolve", daemon=True).start()
    if not done.wait(max(0.0, deadline - time.monotonic())):
        raise UnreachableError(
            f"{target.address}: the DNS did not answer in time.", next="Look at the resolver."
        )
    if isinstance(found[0], socket.gaierror):
        raise found[0]
    return found[0]


def _lookup(address: str, port: int, family: int, flags: int) -> Sequence[_SocketAddress]:
    answers = socket.getaddrinfo(address, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    return tuple(dict.fromkeys((answer[0], answer[4]) for answer in answers))


class ProxyStream:
    """A ProxyCommand, as a socket to its standard input and output."""

    def __init__(self, command: str) -> None:
        """Start the command in a session of its own, so that all of it can be ended."""
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError:
            ours.close()
            self._errors.close()
            raise
        finally:
            theirs.close()
        self.socket = ours
        self.last_words = ""

    def close(self) -> None:
        """End the command and everything that it started."""
        self.socket.close()
        if self._process.poll() is None:
            self._signal(signal.SIGHUP)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        self._signal(signal.SIGKILL)
        self._process.wait()
        if not self._errors.closed:
            self._errors.seek(0)
            self.last_words = tail(self._errors.read(_ERRORS_READ).decode("utf-8", "replace"))
            self._errors.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
