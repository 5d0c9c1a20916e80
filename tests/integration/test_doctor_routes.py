"""The doctor where the way to a host is the trouble, as the installed command, on both platforms."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fwfix.lab.linux import HostSpec, Lab, write_inventory
from fwfix.lab.windows.twin_process import start_twins, windows_entries

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]
PROGRAM = Path(sys.executable).with_name("fwfix")
Found = dict[str, dict[str, Any]]


def examine(inventory: Path, *names: str, inside: Sequence[str] = ()) -> dict[str, Found]:
    """Return the checks by host and step; `inside` is a command that starts the doctor elsewhere."""
    argv = [
        *inside,
        str(PROGRAM),
        "doctor",
        *names,
        "-i",
        str(inventory),
        "--connect-timeout",
        "5s",
        "--json",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout, done.stderr
    hosts = json.loads(done.stdout)["hosts"]
    return {host["name"]: {each["check"]: each for each in host["checks"]} for host in hosts}


def failed(found: Found) -> list[str]:
    return [check for check, each in found.items() if each["status"] == "failed"]


@pytest.mark.parametrize(
    ("ways", "said", "advice"),
    [
        ("true", "there is no route to", "ip route get 192.0.2.7"),
        ("ip route add prohibit 192.0.2.0/24", "this machine forbids connections", "iptables -S OUTPUT"),
    ],
)
def test_no_way_to_a_host_is_told_from_a_host_that_is_off(
    tmp_path: Path, ways: str, said: str, advice: str
) -> None:
    secret = tmp_path / "password"
    secret.write_text("any", encoding="ascii")
    secret.chmod(0o600)
    winrm = {"user": "ops", "password": {"file": "password"}}
    hosts = {
        "gw": {"address": "192.0.2.7", "platform": "linux", "ssh": {"user": "ops"}},
        "pos": {"address": "192.0.2.7", "platform": "windows", "winrm": winrm},
    }
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump({"version": 1, "hosts": hosts}), encoding="utf-8")
    # A network of its own, with nothing but what `ways` puts there.
    alone = ["unshare", "--net", "sh", "-c", f'ip link set lo up; {ways}; exec "$@"', "sh"]
    for name, found in examine(inventory, "gw", "pos", inside=alone).items():
        assert failed(found) == ["port"], (name, found)
        assert said in found["port"]["message"]
        assert advice in found["port"]["next"]
        assert found["port"]["on"] == "here"
        assert found["logon"]["status"] == "not-tried"


def test_behind_a_jump_host_every_step_is_taken_from_there(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab([HostSpec(name="jump"), HostSpec(name="gw")])
    directory = tmp_path / "site"
    twins = start_twins(lab.network, ["win-1", "win-2"])
    inventory = write_inventory(lab, directory, others=windows_entries(lab.network, twins, directory))
    content = yaml.safe_load(inventory.read_text(encoding="utf-8"))
    for name in ("gw", "win-1", "win-2"):
        kind = "ssh" if name == "gw" else "winrm"
        content["hosts"][name][kind]["jump"] = "jump"
    content["hosts"]["off"] = json.loads(json.dumps(content["hosts"]["win-1"]))
    content["hosts"]["off"]["winrm"]["port"] = 9
    inventory.write_text(yaml.safe_dump(content), encoding="utf-8")
    found = examine(inventory, "gw", "win-1", "win-2", "off")
    assert {name: failed(each) for name, each in found.items() if name != "off"} == {
        "gw": [],
        "win-1": [],
        "win-2": [],
    }, found
    assert "behind jump" in found["gw"]["settings"]["message"]
    for name in ("win-1", "win-2"):
        assert found[name]["address"]["message"] == "jump looks it up"
        assert found[name]["address"]["status"] == "not-tried"
    assert failed(found["off"]) == ["port"]
    assert found["off"]["port"]["message"].endswith("Asked through jump.")
