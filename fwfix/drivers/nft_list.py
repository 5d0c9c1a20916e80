"""What `nft list ruleset` prints, as far as we need it: our table, hooks, translations. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from types import MappingProxyType

from fwfix.drivers.iptables_walk import Packet
from fwfix.model.policy import Family

OUR_TABLE = ("inet", "fwfix")
_HANDLE = re.compile(r"\s*# handle \d+\s*$")
_COUNTER = re.compile(r"counter packets (\d+) bytes \d+")
_TABLE = re.compile(r"table (?:(ip|ip6|inet|arp|bridge|netdev) )?(\S+) \{")
_CHAIN = re.compile(r"chain (\S+) \{")
_TYPE = re.compile(r"type (\w+) hook (\w+)(?: device \S+)? priority ([^;]+);(?: policy (\w+);)?")
_COMMENT = re.compile(r'comment "([^"]*)"')
_DPORT = re.compile(r"(tcp|udp|th) dport (!= )?(\{[^}]*\}|\S+)")
_L4 = re.compile(r"(?:meta l4proto|ip protocol|ip6 nexthdr) (!= )?(\{[^}]*\}|\S+)")
_DADDR = re.compile(r"(?:ip|ip6) daddr (\S+)")
_TRANSLATION = re.compile(r"\b(?:dnat(?: (ip6?))? to|redirect(?: to)?)\s*(.*)$")
_FAMILY_WORDS = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_CALL = re.compile(r"\b(?:jump|goto) (\S+)")
_DEEPEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NftRule:
    """One rule, as listed, without its handle and with the numbers of its counter apart."""

    text: str
    packets: int | None = None

    @property
    def comment(self) -> str:
        """Its comment."""
        found = _COMMENT.search(self.text)
        return found.group(1) if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NftChain:
    """A chain; `type` and `hook` are empty where it is not a base chain."""

    name: str
    type: str = ""
    hook: str = ""
    priority: str = ""
    policy: str = ""
    rules: tuple[NftRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NftTable:
    """A table with its chains by name."""

    family: str
    name: str
    chains: Mapping[str, NftChain] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def has_rules(self) -> bool:
        """Tell whether a packet can meet a rule in it, or a policy that drops."""
        based = any(chain.hook for chain in self.chains.values())
        filled = any(chain.rules or chain.policy == "drop" for chain in self.chains.values())
        return based and filled


def parse_nft(text: str) -> tuple[NftTable, ...]:
    """Read `nft [-a] list ruleset`; sets, maps and objects are passed over."""
    tables: list[NftTable] = []
    lines = iter(_whole_lines(text))
    for line in lines:
        opened = _TABLE.match(line)
        if opened:
            chains = MappingProxyType({chain.name: chain for chain in _chains(lines)})
            tables.append(NftTable(family=opened.group(1) or "ip", name=opened.group(2), chains=chains))
    return tuple(tables)


def _whole_lines(text: str) -> Iterator[str]:
    """Join lines that a long set spreads over several."""
    held = ""
    for raw in text.splitlines():
        line = _HANDLE.sub("", raw).strip()
        if not line or line.startswith("#"):
            continue
        held = f"{held} {line}".strip()
        if "= {" in held and held.count("{") > held.count("}"):
            continue
        yield held
        held = ""


def _chains(lines: Iterator[str]) -> Iterator[NftChain]:
    """Yield the chains of a table, up to its closing brace."""
    for line in lines:
        if line == "}":
            return
        opened = _CHAIN.match(line)
        if opened and not line.endswith("}"):
            yield _chain(opened.group(1), lines)
        elif line.endswith("{"):
            for inner in lines:
                if inner == "}":
                    break


def _chain(name: str, lines: Iterator[str]) -> NftChain:
    kind = hook = priority = policy = ""
    rules: list[NftRule] = []
    for line in lines:
        if line == "}":
            break
        based = _TYPE.match(line)
        if based:
            kind, hook, priority, policy = (group or "" for group in based.groups())
            policy = policy or "accept"
        else:
            rules.append(parse_nft_rule(line))
    return NftChain(
        name=name, type=kind, hook=hook, priority=priority.strip(), policy=policy, rules=tuple(rules)
    )


def parse_nft_rule(line: str) -> NftRule:
    """Read one rule as listed or as written in a file."""
    counted = _COUNTER.search(line)
    text = _HANDLE.sub("", _COUNTER.sub("counter", line)).strip().rstrip(";").rstrip()
    return NftRule(text=" ".join(text.split()), packets=int(counted.group(1)) if counted else None)


def find_table(tables: tuple[NftTable, ...], family: str, name: str) -> NftTable | None:
    """Return a table, or None."""
    return next((table for table in tables if (table.family, table.name) == (family, name)), None)


def translations(table: NftTable, packet: Packet) -> Iterator[tuple[NftRule, str]]:
    """Yield the rules of a table that could translate a new packet, with where it goes.

    The target is `address:port`, an address alone, a port alone for the host itself, or empty if the port
    stays.
    """
    if (table.family, packet.family) in {("ip", Family.IPV6), ("ip6", Family.IPV4)}:
        return
    for chain in table.chains.values():
        if chain.type == "nat" and chain.hook == "prerouting":
            yield from _followed(table, chain, packet, 0)


def _followed(table: NftTable, chain: NftChain, packet: Packet, depth: int) -> Iterator[tuple[NftRule, str]]:
    for rule in chain.rules:
        if depth > _DEEPEST or not could_match(rule.text, packet):
            continue
        called = _CALL.search(rule.text)
        if called and called.group(1) in table.chains:
            yield from _followed(table, table.chains[called.group(1)], packet, depth + 1)
        found = _TRANSLATION.search(_COMMENT.sub("", rule.text))
        if found and found.group(1) in {None, _FAMILY_WORDS[packet.family]}:
            yield rule, found.group(2).strip().removeprefix(":")


def could_match(text: str, packet: Packet) -> bool:
    """Tell whether a rule may match such a packet; what we cannot read may match."""
    bare = _COMMENT.sub("", text)
    if re.search(r'\biif(name)? "lo"', bare):
        return False
    other = Family.IPV6 if packet.family is Family.IPV4 else Family.IPV4
    if re.search(rf"meta nfproto {other}\b", bare):
        return False
    if re.search(r"\bip6 (s|d)addr" if other is Family.IPV6 else r"\bip (s|d)addr", bare):
        return False
    return _protocol_fits(bare, packet) and _ports_fit(bare, packet) and _destination_fits(bare, packet)


def _protocol_fits(text: str, packet: Packet) -> bool:
    for negated, value in _L4.findall(text):
        inside = packet.protocol.value in _elements(value)
        if inside is bool(negated):
            return False
    return True


def _ports_fit(text: str, packet: Packet) -> bool:
    for protocol, negated, value in _DPORT.findall(text):
        if protocol not in {"th", packet.protocol.value}:
            return False
        if value not in {"map", "vmap"} and _port_in(packet.port, value) is bool(negated):
            return False
    return True


def _port_in(port: int, text: str) -> bool:
    for part in _elements(text):
        first, _, last = part.partition("-")
        if not first.isdecimal():
            return True  # a named set, a variable
        if int(first) <= port <= int(last or first):
            return True
    return False


def _destination_fits(text: str, packet: Packet) -> bool:
    found = _DADDR.search(text)
    if found is None or packet.destinations is None:
        return True
    try:
        network = ip_network(found.group(1), strict=False)
    except ValueError:
        return True
    return any(address in network for address in packet.destinations if address.version == network.version)


def _elements(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.strip("{} ").split(",") if part.strip())


def is_local(target: str, addresses: tuple[str, ...]) -> bool:
    """Tell whether a translation leads to the host itself: a port alone, or one of its addresses."""
    host = target.rpartition(":")[0].strip("[]") if ":" in target else target
    try:
        return str(ip_address(host)) in addresses
    except ValueError:
        return target.isdecimal() or not target
