"""Which firewall tool carries our rules on a Linux host (contract 4). Pure."""

from collections.abc import Sequence
from enum import StrEnum

from fwfix.drivers.iptables_walk import Packet
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.nft_list import NftTable
from fwfix.drivers.nft_walk import translations
from fwfix.errors import ScriptError
from fwfix.model.policy import Family, Service

# Tables of daemons that only add to the site's rules: they are no sign that the site speaks nftables.
_DAEMONS = ("f2b", "fail2ban", "crowdsec", "sshguard", "libvirt", "lxd", "incus", "nm-shared")
_CONTAINERS = ("docker", "netavark", "podman", "nerdctl", "kube")
_HOOKS = frozenset({"prerouting", "input", "forward"})


class Backend(StrEnum):
    """How our rules get into the kernel."""

    IPTABLES = "iptables"
    NFT = "nft"


def choose_backend(facts: LinuxFacts, services: Sequence[Service] = ()) -> Backend:
    """Return the iptables that the default binary speaks, or nft where that cannot see the rules.

    Raises:
        ScriptError: the host has neither.
    """
    has_nft = "nft" in facts.tools
    if "iptables" not in facts.tools and not has_nft:
        raise ScriptError(
            "this host has neither iptables nor nft",
            next="Install one of them; fwfix installs nothing on a host.",
            code="missing-tool",
        )
    if not has_nft:
        return Backend.IPTABLES
    unseen = Family.IPV4 not in facts.saves or _runs_firewalld(facts) or speaks_nftables(facts, services)
    return Backend.NFT if unseen else Backend.IPTABLES


def _runs_firewalld(facts: LinuxFacts) -> bool:
    """B24: firewalld wipes what iptables adds at its next reload."""
    return facts.active("firewalld") or "firewalld" in facts.processes


def speaks_nftables(facts: LinuxFacts, services: Sequence[Service] = ()) -> bool:
    """Tell whether the host has rules that `iptables-save` cannot show (B15)."""
    if any(ruleset.incompatible for ruleset in facts.saves.values()):
        return True
    return any(_counts(table, services) for table in facts.native_tables())


def _counts(table: NftTable, services: Sequence[Service]) -> bool:
    if table.name.startswith(_CONTAINERS):
        return any(True for packet in packets_to(services) for _ in translations(table, packet))
    hooked = any(chain.hook in _HOOKS for chain in table.chains.values())
    return (
        table.family in {"ip", "ip6", "inet"}
        and hooked
        and table.has_rules
        and not table.name.startswith(_DAEMONS)
    )


def packets_to(services: Sequence[Service]) -> tuple[Packet, ...]:
    """Return the packets from anybody to each port, in both families."""
    return tuple(
        Packet(family=family, protocol=service.protocol, port=port)
        for family in Family
        for service in services
        for port in service.ports
    )
