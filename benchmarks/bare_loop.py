"""What paramiko alone needs for the connections and commands of one `fwfix apply`: no proof, no journal.

`bare_loop.py DIR` runs commands that do nothing; with PLAN, the very scripts of a saved plan;
with `--only HOST`, on one host.
"""

import argparse
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import yaml
from paramiko.hostkeys import HostKeyEntry

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


def visit(address: str, commands: Commands, key: paramiko.PKey, host_key: paramiko.PKey) -> None:
    """Log on as often as fwfix does, and run as many commands."""
    for connection in commands:
        client = paramiko.SSHClient()
        client.get_host_keys().add(address, host_key.get_name(), host_key)
        client.connect(address, username="root", pkey=key, look_for_keys=False, allow_agent=False)
        for command, text in connection:
            stdin, stdout, _ = client.exec_command(command)
            stdin.write(text)
            stdin.channel.shutdown_write()
            stdout.read()
            if stdout.channel.recv_exit_status():
                raise SystemExit(f"{address}: {command[:60]} failed")
        client.close()


def host_keys(path: Path) -> Mapping[str, paramiko.PKey]:
    """Read known_hosts once: `load_host_keys` would read every host's line for each connection."""
    found: dict[str, paramiko.PKey] = {}
    for line in path.read_text().splitlines():
        entry = HostKeyEntry.from_line(line)
        if entry is not None and entry.key is not None:
            found.update(dict.fromkeys(entry.hostnames or (), entry.key))
    return found


def visits(directory: Path, plan_file: Path | None) -> dict[str, tuple[str, Commands]]:
    """Return every host's address with what is run there."""
    if plan_file is not None:
        driver = LinuxDriver(Renderer())
        plan = load_plan(plan_file).plan
        return {each.host.name: (each.host.address, commands_of(each, driver)) for each in plan.hosts}
    inventory = yaml.safe_load((directory / "inventory.yaml").read_text())
    return {name: (host["address"], IDLE) for name, host in inventory["hosts"].items()}


def main() -> None:
    """Visit every host."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("plan", type=Path, nargs="?")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    key = paramiko.Ed25519Key.from_private_key_file(str(arguments.directory / "identity"))
    known = host_keys(arguments.directory / "known_hosts")
    found = visits(arguments.directory, arguments.plan)
    chosen = [found[name] for name in found if arguments.only in (None, name)]
    with ThreadPoolExecutor(max_workers=FORKS) as pool:
        list(pool.map(lambda each: visit(each[0], each[1], key, known[each[0]]), chosen))


if __name__ == "__main__":
    main()
