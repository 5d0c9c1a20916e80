"""A WinRM service on sockets: listeners in, threads behind them, and a clean end."""

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from fwfix.errors import LabError
from fwfix.lab.windows.cmd.programs import ProgramTable
from fwfix.lab.windows.cmd.tools import standard_programs
from fwfix.lab.windows.wsman.accounts import Account, AccountBook
from fwfix.lab.windows.wsman.auth import Channel, Gate
from fwfix.lab.windows.wsman.config import WsmanConfig
from fwfix.lab.windows.wsman.connection import Connection
from fwfix.lab.windows.wsman.operations import Operations
from fwfix.lab.windows.wsman.shells import ShellTable
from fwfix.lab.windows.wsman.tls import TlsIdentity, channel_of
from fwfix.lab.windows.wsman.trouble import Trouble, Troubles

_TICK_SECONDS = 0.5
_JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where the service listens.

    Attributes:
        port: 0 for any free one.
        tls: None for plain HTTP.
        bound: a bound socket, perhaps of another network namespace, in place of address and port.
    """

    address: str = "127.0.0.1"
    port: int = 0
    tls: TlsIdentity | None = None
    bound: socket.socket | None = None


@dataclass(frozen=True, slots=True)
class _Door:
    """A listening socket with what every connection through it needs."""

    socket: socket.socket
    tls: ssl.SSLContext | None
    binding: bytes


class WsmanServer:
    """The WinRM service of one twin; any number of them live in one process.

    Args:
        accounts: who may log on; a book if several twins share it.
        programs: what commands find; the standard programs by default, which lack powershell.exe.
        config: how the service answers.

    Attributes:
        crashes: exceptions that nothing should have let out; empty unless the twin has a bug.
    """

    def __init__(
        self,
        *,
        accounts: AccountBook | Iterable[Account],
        programs: ProgramTable | None = None,
        config: WsmanConfig | None = None,
    ) -> None:
        self.book = accounts if isinstance(accounts, AccountBook) else AccountBook(accounts)
        self.config = config if config is not None else WsmanConfig()
        self.shells = ShellTable(self.config.quotas)
        self.crashes: list[BaseException] = []
        self._operations = Operations(
            config=self.config,
            programs=programs if programs is not None else standard_programs(),
            shells=self.shells,
            report=self.crashes.append,
        )
        self._troubles = Troubles()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._live: dict[threading.Thread, socket.socket] = {}
        self._doors: list[_Door] = []
        self._acceptor: threading.Thread | None = None
        self._wake_reader, self._wake_writer = socket.socketpair()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def requests(self) -> int:
        """HTTP requests since the start, or since the trouble was set."""
        return self._troubles.count

    def trouble(self, trouble: Trouble) -> None:
        """Let things go wrong from now on; `Trouble()` ends it. Requests count from 1 again."""
        self._troubles.set(trouble)

    def serve(self, listeners: Iterable[Listener]) -> tuple[tuple[str, int], ...]:
        """Listen, and answer in threads of its own until `close`.

        Returns:
            Address and port of each listener.

        Raises:
            LabError: an address cannot be listened on; nothing listens then.
        """
        if self._acceptor is not None:
            raise LabError("This server serves already.")
        try:
            for listener in listeners:
                self._doors.append(_open(listener))
        except OSError as error:
            self.close()
            raise LabError(f"The twin cannot listen: {error}.") from error
        self._acceptor = threading.Thread(target=self._accept, name="wsman-accept", daemon=True)
        self._acceptor.start()
        return tuple(door.socket.getsockname()[:2] for door in self._doors)

    def close(self) -> None:
        """End every connection, shell and process; safe to repeat."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"x")
        if self._acceptor is not None:
            self._acceptor.join(_JOIN_SECONDS)
        for door in self._doors:
            door.socket.close()
        self.shells.close_all()
        with self._lock:
            live = dict(self._live)
        for connection in live.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in live:
            thread.join(_JOIN_SECONDS)
        self._wake_reader.close()
        self._wake_writer.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            for door in self._doors:
                selector.register(door.socket, selectors.EVENT_READ, door)
            while not self._stopping.is_set():
                ready = selector.select(_TICK_SECONDS)
                self.shells.reap()
                for key, _ in ready:
                    if isinstance(key.data, _Door):
                        self._welcome(key.data)

    def _welcome(self, door: _Door) -> None:
        try:
            connection, address = door.socket.accept()
        except OSError:
            # The client is gone again.
            return
        connection.setblocking(True)
        thread = threading.Thread(
            target=self._converse, args=(connection, address[0], door), name="wsman-connection", daemon=True
        )
        with self._lock:
            self._live[thread] = connection
        thread.start()

    def _converse(self, raw: socket.socket, address: str, door: _Door) -> None:
        try:
            with self._secured(raw, door) as (connection, channel):
                with self._lock:
                    self._live[threading.current_thread()] = connection
                self._connection(connection, address.removeprefix("::ffff:"), channel).serve()
        except OSError:
            # A handshake that failed, or a client that is gone: nobody is left to tell.
            pass
        except Exception as error:  # noqa: BLE001 - the client must see a closed connection, not a traceback
            self.crashes.append(error)
        finally:
            raw.close()
            with self._lock:
                self._live.pop(threading.current_thread(), None)

    @contextlib.contextmanager
    def _secured(self, raw: socket.socket, door: _Door) -> Iterator[tuple[socket.socket, Channel | None]]:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(self.config.connection_timeout.total_seconds())
        if door.tls is None:
            yield raw, None
            return
        with door.tls.wrap_socket(raw, server_side=True) as wrapped:
            yield wrapped, channel_of(wrapped, door.binding)

    def _connection(self, connection: socket.socket, address: str, channel: Channel | None) -> Connection:
        return Connection(
            socket=connection,
            address=address,
            secure=channel is not None,
            config=self.config,
            gate=Gate(book=self.book, config=self.config, channel=channel),
            operations=self._operations,
            troubles=self._troubles,
            stopping=self._stopping,
        )


def _open(listener: Listener) -> _Door:
    tls = None if listener.tls is None else listener.tls.context()
    binding = b"" if listener.tls is None else listener.tls.binding()
    listening = listener.bound if listener.bound is not None else _bound(listener.address, listener.port)
    listening.listen(128)
    # A client that leaves between select and accept must not stop everybody else.
    listening.setblocking(False)
    return _Door(listening, tls, binding)


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened
