"""What the journal hears of a host's life: every step before it is taken, with the script that takes it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network

from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.journal import StepResult, Written
from fwfix.model.host import Host, Platform
from fwfix.model.outcome import HostReport, Outcome
from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.model.script import Invocation, Result
from fwfix.output.observe import Nobody
from fwfix.planning import PlanInputs, Seen, plan_host
from fwfix.rendering.environment import Renderer
from fwfix.runner.context import Log, RunContext
from fwfix.runner.host import HostRun, Options
from fwfix.runner.vantages import Lookout

RUN = "20261121T220003Z-4f2a"
HOST = Host(name="gw", address="127.0.99.1", platform=Platform.LINUX)
JETDIRECT = Protection(
    service=Service(protocol=Protocol.TCP, first=9100, last=9100),
    allowed=(ip_network("10.0.5.0/24"),),
    action=Action.DROP,
    log=False,
)


@dataclass
class OnItsWay:
    """An announcement that is on disk when somebody has waited for it."""

    diary: "Diary"

    def __call__(self) -> None:
        self.diary.lines.append("on disk")

    def then(self, go_on: Callable[[], object]) -> None:
        go_on()


@dataclass
class Diary(Log):
    """Writes down, in one order, what was announced and what was run."""

    lines: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def record(self, host: str, result: StepResult) -> None:
        del host
        self.told.append(result.step.step)

    def hand_in_steps(
        self,
        host: str,
        *steps: str,
        invocation: Invocation | None = None,
        reverts_at: datetime | None = None,
    ) -> Written:
        del host, reverts_at
        self.lines.append(f"announced {' '.join(steps)}: {invocation.script.name if invocation else '-'}")
        return OnItsWay(self)

    def answer(self, _: Host, invocation: Invocation) -> Result:
        """Answer as a host on which nothing takes hold, whatever is loaded."""
        name = invocation.script.name
        self.lines.append(f"ran {name}")
        states = {"arm": "armed", "apply": "armed", "rollback": "reverted"}
        said = {
            "uid": 0,
            "hostname": "gw",
            "machine_id": "m",
            "boot_id": "b",
            "uptime": 1000.0,
            "tools": {"iptables": "/usr/sbin/iptables"},
            "save4": "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
            "deadline": 1120.0,
            "state": states.get(name, ""),
        }
        return answered(json.dumps({"schema": "fwfix.answer/1", "script": name, "ok": True, **said}))


def live(diary: Diary) -> HostReport:
    """Take the host through a life that ends with a revert, since its rules are not found."""
    renderer = Renderer(())
    driver = LinuxDriver(renderer)
    connector = ScriptedConnector(
        {("*", name): diary.answer for name in ("observe", "arm", "apply", "rollback")}
    )
    context = RunContext(
        run_id=RUN,
        connector=connector,
        drivers={Platform.LINUX: driver},
        log=diary,
        observer=Nobody(),
        stamp=Stamp(operator="me", controller="here"),
    )
    seen = driver.read_observation(diary.answer(HOST, driver.observe((JETDIRECT.service,))))
    diary.lines.clear()
    inputs = PlanInputs(
        hosts=(HOST,),
        protections={HOST.name: (JETDIRECT,)},
        seen={HOST.name: Seen(observation=seen)},
        drivers={Platform.LINUX: driver},
        run_id=RUN,
        created_at=datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC),
    )
    plan = plan_host(HOST, inputs)
    with HostRun(plan, context, lookout=Lookout(context, (), renderer), options=Options()) as run:
        return run.run()


def test_every_step_behind_the_first_looks_is_announced_and_on_disk_before_it_is_taken() -> None:
    diary = Diary()
    assert live(diary).outcome is Outcome.REVERTED
    assert diary.lines == [
        "ran observe",
        "announced arm: arm",
        "on disk",
        "ran arm",
        "announced apply verify: apply",
        "on disk",
        "ran apply",
        "ran observe",
        "announced revert: rollback",
        "on disk",
        "ran rollback",
        "announced check: -",
        "on disk",
        "ran observe",
    ]


def test_every_result_is_told_once_and_in_order() -> None:
    diary = Diary()
    report = live(diary)
    assert diary.told == [step.step for step in report.steps]
    assert diary.told == ["observe", "baseline", "arm", "apply", "verify", "revert", "check"]
