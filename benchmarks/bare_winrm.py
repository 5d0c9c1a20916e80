"""What pywinrm alone needs for the connections and commands of one `fwfix apply`: no proof, no journal.

`bare_winrm.py DIR` runs commands that do nothing; with PLAN, the very scripts of a saved plan;
with `--only HOST`, on one host.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml
from winrm.exceptions import WinRMOperationTimeoutError
from winrm.protocol import Protocol

from fwfix.drivers.base import Stamp
from fwfix.drivers.windows import WindowsDriver
from fwfix.executors.winrm_delivery import pack
from fwfix.loading.plan_file import load_plan
from fwfix.model.plan import HostPlan
from fwfix.model.script import Invocation, Script
from fwfix.rendering.environment import Renderer

FORKS = 50
UTF8 = 65001
NOTHING = Invocation(script=Script(name="idle", text="'ok'\n", changes=False))
# As fwfix: observe, arm, apply; then, on a new connection, look again and confirm.
Visit = tuple[tuple[Invocation, ...], ...]
IDLE: Visit = ((NOTHING,) * 3, (NOTHING,) * 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to log on to one host."""

    url: str
    user: str
    password: str
    ca_file: str


def visit_of(plan: HostPlan, driver: WindowsDriver) -> Visit:
    """Return what `fwfix apply` sends to a host, connection by connection."""
    look = driver.observe([each.service for each in plan.protections])
    stamp = Stamp(operator="bench", controller="bench")
    arm = driver.arm(plan, seconds=round(plan.deadline.total_seconds()), stamp=stamp)
    return (look, arm, driver.apply(plan, probe_sources=())), (look, driver.confirm(plan))


def log_on(endpoint: Endpoint) -> Protocol:
    """Return pywinrm's protocol; it connects with the first request."""
    return Protocol(
        endpoint=endpoint.url,
        transport="ntlm",
        username=endpoint.user,
        password=endpoint.password,
        ca_trust_path=endpoint.ca_file,
        proxy=None,
    )


def run(protocol: Protocol, shell: str, invocation: Invocation) -> None:
    """Run one script in a shell, as pywinrm's own `Session` does, but with standard input."""
    parcel = pack(invocation)
    command = protocol.run_command(shell, parcel.command, parcel.arguments, console_mode_stdin=False)
    try:
        for number, chunk in enumerate(parcel.chunks, start=1):
            protocol.send_command_input(shell, command, chunk, end=number == len(parcel.chunks))
        done, code = False, 0
        while not done:
            try:
                _, _, code, done = protocol.get_command_output_raw(shell, command)
            except WinRMOperationTimeoutError:
                continue
    finally:
        protocol.cleanup_command(shell, command)
    if code:
        raise SystemExit(f"{protocol.transport.endpoint}: {invocation.script.name} ended with {code}")


def visit(endpoint: Endpoint, connections: Visit) -> None:
    """Log on as often as fwfix does, and run as many commands."""
    for invocations in connections:
        protocol = log_on(endpoint)
        shell = protocol.open_shell(codepage=UTF8)
        for invocation in invocations:
            run(protocol, shell, invocation)
        protocol.close_shell(shell)


def endpoints(directory: Path) -> dict[str, Endpoint]:
    """Return every Windows host of the inventory."""
    found = {}
    for name, host in yaml.safe_load((directory / "inventory.yaml").read_text())["hosts"].items():
        if host["platform"] != "windows":
            continue
        winrm = host["winrm"]
        secure = winrm["scheme"] == "https"
        scheme, port = ("https", 5986) if secure else ("http", 5985)
        found[name] = Endpoint(
            url=f"{scheme}://{host['address']}:{port}/wsman",
            user=winrm["user"],
            password=(directory / winrm["password"]["file"]).read_text(),
            ca_file=str(directory / winrm["ca_file"]) if secure else "legacy_requests",
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Visit every host."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("plan", type=Path, nargs="?")
    parser.add_argument("--only")
    arguments = parser.parse_args(argv)
    known = endpoints(arguments.directory)
    visits = dict.fromkeys(known, IDLE)
    if arguments.plan is not None:
        driver = WindowsDriver(Renderer())
        visits = {each.host.name: visit_of(each, driver) for each in load_plan(arguments.plan).plan.hosts}
    chosen = [(known[name], visits[name]) for name in visits if arguments.only in (None, name)]
    with ThreadPoolExecutor(max_workers=FORKS) as pool:
        list(pool.map(lambda each: visit(*each), chosen))


if __name__ == "__main__":
    main()
