"""The inventory entries of Linux hosts, with the files that they refer to."""

from collections.abc import Sequence
from pathlib import Path

from fwfix.lab import inventory
from fwfix.lab.inventory import Entry, write_file
from fwfix.lab.linux.host import LabHost
from fwfix.lab.linux.lab import Lab


def linux_entries(lab: Lab, directory: Path) -> tuple[Entry, ...]:
    """Write known_hosts, the private key and the password files; return an entry for every host."""
    directory.mkdir(parents=True, exist_ok=True)
    if lab.hosts:
        write_file(
            lab.network, directory / "identity", lab.hosts[0].identity_file.read_text(encoding="ascii")
        )
        write_file(lab.network, directory / "known_hosts", "".join(host.known_hosts for host in lab.hosts))
    for host in lab.hosts:
        write_file(lab.network, directory / _password_file(host), host.password)
    return tuple(_entry(host) for host in lab.hosts)


def write_inventory(lab: Lab, directory: Path, *, others: Sequence[Entry] = ()) -> Path:
    """Write inventory.yaml, demo.json and what they refer to; return the path of the inventory.

    Args:
        lab: the Linux hosts and the network.
        directory: usually the lab's own; `clean` of the lab removes the files wherever they are.
        others: entries of further hosts on the lab's network, Windows twins for example.
    """
    return inventory.write_inventory(lab.network, directory, [*linux_entries(lab, directory), *others])


def _password_file(host: LabHost) -> str:
    return f"{host.name}.password"


def _entry(host: LabHost) -> Entry:
    settings: dict[str, object] = {
        "user": host.user,
        "identity_file": "identity",
        "known_hosts": "known_hosts",
    }
    if host.spec.ssh_ports[0] != 22:  # noqa: PLR2004 - the default of the inventory
        settings["port"] = host.spec.ssh_ports[0]
    if host.spec.behind is not None:
        settings["jump"] = host.spec.behind
    if host.user != "root":
        settings |= {"become": "sudo", "become_password": {"file": _password_file(host)}}
    return Entry(
        name=host.name,
        platform=host.platform,
        address=host.address,
        address6=host.address6,
        netns=host.netns,
        settings=settings,
    )
