"""What the tests of the SSH executor share: hosts of the lab as hosts of an inventory."""

import contextlib
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import paramiko
import pytest

from fwfix.executors.ssh import SshConnector, SshExecutor
from fwfix.lab.linux.host import LabHost
from fwfix.model.host import Become, Host, HostKeyPolicy, Platform, SshSettings
from fwfix.model.script import Invocation, Result, Script
from fwfix.secret_store import SecretStore
from fwfix.secrets import Secret, SecretKind, SecretRef


class Rig:
    """One run's connectors, over hosts of the lab; counts how often each secret was asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ssh_config = directory / "ssh_config"
        self.ssh_config.write_text("")
        self.store = SecretStore(ask=self.ask)
        self.person: Callable[[str], str] = lambda question: pytest.fail(f"asked for the {question}")
        self.asked: list[tuple[str, str, str]] = []
        self._values: dict[str, str] = {}
        self._connectors: list[SshConnector] = []
        self.before: dict[str, set[object]] = {}

    def ask(self, question: str) -> str:
        return self.person(question)

    def ref(self, value: str, *, differs: bool = False) -> SecretRef:
        name = f"SECRET{len(self._values)}"
        self._values[name] = value
        if differs:
            return SecretRef(kind=SecretKind.COMMAND, argument=name, command=(name, "{host}"))
        return SecretRef(kind=SecretKind.ENV, argument=name)

    def resolve(self, ref: SecretRef, host: Host, *, user: str, purpose: str) -> Secret:
        if ref.argument not in self._values:  # a person knows it, or a program
            return self.store.resolve(ref, host=host.name, address=host.address, user=user, purpose=purpose)
        self.asked.append((host.name, user, purpose))
        return Secret(self._values[ref.argument])

    def host(self, of: LabHost, *, name: str = "", address: str = "", **ssh: object) -> Host:
        """Turn a host of the lab into one of an inventory; keyword arguments change its ssh settings."""
        known_hosts = self.directory / f"known_hosts-{of.name}"
        known_hosts.write_text(of.known_hosts)
        is_root = of.user == "root"
        asks = not is_root and of.spec.sudo != "nopasswd"
        settings = SshSettings(
            user=of.user,
            port=of.spec.ssh_ports[0] if of.spec.ssh_ports[0] != 22 else None,
            identity_file=of.identity_file,
            known_hosts=known_hosts,
            become=Become.NONE if is_root else Become.SUDO,
            become_password=self.ref(of.password) if asks else None,
        )
        return Host(
            name=name or of.name,
            address=address or of.address,
            platform=Platform.LINUX,
            ssh=replace(settings, **ssh),  # type: ignore[arg-type]
        )

    def fake(self, port: int, *, address: str = "127.0.0.1", **ssh: object) -> Host:
        """Return the host for which a server of the test stands; whatever key it shows is believed."""
        settings = {
            "user": "ops",
            "port": port,
            "known_hosts": self.directory / "known",
            "host_key": HostKeyPolicy.ACCEPT_NEW,
        }
        return Host(
            name="fake",
            address=address,
            platform=Platform.LINUX,
            ssh=SshSettings(**{**settings, **ssh}),  # type: ignore[arg-type]
        )

    def connector(self, *hosts: Host) -> SshConnector:
        self.before = self.before or {kind: look() for kind, look in LOOKS.items()}
        connector = SshConnector(
            hosts={host.name: host for host in hosts}, resolve=self.resolve, ssh_config=self.ssh_config
        )
        self._connectors.append(connector)
        return connector

    def open(self, host: Host, *, seconds: float = 10) -> SshExecutor:
        return self.connector(host).open(host, deadline=self.soon(seconds))

    def run(self, host: Host, text: str, *arguments: str, seconds: float = 10) -> Result:
        executor = self.open(host)
        try:
            return executor.run(self.script(text, *arguments), deadline=self.soon(seconds))
        finally:
            executor.close()

    def script(self, text: str, *arguments: str, attachments: Mapping[str, str] | None = None) -> Invocation:
        return Invocation(
            script=Script(name="test", text=text, changes=True),
            arguments=arguments,
            attachments=attachments or {},
        )

    def soon(self, seconds: float = 10) -> float:
        return time.monotonic() + seconds

    def eventually(
        self, condition: Callable[[], bool], complaint: str | Callable[[], str], *, seconds: float = 5
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(complaint if isinstance(complaint, str) else complaint())
            time.sleep(0.01)

    def left(self, kind: str) -> set[object]:
        """Return what is there now and was not before the first connector."""
        return LOOKS[kind]() - self.before[kind]

    def close(self) -> None:
        for connector in self._connectors:
            connector.close()


Behave = Callable[[socket.socket, int], None]


class FakeServer:
    """Listens and treats every connection, by its number, as told."""

    def __init__(self, behave: Behave, *, address: str = "127.0.0.1") -> None:
        self._listener = socket.create_server((address, 0))
        self._behave = behave
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self.port: int = self._listener.getsockname()[1]
        self.count = 0
        self.reached: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self.count += 1
            with contextlib.suppress(OSError):
                self._behave(connection, self.count)


class AnyServer(paramiko.ServerInterface):
    """Lets everybody in and then does as told.

    Attributes:
        hangs_at: where it answers no more until `released`: logon, session, command, forward.
        drips: a command prints a byte now and then, and never ends.
        reached: how far anybody came, in the words of `hangs_at`.
    """

    def __init__(self, *, executes: bool = True, hangs_at: str = "", drips: bool = False) -> None:
        self.released = threading.Event()
        self.reached: set[str] = set()
        self._executes = executes
        self._hangs_at = hangs_at
        self._drips = drips

    def _reach(self, where: str) -> None:
        self.reached.add(where)
        if where == self._hangs_at:
            self.released.wait(30)

    def check_auth_none(self, _username: str) -> int:
        self._reach("logon")
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, _username: str) -> str:
        return "none"

    def check_channel_request(self, _kind: str, _number: int) -> int:
        self._reach("session")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, _number: int, _origin: object, _goal: object) -> int:
        self._reach("forward")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, _command: bytes) -> bool:
        self._reach("command")
        if self._drips:
            threading.Thread(target=self._drip, args=(channel,)).start()
        return self._executes

    def _drip(self, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError):
            while not self.released.wait(0.05):
                channel.sendall(b"x")


@contextlib.contextmanager
def paramiko_server(
    *,
    drop_first: int = 0,
    interface: paramiko.ServerInterface | None = None,
    address: str = "127.0.0.1",
    executes: bool = True,
    hangs_at: str = "",
    drips: bool = False,
) -> Iterator[FakeServer]:
    """Speak SSH, with the manners of `AnyServer` or of another interface."""
    key = paramiko.RSAKey.generate(2048)
    transports: list[paramiko.Transport] = []
    anybody = AnyServer(executes=executes, hangs_at=hangs_at, drips=drips)

    def behave(connection: socket.socket, number: int) -> None:
        if number <= drop_first:
            connection.close()
            return
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        transports.append(transport)
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=interface or anybody, event=threading.Event())

    with FakeServer(behave, address=address) as server:
        server.reached = anybody.reached
        try:
            yield server
        finally:
            anybody.released.set()
            for transport in transports:
                transport.close()
                transport.join(5)


@pytest.fixture
def fake_server() -> type[FakeServer]:
    """Return the maker of servers that treat a connection as told."""
    return FakeServer


ServeSsh = Callable[..., contextlib.AbstractContextManager[FakeServer]]


@pytest.fixture
def ssh_server() -> ServeSsh:
    """Return the maker of servers that speak SSH."""
    return paramiko_server


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Make connectors; afterwards no thread, socket, pipe or child of theirs may be left."""
    rig = Rig(tmp_path)
    yield rig
    rig.close()
    for kind in rig.before:
        # Closing tells the other end first, which may be slow on a busy machine.
        rig.eventually(
            lambda kind=kind: not rig.left(kind),  # type: ignore[misc]
            lambda kind=kind: f"{kind} are left: {', '.join(map(describe, rig.left(kind)))}",  # type: ignore[misc]
            seconds=30,
        )


def threads() -> set[object]:
    """Return the threads of connections and of fwfix; those of servers that other tests keep are not ours."""
    return {
        thread
        for thread in threading.enumerate()
        if isinstance(thread, paramiko.Transport) or thread.name.startswith("fwfix")
    }


def describe(left: object) -> str:
    """Say of a thread where it is."""
    frames = sys._current_frames()
    if not isinstance(left, threading.Thread) or left.ident not in frames:
        return str(left)
    return f"{left.name}\n{''.join(traceback.format_stack(frames[left.ident])[-8:])}"


def open_files() -> set[object]:
    """Return the sockets and pipes of this process."""
    found: set[object] = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:
            continue
        if name.startswith(("socket:", "pipe:")):
            found.add(name)
    return found


def child_processes() -> set[object]:
    found: set[object] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found.update((task / "children").read_text().split())
    return found


LOOKS: dict[str, Callable[[], set[object]]] = {
    "threads": threads,
    "sockets or pipes": open_files,
    "processes": child_processes,
}
