"""Ports that are translated before INPUT sees them, by containers and by redirects (B10-B13). Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from fwfix.drivers.backend import Backend
from fwfix.drivers.iptables_save import Rule, Ruleset
from fwfix.drivers.iptables_walk import Packet, port_ranges, walk
from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.nft_list import NftTable
from fwfix.drivers.nft_walk import UNREADABLE, is_local, translations
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Family, Protocol, Service

CONTAINER_HOOK = "DOCKER-USER"
_WIDEST = 64  # a range wider than this is looked at by its ends only
_MOST_KEYS = 512
_LAST_PORT = 65535
_NFT_PORTS = re.compile(r"(tcp|udp) dport (?:\{([^}]*)\}|(\S+))")


def published_ports(
    facts: LinuxFacts, backend: Backend, services: Sequence[Service]
) -> tuple[PublishedPort, ...]:
    """Return what is translated from a port in scope, or elsewhere from another port to one in scope."""
    tables = (facts.ruleset(family).tables for family in Family)
    if not any("nat" in chains for chains in tables) and not any(True for _ in facts.native_tables()):
        return ()  # nothing is there that could translate
    scope = frozenset((service.protocol, port) for service in services for port in service.ports)
    found = {
        published
        for packet in _packets(facts, scope)
        for published in _translated(facts, backend, packet)
        if (packet.protocol, packet.port) in scope
        or ((packet.protocol, target_port(published)) in scope and not to_itself(published, facts))
    }
    return tuple(sorted(found))


def _packets(facts: LinuxFacts, scope: frozenset[tuple[Protocol, int]]) -> Iterator[Packet]:
    addresses = tuple(item.address for item in facts.interfaces) or None
    for family in Family:
        for protocol, port in scope | _mentioned(facts, family):
            yield Packet(family=family, protocol=protocol, port=port, destinations=addresses)


def is_readable(target: str) -> bool:
    """Tell whether a target says where packets go; else it is the rule that decides it."""
    return not target.startswith(UNREADABLE)


def target_port(published: PublishedPort) -> int:
    """Return the port that packets have after the translation."""
    return (_port_of(published.target) if is_readable(published.target) else None) or published.port


def _port_of(target: str) -> int | None:
    try:
        ip_address(target)
    except ValueError:
        last = target.rpartition(":")[2]
        return int(last) if last.isdecimal() else None
    return None  # an address without a port


def to_itself(published: PublishedPort, facts: LinuxFacts) -> bool:
    """Tell whether the packets stay on the host, so that INPUT sees them with the new port."""
    return is_local(published.target, tuple(str(item.address) for item in facts.interfaces))


def container_hook_works(ruleset: Ruleset) -> bool:
    """Tell whether every forwarded packet goes through DOCKER-USER (B13: it may exist without being used)."""
    if ruleset.chain("filter", CONTAINER_HOOK) is None:
        return False
    return any(
        rule.target == CONTAINER_HOOK
        and {option.name for option in rule.options} <= {"-j", "-m", "--comment"}
        for rule in ruleset.rules("filter", "FORWARD")
    )


def _translated(facts: LinuxFacts, backend: Backend, packet: Packet) -> Iterator[PublishedPort]:
    """Yield where a packet could be sent; what stays on the host comes to INPUT, where we block it too."""
    hooked = backend is Backend.NFT or container_hook_works(facts.ruleset(packet.family))
    for target in dict.fromkeys((*_by_iptables(facts, packet), *_by_nft(facts, packet))):
        published = PublishedPort(
            protocol=packet.protocol,
            family=packet.family,
            port=packet.port,
            target=target or str(packet.port),
            covered=hooked and is_readable(target),
        )
        if to_itself(published, facts):
            published = replace(published, target=str(target_port(published)), covered=True)
        yield published


def _by_iptables(facts: LinuxFacts, packet: Packet) -> Iterator[str]:
    for rule in walk(facts.ruleset(packet.family), "nat", "PREROUTING", packet=packet).translations:
        yield _target_of(rule)


def _target_of(rule: Rule) -> str:
    option = rule.first("--to-destination") or rule.first("--to-ports") or rule.first("--to")
    # A target may be a range of ports, such as `--to-ports 80-82`; the first one stands for all.
    text = option.value if option else ""
    head, colon, port = text.rpartition(":")
    return f"{head}{colon}{port.partition('-')[0]}"


def _by_nft(facts: LinuxFacts, packet: Packet) -> Iterator[str]:
    for table in facts.native_tables():
        for _, target in translations(table, packet):
            yield target


def _mentioned(facts: LinuxFacts, family: Family) -> frozenset[tuple[Protocol, int]]:
    """Return the ports that rules of the nat tables name."""
    found: set[tuple[Protocol, int]] = set()
    for chain in facts.ruleset(family).tables.get("nat", {}).values():
        for rule in chain.rules:
            found.update(_named(rule))
    for table in facts.native_tables():
        for nft_chain in table.chains.values():
            for nft_rule in nft_chain.rules:
                for protocol, several, one in _NFT_PORTS.findall(nft_rule.text):
                    text = (several or one).replace(" ", "").replace("-", ":")
                    found.update((Protocol(protocol), port) for port in _expanded(text))
        found.update(_keyed(table))
    return frozenset(found)


def _keyed(table: NftTable) -> Iterator[tuple[Protocol, int]]:
    """Yield the ports that keys of a table's maps may be about; of a huge one (a cluster's) none."""
    words = {word for nft_map in table.maps.values() for key, _ in nft_map.elements for word in key.split()}
    ports = {int(word) for word in words if word.isdecimal() and 0 < int(word) <= _LAST_PORT}
    if len(ports) <= _MOST_KEYS:
        for port in ports:
            yield from ((protocol, port) for protocol in Protocol)


def _named(rule: Rule) -> Iterator[tuple[Protocol, int]]:
    protocol = rule.first("-p")
    if protocol is None or protocol.value not in {"tcp", "udp"}:
        return
    for name in ("--dport", "--dports"):
        option = rule.first(name)
        if option is not None and not option.negated:
            for port in _expanded(option.value):
                yield Protocol(protocol.value), port


def _expanded(text: str) -> Iterator[int]:
    for ports in port_ranges(text):
        yield from ports if len(ports) <= _WIDEST else (ports[0], ports[-1])
