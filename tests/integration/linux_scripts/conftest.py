"""The rendered Linux scripts, run in throw-away hosts as the SSH executor would run them."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from typing import Protocol as Interface

import pytest

from fwfix.lab.linux import HostSpec, Lab, LabHost
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Action, Family, Protection, Protocol, Service
from fwfix.model.script import Script
from fwfix.rendering.environment import Renderer
from fwfix.rendering.linux import Backend, LinuxContext, linux_scripts, observe_script

FIRST = "20261121T220003Z-4f2a"
BASE = "/var/lib/fwfix"
LOAD_AT_BOOT = "[ ! -x /etc/init.d/fwfix ] || /etc/init.d/fwfix start"
PATIENCE = 40.0


def protect(
    first: int = 9100,
    last: int | None = None,
    *,
    protocol: Protocol = Protocol.TCP,
    allowed: Sequence[str] = ("10.99.99.0/24", "fd99::/64"),
    action: Action = Action.DROP,
    log: bool = False,
) -> Protection:
    """Make one protection."""
    return Protection(
        service=Service(protocol=protocol, first=first, last=last or first),
        allowed=tuple(ip_network(each) for each in allowed),
        action=action,
        log=log,
    )


def wait_for(condition: Callable[[], bool], what: str, *, patience: float = PATIENCE) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """One host, and the scripts of runs on it."""

    host: LabHost

    protect = staticmethod(protect)
    wait_for = staticmethod(wait_for)

    def scripts(
        self,
        run_id: str = FIRST,
        *protections: Protection,
        backend: Backend = "iptables",
        published: tuple[PublishedPort, ...] = (),
        families: tuple[Family, ...] = (Family.IPV4, Family.IPV6),
        iptables: str = "/usr/sbin/iptables",
    ) -> Mapping[str, Script]:
        """Render the scripts of a run."""
        context = LinuxContext(
            run_id=run_id,
            backend=backend,
            protections=protections or (protect(),),
            families=families,
            published=published,
            iptables=iptables,
            ip6tables=iptables.replace("iptables", "ip6tables"),
            fwfix_version="0.1.0",
            desired="sha256:0123",
        )
        return linux_scripts(Renderer(()), context)

    def run(self, script: Script, *arguments: str, timeout: float = 60) -> dict[str, Any]:
        """Run a script as root's sh would and return its answer."""
        path = self.write(script)
        done = self.host.run(["/bin/sh", path, *arguments], timeout=timeout)
        assert done.returncode == 0, done
        answer: dict[str, Any] = json.loads(done.stdout)
        assert answer["script"] == script.name
        return answer

    def write(self, script: Script) -> str:
        """Write a script on the host."""
        path = f"/tmp/{script.name}-{script.sha256[:8]}"
        self.sh(f"cat >{path}", stdin=script.text)
        return path

    def sh(self, command: str, *, stdin: str = "") -> str:
        """Run a command line as root; it must succeed."""
        done = self.host.run(["/bin/sh", "-c", command], input=stdin)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def code(self, command: str) -> tuple[int, str]:
        """Run a command line as root; return its exit code and what it printed."""
        done = self.host.run(["/bin/sh", "-c", command], timeout=90)
        return done.returncode, done.stdout

    def observe(self, ports: str = "9100/tcp") -> dict[str, Any]:
        """Look at the host."""
        return self.run(observe_script(Renderer(())), ports)

    def arm(self, scripts: Mapping[str, Script], seconds: int = 60) -> dict[str, Any]:
        """Arm; it must succeed."""
        answer = self.run(scripts["arm"], str(seconds), "ops", "jump01", "CHG-1")
        assert answer["ok"], answer
        return answer

    def apply(self, scripts: Mapping[str, Script], probes4: str = "-", probes6: str = "-") -> dict[str, Any]:
        """Put the rules in force; it must succeed."""
        answer = self.run(scripts["apply"], probes4, probes6)
        assert answer["ok"], answer
        return answer

    def confirm(self, scripts: Mapping[str, Script]) -> dict[str, Any]:
        """Confirm; it must succeed."""
        answer = self.run(scripts["confirm"])
        assert answer["ok"], answer
        return answer

    def install(self, scripts: Mapping[str, Script], seconds: int = 60) -> None:
        """Arm, apply and confirm."""
        self.arm(scripts, seconds)
        self.apply(scripts)
        self.confirm(scripts)

    def rollback(self, run_id: str = FIRST) -> dict[str, Any]:
        """Undo a run by the command's script."""
        return self.run(self.scripts()["rollback"], run_id)

    def state(self, run_id: str = FIRST) -> str:
        """Return the state in the record of a run; empty if there is no record."""
        names = self.sh(f"ls {BASE}/runs/{run_id} 2>/dev/null || :").split()
        states = [name.removeprefix("state.") for name in names if name.startswith("state.")]
        assert len(states) <= 1, states
        return states[0] if states else ""

    def replace_tool(self, path: str, body: str) -> None:
        """Put a shell script in the place of a program, even of mv; `restore_tool` undoes it."""
        keep = f"[ -e {path}.real ] || busybox mv {path} {path}.real"
        self.sh(f"cat >{path}.new && chmod 0755 {path}.new", stdin=f"#!/bin/sh\n{body}\n")
        self.sh(f"{keep}; busybox mv {path}.new {path}")

    def restore_tool(self, path: str) -> None:
        """Undo `replace_tool`."""
        self.sh(f"busybox mv {path}.real {path}")

    def rules(self) -> str:
        """Return all rules of both families but for counters, comments and tables without a rule."""
        text = self.host.iptables_save() + self.host.ip6tables_save()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return "\n".join(line.partition(" [")[0] if line.startswith(":") else line for line in lines)

    def timer(self, run_id: str = FIRST) -> int:
        """Return the pid of the timer in the host's own numbers."""
        return int(self.sh(f"cat {BASE}/runs/{run_id}/rehearsed").split()[0])

    def alive(self, pid: int) -> bool:
        """Tell whether a process of the host runs."""
        return self.code(f"kill -0 {pid} 2>/dev/null")[0] == 0

    def await_state(self, state: str, run_id: str = FIRST, *, patience: float = PATIENCE) -> None:
        """Wait until the record says so."""
        wait_for(lambda: self.state(run_id) == state, f"state {state} of {run_id}", patience=patience)


class MakeHost(Interface):
    """Builds one host."""

    def __call__(self, **options: Any) -> OnHost:  # noqa: ANN401 - fields of HostSpec
        """Build it, with fields of HostSpec."""


@pytest.fixture
def make_host(make_lab: Callable[[Sequence[HostSpec]], Lab]) -> MakeHost:
    """Build a host whose boot ends as that of a host with an init system would."""

    def make(**options: Any) -> OnHost:  # noqa: ANN401 - fields of HostSpec
        spec = HostSpec(name="one", boot=(LOAD_AT_BOOT,), **options)
        return OnHost(host=make_lab([spec]).hosts[0])

    return make


@pytest.fixture
def one(make_host: MakeHost) -> OnHost:
    """A plain host: iptables-nft, policy DROP, a listener on 9100 in both families."""
    return make_host()


@pytest.fixture
def lab_of_one(make_lab: Callable[[Sequence[HostSpec]], Lab]) -> tuple[Lab, OnHost]:
    """A plain host and the lab that it stands in."""
    lab = make_lab([HostSpec(name="one", boot=(LOAD_AT_BOOT,))])
    return lab, OnHost(host=lab.hosts[0])
