"""Several threads at once: nobody takes another's answer, ends another's connection, changes the process."""

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from fwfix.errors import ConnectError, FwfixError
from fwfix.executors import winrm_stream
from fwfix.executors.winrm_stream import Bridge, Stream
from fwfix.lab.windows.wsman import Mishap, TlsIdentity, Trouble

if TYPE_CHECKING:
    from conftest import Rig

COUNT = "$null = count.exe; 'done'"


def outcome(work: Callable[[], object]) -> BaseException | object:
    try:
        return work()
    except FwfixError as error:
        return error


@pytest.mark.parametrize("encrypted", [True, False])
def test_closing_sends_away_whoever_waits_and_only_then_lets_go(
    rig: "Rig", identity: TlsIdentity, *, encrypted: bool
) -> None:
    twin = rig.twin(tls=identity if encrypted else None)
    executor = rig.open(twin, **({"ca_file": identity.certificate} if encrypted else {}))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outcome, lambda: rig.run(executor, "Start-Sleep -Seconds 600", seconds=60))
        rig.wait_for(lambda: bool(twin.server.shells.open[0].processes.running))
        started = time.monotonic()
        executor.close()
        assert time.monotonic() - started < 5
        # Its thread is out before anything was closed: what it could still read is nobody else's yet.
        assert isinstance(waiting.result(0.5), FwfixError)
    assert twin.server.shells.open == ()
    assert len(twin.server.book.logons) <= 2
    with pytest.raises(ConnectError, match="closed"):
        rig.run(executor, COUNT)


def test_who_cannot_be_sent_away_closes_the_connection_when_he_comes_back(
    rig: "Rig", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fwfix.executors.winrm._TURN_SECONDS", 0.05)
    twin = rig.twin()
    executor = rig.open(twin)
    executor._turn.acquire()
    executor.close()
    assert len(twin.server.shells.open) == 1
    executor._turn.release()
    with pytest.raises(ConnectError, match="closed"):
        rig.run(executor, COUNT)
    rig.wait_for(lambda: twin.server.shells.open == ())


def test_connections_that_are_cut_never_harm_others(rig: "Rig") -> None:
    twin, silent = rig.twin(), rig.twin()
    silent.server.trouble(Trouble(at=dict.fromkeys(range(3, 400), Mishap.HANG)))
    connector = rig.connector()

    def cut(number: int) -> object:
        return outcome(lambda: connector.open(silent.host(f"bad-{number}"), deadline=rig.later(0.2)))

    def work(number: int) -> object:
        executor = connector.open(twin.host(f"good-{number}"), deadline=rig.later(60))
        try:
            return rig.run(executor, f"'{number}'", seconds=60).stdout
        finally:
            executor.close()

    with ThreadPoolExecutor(12) as pool:
        cuts = [pool.submit(cut, number) for number in range(30)]
        works = [pool.submit(work, number) for number in range(30)]
        assert [each.result() for each in works] == [str(number) for number in range(30)]
        assert all(isinstance(each.result(), FwfixError) for each in cuts)


def test_a_stream_that_is_being_cut_is_closed_only_afterwards() -> None:
    ours, theirs = socket.socketpair()
    stream = Stream(ours, None)
    number = ours.fileno()
    with winrm_stream._TURN:  # as for the length of a cut
        closing = threading.Thread(target=stream.close)
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
        os.fstat(number)
    closing.join(5)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(number)
    stream.cut()  # too late for anything, and harmless
    theirs.close()


def test_a_bridge_whose_far_end_does_not_wake_keeps_its_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        """A channel that nothing wakes but its end."""

        def __init__(self) -> None:
            self.ended = threading.Event()

        def recv(self, _size: int, /) -> bytes:
            self.ended.wait(20)
            return b""

        def sendall(self, _data: bytes, /) -> None:
            return

        def close(self) -> None:
            return

    join = threading.Thread.join
    monkeypatch.setattr(
        threading.Thread, "join", lambda self, timeout=None: join(self, min(timeout or 5, 0.1))
    )
    channel = Deaf()
    bridge = Bridge(channel)
    inner = bridge._inner.fileno()
    bridge.socket.close()
    bridge.close()
    os.fstat(inner)
    channel.ended.set()
    for thread in bridge._threads:
        join(thread, 5)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(inner)


def test_connections_that_are_made_at_once_leave_the_environment_alone(
    rig: "Rig", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "kept.example")
    monkeypatch.delenv("NO_PROXY", raising=False)
    changes: list[tuple[str, str]] = []
    environ = type(os.environ)
    put, drop = environ.__setitem__, environ.__delitem__

    def noted_put(self: "os._Environ[str]", name: str, value: str) -> None:
        changes.append((threading.current_thread().name, name))
        put(self, name, value)

    def noted_drop(self: "os._Environ[str]", name: str) -> None:
        changes.append((threading.current_thread().name, name))
        drop(self, name)

    twins = [rig.twin() for _ in range(4)]
    connector = rig.connector()
    gate = threading.Barrier(8)

    def visit(number: int) -> str:
        gate.wait(20)
        executor = connector.open(twins[number % 4].host(f"win-{number}"), deadline=rig.later(60))
        try:
            return rig.run(executor, f"'{os.environ['no_proxy']}'", seconds=60).stdout
        finally:
            executor.close()

    with monkeypatch.context() as watched:
        watched.setattr(environ, "__setitem__", noted_put)
        watched.setattr(environ, "__delitem__", noted_drop)
        with ThreadPoolExecutor(8, thread_name_prefix="visit") as pool:
            seen = list(pool.map(visit, range(8)))
    assert seen == ["kept.example"] * 8
    assert [name for thread, name in changes if thread.startswith("visit")] == []
