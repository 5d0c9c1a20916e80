"""What only the Linux driver knows about a host: its rules, its tools, who else manages them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fwfix.drivers.iptables_save import Ruleset
from fwfix.drivers.nft_list import OUR_TABLE, NftTable
from fwfix.drivers.sockets import InterfaceAddress
from fwfix.model.observation import Observation
from fwfix.model.policy import Address, Family

_BUILT_IN = {
    "filter": {"INPUT", "FORWARD", "OUTPUT"},
    "nat": {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
    "mangle": {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
    "raw": {"PREROUTING", "OUTPUT"},
    "security": {"INPUT", "FORWARD", "OUTPUT"},
}
_NO_RULES = Ruleset()
_SAVE_FAMILIES = {"ip": Family.IPV4, "ip6": Family.IPV6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A service of the host's init system that has to do with firewalls or configuration."""

    name: str
    active: bool
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxFacts:
    """What `observe` found, parsed.

    Attributes:
        saves: rules of the default iptables binaries; a family is missing where its binary is, or failed.
        nft: every table of `nft list ruleset`; empty where nft is missing.
        tools: absolute paths by name; a tool that is missing is not in it.
        legacy: the kernel's legacy tables are in use.
        traps: settings that save the running rules when the firewall stops (D9).
        init: the init system that boots this host: systemd, openrc, sysv or none.
        tracks_sessions: open sessions that are translated on their way were listed.
        boot_unit: ours is present and enabled.
        local_address: the host's own address that we are connected to.
    """

    saves: Mapping[Family, Ruleset] = field(default_factory=lambda: MappingProxyType({}))
    nft: tuple[NftTable, ...] = ()
    tools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    iptables_version: str = ""
    legacy: bool = False
    interfaces: tuple[InterfaceAddress, ...] = ()
    local_address: Address | None = None
    forwards: frozenset[Family] = frozenset()
    pid1: str = ""
    systemd: bool = False
    units: tuple[Unit, ...] = ()
    processes: frozenset[str] = frozenset()
    traps: tuple[str, ...] = ()
    config_management: tuple[str, ...] = ()
    bjnp_clients: tuple[str, ...] = ()
    cron: tuple[str, ...] = ()
    init: str = "none"
    tracks_sessions: bool = False
    boot_unit: bool = False

    def ruleset(self, family: Family) -> Ruleset:
        """Return the iptables rules of a family; empty ones where they cannot be seen."""
        return self.saves.get(family, _NO_RULES)

    @property
    def persistable(self) -> bool:
        """Tell whether there is an init system that can load our rules at boot."""
        return self.init != "none"

    def active(self, *names: str) -> bool:
        """Tell whether a unit of one of these names is running."""
        return any(unit.active and unit.name.removesuffix(".service") in names for unit in self.units)

    def native_tables(self) -> Iterator[NftTable]:
        """Yield the nft tables that are neither ours nor those of the default iptables."""
        for table in self.nft:
            if (table.family, table.name) != OUR_TABLE and not self._is_iptables(table):
                yield table

    def _is_iptables(self, table: NftTable) -> bool:
        family = _SAVE_FAMILIES.get(table.family)
        if family is None or table.name not in _BUILT_IN:
            return False
        bases = {chain.name for chain in table.chains.values() if chain.hook}
        # Rules of iptables-nft count, all of them. One that does not was written with nft, and iptables-save
        # may show it as something else: `ip saddr @friends accept` as `-j ACCEPT`.
        counted = all(rule.packets is not None for chain in table.chains.values() for rule in chain.rules)
        hidden = table.name in self.ruleset(family).incompatible
        return counted and not hidden and bases <= _BUILT_IN[table.name]


def facts_of(observation: Observation) -> LinuxFacts:
    """Return the Linux part of an observation.

    Raises:
        TypeError: it was made by another driver.
    """
    if not isinstance(observation.facts, LinuxFacts):
        raise TypeError("this observation was not made by the Linux driver")
    return observation.facts
