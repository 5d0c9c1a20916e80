"""The knobs of a demo's twin, turned from another process; effects are seen from outside."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from winrm.exceptions import WSManFaultError
from winrm.protocol import Protocol

from fwfix.lab.linux import Lab
from fwfix.lab.windows.control import ask
from fwfix.lab.windows.model.knobs import Knobs
from fwfix.lab.windows.twin_process import RunningTwin, start_twins

pytestmark = pytest.mark.lab

BLOCK = "New-NetFirewallRule -Name t -DisplayName t -Action Block -Protocol TCP -LocalPort 9100"


@dataclass(frozen=True)
class Bench:
    """A twin in its process, and its lab."""

    lab: Lab
    twin: RunningTwin
    directory: Path

    def control(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [
            sys.executable,
            "-m",
            "fwfix.lab.windows.control",
            str(self.directory),
            self.twin.name,
            *words,
        ]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    def ask(self, **request: object) -> object:
        return ask(self.directory, {"host": self.twin.name, **request})

    def turn(self, *words: str) -> dict[str, object]:
        done = self.control(*words)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    @property
    def port(self) -> str:
        return self.lab.outside.connect(self.twin.member.address, 9100, 0.5)

    def client(self) -> Protocol:
        url = f"http://{self.twin.member.address}:5985/wsman"
        return Protocol(
            url,
            transport="ntlm",
            username=self.twin.user,
            password=self.twin.password,
            proxy=None,
            ca_trust_path=None,
        )

    def run(self, script: str) -> bytes:
        client = self.client()
        shell = client.open_shell()
        command = client.run_command(shell, "powershell", ["-NoProfile", "-Command", f'"{script}"'])
        out, err, _ = client.get_command_output(shell, command)
        client.close_shell(shell)
        assert not err, err
        return out.strip()


@pytest.fixture(scope="module")
def running(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # Longer than the path of a socket may be.
    directory = tmp_path_factory.mktemp("d" * 120)
    with Lab(directory, keep=False) as lab:
        lab.build([])
        twin = start_twins(lab.network, ["demo-windows-1"])[0]
        yield Bench(lab, RunningTwin(**{**_fields(twin), "http": True}), directory)


def _fields(twin: RunningTwin) -> dict[str, object]:
    return {name: getattr(twin, name) for name in ("name", "member", "user", "password", "certificate")}


@pytest.fixture
def bench(running: Bench) -> Iterator[Bench]:
    running.run(f"$null = {BLOCK}")
    assert running.port == "filtered"
    yield running
    plain = Knobs()
    for field in fields(plain):
        value = getattr(plain, field.name)
        if not isinstance(value, timedelta):
            running.ask(do="set", name=field.name, value=value)
    running.ask(do="trouble", value={})
    running.ask(do="quotas", value={})
    running.run("Remove-NetFirewallRule -Name t")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpo_merge_off", "true"),
        ("user_ports_off", "true"),
        ("profiles_off", '["Private"]'),
        ("gpo_profiles_off", '["Private"]'),
        ("mpssvc_down", "true"),
        ("excluded_interfaces", '["Ethernet"]'),
        ("gpo_rules", '[["t", "v2.29|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=9100|Name=t|"]]'),
    ],
)
def test_a_knob_that_takes_a_rule_its_effect_lets_packets_in_at_once(
    bench: Bench, name: str, value: str
) -> None:
    if name in ("gpo_merge_off", "user_ports_off"):
        # The allow rule of the printing port is a local one, too.
        bench.turn("set", "default_inbound", "Allow")
    assert bench.turn("set", name, value)[name] == json.loads(value)
    assert bench.port == "open"


def test_a_reboot_ends_shells_and_keeps_rules(bench: Bench) -> None:
    client = bench.client()
    shell = client.open_shell()
    bench.turn("reboot")
    with pytest.raises(WSManFaultError) as gone:
        client.run_command(shell, "hostname")
    assert gone.value.wsman_fault_code == 2150858843
    assert bench.port == "filtered"


def test_a_trouble_and_a_quota_meet_the_next_client(bench: Bench) -> None:
    bench.turn("quotas", '{"max_shells_per_user": 1}')
    first = bench.client()
    shell = first.open_shell()
    with pytest.raises(WSManFaultError) as full:
        bench.client().open_shell()
    assert full.value.wsman_fault_code == 2150859173
    first.close_shell(shell)
    bench.turn("trouble", '{"on": {"Create": "reset"}}')
    with pytest.raises(requests.exceptions.ConnectionError):
        bench.client().open_shell()


def test_rights_and_version_follow_the_knobs(bench: Bench) -> None:
    bench.turn("set", "ps_version", "3.0")
    assert bench.run("$PSVersionTable.PSVersion.Major") == b"3"
    bench.turn("set", "not_admin", "true")
    with pytest.raises(WSManFaultError) as denied:
        bench.client().open_shell()
    assert denied.value.wsman_fault_code == 5


@pytest.mark.parametrize(
    "words",
    [
        ("set", "nothing", "1"),
        ("set", "shielded", "maybe"),
        ("set", "ps_version", "2.0"),
        ("set", "gpo_rules", '[["a", "no rule"]]'),
        ("set", "gpo_rules", '["a"]'),
        ("trouble", '{"at": {"x": "lost"}}'),
        ("trouble", "[]"),
        ("quotas", '{"idle_timeout": 1}'),
    ],
)
def test_what_a_twin_cannot_be_is_refused_in_one_line_and_changes_nothing(
    bench: Bench, words: tuple[str, ...]
) -> None:
    before = bench.ask(do="show")
    done = bench.control(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert bench.ask(do="show") == before
    assert bench.port == "filtered"


def test_a_command_line_that_says_nothing_is_a_usage_error(bench: Bench, tmp_path: Path) -> None:
    assert bench.control("explode").returncode == 2
    argv = [sys.executable, "-m", "fwfix.lab.windows.control", str(tmp_path), "x", "show"]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1


def test_the_socket_is_its_owners_and_survives_nonsense(bench: Bench, request: pytest.FixtureRequest) -> None:
    path = bench.directory / ".lab/windows/control"
    assert path.stat().st_mode & 0o777 == 0o600
    folder = os.open(path.parent, os.O_PATH)
    request.addfinalizer(lambda: os.close(folder))
    for sent in (b"", b"\n", b"{}\n", b"[]\n", b'{"host": "demo-windows-1"}\n', b'{"host": []}\n', b"\xff\n"):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(f"/proc/self/fd/{folder}/control")
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            assert b'"error"' in raw.makefile("rb").readline()
    assert bench.turn("show")
