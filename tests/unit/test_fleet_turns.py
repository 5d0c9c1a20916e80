"""A dead host costs its own budget and nobody else's; one turn is one turn."""

import json
import threading
import time
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.errors import UnreachableError
from fwfix.executors.base import Executor
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.journal import Written
from fwfix.journal.writer import _Ticket
from fwfix.model.host import Host, Platform
from fwfix.model.plan import Reason
from fwfix.output.observe import Nobody
from fwfix.rendering.environment import Renderer
from fwfix.runner import turns
from fwfix.runner.context import RunContext
from fwfix.runner.fleet import each_host, observe_hosts
from fwfix.runner.log import NoLog
from fwfix.runner.turns import Turns

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


def test_what_waits_for_a_thread_when_one_raises_is_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if not number:
            raise ZeroDivisionError
        time.sleep(0.05)
        return number

    with pytest.raises(ZeroDivisionError):
        list(each_host(range(100), work, forks=50))
    assert len(begun) < 50


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


class Disk:
    """Takes what is written to it, and has it when `flush` is called."""

    def __init__(self) -> None:
        self.waiting: list[_Ticket] = []

    def write(self) -> Written:
        ticket = _Ticket(lambda _: None, None, Path("journal"))
        self.waiting.append(ticket)
        return ticket

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for ticket in waiting:
            ticket.written = True
            ticket.settle()


def wait_for(truth: Callable[[], bool]) -> None:
    latest = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < latest
        time.sleep(0.001)


def flush_until(disk: Disk, stop: threading.Event, number: int) -> threading.Thread:
    """Flush whenever so many wait, until told to stop."""

    def flush() -> None:
        while not stop.is_set():
            if len(disk.waiting) >= number or stop.wait(0.001):
                disk.flush()

    thread = threading.Thread(target=flush)
    thread.start()
    return thread


def test_hosts_that_wait_for_the_journal_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_HELP_SECONDS", 10.0)
    disk, threads, stop = Disk(), set(), threading.Event()

    def life(number: int) -> Generator[Written, None, int]:
        for _ in range(3):
            threads.add(threading.current_thread().name)
            written = disk.write()
            yield written
            written()
        return number * 2

    # Nothing is flushed before all of them wait: with fewer hosts at once this would never end.
    flusher = flush_until(disk, stop, 20)
    try:
        ended = dict(Turns(range(20), life, turns=20).results())
    finally:
        stop.set()
        flusher.join()
    assert ended == {number: number * 2 for number in range(20)}
    assert len(threads) == 1


def test_hosts_that_keep_their_threads_get_as_many_as_there_are_turns() -> None:
    barrier = threading.Barrier(40)

    def work(number: int) -> int:
        barrier.wait(timeout=10)
        return number

    assert sorted(number for number, _ in each_host(range(40), work, forks=40)) == [*range(40)]


class Crowd:
    """Counts who is at work at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def sleep(self, number: int) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.01)
        with self._lock:
            self._now -= 1
        return number


def test_threads_lack_also_where_those_that_there_are_come_back_all_the_time() -> None:
    crowd = Crowd()
    assert len(dict(each_host(range(200), crowd.sleep, forks=8))) == 200
    assert crowd.most > 4  # with one thread less than turns, one is without a turn now and then


def test_threads_lack_where_turns_wait_for_long_however_busy_the_processor_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "_MOST_ASLEEP", 1.0)  # never so long: as if it were busy all the time
    crowd = Crowd()
    assert len(dict(each_host(range(200), crowd.sleep, forks=50))) == 200
    assert crowd.most > 4


def test_hosts_get_threads_also_while_nobody_asks_for_results() -> None:
    begun = threading.Semaphore(0)
    finish = threading.Event()

    def work(number: int) -> int:
        begun.release()
        if number:
            assert finish.wait(timeout=10)
        return number

    results = each_host(range(20), work, forks=20)
    assert next(results) == (0, 0)
    for _ in range(20):
        assert begun.acquire(timeout=10)
    finish.set()
    assert len(list(results)) == 19


def test_a_host_that_goes_on_goes_before_one_that_begins() -> None:
    disk, order = Disk(), []

    def life(number: int) -> Generator[Written, None, int]:
        order.append((number, "begins"))
        written = disk.write()
        disk.flush()
        yield written
        order.append((number, "goes on"))
        return number

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "_HELP_SECONDS", 10.0)
        list(Turns(range(5), life, turns=5).results())
    assert order == [(number, what) for number in range(5) for what in ("begins", "goes on")]


def refuse_threads(monkeypatch: pytest.MonkeyPatch, *, beyond: int) -> None:
    """Be a machine that has no more threads to give."""
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        number = thread.name.removeprefix("fwfix_")
        if number.isdecimal() and int(number) >= beyond:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)


def test_where_no_more_threads_are_to_be_had_those_that_there_are_do_all_of_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse_threads(monkeypatch, beyond=2)
    crowd = Crowd()
    assert len(dict(each_host(range(30), crowd.sleep, forks=8))) == 30
    assert crowd.most == 2


def test_one_thread_does_all_of_the_work_where_it_is_the_last_that_was_to_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name != "fwfix_0":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert len(dict(each_host(range(30), Crowd().sleep, forks=8))) == 30


def test_where_there_is_no_thread_at_all_nothing_is_begun_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse_threads(monkeypatch, beyond=0)
    crowd = Crowd()
    with pytest.raises(RuntimeError, match="thread"):
        list(each_host(range(30), crowd.sleep, forks=8))
    assert crowd.most == 0


def test_what_was_begun_comes_to_its_end_where_nobody_asks_for_results_any_more() -> None:
    disk, ended, stop = Disk(), [], threading.Event()

    def life(number: int) -> Generator[Written, None, int]:
        if number:
            written = disk.write()
            yield written
            written()
            wait_for(stop.is_set)
        ended.append(number)
        return number

    results = Turns(range(50), life, turns=5).results()
    assert next(results) == (0, 0)
    wait_for(lambda: len(disk.waiting) == 4)
    closing = threading.Thread(target=results.close)  # type: ignore[attr-defined]  # it is a generator
    closing.start()
    stop.set()
    while closing.is_alive():
        disk.flush()
        closing.join(0.001)
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert not [each for each in threading.enumerate() if each.name.startswith("fwfix_")]
