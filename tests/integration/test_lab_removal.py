"""A lab leaves nothing behind, whoever is killed, and changes nothing but one interface on this machine."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fwfix.errors import LabError
from fwfix.lab.inventory import Entry
from fwfix.lab.linux import HostSpec, Lab, Outside, clean, write_inventory
from fwfix.lab.records import Record

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_possible")]

MakeLab = Callable[[Sequence[HostSpec]], Lab]

_BUILDER = """
import sys, time
from pathlib import Path
from typing import Any
from fwfix.lab.inventory import Entry
from fwfix.lab.linux import HostSpec, Lab
lab = Lab(Path(sys.argv[1]), keep=sys.argv[2] == "keep")
lab.build([HostSpec(name=f"host-{number}") for number in range(int(sys.argv[3]))])
print("built", flush=True)
time.sleep(600 if sys.argv[4] == "stay" else 0)
"""


def started_builder(directory: Path, keep: str, hosts: int, then: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", _BUILDER, str(directory), keep, str(hosts), then]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def killed_builder(directory: Path, keep: str, hosts: int = 2) -> None:
    with started_builder(directory, keep, hosts, "stay") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "built\n"
        process.kill()


_OF_A_LAB = re.compile(r"fwfix-|\bdev if\d+\b")


@dataclass(frozen=True)
class Footprint:
    """What a lab has on this machine, taken while it runs."""

    directory: Path
    lab_id: str
    netns: tuple[str, ...]
    spaces: frozenset[int]
    taken: float

    @classmethod
    def of(cls, directory: Path) -> "Footprint":
        record = Record.load(directory)
        content: dict[str, Any] = {"id": "-", "netns": []} if record is None else record.content
        paths = [Path("/run/netns", name) for name in content["netns"]]
        spaces = frozenset(path.stat().st_ino for path in paths if path.exists())
        return cls(directory, content["id"], tuple(content["netns"]), spaces, uptime())

    def left(self) -> list[str]:
        found = [name for name in self.netns if Path("/run/netns", name).exists()]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [line for line in mounts if f"-{self.lab_id}" in line]
        found += ["interface"] if Path("/sys/class/net", f"fwfix-{self.lab_id}").exists() else []
        found += [f"process {entry.name}" for entry in Path("/proc").iterdir() if self._is_ours(entry)]
        return found + ([str(self.directory)] if (self.directory / ".lab").exists() else [])

    def _is_ours(self, process: Path) -> bool:
        try:
            if not process.name.isdigit():
                return False
            if (process / "ns/net").stat().st_ino in self.spaces and started(process) <= self.taken:
                # The kernel gives the number of a namespace that went to the next one, of any lab.
                return True
            return str(self.directory).encode() in (process / "cmdline").read_bytes()
        except OSError:
            return False

    def vanishes(self) -> bool:
        deadline = time.monotonic() + 10
        while self.left():
            if time.monotonic() > deadline:
                return False
        return True


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def started(process: Path) -> float:
    """Return when a process started, in seconds since the boot."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "a lab, with: odd name"
    clean(tmp_path / "a lab, with: odd name")


def forwarding() -> Iterator[str]:
    proc = Path("/proc/sys/net/ipv4")
    for path in (proc / "ip_forward", *sorted(proc.glob("conf/*/forwarding"))):
        with suppress(OSError):  # another lab's interface may have gone since the names were read
            yield f"{path} {path.read_text().strip()}"


def root_state() -> dict[str, str]:
    """Return what a lab must not touch on this machine."""
    commands = {
        "rules": ["nft", "list", "ruleset"],
        "ipv4": ["iptables-save"],
        "links": ["ip", "-br", "link"],
        "addresses": ["ip", "-br", "addr"],
        "routes": ["ip", "route", "show", "table", "all"],
        "routes6": ["ip", "-6", "route", "show", "table", "all"],
    }
    state = {"sysctls": "\n".join(forwarding())}
    for name, argv in commands.items():
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        state[name] = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return state


def without_labs(state: dict[str, str]) -> dict[str, set[str]]:
    # Between reading a route and asking for the name of its interface another lab may have gone: it stands
    # there as `if741` then, and what was read twice stands there twice.
    return {
        key: {line for line in text.splitlines() if not _OF_A_LAB.search(line)} for key, text in state.items()
    }


def test_a_lab_changes_one_interface_on_this_machine_and_nothing_after_close(directory: Path) -> None:
    before = without_labs(root_state())
    with Lab(directory, keep=False) as lab:
        lab.build([HostSpec(name="one"), HostSpec(name="two", behind="one")])
        footprint = Footprint.of(directory)
        assert len(footprint.left()) > 10  # it does see a lab that is there
        links = root_state()["links"].splitlines()
        assert sum(footprint.lab_id in line for line in links) == 1
        assert without_labs(root_state()) == before
    assert without_labs(root_state()) == before
    assert footprint.left() == []
    assert not directory.exists()


def test_two_labs_exist_at_once_and_do_not_see_each_other(make_lab: MakeLab) -> None:
    first, second = make_lab([HostSpec(name="one")]), make_lab([HostSpec(name="one")])
    assert not first.network.ipv4.overlaps(second.network.ipv4)
    assert first.outside.connect(second.hosts[0].address, 9100, 0.3) == "unreachable"
    first.close()
    assert second.outside.connect(second.hosts[0].address, 9100) == "open"


def test_a_kept_lab_outlives_its_killed_builder_and_clean_removes_it(directory: Path) -> None:
    killed_builder(directory, "keep")
    footprint = Footprint.of(directory)
    netns = f"fwfix-{footprint.lab_id}-host-0"
    listening = subprocess.run(
        ["ip", "netns", "exec", netns, "ss", "-Hltn"], capture_output=True, text=True, check=True
    )
    assert ":9100 " in listening.stdout
    clean(directory)
    assert footprint.left() == []
    clean(directory)


def test_a_lab_that_is_not_kept_removes_itself_when_its_builder_is_killed(directory: Path) -> None:
    with started_builder(directory, "drop", 2, "stay") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "built\n"
        footprint = Footprint.of(directory)
        assert footprint.left()
        process.kill()
    assert footprint.vanishes()
    assert not directory.exists()


def test_clean_works_after_the_supervisor_was_killed_too(directory: Path) -> None:
    killed_builder(directory, "keep")
    footprint = Footprint.of(directory)
    record = Record.load(directory)
    assert record is not None
    assert record.content["processes"]
    for pid, _ in record.content["processes"]:
        os.kill(int(pid), signal.SIGKILL)
    clean(directory)
    assert footprint.left() == []


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
def test_clean_works_wherever_the_building_was_killed(directory: Path, delay: float) -> None:
    with started_builder(directory, "keep", 3, "stay") as process:
        deadline = time.monotonic() + 10
        while not (directory / ".lab" / "record.json").exists():
            assert time.monotonic() < deadline
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
    footprint = Footprint.of(directory)
    clean(directory)
    assert footprint.left() == []
    assert not directory.exists()


def test_what_stays_running_holds_nothing_of_its_builder(directory: Path, tmp_path: Path) -> None:
    inherited = os.open(tmp_path / "inherited", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(inherited, True)
    argv = [sys.executable, "-c", _BUILDER, str(directory), "keep", "1", "end"]
    # Reading to the end of the pipe returns only when nobody holds it any more.
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, pass_fds=(inherited,), check=True)
    assert done.stdout == "built\n"
    holders = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                files = [item.readlink() for item in (entry / "fd").iterdir()]
            except OSError:
                continue
            if tmp_path / "inherited" in files:
                holders.append(entry.name)
    os.close(inherited)
    assert holders == []


def test_a_failed_build_leaves_nothing(directory: Path) -> None:
    before = without_labs(root_state())
    lab = Lab(directory)
    with pytest.raises(LabError, match="broken"):
        lab.build([HostSpec(name="fine"), HostSpec(name="broken", rules="nonsense\n")])
    assert not directory.exists()
    assert not Path("/sys/class/net", lab.network.interface).exists()
    assert without_labs(root_state()) == before


def test_a_directory_with_a_lab_is_refused_and_its_lab_goes_on(make_lab: MakeLab) -> None:
    lab = make_lab([HostSpec(name="one")])
    with pytest.raises(LabError, match="already"), Lab(lab.directory) as other:
        other.build([HostSpec(name="two")])
    assert lab.outside.connect(lab.hosts[0].address, 9100) == "open"


def test_clean_leaves_a_directory_without_a_lab_and_foreign_files_alone(directory: Path) -> None:
    directory.mkdir()
    (directory / "plan.json").write_text("{}")
    clean(directory)
    with Lab(directory) as lab:
        lab.build([HostSpec(name="one")])
        write_inventory(lab, directory)
    assert [item.name for item in directory.iterdir()] == ["plan.json"]


def test_clean_ends_no_process_that_only_took_over_the_pid(directory: Path) -> None:
    killed_builder(directory, "keep", 1)
    record = Record.load(directory)
    assert record is not None
    record.content["processes"].append([os.getppid(), "1"])
    record.save()
    clean(directory)
    assert Path(f"/proc/{os.getppid()}").exists()


def test_the_inventory_says_how_to_reach_every_host_and_holds_no_secret(directory: Path) -> None:
    import yaml

    with Lab(directory) as lab:
        lab.build([HostSpec(name=f"demo-linux-{number}") for number in (1, 2)])
        path = write_inventory(lab, directory)
        assert path == directory / "inventory.yaml"
        content = yaml.safe_load(path.read_text())
        demo = json.loads((directory / "demo.json").read_text())
        for host in lab.hosts:
            settings = content["hosts"][host.name]["ssh"]
            secret = directory / settings["become_password"]["file"]
            assert secret.read_text() == host.password
            assert secret.stat().st_mode & 0o777 == 0o600
            assert (directory / settings["identity_file"]).stat().st_mode & 0o777 == 0o600
            assert host.password not in path.read_text() + json.dumps(demo)
            argv = ["ssh", "-F", "none", "-i", settings["identity_file"], "-o", "BatchMode=yes"]
            argv += [
                "-o",
                f"UserKnownHostsFile={settings['known_hosts']}",
                f"{settings['user']}@{host.address}",
            ]
            done = subprocess.run(
                [*argv, "hostname"], cwd=directory, capture_output=True, text=True, check=True
            )
            assert done.stdout == f"{host.name}\n"
        allowed = set(content["policies"]["block-raw-printing"]["allow_from"])
        taken = {
            str(lab.network.address),
            lab.outside.address,
            str(lab.network.address6),
            lab.outside.address6,
        }
        assert allowed.isdisjoint(taken)
        assert content["defaults"]["policy"] == "block-raw-printing"
        assert demo["outside"]["netns"] == lab.outside.netns
        assert [item["netns"] for item in demo["hosts"]] == [host.netns for host in lab.hosts]
        assert set(demo["hosts"][0]) == {"name", "platform", "address", "address6", "netns"}


def test_another_namespace_joins_the_switch_with_both_addresses(make_lab: MakeLab) -> None:
    lab = make_lab([HostSpec(name="one")])
    member = lab.network.join("twin")
    twin = Outside(netns=member.netns, address=member.address, address6=member.address6)
    for address in (lab.hosts[0].address, lab.hosts[0].address6):
        assert twin.connect(address, 9100) == "open"
    for address in (member.address, member.address6):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, 1), 5)


def test_a_lab_without_linux_hosts_takes_members_and_ends_their_noted_processes(directory: Path) -> None:
    with Lab(directory) as lab:
        lab.build([])
        member = lab.network.join("twin")
        entry = Entry(
            name="demo-windows-1",
            platform="windows",
            address=member.address,
            address6=member.address6,
            netns=member.netns,
            settings={"user": "ops", "password": {"file": "demo-windows-1.password"}},
        )
        text = write_inventory(lab, directory, others=[entry]).read_text()
        assert "winrm:" in text
        argv = ["nsenter", f"--net=/run/netns/{member.netns}", "sleep", "600"]
        with subprocess.Popen(argv) as twin:
            lab.network.record.add_process(twin.pid)
            lab.close()
            assert twin.wait(10) == -signal.SIGTERM
    assert not directory.exists()


def test_three_hosts_are_built_in_less_than_three_seconds(make_lab: MakeLab) -> None:
    start = time.monotonic()
    make_lab([HostSpec(name=f"host-{number}") for number in range(3)])
    assert time.monotonic() - start < 3
