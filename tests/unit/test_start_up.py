"""A command imports what it needs and nothing else: every import is paid once a run, on every run."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INVENTORY = """
version: 1
hosts:
  gw-01: {address: 192.0.2.10, platform: linux, policy: raw}
  pos-01:
    address: 192.0.2.11
    platform: windows
    policy: raw
    winrm: {user: ops, password: {env: OPS_PASSWORD}}
policies:
  raw: {ports: [jetdirect]}
"""


def imported_by(arguments: Sequence[str], *, cwd: Path) -> frozenset[str]:
    """Run Python and return the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"OPS_PASSWORD": "x", "HOME": str(cwd), "PATH": "/usr/bin:/bin"},
    )
    lines = done.stderr.splitlines()
    return frozenset(line.rsplit("|", 1)[-1].strip() for line in lines if line.startswith("import time:"))


def plan_offline(tmp_path: Path, limit: str) -> frozenset[str]:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    words = ["-m", "fwfix", "--state-dir", "state", "plan", "--offline", "-i", "inventory.yaml", "-l", limit]
    return imported_by(words, cwd=tmp_path)


def test_help_imports_no_library_but_the_one_for_commands(tmp_path: Path) -> None:
    found = imported_by(["-m", "fwfix", "--help"], cwd=tmp_path)
    assert "typer" in found
    assert not found & {"paramiko", "jinja2", "pydantic", "winrm", "cryptography", "rich", "yaml"}


def test_a_fleet_of_one_platform_imports_nothing_of_another(tmp_path: Path) -> None:
    inventory = INVENTORY.split("  pos-01:", maxsplit=1)[0] + INVENTORY[INVENTORY.index("policies:") :]
    (tmp_path / "linux.yaml").write_text(inventory)
    words = ["-m", "fwfix", "--state-dir", "state", "plan", "--offline", "-i", "linux.yaml"]
    found = imported_by(words, cwd=tmp_path)
    assert "fwfix.drivers.linux" in found
    assert not found & {"fwfix.drivers.windows", "fwfix.rendering.windows", "winrm", "requests", "rich"}
    assert "fwfix.drivers.windows" in plan_offline(tmp_path, "pos-01")


def test_ssh_does_without_what_paramiko_imports_for_match_exec(tmp_path: Path) -> None:
    found = imported_by(["-c", "import fwfix.executors.ssh"], cwd=tmp_path)
    assert "paramiko.transport" in found
    assert not any(name.startswith("invoke") for name in found)


def test_what_paramiko_imports_for_match_exec_is_there_when_it_is_used(tmp_path: Path) -> None:
    program = (
        "import fwfix.executors.ssh, paramiko.config;"
        "assert paramiko.config.invoke.run('true', hide=True).ok;"
        "import invoke.context; from invoke import task; assert invoke.run.__module__ == 'invoke'"
    )
    assert "invoke.context" in imported_by(["-c", program], cwd=tmp_path)


def test_nobody_looks_for_garbage_while_the_commands_are_imported() -> None:
    count = "sum(each['collections'] for each in gc.get_stats())"
    code = f"import gc; before = {count}; import fwfix.cli.main; print({count} - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) <= 1  # on the way into the package
