"""The doctor on Linux, as the installed command: one trouble, one step that fails."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fwfix.lab.linux import HostSpec, Lab, LabHost, write_inventory

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]


def doctor(inventory: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    program = Path(sys.executable).with_name("fwfix")
    done = subprocess.run(
        [str(program), "doctor", "gw", "-i", str(inventory), "--connect-timeout", "2s", "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    (host,) = json.loads(done.stdout)["hosts"]
    return done.returncode, {each["check"]: each for each in host["checks"]}


def rules(host: LabHost) -> str:
    return re.sub(r"packets \d+ bytes \d+", "", host.ruleset())


def test_each_trouble_of_ssh_has_its_own_step(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab([HostSpec(name="gw")])
    inventory = write_inventory(lab, tmp_path / "site")
    original = yaml.safe_load(inventory.read_text(encoding="utf-8"))
    wrong = inventory.with_name("wrong.password")
    wrong.write_text("not-it", encoding="ascii")
    wrong.chmod(0o600)
    (inventory.parent / "nobody").write_text("", encoding="ascii")
    before = rules(lab["gw"])

    recording = tmp_path / "recording.json"
    code, good = doctor(inventory, "--record", str(recording))
    assert (code, {each["status"] for each in good.values()}) == (0, {"ok"}), good
    text = recording.read_text(encoding="utf-8")
    assert lab["gw"].password not in text
    assert recording.stat().st_mode & 0o777 == 0o600

    mute = socket.create_server(("127.0.0.1", 0))
    for step, settings in (
        ("address", {"address": "no-such-host.invalid"}),
        ("port", {"ssh": {"port": 2}}),
        ("service", {"address": "127.0.0.1", "ssh": {"port": mute.getsockname()[1]}}),
        ("host-key", {"ssh": {"known_hosts": "nobody"}}),
        ("logon", {"ssh": {"user": "nobody-of-that-name"}}),
        ("sudo", {"ssh": {"become_password": {"file": "wrong.password"}}}),
    ):
        content = json.loads(json.dumps(original))
        host = content["hosts"]["gw"]
        host["ssh"] |= settings.get("ssh", {})
        host |= {key: value for key, value in settings.items() if key != "ssh"}
        inventory.write_text(yaml.safe_dump(content), encoding="utf-8")
        code, found = doctor(inventory)
        failed = [check for check, each in found.items() if each["status"] == "failed"]
        assert (code, failed) == (3, [step]), found
        assert found[step]["next"], found[step]
        assert found[step]["on"] in {"gw", "here"}
        assert found["firewall"] | {"message": ""} == {
            "check": "firewall",
            "status": "not-tried",
            "ok": None,
            "message": "",
            "next": "",
            "on": "",
        }
    mute.close()
    assert rules(lab["gw"]) == before
    assert not Path(f"/proc/{lab['gw'].pid}/root/var/lib/fwfix").exists()
