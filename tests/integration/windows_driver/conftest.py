"""A Windows host model with the small engine; the driver's scripts run on it as WinRM would run them."""

import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from fwfix.drivers.base import Answer, Judgement, Stamp
from fwfix.drivers.windows import WindowsDriver
from fwfix.executors.winrm_delivery import prelude
from fwfix.lab.windows.cmdlets import TYPES, com_objects, stand_ins
from fwfix.lab.windows.model.facts import Sockets, TcpConnection
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.model.policy import Interface
from fwfix.lab.windows.model.task_xml import Definition
from fwfix.lab.windows.model.tasks import Instance
from fwfix.lab.windows.permissions import Permissions
from fwfix.lab.windows.powershell import (
    EDITIONS,
    Command,
    Engine,
    Host,
    NativeResult,
    Processor,
)
from fwfix.lab.windows.powershell import Invocation as Call
from fwfix.lab.windows.pwsh import RealEngine
from fwfix.lab.windows.pwsh.files import FlatFiles
from fwfix.model.draft import Desired, Draft
from fwfix.model.host import Host as InventoryHost
from fwfix.model.host import Platform
from fwfix.model.observation import Observation, RecordState, RunRecord
from fwfix.model.plan import HostPlan, PlannedOutcome
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.model.script import Invocation, Result, Script
from fwfix.rendering.environment import Renderer

RUN = "20261121T220003Z-4f2a"
LATER = "20261122T220003Z-00b1"
STAMP = Stamp(operator="ops", controller="jump01", ticket="CHG-1")
PATIENCE = 20.0
# By the host's own clock, which tests move.
LONG = 86400.0


class JumpClock:
    """The real clock, with jumps: of both, or of the time of day alone."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.wrong = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead) + self.wrong

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        end = self.monotonic() + seconds
        while self.monotonic() < end and not stopped():
            time.sleep(0.002)

    def wait(self, seconds: float | None, wake: threading.Event) -> None:
        wake.wait(min(seconds or 0.01, 0.01))
        wake.clear()


def protection(*allowed: str, port: int = 9100, last: int | None = None) -> Protection:
    """Return a wish: nobody but the allowed reach the port."""
    return Protection(
        service=Service(protocol=Protocol.TCP, first=port, last=last or port),
        allowed=tuple(ip_network(text) for text in allowed),
        action=Action.DROP,
        log=False,
    )


@dataclass
class Windows:
    """One host, and what a run does to it."""

    knobs: Knobs
    clock: JumpClock = field(default_factory=JumpClock)
    driver: WindowsDriver = field(default_factory=lambda: WindowsDriver(Renderer()))
    actions: list[str] = field(default_factory=list)
    before_rule: Callable[[], None] | None = None
    make_engine: Callable[..., Engine | RealEngine] = Engine
    disk: Path | None = None
    called: Counter[str] = field(default_factory=Counter)
    before: dict[str, list[Callable[[], None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        interface = Interface(addresses=("192.0.2.7/24", "2001:db8::7/64"))
        self.host = WindowsHost(knobs=self.knobs, interfaces=(interface,), clock=self.clock)
        self.host.facts.sockets = lambda: Sockets(tcp=self.tcp)
        self.tcp: tuple[TcpConnection, ...] = (
            _tcp(9100, pid=2412),
            _tcp(5986, peer="192.0.2.1", pid=4),
        )
        if self.disk is not None:
            self.host.files = FlatFiles(self.disk)
        self.permissions = Permissions(self.host.files)
        self.host.run_action = self._run_action
        self.host.scheduler.follow()

    def close(self) -> None:
        self.host.close()

    def engine(self) -> Engine | RealEngine:
        """Return an engine, as a process of its own."""
        label = "S-1-16-8192" if self.knobs.not_admin else "S-1-16-12288"
        groups = f'"Mandatory Label","Label","{label}",""\r\n'.encode()
        natives = {
            **self.permissions.natives(),
            "whoami": lambda _arguments, _stdin: NativeResult(exit_code=0, stdout=groups),
        }
        outside = Host(
            files=self.host.files,
            registry=self.host.registry,
            clock=self.clock,
            com=com_objects(self.host, administrator=not self.knobs.not_admin),
            natives=natives,
            environment={"ProgramData": r"C:\ProgramData"},
            execution_policy=self.knobs.execution_policy,
            process=self.host.facts.script,
        )
        return self.make_engine(
            edition=EDITIONS[self.knobs.ps_version],
            host=outside,
            commands=(
                *map(self._counted, stand_ins(self.host, administrator=not self.knobs.not_admin)),
                self.permissions.get_acl(),
            ),
            types=TYPES,
        )

    def _counted(self, command: Command) -> Command:
        """Return a cmdlet that counts how often it is called; what stands in `before` happens first, once."""

        def make(call: Call) -> Processor:
            self.called[command.name] += 1
            for act in self.before.pop(command.name, ()):
                act()
            return command.make(call)

        return replace(command, make=make)

    def _run_action(self, definition: Definition, instance: Instance) -> int:
        """Run what the task says: the file by its name, or what it is told to read."""
        self.actions.append(definition.arguments)
        _, _, path = definition.arguments.partition("C:\\")
        path = "C:\\" + path.partition(".ps1")[0] + ".ps1"
        engine = self.engine()
        instance.hooks.append(engine.cancel)
        text = self.host.files.read(path).decode()
        if "-Command" in definition.arguments:
            text = definition.arguments.partition('-Command "')[2].rpartition('"')[0]
        ended = engine.run(text, args=() if "-Command" in definition.arguments else ("timer",))
        assert ended.refusal is None, ended.refusal
        return ended.exit_code

    def run(self, invocation: Invocation) -> Result:
        """Run a script with its prelude; what it writes to the pipeline is the answer."""
        text = prelude(invocation.arguments, invocation.attachments) + invocation.script.text
        ended = self.engine().run(text, deadline=LONG)
        assert ended.refusal is None, f"{ended.refusal} {ended.stderr.decode()}"
        return Result(
            exit_code=ended.exit_code, stdout=ended.stdout.decode(), stderr=ended.stderr.decode(), took_ms=1
        )

    def look(self, *services: Service) -> Observation:
        """Observe the host."""
        return self.driver.read_observation(self.run(self.driver.observe(services or (PORT,))))

    def draft(self, *wishes: Protection, run_id: str = RUN) -> Draft:
        """Plan a run from a fresh look."""
        return self.driver.draft(
            Desired(host=HOST, run_id=run_id, protections=wishes or (protection(),), observation=self.look())
        )

    def plan(self, *wishes: Protection, run_id: str = RUN) -> HostPlan:
        """Return the plan of a run."""
        wishes = wishes or (protection(),)
        draft = self.draft(*wishes, run_id=run_id)
        return HostPlan(
            host=HOST,
            outcome=PlannedOutcome.CHANGE,
            protections=wishes,
            scripts=draft.scripts,
            hazards=draft.hazards,
            supersedes=draft.supersedes,
        )

    def arm(self, plan: HostPlan, *, seconds: int = 300) -> Answer:
        return self._answer(self.driver.arm(plan, seconds=seconds, stamp=STAMP))

    def apply(self, plan: HostPlan) -> Answer:
        return self._answer(self.driver.apply(plan, probe_sources=()))

    def confirm(self, plan: HostPlan) -> Answer:
        return self._answer(self.driver.confirm(plan))

    def rollback(self, run_id: str = RUN) -> Answer:
        return self._answer(self.driver.rollback(run_id))

    def judge(self, plan: HostPlan, run_id: str = RUN) -> Judgement:
        return self.driver.judge(plan, run_id, self.look())

    def _answer(self, invocation: Invocation) -> Answer:
        return self.driver.read_answer(self.run(invocation))

    def unconfirmed(self, *wishes: Protection, seconds: int = 60, run_id: str = RUN) -> HostPlan:
        """Take the host through a run up to its confirmation."""
        plan = self.plan(*wishes, run_id=run_id)
        for answer in (self.arm(plan, seconds=seconds), self.apply(plan)):
            assert answer.ok, answer
        return plan

    def applied(self, *wishes: Protection, run_id: str = RUN) -> HostPlan:
        """Take the host through a whole run."""
        plan = self.unconfirmed(*wishes, seconds=300, run_id=run_id)
        answer = self.confirm(plan)
        assert answer.ok, answer
        return plan

    def by_hand(self, script: str, *arguments: str) -> tuple[int, str]:
        """Run a file that lies on the host, as an administrator would."""
        ended = self.engine().run(self.host.files.read(script).decode(), args=arguments, deadline=LONG)
        assert ended.refusal is None, ended.refusal
        return ended.exit_code, ended.stdout.decode()

    def rules(self) -> dict[str, str]:
        """Return the local rules, as the registry has them."""
        return self.host.firewall.registry(group=False)

    def ours(self) -> list[str]:
        """Return the names of our rules."""
        return sorted(name for name in self.rules() if name.startswith("fwfix-"))

    def tasks(self) -> list[str]:
        """Return the tasks of fwfix."""
        return [task.name for task in self.host.scheduler.tasks() if task.path == "\\fwfix\\"]

    def record(self, run_id: str = RUN) -> RunRecord | None:
        """Return the record of a run, as observe tells it."""
        return next((each for each in self.look().records if each.run_id == run_id), None)

    def state(self, run_id: str = RUN) -> RecordState | None:
        """Return the state that the file says."""
        for state in RecordState:
            if self.host.files.is_file(self.file(f"state.{state}", run_id)):
                return state
        return None

    def file(self, name: str, run_id: str = RUN) -> str:
        """Return the path of a file of a record."""
        return f"C:\\ProgramData\\fwfix\\runs\\{run_id}\\{name}"

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it did not come to be"
            time.sleep(0.005)

    def edit(self, plan: HostPlan, name: str, old: str, new: str) -> HostPlan:
        """Return a plan with a change in one of its scripts."""
        script = plan.scripts[name]
        assert old in script.text
        changed = Script(name=name, text=script.text.replace(old, new), changes=script.changes)
        return HostPlan(
            host=plan.host,
            outcome=plan.outcome,
            protections=plan.protections,
            scripts={**plan.scripts, name: changed},
        )


PORT = Service(protocol=Protocol.TCP, first=9100, last=9100)
HOST = InventoryHost(name="pos-win-07", address="192.0.2.7", platform=Platform.WINDOWS)


def _tcp(port: int, *, pid: int, peer: str = "") -> TcpConnection:
    return TcpConnection(
        local_address="192.0.2.7" if peer else "0.0.0.0",
        local_port=port,
        remote_address=peer or "0.0.0.0",
        remote_port=50000 if peer else 0,
        state="Established" if peer else "Listen",
        pid=pid,
    )


Maker = Callable[..., Windows]
Wish = Callable[..., Protection]


# Words in the names of tests that rest on what the real engine on Linux does not have.
NOT_ON_PWSH = {
    "folder_of_tasks": "the real engine on Linux has no COM objects",
    "full_disk": "the disk of the real engine is a folder of this machine, which does not fill up",
    "power_cut": "the disk of the real engine is a folder of this machine, whose power stays on",
    "reparse_point": "the real engine asks its own disk, which has no reparse points",
    "does_not_parse": "a folder is deleted without the files in it, which are flat names on Linux",
}


@pytest.fixture
def make_windows(
    request: pytest.FixtureRequest, make_engine: Callable[..., Engine | RealEngine], tmp_path: Path
) -> Iterator[Maker]:
    """Return a maker of hosts; they end with the test."""
    made: list[Windows] = []
    real = make_engine is not Engine
    if real and (reason := _why_not(request.node)):
        pytest.skip(reason)

    def make(knobs: Knobs | None = None) -> Windows:
        if real and made:
            pytest.skip("the real engine has one disk for a test, and this one has two hosts")
        disk = tmp_path / "disk" if real else None
        made.append(Windows(knobs or Knobs(), make_engine=make_engine, disk=disk))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _why_not(item: pytest.Item) -> str:
    name = item.name.partition("[")[0]
    source = inspect.getsource(item.function)
    if "around_rename" in source or "in_use" in source:
        return "the real engine has its own way to its files; nothing can step in between"
    return next((reason for part, reason in NOT_ON_PWSH.items() if part in name), "")


@pytest.fixture
def windows(make_windows: Maker) -> Windows:
    """Return a plain host."""
    return make_windows()


@pytest.fixture
def wish() -> Wish:
    """Return the maker of wishes."""
    return protection
