"""One real Windows host, named by the environment; without it every test here is skipped."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from fwfix.executors.redaction import traces
from fwfix.secrets import Secret

PREFIX = "FWFIX_WINDOWS_REAL_"
# Read before a fixture takes FWFIX_* away from the tests.
_GIVEN = {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(PREFIX)}
NEEDED = ("HOST", "USER", "PASSWORD", "PORT")
KNOWN = (*NEEDED, "FINGERPRINT", "TRANSPORT", "PROOF", "RECORD")
_MANAGEMENT = {22, 135, 445, 3389, 5985, 5986}
NAME = "win"


@dataclass
class Ended:
    """What a command left behind."""

    code: int
    document: dict[str, Any]
    stderr: str

    @property
    def host(self) -> dict[str, Any]:
        (entry,) = self.document["hosts"]
        return dict(entry)


@dataclass
class Windows:
    """The host, and a controller for it.

    Attributes:
        proof: `packets` where this machine's packets pass the host's firewall; `structure` where they do not,
            as on the host itself, whose own addresses are loopback to it.
    """

    settings: Mapping[str, str]
    password: Secret
    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.settings["PORT"])

    @property
    def proof(self) -> str:
        return self.settings.get("PROOF", "packets")

    @property
    def accepts(self) -> list[str]:
        """The port is no printer's; and where no packet can prove anything, structure must do."""
        codes = ["not-a-printing-port", *(["unproven"] if self.proof == "structure" else [])]
        return [word for code in codes for word in ("--accept", code)]

    @property
    def inventory(self) -> Path:
        path = self.folder / "inventory.yaml"
        if path.exists():  # what is wanted must not change with the addresses of this machine
            return path
        winrm = {
            "user": self.settings["USER"],
            "password": {"env": "REAL_PASSWORD"},
            "transport": self.settings.get("TRANSPORT", "ntlm"),
        }
        if "FINGERPRINT" in self.settings:
            winrm["fingerprint"] = self.settings["FINGERPRINT"]
        policy: dict[str, object] = {"ports": [f"{self.port}/tcp"]}
        if self.proof == "structure":
            # What is not filtered must not be expected to be: else every run is reverted, and rightly.
            policy["allow_from"] = self.own_addresses()
        content = {
            "version": 1,
            "policies": {"closed": policy},
            "hosts": {
                NAME: {
                    "address": self.settings["HOST"],
                    "platform": "windows",
                    "policy": "closed",
                    "winrm": winrm,
                }
            },
        }
        path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
        return path

    def own_addresses(self) -> list[str]:
        """Every address from which this machine may reach the host; nothing is sent."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.settings["HOST"], self.port))
            found = [str(probe.getsockname()[0])]
        table = Path("/proc/net/if_inet6")
        for line in table.read_text(encoding="ascii").splitlines() if table.exists() else ():
            address, _, _, scope, *_ = line.split()
            if scope == "00":  # global
                found.append(str(IPv6Address(int(address, 16))))
        return found

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        program = Path(sys.executable).with_name("fwfix")
        process = subprocess.Popen(
            [str(program), "--state-dir", str(self.folder / "state"), command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "REAL_PASSWORD": self.password.reveal()},
        )
        self.started.append(process)
        return process

    def run(self, command: str, *arguments: str, hosts: bool = True, timeout: float = 600) -> Ended:
        """Run a command to its end."""
        given = ["-i", str(self.inventory)] if hosts else []
        process = self.start(command, *arguments, *given, "--json")
        stdout, stderr = process.communicate(timeout=timeout)
        document = json.loads(stdout) if stdout.strip() else {}
        return Ended(code=process.returncode, document=document, stderr=stderr)

    def kill_at(self, step: str, *arguments: str) -> None:
        """Start an apply, and end it as the OOM killer would once it says that it goes on to a step."""
        process = self.start("apply", *arguments, *self.accepts, "--yes", "-i", str(self.inventory), "--json")
        assert process.stderr is not None
        assert process.stdout is not None
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        said = []
        for line in process.stderr:
            said.append(line)
            if line.rstrip().endswith(f"{NAME}: {step}"):
                process.send_signal(signal.SIGKILL)
                break
        else:
            pytest.fail("it never came to that step:\n" + "".join(said))
        process.wait(30)
        drain.join(30)
        process.stderr.close()
        process.stdout.close()

    def state(self) -> str | None:
        """What the host's own record says of the newest run."""
        found = self.run("status").host["state"]
        return None if found is None else str(found)

    def looks(self) -> str:
        """How the port answers from here."""
        try:
            socket.create_connection((self.settings["HOST"], self.port), 3).close()
        except TimeoutError:
            return "filtered"
        except ConnectionRefusedError:
            return "closed"
        return "open"

    def expect(self, wanted: str) -> None:
        """Knock, where a knock can prove something."""
        if self.proof == "packets":
            assert self.looks() == wanted

    def traces_in(self, path: Path) -> int:
        """How many traces of the password are in a file; a failed test must not show them."""
        text = path.read_text(encoding="utf-8")
        return sum(trace in text for trace in traces(self.password.reveal()))

    def wait_for(self, condition: Callable[[], bool], what: str, *, patience: float) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"timed out waiting for {what}"
            time.sleep(2)

    def clean(self) -> None:
        """Leave no process here, and nothing in force there."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if (self.folder / "state").exists():
            self.run("rollback", "--yes", "-l", NAME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip with one reason for all, so that it is one line; real hosts take their time."""
    skip = pytest.mark.skip(reason="no real Windows host: see docs/windows-hosts.md")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(900))
            if not all(_GIVEN.get(name) for name in NEEDED):
                item.add_marker(skip)


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[Windows]:
    unknown = sorted(set(_GIVEN) - set(KNOWN))
    assert unknown == [], f"unknown settings: {unknown}"
    assert int(_GIVEN["PORT"]) not in _MANAGEMENT, "that port carries the management of the host"
    assert _GIVEN.get("PROOF", "packets") in {"packets", "structure"}
    settings = {name: value for name, value in _GIVEN.items() if name != "PASSWORD"}
    # A failed test shows its values.
    made = Windows(settings=settings, password=Secret(_GIVEN["PASSWORD"]), folder=tmp_path)
    yield made
    made.clean()
