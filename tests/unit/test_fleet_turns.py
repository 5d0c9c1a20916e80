"""A dead host costs its own budget and nobody else's; one turn is one turn."""

import json
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.errors import UnreachableError
from fwfix.executors.base import Executor
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.model.host import Host, Platform
from fwfix.model.plan import Reason
from fwfix.output.observe import Nobody
from fwfix.rendering.environment import Renderer
from fwfix.runner import turns
from fwfix.runner.context import RunContext
from fwfix.runner.fleet import each_host, observe_hosts
from fwfix.runner.log import NoLog

ANSWER = {
    "schema": "fwfix.answer/1",
    "script": "observe",
    "ok": True,
    "uid": 0,
    "hostname": "gw",
    "machine_id": "0" * 32,
    "boot_id": "b",
    "uptime": 1000.0,
    "tools": {name: f"/usr/sbin/{name}" for name in ("iptables", "iptables-save", "iptables-restore")},
    "save4": "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
    "addresses": "2: eth0    inet 192.0.2.1/24 scope global eth0\\       valid_lft forever\n",
    "ss": "tcp LISTEN 0 128 0.0.0.0:9100 0.0.0.0:*\n",
    "init": "systemd",
    "records": [],
}
# Far longer than a test takes: who waits for a dead host to the end is found out.
BUDGET = timedelta(seconds=20)


class Network:
    """Some hosts answer at once; nobody answers for the dead ones until their deadline, or until released."""

    def __init__(self) -> None:
        book = ScriptedConnector({("*", "observe"): answered(json.dumps(ANSWER))})
        self._book = book
        self.released = threading.Event()
        self.given_up: list[str] = []
        self.most_knocking = 0
        self._knocking = 0
        self._lock = threading.Lock()

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Nobody is asked."""

    def open(self, host: Host, *, deadline: float) -> Executor:
        if not host.name.startswith("dead"):
            return self._book.open(host, deadline=deadline)
        self._count(1)
        if not self.released.wait(max(0.0, deadline - time.monotonic())):
            self.given_up.append(host.name)
        self._count(-1)
        raise UnreachableError(f"{host.name} did not answer in time.")

    def close(self) -> None:
        self.released.set()

    def _count(self, more: int) -> None:
        with self._lock:
            self._knocking += more
            self.most_knocking = max(self.most_knocking, self._knocking)


class ReleaseWhenDone(Nobody):
    """Lets the dead hosts fail when the last living one has been looked at."""

    def __init__(self, network: Network, living: int) -> None:
        self._network = network
        self._left = living
        self._lock = threading.Lock()

    def host_rests(self, host: str) -> None:
        with self._lock:
            self._left -= not host.startswith("dead")
        if not self._left:
            self._network.released.set()


def hosts(*names: str) -> tuple[Host, ...]:
    return tuple(Host(name=name, address="192.0.2.1", platform=Platform.LINUX) for name in names)


def named(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}-{number}" for number in range(count))


def observe(names: Sequence[str], network: Network, *, forks: int) -> dict[str, Reason | None]:
    living = sum(not name.startswith("dead") for name in names)
    context = RunContext(
        run_id="20261121T220003Z-4f2a",
        connector=network,
        drivers={Platform.LINUX: LinuxDriver(Renderer(()))},
        log=NoLog(),
        observer=ReleaseWhenDone(network, living),
        stamp=Stamp(operator="ops", controller="here"),
        connect_timeout=BUDGET,
    )
    seen = observe_hosts(hosts(*names), context, services={}, forks=forks, keep=False)
    return {name: each.reason for name, each in seen.items()}


def test_fewer_dead_hosts_than_turns_keep_nobody_waiting() -> None:
    network = Network()
    reasons = observe([*named("dead", 3), *named("live", 30)], network, forks=4)
    assert not network.given_up  # every living host had ended while all the dead ones were still waited for
    assert {name for name, reason in reasons.items() if reason is not None} == set(named("dead", 3))


def test_as_many_dead_hosts_as_turns_keep_the_living_behind_them_waiting_only_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SILENT_SECONDS", 0.05)
    network = Network()
    reasons = observe([*named("dead", 6), *named("live", 30)], network, forks=3)
    assert not network.given_up
    assert {name for name, reason in reasons.items() if reason is not None} == set(named("dead", 6))


def test_silent_hosts_are_waited_for_at_once_only_so_many_times_the_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.01)
    network = Network()
    threading.Timer(0.5, network.released.set).start()
    observe([*named("dead", 30), *named("live", 1)], network, forks=2)
    assert network.most_knocking == 2 * turns.MOST_TIMES


def test_one_at_a_time_is_one_at_a_time_even_behind_a_silent_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.01)
    network = Network()
    threading.Timer(0.3, network.released.set).start()
    observe([*named("dead", 4), *named("live", 1)], network, forks=1)
    assert network.most_knocking == 1


def test_the_next_host_is_begun_when_the_result_of_the_last_was_taken_in() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    for number, _ in each_host(range(100), work, forks=1):
        assert begun[-1] == number
        if number == 3:
            break
    assert begun == [0, 1, 2, 3]


def test_what_one_host_raises_is_raised_and_nobody_is_begun_after_it() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError):
        list(each_host(range(100), work, forks=1))
    assert begun == [0, 1, 2]
    assert not [each for each in threading.enumerate() if each.name.startswith("fwfix_")]


def test_every_item_is_worked_on_once_and_not_more_than_allowed_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        barrier.wait(timeout=10)
        with lock:
            now -= 1
        return number * 2

    barrier = threading.Barrier(5)
    assert dict(each_host(range(100), work, forks=5)) == {number: number * 2 for number in range(100)}
    assert most == 5
