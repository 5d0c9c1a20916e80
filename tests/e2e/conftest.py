"""The installed command, as a user starts it, against throw-away hosts."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from fwfix.lab.linux import HostSpec, Lab, LabHost, write_inventory

BASE = "/var/lib/fwfix"
PATIENCE = 30.0


def wait_for(condition: Callable[[], bool], what: str, *, patience: float = PATIENCE) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout is."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def run_id(self) -> str:
        return str(self.document["run_id"])

    def host(self, name: str = "") -> dict[str, Any]:
        """The entry of a host; of the only one without a name."""
        hosts = [each for each in self.document["hosts"] if name in ("", each["name"])]
        assert len(hosts) == 1, [each["name"] for each in self.document["hosts"]]
        entry: dict[str, Any] = hosts[0]
        return entry

    def outcome(self, name: str = "") -> str:
        return str(self.host(name)["outcome"])

    def reason(self, name: str = "") -> str:
        reason = self.host(name)["reason"]
        return "" if reason is None else str(reason["code"])

    def steps(self, name: str = "") -> list[str]:
        return [step["step"] for step in self.host(name)["steps"]]


class Started:
    """A command that is still at work."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=None if env is None else {**os.environ, **env},
        )
        self.lines: list[str] = []
        self._stdout = ""
        self._readers = [threading.Thread(target=self._read_lines), threading.Thread(target=self._read_all)]
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def _read_all(self) -> None:
        assert self.process.stdout is not None
        self._stdout = self.process.stdout.read()

    @property
    def stderr(self) -> str:
        return "\n".join(self.lines)

    def has_said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def await_step(self, step: str, *, host: str = "", since: int = 0) -> None:
        """Wait until the command says that a host goes on to a step."""
        ending = f"{host}: {step}"

        def reached() -> bool:
            assert self.process.poll() is None or any(line.endswith(ending) for line in self.lines), self
            return any(line.endswith(ending) for line in self.lines[since:])

        wait_for(reached, f"step {step} in {self}")

    def __str__(self) -> str:
        return f"{self.process.args!r}: {self.process.poll()}\n{self.stderr}\n{self._stdout}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a command that has ended gets none."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it as the OOM killer would."""
        self.send(signal.SIGKILL)
        self.end()

    def end(self, *, timeout: float = 60) -> Ended:
        """Wait for it."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"did not end in {timeout} s: {self}")
        for reader in self._readers:
            reader.join(timeout)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return Ended(code=code, stdout=self._stdout, stderr=self.stderr)


@dataclass(slots=True, kw_only=True)
class Controller:
    """Somebody who runs fwfix: an inventory and a journal."""

    inventory: Path
    state_dir: Path
    started: list[Started] = field(default_factory=list)

    def argv(self, command: str, *arguments: str) -> list[str]:
        """The command line; hosts come from the inventory, and stdout is JSON."""
        given = [command, *arguments]
        saved = any(argument.endswith(".json") for argument in arguments) and "-o" not in arguments
        # A saved plan, and the journal of a run that goes on, say all that is needed.
        saved = saved or "--continue" in arguments
        if "-i" not in arguments and command != "runs" and not saved:
            given += ["-i", str(self.inventory)]
        if command in ("apply", "rollback"):
            given.append("--yes")
        return self.bare(*given, "--json")

    def bare(self, *arguments: str) -> list[str]:
        """The command line, with nothing added but the journal."""
        program = Path(sys.executable).with_name("fwfix")
        start = [str(program)] if program.exists() else [sys.executable, "-m", "fwfix"]
        return [*start, "--state-dir", str(self.state_dir), *arguments]

    def start(self, command: str, *arguments: str) -> Started:
        """Start a command and let it work."""
        started = Started(self.argv(command, *arguments))
        self.started.append(started)
        return started

    def run(self, command: str, *arguments: str, code: int | None = None, timeout: float = 60) -> Ended:
        """Run a command to its end."""
        ended = self.start(command, *arguments).end(timeout=timeout)
        assert code is None or ended.code == code, ended
        return ended

    def apply(self, *arguments: str, code: int | None = 0) -> Ended:
        return self.run("apply", *arguments, code=code)

    def rollback(self, *arguments: str, code: int | None = 0) -> Ended:
        return self.run("rollback", *arguments, code=code)

    def rewrite(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the inventory."""
        content = yaml.safe_load(self.inventory.read_text(encoding="utf-8"))
        change(content)
        self.inventory.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def leave_armed(self) -> None:
        """Widen the policy, and kill the controller that applies it before it confirms."""

        def change(content: dict[str, Any]) -> None:
            content["policies"]["block-raw-printing"]["ports"] = ["jetdirect", "lpd"]

        self.rewrite(change)
        started = self.start("apply", "--confirm-within", "60s")
        started.await_step("verify")
        started.kill()

    wait_for = staticmethod(wait_for)

    def stop_everything(self) -> None:
        """Leave no process behind, and no pipe to one that has ended by itself."""
        for started in self.started:
            started.send(signal.SIGCONT)
            started.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Hosts, and whoever works on them."""

    lab: Lab
    controllers: list[Controller]

    @property
    def fwfix(self) -> Controller:
        return self.controllers[0]

    @property
    def host(self) -> LabHost:
        return self.lab.hosts[0]

    def second_controller(self) -> Controller:
        """Somebody else with the same inventory and a journal of their own."""
        first = self.fwfix
        number = len(self.controllers) + 1
        inventory = first.inventory.with_name(f"inventory-{number}.yaml")
        inventory.write_text(first.inventory.read_text(encoding="utf-8"), encoding="utf-8")
        inventory.chmod(0o600)
        other = Controller(inventory=inventory, state_dir=first.state_dir.with_name(f"state-{number}"))
        self.controllers.append(other)
        return other

    def ports(self, host: LabHost | None = None, port: int = 9100) -> dict[str, str]:
        """How a port answers, from here and from outside, in both families."""
        host = host or self.host
        outside = self.lab.outside
        return {
            "controller4": connect(host.address, port),
            "controller6": connect(host.address6, port),
            "outside4": outside.connect(host.address, port, timeout=0.4),
            "outside6": outside.connect(host.address6, port, timeout=0.4),
        }

    def is_open(self, host: LabHost | None = None) -> bool:
        """Whether the port is open everywhere."""
        return set(self.ports(host).values()) == {"open"}

    def is_blocked(self, host: LabHost | None = None) -> bool:
        """Whether every packet to the port vanishes."""
        return set(self.ports(host).values()) == {"filtered"}

    def sh(self, command: str, host: LabHost | None = None, *, stdin: str = "") -> str:
        """Run a command line as root on a host; it must succeed."""
        done = (host or self.host).run(["/bin/sh", "-c", command], input=stdin)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def states(self, host: LabHost | None = None) -> dict[str, str]:
        """What the records on a host say: the state of every run."""
        # Names alone: between a name and a second look at it the state may have been renamed.
        found = self.sh(f"cd {BASE}/runs 2>/dev/null && printf '%s\\n' */state.[a-z]* || :", host).split()
        found = [path for path in found if not path.endswith("*")]
        return {path.partition("/")[0]: path.rpartition(".")[2] for path in found}

    def await_state(self, wanted: str, host: LabHost | None = None, *, patience: float = PATIENCE) -> None:
        """Wait until the newest run of a host is in a state."""

        def newest() -> str:
            found = self.states(host)
            return found[max(found)] if found else ""

        wait_for(lambda: newest() == wanted, f"the state {wanted}", patience=patience)

    def await_no_timer(self, host: LabHost | None = None) -> None:
        """Wait until no process of fwfix is left on a host."""
        wait_for(lambda: "rollback.sh timer" not in self.sh("ps -eo args", host), "the end of the timer")

    def rules(self, host: LabHost | None = None) -> str:
        """Every rule of a host as it was: counters, comment lines and tables without a rule left aside."""
        host = host or self.host
        if host.spec.nft_only or host.spec.firewall == "nftables":
            return _COUNTERS.sub("", host.ruleset())
        saves = [host.iptables_save()]
        if host.spec.ip6tables:
            saves.append(host.ip6tables_save())
        return "".join(_tables(save) for save in saves)

    def exists(self, pattern: str, host: LabHost | None = None) -> bool:
        """Whether a path below the root of a host is there, asked without a process."""
        return any(Path(f"/proc/{(host or self.host).pid}/root").glob(pattern.lstrip("/")))

    def await_path(self, pattern: str, host: LabHost | None = None) -> None:
        """Wait until a path is there."""
        deadline = time.monotonic() + PATIENCE
        while not self.exists(pattern, host):
            assert time.monotonic() < deadline, f"timed out waiting for {pattern}"
            time.sleep(0.001)

    wait_for = staticmethod(wait_for)


def connect(address: str, port: int = 9100, *, timeout: float = 0.4) -> str:
    """Connect from here and close."""
    try:
        socket.create_connection((address, port), timeout).close()
    except TimeoutError:
        return "filtered"
    except OSError as error:
        return error.strerror or "failed"
    return "open"


_COUNTERS = re.compile(r"\[\d+:\d+\]|counter packets \d+ bytes \d+")


def _tables(save: str) -> str:
    lines = [_COUNTERS.sub("", line).rstrip() for line in save.splitlines() if not line.startswith("#")]
    tables = "\n".join(lines).split("COMMIT")
    return "COMMIT".join(table for table in tables if "\n-A " in table)


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    """Somebody whose inventory is still to be written."""
    made = Controller(inventory=tmp_path / "inventory.yaml", state_dir=tmp_path / "state")
    yield made
    made.stop_everything()


class MakeSite(Protocol):
    """Build hosts, and write the inventory for them."""

    def __call__(self, *specs: HostSpec) -> Site: ...


@pytest.fixture
def make_site(make_lab: Callable[[Sequence[HostSpec]], Lab], tmp_path: Path) -> Iterator[MakeSite]:
    """Make sites for one test."""
    sites: list[Site] = []

    def make(*specs: HostSpec) -> Site:
        lab = make_lab(specs or (HostSpec(name="gw"),))
        folder = tmp_path / f"site-{len(sites)}"
        inventory = write_inventory(lab, folder)
        site = Site(lab=lab, controllers=[Controller(inventory=inventory, state_dir=folder / "state-1")])
        sites.append(site)
        return site

    yield make
    for site in sites:
        for controller in site.controllers:
            with contextlib.suppress(ProcessLookupError):
                controller.stop_everything()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """One host with a listener on 9100 and the rules of a careful administrator."""
    return make_site()
