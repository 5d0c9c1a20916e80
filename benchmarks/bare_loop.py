"""What paramiko alone needs for the connections and commands of one `fwfix apply`: no proof, no journal.

`bare_loop.py DIR` runs commands that do nothing; with PLAN, the very scripts of a saved plan.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import yaml

from fwfix.drivers.base import Stamp
from fwfix.drivers.linux import LinuxDriver
from fwfix.loading.plan_file import load_plan
from fwfix.model.plan import HostPlan
from fwfix.model.script import Invocation
from fwfix.rendering.environment import Renderer

FORKS = 50
# As fwfix: observe, arm, apply; then, on a new connection, look again and confirm.
Commands = tuple[tuple[tuple[str, str], ...], ...]
IDLE: Commands = ((("true", ""),) * 3, (("true", ""),) * 2)


def command_of(invocation: Invocation) -> tuple[str, str]:
    """Return the command line and the standard input that run a script."""
    words = shlex.join(("/bin/sh", "-s", "--", *invocation.arguments))
    return f"PATH=/usr/sbin:/usr/bin:/sbin:/bin {words}", invocation.script.text


def commands_of(plan: HostPlan, driver: LinuxDriver) -> Commands:
    """Return what `fwfix apply` sends to a host, connection by connection."""
    look = command_of(driver.observe([each.service for each in plan.protections]))
    stamp = Stamp(operator="bench", controller="bench")
    arm = command_of(driver.arm(plan, seconds=round(plan.deadline.total_seconds()), stamp=stamp))
    sources = [plan.controller_address] if plan.controller_address is not None else []
    apply = command_of(driver.apply(plan, probe_sources=sources))
    return (look, arm, apply), (look, command_of(driver.confirm(plan)))


def visit(address: str, commands: Commands, key: paramiko.PKey, known_hosts: str) -> None:
    """Log on as often as fwfix does, and run as many commands."""
    for connection in commands:
        client = paramiko.SSHClient()
        client.load_host_keys(known_hosts)
        client.connect(address, username="root", pkey=key, look_for_keys=False, allow_agent=False)
        for command, text in connection:
            stdin, stdout, _ = client.exec_command(command)
            stdin.write(text)
            stdin.channel.shutdown_write()
            stdout.read()
            if stdout.channel.recv_exit_status():
                raise SystemExit(f"{address}: {command[:60]} failed")
        client.close()


def visits(directory: Path, plan_file: Sequence[str]) -> list[tuple[str, Commands]]:
    """Return every host's address with what is run there."""
    if plan_file:
        driver = LinuxDriver(Renderer())
        plan = load_plan(Path(plan_file[0])).plan
        return [(each.host.address, commands_of(each, driver)) for each in plan.hosts]
    inventory = yaml.safe_load((directory / "inventory.yaml").read_text())
    return [(host["address"], IDLE) for host in inventory["hosts"].values()]


def main() -> None:
    """Visit every host."""
    directory = Path(sys.argv[1])
    key = paramiko.Ed25519Key.from_private_key_file(str(directory / "identity"))
    known_hosts = str(directory / "known_hosts")
    go: Callable[[tuple[str, Commands]], None] = lambda each: visit(*each, key, known_hosts)  # noqa: E731
    with ThreadPoolExecutor(max_workers=FORKS) as pool:
        list(pool.map(go, visits(directory, sys.argv[2:])))


main()
