"""The Linux driver against throw-away hosts: their own words in, hazards and rules out."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest

from fwfix.drivers.base import Answer, Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.lab.linux import HostSpec, Lab, LabHost
from fwfix.model.draft import Desired, Draft
from fwfix.model.host import Host, Platform
from fwfix.model.observation import Observation
from fwfix.model.plan import HostPlan, Plan
from fwfix.model.policy import Action, Address, Protection, Protocol, Service
from fwfix.model.script import Invocation, Result
from fwfix.planning import CONTROLLER, PlanInputs, Seen, make_plan
from fwfix.rendering.environment import Renderer

FIRST, SECOND = "20261121T220003Z-4f2a", "20261121T230000Z-00ff"
OUTSIDE = "10.250.0.9"
_HOLD = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); "
    "print('up', flush=True); sys.stdin.read()"
)


def protect(
    first: int = 9100,
    last: int | None = None,
    *,
    protocol: Protocol = Protocol.TCP,
    allowed: Sequence[str] = ("10.99.99.0/24", "fd99::/64"),
) -> Protection:
    """Make one protection."""
    return Protection(
        service=Service(protocol=protocol, first=first, last=last or first),
        allowed=tuple(ip_network(each) for each in allowed),
        action=Action.DROP,
        log=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """One host, and the driver that we talk to it with."""

    host: LabHost
    driver: LinuxDriver
    lab: Lab

    protect = staticmethod(protect)

    def sh(self, command: str) -> str:
        """Run a shell command as root; it must succeed."""
        done = self.host.run(["sh", "-c", command])
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def run(self, invocation: Invocation, *, peer: str = OUTSIDE) -> Result:
        """Run a script of ours as the SSH executor would."""
        connection = f"{peer} 40000 {self.host.address} 22"
        started = time.monotonic()
        done = self.host.run(
            ["sh", "-s", "--", *invocation.arguments],
            input=f"SSH_CONNECTION='{connection}'; export SSH_CONNECTION\n{invocation.script.text}",
        )
        took = round((time.monotonic() - started) * 1000)
        return Result(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr, took_ms=took)

    def look(self, *protections: Protection, peer: str = OUTSIDE) -> Observation:
        """Observe the host."""
        services = [protection.service for protection in protections or (protect(),)]
        return self.driver.read_observation(self.run(self.driver.observe(services), peer=peer))

    def inventory_host(self) -> Host:
        """Return the host as an inventory would have it."""
        return Host(name=self.host.name, address=self.host.address, platform=Platform.LINUX)

    def draft(self, *protections: Protection, run_id: str = FIRST) -> Draft:
        """Observe, and ask for a draft."""
        wanted = protections or (protect(),)
        return self.driver.draft(
            Desired(
                host=self.inventory_host(),
                run_id=run_id,
                protections=wanted,
                observation=self.look(*wanted),
            )
        )

    def plan(self, *protections: Protection, run_id: str = FIRST, peer: str = OUTSIDE) -> Plan:
        """Observe and plan."""
        wanted = protections or (protect(),)
        vantages: dict[str, tuple[Address, ...]] = {CONTROLLER: (ip_address(peer),)}
        return make_plan(
            PlanInputs(
                hosts=(self.inventory_host(),),
                protections={self.host.name: wanted},
                seen={self.host.name: Seen(observation=self.look(*wanted, peer=peer), round_trip=0.2)},
                drivers={Platform.LINUX: self.driver},
                run_id=run_id,
                created_at=datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC),
                vantages=vantages,
            )
        )

    def codes(self, *protections: Protection, peer: str = OUTSIDE) -> set[str]:
        """Return the codes of all hazards of a plan."""
        return {hazard.code for hazard in self.plan(*protections, peer=peer).hosts[0].hazards}

    @contextlib.contextmanager
    def open_session(self, port: int = 9100) -> Iterator[None]:
        """Keep a connection from outside open."""
        namespace = ["ip", "netns", "exec", self.lab.outside.netns]
        argv = [*namespace, "python3", "-c", _HOLD, self.host.address, str(port)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdin is not None
            assert client.stdout.readline() == "up\n"
            yield
            client.stdin.close()

    def put_in_force(self, plan: Plan) -> HostPlan:
        """Arm, apply and confirm."""
        (host,) = plan.hosts
        stamp = Stamp(operator="ops (sudo)", controller="jump 01", ticket="CHG-1")
        for invocation in (
            self.driver.arm(host, seconds=60, stamp=stamp),
            self.driver.apply(host, probe_sources=[ip_address(OUTSIDE)]),
            self.driver.confirm(host),
        ):
            answer: Answer = self.driver.read_answer(self.run(invocation))
            assert answer.ok, answer
        return host


@pytest.fixture(scope="session")
def driver() -> LinuxDriver:
    return LinuxDriver(Renderer())


MakeDriven = Callable[[HostSpec], Driven]


@pytest.fixture
def make_driven(make_lab: Callable[[Sequence[HostSpec]], Lab], driver: LinuxDriver) -> MakeDriven:
    """Make one host with a driver for it."""

    def make(spec: HostSpec) -> Driven:
        lab = make_lab([spec])
        return Driven(host=lab[spec.name], driver=driver, lab=lab)

    return make


@pytest.fixture
def driven(make_driven: MakeDriven) -> Driven:
    """Return a plain host."""
    return make_driven(HostSpec(name="printer-gw"))
