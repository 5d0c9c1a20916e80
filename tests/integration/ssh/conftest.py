"""What the tests of the SSH executor share: hosts of the lab as hosts of an inventory."""

import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from fwfix.executors.ssh import SshConnector, SshExecutor
from fwfix.lab.linux.host import LabHost
from fwfix.model.host import Become, Host, Platform, SshSettings
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
