"""From what a host shall be like to what its first process is told."""

from dataclasses import dataclass, field
from pathlib import Path

from fwfix.lab.linux.furniture import file_system_plan, hash_password
from fwfix.lab.linux.guest import GuestPlan
from fwfix.lab.linux.rules import dead_ruleset, site_rules, site_ruleset
from fwfix.lab.linux.spec import HostSpec
from fwfix.lab.network import Member

Cables = tuple[tuple[Member, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How one gets onto the hosts of a lab."""

    password: str
    identity_file: Path
    public_key: str
    _hashes: dict[str, str] = field(default_factory=dict)

    def password_of(self, spec: HostSpec) -> str:
        """Return the password of the host's user."""
        return self.password if spec.password is None else spec.password

    def hash_of(self, spec: HostSpec) -> str:
        """Return its hash; worked out once for a whole lab, since a good hash is slow."""
        password = self.password_of(spec)
        if password not in self._hashes:
            self._hashes[password] = hash_password(password)
        return self._hashes[password]


def plan_guest(
    spec: HostSpec, *, access: Access, cables: Cables, folder: Path, host_key: tuple[str, str]
) -> GuestPlan:
    """Decide everything about a host.

    Args:
        spec: what it shall be like.
        access: who gets onto it.
        cables: its places on the switch, with the device at the host's end.
        folder: the lab's own folder.
        host_key: private and public key of its sshd.
    """
    journals = folder / "hosts" / spec.name
    journals.mkdir(parents=True)
    return GuestPlan(
        name=spec.name,
        journals=str(journals),
        filesystem=file_system_plan(
            spec,
            base=folder / "fs" / spec.name,
            password_hash=access.hash_of(spec),
            host_key=host_key[0],
            host_key_line=host_key[1],
            authorized=access.public_key + "\n",
        ),
        ipv6=spec.ipv6,
        interfaces=[(device, member.cidr, member.cidr6) for member, device in cables],
        load=_rules(spec),
        listeners=_listeners(spec),
        sshd=not (spec.dead or spec.hang),
        boot=list(spec.boot),
    )


def _rules(spec: HostSpec) -> list[tuple[list[str], str]]:
    if spec.dead:
        return [(["nft", "-f", "-"], dead_ruleset())]
    if spec.firewall == "none":
        return []
    if spec.firewall == "nftables" or spec.nft_only:
        return [(["nft", "-f", "-"], site_ruleset(spec))]
    loads = [(["iptables-restore"], site_rules(spec, 4))]
    if spec.ip6tables:
        loads.append((["ip6tables-restore"], site_rules(spec, 6)))
    return loads


def _listeners(spec: HostSpec) -> list[tuple[int, str, str]]:
    found = [(item.port, item.protocol, item.process) for item in spec.listeners]
    if spec.hang:
        found += [(port, "tcp", "sshd") for port in spec.ssh_ports]
    return [(port, str(protocol), process) for port, protocol, process in found]
