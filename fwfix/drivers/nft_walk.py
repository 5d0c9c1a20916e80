"""Where nft rules may send a packet, told from the rules alone. Pure.

What we cannot evaluate counts as "may match", and what we cannot read as "may go anywhere": a rule in front
of ours is harmless only if it provably is.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from fwfix.drivers.iptables_walk import Packet
from fwfix.drivers.nft_list import NftChain, NftRule, NftTable, parse_elements
from fwfix.model.policy import Family

UNREADABLE = "nft rule: "
_COMMENT = re.compile(r'comment "[^"]*"')
_DPORT = re.compile(r"(tcp|udp|th) dport (!= )?(\{[^}]*\}|\S+)")
_L4 = re.compile(r"(?:meta l4proto|ip protocol|ip6 nexthdr) (!= )?(\{[^}]*\}|\S+)")
_DADDR = re.compile(r"(?:ip|ip6) daddr (\S+)")
_TRANSLATION = re.compile(r"\bdnat\b(?: (ip6?)\b)?[^{}]*? to\b\s*(.*)$|\bredirect\b(?: to\b)?()\s*(.*)$")
_REWRITE = re.compile(r"\b(?:(?:tcp|udp|th) dport|ip6? daddr) set\b|\bfwd\b(?: ip6?)? to\b")
# An address, a port, both, or ranges of them; anything else is an expression.
_PLAIN = re.compile(r"[0-9a-fA-F.:/\[\]-]*")
_WAYS = re.compile(r"(?: (?:fully-random|random|persistent))+$")
_CALL = re.compile(r"\b(?:jump|goto) (\S+)")
_LOOKUP = re.compile(r"(.*?)\s*\b(v?map) (@\S+|\{[^}]*\})")
_FAMILY_WORDS = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_OTHER_FAMILY = {("ip", Family.IPV6), ("ip6", Family.IPV4)}
_PROTOCOLS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp"}
_DEEPEST = 16  # as the kernel has it

Lookup = tuple[str, ...] | None


def translations(table: NftTable, packet: Packet) -> Iterator[tuple[NftRule, str]]:
    """Yield the rules of a table that could translate a new packet, with where it goes.

    The target is `address:port`, an address alone, a port alone for the host itself, or empty if the port
    stays. Where it cannot be told, it is the rule itself behind `UNREADABLE`.
    """
    for rule, verdict in _met(table, packet, hooks=("prerouting",), kind="nat"):
        if verdict is None:
            yield rule, UNREADABLE + rule.text
        else:
            for target in _targets(table, rule, packet):
                yield rule, target


def rewrites(table: NftTable, packet: Packet) -> Iterator[NftRule]:
    """Yield the rules that could change where a packet goes without connection tracking knowing it."""
    for rule, _ in _met(table, packet, hooks=("ingress", "prerouting", "input"), kind=""):
        if _REWRITE.search(_bare(rule.text)):
            yield rule


def _met(
    table: NftTable, packet: Packet, *, hooks: tuple[str, ...], kind: str
) -> Iterator[tuple[NftRule, str | None]]:
    """Yield the rules that a packet may meet; with None those that lead to nobody knows where."""
    if (table.family, packet.family) in _OTHER_FAMILY:
        return
    for chain in table.chains.values():
        if chain.hook in hooks and kind in ("", chain.type):
            yield from _Path(table, packet).chain(chain, 0)


class _Path:
    """One way of a packet through a table; a chain is looked into once."""

    def __init__(self, table: NftTable, packet: Packet) -> None:
        self.table = table
        self.packet = packet
        self.seen: set[str] = set()

    def chain(self, chain: NftChain, depth: int) -> Iterator[tuple[NftRule, str | None]]:
        if chain.name in self.seen or depth > _DEEPEST:
            return
        self.seen.add(chain.name)
        for rule in chain.rules:
            if not could_match(rule.text, self.packet):
                continue
            verdicts = _verdicts(self.table, rule, self.packet)
            if verdicts is None:
                yield rule, None
                continue
            yield rule, ""
            for verdict in verdicts:
                called = _CALL.search(verdict)
                if called and called.group(1) in self.table.chains:
                    yield from self.chain(self.table.chains[called.group(1)], depth + 1)


def _verdicts(table: NftTable, rule: NftRule, packet: Packet) -> Lookup:
    """Return what a rule may decide: its own verdict, or those of its verdict map; None if unreadable."""
    found = _LOOKUP.search(_bare(rule.text))
    if found is None or found.group(2) != "vmap":
        return (_bare(rule.text),)
    return _looked_up(table, found.group(1), found.group(3), packet)


def _targets(table: NftTable, rule: NftRule, packet: Packet) -> Iterator[str]:
    found = _TRANSLATION.search(_bare(rule.text))
    if found is None:
        return
    family, target = found.group(1), _WAYS.sub("", (found.group(2) or found.group(4) or "").strip())
    if family not in {None, _FAMILY_WORDS[packet.family]}:
        return
    mapped = _LOOKUP.search(target)
    if mapped is None:
        values: Lookup = (target.removeprefix(":"),)
    else:
        values = _looked_up(table, mapped.group(1), mapped.group(3), packet)
    for value in (None,) if values is None else map(_joined, values):
        yield value if value is not None and _PLAIN.fullmatch(value) else UNREADABLE + rule.text


def _joined(value: str) -> str:
    """Write the value of a map, `10.0.0.1 . 80`, as a target."""
    address, dot, port = value.partition(" . ")
    if not dot:
        return value
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _looked_up(table: NftTable, asked: str, where: str, packet: Packet) -> Lookup:
    """Return the values of a map that a packet may get; None where the map is not to be seen."""
    if where.startswith("@"):
        known = table.maps.get(where.removeprefix("@"))
        if known is None:
            return None
        elements = known.elements
    else:
        elements = parse_elements(where.strip("{} "))
    values = (value for key, value in elements if _key_fits(asked, key, packet))
    return tuple(dict.fromkeys(values))


def _key_fits(asked: str, key: str, packet: Packet) -> bool:
    parts = key.split(" . ")
    # Other matches may stand in front: `ip daddr @nodes meta l4proto . th dport vmap @ports`.
    expressions = asked.split(" . ")[-len(parts) :]
    if len(expressions) < len(parts):
        return True
    return all(_part_fits(asks, part, packet) for asks, part in zip(expressions, parts, strict=True))


def _part_fits(asks: str, part: str, packet: Packet) -> bool:
    if part == "*":
        return True
    if asks.endswith(" dport") or asks == "dport":
        return _port_in(packet.port, part) is not False
    if asks.endswith(("meta l4proto", "ip protocol", "ip6 nexthdr")):
        return _PROTOCOLS.get(part, packet.protocol.value) == packet.protocol.value
    if asks.endswith(("ip daddr", "ip6 daddr")):
        return _address_fits(part, packet)
    return True


def could_match(text: str, packet: Packet) -> bool:
    """Tell whether a rule may match such a packet; what we cannot read may match."""
    bare = _bare(text)
    if re.search(r'\biif(name)? "lo"', bare):
        return False
    other = Family.IPV6 if packet.family is Family.IPV4 else Family.IPV4
    if re.search(rf"meta nfproto {other}\b", bare):
        return False
    if re.search(r"\bip6 (s|d)addr" if other is Family.IPV6 else r"\bip (s|d)addr", bare):
        return False
    return _protocol_fits(bare, packet) and _ports_fit(bare, packet) and _destination_fits(bare, packet)


def _bare(text: str) -> str:
    return _COMMENT.sub("", text).strip()


def _protocol_fits(text: str, packet: Packet) -> bool:
    for negated, value in _L4.findall(text):
        names = {_PROTOCOLS.get(part, part) for part in _elements(value)}
        if value in {".", "map", "vmap"} or value.startswith("@"):
            continue
        if (packet.protocol.value in names) is bool(negated):
            return False
    return True


def _ports_fit(text: str, packet: Packet) -> bool:
    for protocol, negated, value in _DPORT.findall(text):
        if protocol not in {"th", packet.protocol.value}:
            return False
        if value not in {"map", "vmap", "set", "."} and _port_in(packet.port, value) is bool(negated):
            return False
    return True


def _port_in(port: int, text: str) -> bool | None:
    """Tell whether a port is in a list; None where the list is a named set, a variable, or words."""
    for part in _elements(text):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            return None
        if int(first) <= port <= int(last or first):
            return True
    return False


def _destination_fits(text: str, packet: Packet) -> bool:
    found = _DADDR.search(text)
    return found is None or _address_fits(found.group(1), packet)


def _address_fits(text: str, packet: Packet) -> bool:
    if packet.destinations is None:
        return True
    try:
        network = ip_network(text, strict=False)
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
