"""A large fleet through the scripted executor in one process: what planning, running and the journal cost.

Every host answers at once and from a book, so that what is measured is fwfix itself. Ports are really
probed, on addresses of 127.0.0.0/8 where nobody listens. What the book itself needs to answer is measured
where it answers, by the processor time of its threads (waiting for a turn of the interpreter is fwfix's own
doing), and is taken off. Prints milliseconds a host, by the clock and by the processor, and memory, of the
fastest of a few rounds; exits with 1 beyond the limits.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import fwfix.cli  # noqa: F401 - how often Python looks for cycles, as in the program
from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.executors.base import Executor
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.journal import Journal, RunStart
from fwfix.loading.plan_file import dump_plan
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import Outcome
from fwfix.model.plan import Plan
from fwfix.model.policy import Action, Address, Protection, Protocol, Service
from fwfix.model.script import Invocation, Result
from fwfix.output.observe import Nobody
from fwfix.planning import PlanInputs, make_plan
from fwfix.rendering.environment import Renderer
from fwfix.runner.context import RunContext
from fwfix.runner.fleet import Fleet, observe_hosts
from fwfix.runner.limits import Limits
from fwfix.runner.log import JournalLog
from fwfix.runner.prepare import observed, vantage_addresses
from fwfix.runner.recheck import Recheck
from fwfix.runner.vantages import Lookout

RUN = "20261121T220003Z-4f2a"
JETDIRECT = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"),),
    action=Action.DROP,
    log=False,
)
TOOLS = ("iptables", "iptables-save", "iptables-restore")
CHAIN = f"FWFIX-{RUN}"
MOST_MS = 2.0
MOST_MB = 300


class TimedConnector:
    """Hosts that answer from a book, and how long the book itself worked."""

    def __init__(self, connector: ScriptedConnector) -> None:
        self._connector = connector
        # Appending needs no lock, and to add up is for later.
        self._spent: list[float] = []

    def prepare(self, host: Host, *, deadline: float) -> None:
        """Ask nobody."""
        self._connector.prepare(host, deadline=deadline)

    def open(self, host: Host, *, deadline: float) -> Executor:
        """Open a connection."""
        return TimedExecutor(self._spent, self._connector.open(host, deadline=deadline))

    def close(self) -> None:
        """Close what is shared."""
        self._connector.close()

    @property
    def seconds(self) -> float:
        """The processor time that answering took so far."""
        return sum(self._spent)


class TimedExecutor:
    """A connection whose time is counted while it answers; to open and to close it takes next to nothing."""

    def __init__(self, spent: list[float], executor: Executor) -> None:
        self._spent = spent
        self._executor = executor

    @property
    def peer(self) -> Address | None:
        """The address that the host is at."""
        return self._executor.peer

    def run(self, invocation: Invocation, *, deadline: float) -> Result:
        """Answer from the book."""
        began = time.thread_time()
        try:
            return self._executor.run(invocation, deadline=deadline)
        finally:
            self._spent.append(time.thread_time() - began)

    def close(self) -> None:
        """Close the connection."""
        self._executor.close()


@dataclass(frozen=True, slots=True)
class Instant:
    """Where the clocks stand."""

    wall: float
    cpu: float
    executor: float

    @classmethod
    def now(cls, connector: TimedConnector) -> "Instant":
        """Read the clocks."""
        return cls(time.monotonic(), time.process_time(), connector.seconds)


def _phase(name: str, began: Instant, ended: Instant, count: int) -> dict[str, float]:
    each = 1000 / count
    executor = (ended.executor - began.executor) * each
    return {
        f"{name}_wall_ms": (ended.wall - began.wall) * each,
        f"{name}_cpu_ms": (ended.cpu - began.cpu) * each,
        f"{name}_executor_ms": executor,
        f"{name}_overhead_ms": (ended.wall - began.wall) * each - executor,
    }


class Book:
    """Plays every host: remembers how far its run has come, and answers accordingly."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._lock = threading.Lock()

    def observe(self, host: Host, _: Invocation) -> Result:
        """Answer what a plain Debian host would."""
        state = self._states.get(host.name, "")
        values = {
            "uid": 0,
            "hostname": host.name,
            "machine_id": f"{abs(hash(host.name)):032x}",
            "boot_id": "b",
            "uptime": 1000.0,
            "ssh_connection": f"127.0.0.1 40000 {host.address} 22",
            "tools": {name: f"/usr/sbin/{name}" for name in TOOLS},
            "save4": self._save(state),
            "addresses": f"2: eth0    inet {host.address}/8 scope global eth0\\       valid_lft forever\n",
            "ss": "tcp LISTEN 0 128 0.0.0.0:9100 0.0.0.0:*\n",
            "pid1": "systemd",
            "systemd": True,
            "init": "systemd",
            "boot_unit": {"present": True, "enabled": True},
            "records": self._records(state),
        }
        return self._answer("observe", **values)

    def change(self, host: Host, invocation: Invocation) -> Result:
        """Take a step and say how the record stands then."""
        name = invocation.script.name
        state = {"arm": "armed", "apply": "applied", "confirm": "confirmed"}[name]
        with self._lock:
            self._states[host.name] = state
        record = "armed" if state == "applied" else state
        return self._answer(name, state=record, deadline=1120.0, uptime=1000.0, persistent=True)

    def _records(self, state: str) -> list[Mapping[str, object]]:
        if not state:
            return []
        record = "armed" if state == "applied" else state
        return [{"run_id": RUN, "state": record, "deadline": 1120.0, "boot_id": "b"}]

    def _save(self, state: str) -> str:
        ours = ""
        if state in ("applied", "confirmed"):
            block = "-p tcp -m tcp --dport 9100 -m comment --comment"
            ours = (
                f'[0:0] -A INPUT -m comment --comment "fwfix:{RUN}:jump" -j {CHAIN}\n'
                f'[0:0] -A {CHAIN} -i lo -m comment --comment "fwfix:{RUN}:lo" -j RETURN\n'
                f'[0:0] -A {CHAIN} -s 10.0.5.0/24 {block} "fwfix:{RUN}:allow" -j RETURN\n'
                f'[1:60] -A {CHAIN} -s 127.0.0.1/32 {block} "fwfix:{RUN}:probe-1" -j DROP\n'
                f'[0:0] -A {CHAIN} {block} "fwfix:{RUN}:block" -j DROP\n'
            )
        chains = f":INPUT ACCEPT [0:0]\n:{CHAIN} - [0:0]\n" if ours else ":INPUT ACCEPT [0:0]\n"
        return f"*filter\n{chains}{ours}COMMIT\n"

    def _answer(self, script: str, **values: object) -> Result:
        return answered(
            json.dumps({"schema": "fwfix.answer/1", "script": script, "ok": True, **values}), took_ms=0
        )


def _hosts(count: int) -> tuple[Host, ...]:
    first = int(ip_address("127.1.0.1"))
    return tuple(
        Host(name=f"host-{n:05}", address=str(ip_address(first + n)), platform=Platform.LINUX)
        for n in range(count)
    )


def _plan(hosts: tuple[Host, ...], context: RunContext, forks: int) -> Plan:
    services = {host.name: (JETDIRECT.service,) for host in hosts}
    seen = observe_hosts(hosts, context, services=services, forks=forks, keep=False)
    return make_plan(
        PlanInputs(
            hosts=hosts,
            protections=dict.fromkeys((host.name for host in hosts), (JETDIRECT,)),
            seen=observed(seen),
            drivers=context.drivers,
            run_id=RUN,
            created_at=datetime.now(UTC),
            vantages=vantage_addresses(hosts, ()),
        )
    )


def _start(journal: Journal, plan: Plan) -> None:
    journal.start_run(
        RunStart(
            run_id=RUN,
            command="apply",
            started_at=datetime.now(UTC),
            operator="bench",
            controller="bench",
            fwfix_version="0",
            plan_json=dump_plan(plan).decode(),
            hosts=tuple(each.host for each in plan.hosts),
        )
    )


def measure(count: int, forks: int, folder: Path) -> tuple[dict[str, float], int]:
    """Plan and apply; return figures, and how many hosts were applied."""
    book, renderer, hosts = Book(), Renderer(()), _hosts(count)
    answers = {("*", name): book.change for name in ("arm", "apply", "confirm")}
    connector = TimedConnector(ScriptedConnector({**answers, ("*", "observe"): book.observe}))
    with Journal.open(folder) as journal:
        context = RunContext(
            run_id=RUN,
            connector=connector,
            drivers={Platform.LINUX: LinuxDriver(renderer)},
            log=JournalLog(journal, RUN),
            observer=Nobody(),
            stamp=Stamp(operator="bench", controller="bench"),
        )
        began = Instant.now(connector)
        plan = _plan(hosts, context, forks)
        planned = Instant.now(connector)
        _start(journal, plan)
        fleet = Fleet(
            plan,
            context,
            lookout=Lookout(context, (), renderer),
            limits=Limits(run_id=RUN, max_fail=0, max_unreachable=0),
            forks=forks,
            recheck=Recheck(
                run_id=RUN,
                accepted=plan.accepted,
                vantages=vantage_addresses(hosts, ()),
            ),
            diary=lambda kind, body: journal.append(RUN, None, kind, body),
        )
        reports = fleet.run()
        ended = Instant.now(connector)
    applied = sum(report.outcome is Outcome.APPLIED for report in reports)
    for report in reports:
        if report.outcome is not Outcome.APPLIED:
            print(f"{report.name}: {report.outcome}: {report.reason}", file=sys.stderr)
            break
    return {
        **_phase("plan", began, planned, count),
        **_phase("run", planned, ended, count),
        **_phase("both", began, ended, count),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }, applied


def measure_in_a_process(count: int, forks: int) -> tuple[dict[str, float], int]:
    """Measure once in a process of its own: nothing is known yet, and its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="fwfix-scale-") as folder,
        ProcessPoolExecutor(max_workers=1, mp_context=context) as pool,
    ):
        return pool.submit(measure, count, forks, Path(folder)).result()


def main() -> int:
    """Measure a few times and judge by the fastest: what else the machine does only adds to the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--forks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rounds = [measure_in_a_process(arguments.hosts, arguments.forks) for _ in range(arguments.rounds)]
    figures = min((figures for figures, _ in rounds), key=lambda figures: figures["both_overhead_ms"])
    applied = min(applied for _, applied in rounds)
    overheads = [round(figures["both_overhead_ms"], 2) for figures, _ in rounds]
    print(f"{arguments.hosts} hosts, {arguments.forks} at a time, {applied} applied; journal included")
    print(f"overhead of each round: {', '.join(map(str, overheads))} ms a host; the fastest one:")
    print("milliseconds a host; overhead is the time by the clock without the executor's own")
    for name, value in figures.items():
        print(f"{name:18} {value:8.2f}")
    if arguments.json:
        document = {"hosts": arguments.hosts, "rounds_overhead_ms": overheads, **figures}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    slow = figures["both_overhead_ms"] > MOST_MS
    most_mb = max(figures["peak_mb"] for figures, _ in rounds)
    if applied != arguments.hosts or slow or most_mb > MOST_MB:
        print(f"beyond {MOST_MS} ms a host or {MOST_MB} MB, or not all applied", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
