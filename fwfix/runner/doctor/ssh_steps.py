"""SSH below the logon: the settings that apply, the port, and whether it is an sshd that answers."""

import time

from fwfix.errors import ConnectError
from fwfix.executors.ssh_dial import dial
from fwfix.executors.ssh_target import Target
from fwfix.model.host import Host, Platform
from fwfix.runner.doctor.below import Below
from fwfix.runner.doctor.greeting import banner
from fwfix.runner.doctor.network import look_up, milliseconds, port_failed
from fwfix.runner.doctor.table import Remedy, Table


def look_below_ssh(host: Host, below: Below, table: Table, *, seconds: float) -> None:
    """Take every step that needs no account, at the first sshd on the way."""
    if below.route is None:
        for step in ("settings", "address", "port", "service"):
            table.leave_out(step, "this connection has no such step")
        return
    try:
        route = below.route(host, time.monotonic() + seconds)
    except ConnectError as error:
        table.fail_with("settings", error)
        return
    first, last = route[0].target, route[-1].target
    behind = " behind " + " and ".join(hop.target.name for hop in route[:-1]) if len(route) > 1 else ""
    table.ok("settings", f"{last.user}@{last.where}{behind}, ssh_config included")
    if first.proxy_command:
        for step in ("address", "port", "service"):
            table.leave_out(step, f"ProxyCommand connects: {first.proxy_command}")
    elif look_up(table, first.address, first.port):
        _knock(first, table, seconds)


def _knock(target: Target, table: Table, seconds: float) -> None:
    started = time.monotonic()
    try:
        connected = dial(target, deadline=started + seconds)
    except (OSError, ConnectError) as error:
        port_failed(
            table,
            error,
            platform=Platform.LINUX,
            host=target.name,
            address=target.address,
            port=target.port,
        )
        return
    table.ok("port", f"port {target.port}/tcp of {target.name} answers in {milliseconds(started)} ms")
    with connected:
        try:
            said = banner(connected, deadline=time.monotonic() + seconds)
        except OSError:
            said = ""
    if said:
        table.ok("service", said)
    else:
        remedy = Remedy(next=f"sudo ss -ltnp 'sport = :{target.port}'", on=target.name)
        table.fail("service", f"what answers on port {target.port} is not an sshd", remedy)
