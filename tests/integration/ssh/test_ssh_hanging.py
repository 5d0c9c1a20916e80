"""Servers that stop answering, or answer a byte at a time, in every phase: also behind a jump host."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest

from fwfix.errors import DeadlineError, FwfixError, ScriptCutError, UnreachableError
from fwfix.executors.ssh import SshConnector
from fwfix.lab.linux import HostSpec, Lab
from fwfix.model.host import Host, HostKeyPolicy

if TYPE_CHECKING:
    from conftest import FakeServer, Rig, ServeSsh

MakeLab = Callable[[Sequence[HostSpec]], Lab]
Serve = Callable[[str], contextlib.AbstractContextManager["FakeServer"]]
Reach = Callable[[Serve], tuple[SshConnector, Host]]
BANNER = 32


@pytest.fixture(params=["direct", pytest.param("jump", marks=pytest.mark.lab)])
def reach(request: pytest.FixtureRequest, rig: "Rig") -> Iterator[Reach]:
    """Serve on an address, and return the connector and the host; the jump host is a real sshd."""
    with contextlib.ExitStack() as stack:

        def make(serve: Serve) -> tuple[SshConnector, Host]:
            if request.param == "direct":
                host = rig.fake(stack.enter_context(serve("127.0.0.1")).port)
                return rig.connector(host), host
            lab = request.getfixturevalue("make_lab")([HostSpec(name="jump")])
            jump, address = rig.host(lab["jump"]), str(lab.network.address)
            port = stack.enter_context(serve(address)).port
            host = rig.fake(port, address=address, jump="jump")
            connector = rig.connector(jump, host)
            # The connection to the jump host that all share is there before any deadline counts.
            connector.knock(
                connector.before(host, deadline=rig.soon()), (), until=rig.soon(), deadline=rig.soon()
            )
            return connector, host

        yield make
        rig.close()


@contextlib.contextmanager
def within(seconds: float, expected: type[FwfixError], match: str) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(expected, match=match) as caught:
        yield
    assert time.monotonic() - started < seconds + 2
    assert caught.value.next


def test_a_server_that_hangs_in_the_logon_ends_at_the_deadline(
    rig: "Rig", reach: Reach, ssh_server: "ServeSsh"
) -> None:
    connector, host = reach(lambda address: ssh_server(hangs_at="logon", address=address))
    with within(1.5, UnreachableError, "did not answer the logon in time"):
        connector.open(host, deadline=rig.soon(1.5))


def test_a_server_that_hangs_after_the_logon_is_gone_after_the_connect_timeout(
    rig: "Rig", reach: Reach, ssh_server: "ServeSsh"
) -> None:
    connector, host = reach(lambda address: ssh_server(hangs_at="session", address=address))
    executor = connector.open(host, deadline=rig.soon(2))
    with within(2, UnreachableError, "dead: nothing came back over it; nothing was sent"):
        executor.run(rig.script("echo"), deadline=rig.soon(60))
    with within(0, UnreachableError, "nothing was sent"):
        executor.run(rig.script("echo"), deadline=rig.soon(60))
    executor.close()


def test_a_server_that_hangs_before_a_session_ends_at_an_earlier_deadline_of_the_command(
    rig: "Rig", reach: Reach, ssh_server: "ServeSsh"
) -> None:
    connector, host = reach(lambda address: ssh_server(hangs_at="session", address=address))
    executor = connector.open(host, deadline=rig.soon(30))
    with within(0.5, UnreachableError, "nothing was sent"):
        executor.run(rig.script("echo"), deadline=rig.soon(0.5))
    executor.close()


def test_a_server_that_hangs_at_the_command_has_run_nothing_of_it(
    rig: "Rig", reach: Reach, ssh_server: "ServeSsh"
) -> None:
    connector, host = reach(lambda address: ssh_server(hangs_at="command", address=address))
    executor = connector.open(host, deadline=rig.soon())
    with within(0.5, ScriptCutError, "nothing of it ran"):
        executor.run(rig.script("echo"), deadline=rig.soon(0.5))
    executor.close()


def test_a_command_that_prints_a_byte_now_and_then_for_ever_ends_at_the_deadline(
    rig: "Rig", reach: Reach, ssh_server: "ServeSsh"
) -> None:
    connector, host = reach(lambda address: ssh_server(drips=True, address=address))
    executor = connector.open(host, deadline=rig.soon())
    with within(0.7, DeadlineError, "did not answer `test` in time"):
        executor.run(rig.script("echo"), deadline=rig.soon(0.7))
    executor.close()


@pytest.mark.parametrize("phase", ["handshake", "logon"])
def test_a_server_that_trickles_ends_at_the_deadline(
    rig: "Rig", reach: Reach, ssh_server: "ServeSsh", phase: str
) -> None:
    connector, host = reach(lambda address: trickling(ssh_server, address, phase))
    with within(1.5, UnreachableError, f"did not (finish|answer) .*{phase} in time"):
        connector.open(host, deadline=rig.soon(1.5))


@contextlib.contextmanager
def trickling(ssh_server: "ServeSsh", address: str, phase: str) -> Iterator["FakeServer"]:
    """Serve SSH at full speed up to a phase, and from there a byte at a time."""
    with ssh_server(address=address) as server, socket.create_server((address, 0)) as front:
        relay = Relay(server, (address, server.port), phase)
        thread = threading.Thread(target=relay.serve, args=(front,))
        server.port = front.getsockname()[1]
        thread.start()
        try:
            yield server
        finally:
            _shut(front)
            relay.end()
            thread.join()
            server.port = relay.to[1]


class Relay:
    """Passes one connection on."""

    def __init__(self, server: "FakeServer", to: tuple[str, int], phase: str) -> None:
        self.to = to
        self._server = server
        self._phase = phase
        self._ends: list[socket.socket] = []
        self._passed = 0

    def serve(self, front: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for end in (front.accept()[0], socket.create_connection(self.to)):
                self._ends.append(stack.enter_context(end))
            client, inner = self._ends
            forth = threading.Thread(target=_pass_on, args=(client, inner))
            forth.start()
            with contextlib.suppress(OSError):
                self._back(inner, client)
            self.end()
            forth.join()

    def _back(self, inner: socket.socket, client: socket.socket) -> None:
        while data := inner.recv(BANNER):
            slow = self._is_slow()
            for piece in (bytes([byte]) for byte in data) if slow else (data,):
                time.sleep(0.1 if slow else 0)
                client.sendall(piece)
            self._passed += len(data)

    def _is_slow(self) -> bool:
        said_banner = self._passed >= BANNER
        return said_banner if self._phase == "handshake" else self._phase in self._server.reached

    def end(self) -> None:
        for end in self._ends:
            _shut(end)


def _pass_on(source: socket.socket, goal: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            goal.sendall(data)
    _shut(goal)


def _shut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("hangs_at", "match"),
    [("forward", "did not answer in time"), ("", "does not say in time that it speaks SSH")],
    ids=["does-not-forward", "forwards-to-nowhere"],
)
def test_a_jump_host_that_hangs_holds_no_host_beyond_the_deadline(
    rig: "Rig", ssh_server: "ServeSsh", hangs_at: str, match: str
) -> None:
    with ssh_server(hangs_at=hangs_at) as server:
        jump = replace(rig.fake(server.port), name="jump")
        host = rig.fake(22, address="192.0.2.1", jump="jump")
        connector = rig.connector(jump, host)
        with within(1.5, UnreachableError, match):
            connector.open(host, deadline=rig.soon(1.5))
        connector.close()


@pytest.mark.lab
def test_a_jump_host_that_takes_no_byte_more_holds_nobody_beyond_the_deadline(
    make_lab: MakeLab, rig: "Rig"
) -> None:
    """What is on its way to some hosts fills the connection that all of them share."""
    lab = make_lab([HostSpec(name="jump", sshd_config="MaxStartups 100"), HostSpec(name="end")])
    with Plug(lab["jump"].address, after=8_000_000) as plug:
        jump = rig.host(lab["jump"], address="127.0.0.1", port=plug.port, host_key=HostKeyPolicy.ACCEPT_NEW)
        end = rig.host(lab["end"], jump="jump")
        connector = rig.connector(jump, end)
        executors = [connector.open(end, deadline=rig.soon()) for _ in range(10)]

        def send(number: int) -> None:
            with pytest.raises(FwfixError):
                executors[number].run(rig.script("echo " + "x" * 6_000_000), deadline=rig.soon(25))

        with ThreadPoolExecutor(10) as threads:
            sending = [threads.submit(send, number) for number in range(10)]
            assert plug.plugged.wait(15)
            rig.eventually(lambda: is_full(plug.port), "the connection never filled up", seconds=20)
            with within(4, UnreachableError, "did not answer in time"):
                connector.open(end, deadline=rig.soon(2))
            for each in sending:
                each.result()
        for executor in executors:
            executor.close()
        connector.close()


def is_full(port: int) -> bool:
    """Tell whether megabytes wait to be sent to a port, and none come any more."""
    before = waiting(port)
    time.sleep(0.3)
    return before == waiting(port) > 1_000_000


def waiting(port: int) -> int:
    """Return how many bytes wait to be sent to a port."""
    found = subprocess.run(["ss", "-Htn", f"dport = :{port}"], capture_output=True, text=True, check=True)
    return max((int(line.split()[2]) for line in found.stdout.splitlines()), default=0)


class Plug:
    """Stands in front of an sshd, and takes nothing more after so many bytes."""

    def __init__(self, address: str, *, after: int) -> None:
        self._front = socket.socket()
        self._front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self._front.bind(("127.0.0.1", 0))
        self._front.listen()
        self._to = (address, 22)
        self._after = after
        self._ends: list[socket.socket] = []
        self._ended = threading.Event()
        self.plugged = threading.Event()
        self.port: int = self._front.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for end in (self._front, *self._ends):
            _shut(end)
        self._thread.join()
        self._front.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            client = stack.enter_context(self._front.accept()[0])
            inner = stack.enter_context(socket.create_connection(self._to))
            self._ends += (client, inner)
            back = threading.Thread(target=_pass_on, args=(inner, client))
            back.start()
            with contextlib.suppress(OSError):
                self._forth(client, inner)
            _shut(inner)
            back.join()

    def _forth(self, client: socket.socket, inner: socket.socket) -> None:
        passed = 0
        while data := client.recv(16384):
            inner.sendall(data)
            passed += len(data)
            if passed > self._after:
                self.plugged.set()
                self._ended.wait()
