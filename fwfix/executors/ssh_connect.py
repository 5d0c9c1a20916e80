"""Open connections before a deadline: jump hosts shared, dropped connections tried again, hosts proven."""

import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

import paramiko

from fwfix.errors import ConnectError, UnreachableError
from fwfix.executors.accounts import Accounts
from fwfix.executors.hostkeys import HostKeys
from fwfix.executors.ssh_auth import Logon
from fwfix.executors.ssh_dial import ProxyStream, dial
from fwfix.executors.ssh_errors import Stage, foreign_errors
from fwfix.executors.ssh_gate import Gate
from fwfix.executors.ssh_keys import Keyring
from fwfix.executors.ssh_knock import knock_on
from fwfix.executors.ssh_route import Hop, Identity, Route, identity
from fwfix.executors.ssh_target import Target
from fwfix.executors.ssh_transport import Link, Stream
from fwfix.executors.ssh_watch import Watch
from fwfix.model.host import Host
from fwfix.model.outcome import Reading
from fwfix.model.outcome import Target as Port
from fwfix.secrets import Secret, SecretRef

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0
_CLOSE_SECONDS = 5.0
# Long enough that a busy machine never cuts a jump host that is well: others use it too.
_CUT_GRACE = 2.0
_SHORTEST_KNOCK = 0.2


class Resolve(Protocol):
    """Turn a reference into the secret, at the moment of use."""

    def __call__(self, ref: SecretRef, host: Host, *, user: str, purpose: str) -> Secret:
        """Return the secret of a host.

        Args:
            ref: where it comes from.
            host: whose secret it is.
            user: the account, which ssh_config may have decided.
            purpose: what a person is asked for.

        Raises:
            SecretError: the reference leads nowhere.
        """


class _DroppedError(Exception):
    """The other side hung up before it said anything: sshd is at MaxStartups."""


class Connection:
    """One authenticated connection and what it runs over."""

    def __init__(
        self, link: Link, *, proxy: ProxyStream | None, jump: "Connection | None", watch: Watch
    ) -> None:
        self.link = link
        self._proxy = proxy
        self._jump = jump
        self._watch = watch

    @property
    def is_direct(self) -> bool:
        """Nothing stands between this machine and the host."""
        return self._proxy is None and self._jump is None

    def end(self) -> None:
        """Close it; a jump host that blocks the closing is cut off."""
        if self._jump is None:
            self.link.end()
        else:
            with self._watch.guard(time.monotonic() + _CLOSE_SECONDS, self._jump.link.cut):
                self.link.end()
        if self._proxy is not None:
            self._proxy.close()


class _Jump:
    """The one connection to a jump host, and whose turn it is to open it."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.connection: Connection | None = None
        self.failure: ConnectError | None = None
        self.failed_at = 0.0


class Connections:
    """Open connections along routes."""

    def __init__(self, *, resolve: Resolve, accounts: Accounts) -> None:
        self.watch = Watch()
        self._resolve = resolve
        self._accounts = accounts
        self._host_keys = HostKeys()
        self._keyring = Keyring()
        self._gate = Gate()
        self._jumps: dict[Identity, _Jump] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def close(self) -> None:
        """Close what is shared: jump hosts, innermost first, and the watch."""
        self._closing.set()
        with self._lock:
            jumps = sorted(self._jumps.items(), key=lambda item: -len(item[0]))
            self._jumps.clear()
        for _, jump in jumps:
            if jump.connection is not None:
                jump.connection.end()
        self.watch.close()

    def prepare(self, hop: Hop) -> None:
        """Get the password and the passphrase of a hop from the person or the program that knows them.

        Raises:
            SecretError: nobody can be asked, or the program gives none.
        """
        target = hop.target
        if target.password is not None and target.password.takes_time:
            self._reveal(hop, target.password, "password")
        phrase = target.passphrase
        if phrase is not None and phrase.takes_time and "publickey" in target.methods:
            self._keyring.unlock(target, lambda: self._reveal(hop, phrase, "passphrase"))

    def _reveal(self, hop: Hop, ref: SecretRef, purpose: str) -> Secret:
        return self._resolve(ref, hop.host, user=hop.target.user, purpose=purpose)

    def open(self, route: Route, *, deadline: float) -> Connection:
        """Open a connection to the last hop of a route.

        Raises:
            ConnectError: its subclasses say why.
        """
        pause = _FIRST_PAUSE
        target = route[-1].target
        while True:
            try:
                return self._open_once(route, deadline)
            except _DroppedError as error:
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - to spread attempts, no secret
                pause = min(pause * 2, _LONGEST_PAUSE)
                if time.monotonic() + wait >= deadline or self._closing.wait(wait):
                    raise UnreachableError(
                        f"{target.where} hangs up before it says that it speaks SSH.",
                        next="Is sshd overloaded (MaxStartups), or does it refuse this address (fail2ban)?",
                    ) from error

    def tunnel(self, route: Route, address: str, port: int, *, deadline: float) -> paramiko.Channel:
        """Open a tunnel from the last hop of a route, whose connection is shared, to an address.

        Raises:
            ConnectError: its subclasses say why.
        """
        target = replace(route[-1].target, address=address, port=port)
        jump = self._jump(route, deadline)
        assert jump is not None, "a route has a last hop"
        with foreign_errors(target.where, Stage.CONNECT):
            return self._through(jump, target, deadline)

    def knock(
        self, route: Route, targets: Sequence[Port], *, until: float, deadline: float
    ) -> tuple[Reading, ...]:
        """Let the last hop of a route, whose connection is shared, try ports; see `knock_on`.

        Raises:
            ConnectError: there is no connection to it before the deadline.
        """
        jump = self._jump(route, deadline)
        assert jump is not None, "a route has a last hop"
        until = max(until, time.monotonic() + _SHORTEST_KNOCK)  # the connection may have taken its time
        with (
            foreign_errors(route[-1].target.where, Stage.CONNECT),
            self.watch.guard(until + _CUT_GRACE, jump.link.cut),
        ):
            return knock_on(jump.link, targets, until=until)

    def _open_once(self, route: Route, deadline: float) -> Connection:
        target = route[-1].target
        sshd = (identity(route[:-1]), target.address, target.port)
        jump = self._jump(route[:-1], deadline)
        with (
            self._gate.turn(sshd, where=target.where, deadline=deadline),
            foreign_errors(target.where, Stage.CONNECT),
            self._stream(target, jump, deadline) as (stream, proxy),
        ):
            link = Link(stream, host_key_algorithms=self._host_keys.algorithms(target))
            connection = Connection(link, proxy=proxy, jump=jump, watch=self.watch)
            try:
                with self.watch.guard(deadline, link.cut):
                    self._log_on(link, route, deadline)
            except BaseException:
                connection.end()
                raise
        return connection

    def _log_on(self, link: Link, route: Route, deadline: float) -> None:
        hop = route[-1]
        logon = Logon(
            link,
            hop.target,
            reveal=partial(self._reveal, hop),
            accounts=self._accounts,
            keyring=self._keyring,
        )
        try:
            link.handshake()
            self._host_keys.check(hop.target, link.host_key_blob)
            logon.run(deadline=deadline)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if time.monotonic() >= deadline:
                raise _overdue(link, hop.target) from error
            if link.dropped_unheard:
                raise _DroppedError from error
            raise

    @contextmanager
    def _stream(
        self, target: Target, jump: Connection | None, deadline: float
    ) -> Iterator[tuple[Stream, ProxyStream | None]]:
        """Open a stream; once a transport has taken it over, that closes it."""
        if jump is not None:
            yield self._through(jump, target, deadline), None
        elif target.proxy_command:
            proxy = ProxyStream(target.proxy_command)
            try:
                yield proxy.socket, proxy
            except (EOFError, OSError, paramiko.SSHException, _DroppedError) as error:
                proxy.close()
                raise paramiko.ProxyCommandFailure(target.proxy_command, proxy.last_words) from error
        else:
            yield dial(target, deadline=deadline), None

    def _through(self, jump: Connection, target: Target, deadline: float) -> paramiko.Channel:
        try:
            # A jump host that takes nothing more blocks the asking itself, which has no time-out.
            with self.watch.guard(deadline + _CUT_GRACE, jump.link.cut):
                return jump.link.open_channel(
                    "direct-tcpip",
                    (target.address, target.port),
                    ("127.0.0.1", 0),
                    timeout=max(0.1, deadline - time.monotonic()),
                )
        except paramiko.ChannelException:
            raise
        except (paramiko.SSHException, EOFError, OSError) as error:
            if time.monotonic() >= deadline:
                raise TimeoutError from error
            raise

    def _jump(self, route: Route, deadline: float) -> Connection | None:
        """Return the shared connection to the last hop of a route; opened by whoever comes first."""
        if not route:
            return None
        asked_at = time.monotonic()
        with self._lock:
            jump = self._jumps.setdefault(identity(route), _Jump())
        name = route[-1].target.name
        if not jump.turn.acquire(timeout=max(0.0, deadline - asked_at)):
            raise UnreachableError(f"The jump host {name} is not connected in time.", next="Try `ssh` to it.")
        try:
            if jump.connection is not None and jump.connection.link.is_active():
                return jump.connection
            if jump.failure is not None and jump.failed_at > asked_at:
                raise jump.failure
            if jump.connection is not None:
                jump.connection.end()
                jump.connection = None
            jump.connection = self.open(route, deadline=deadline)
        except ConnectError as error:
            if error is not jump.failure:
                jump.failure, jump.failed_at = _of_jump(error, name), time.monotonic()
            raise jump.failure from error
        finally:
            jump.turn.release()
        return jump.connection


def _of_jump(error: ConnectError, name: str) -> ConnectError:
    return type(error)(f"The jump host {name}: {error.message}", next=error.next, code=error.code)


def _overdue(link: Link, target: Target) -> UnreachableError:
    if link.dropped_unheard:
        what = "takes connections, but does not say in time that it speaks SSH"
    elif not link.initial_kex_done:
        what = "did not finish the SSH handshake in time"
    else:
        what = "did not answer the logon in time"
    way = f" through ProxyCommand `{target.proxy_command}`" if target.proxy_command else ""
    return UnreachableError(
        f"{target.where} {what}{way}.", next="Look at its load, or raise --connect-timeout."
    )


def peer_of(link: Link) -> str | None:
    """Return the address at the far end of a TCP connection."""
    if not isinstance(link.sock, socket.socket):
        return None
    try:
        return str(link.sock.getpeername()[0])
    except OSError:
        return None
