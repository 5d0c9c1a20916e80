"""Which rules a packet can meet on its way through a table, told from the rules alone. Pure.

What we cannot evaluate counts as "may match": a rule in front of ours is harmless only if it provably is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address, ip_network, summarize_address_range

from fwfix.drivers.iptables_save import Chain, Option, Rule, Ruleset
from fwfix.model.policy import Address, Family, Network, Protocol

# Targets after which the packet goes on to the next rule.
_GOES_ON = frozenset(
    {
        *("AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "ECN", "HL", "HMARK"),
        *("IDLETIMER", "LED", "LOG", "MARK", "NFLOG", "NOTRACK", "RATEEST", "SECMARK", "SET", "TCPMSS"),
        *("TCPOPTSTRIP", "TEE", "TOS", "TRACE", "TTL", "ULOG"),
    }
)
_ENDS = frozenset({"DROP", "REJECT", "TARPIT"})
_TRANSLATES = frozenset({"DNAT", "REDIRECT", "NETMAP"})
_HARMLESS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))  # never arrives from outside (B8)
_PROTOCOL_NAMES = {"6": "tcp", "17": "udp"}


class Fit(IntEnum):
    """Whether a rule matches a kind of packet."""

    NEVER = 0
    MAYBE = 1
    ALWAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A kind of packet: new, from outside, to one port, from any source that is not allowed.

    Attributes:
        allowed: sources that rules may let through.
        destinations: where it may be addressed to; None if anywhere.
        translated: `port` is where it arrived; by now it may have any other (B11).
    """

    family: Family
    protocol: Protocol
    port: int
    allowed: tuple[Network, ...] = ()
    destinations: tuple[Address, ...] | None = None
    translated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What a packet can meet between a hook and our rule.

    Attributes:
        leaks: rules that could let it through before ours.
        translations: rules that could send it somewhere else.
        reached: our rule was met.
    """

    leaks: tuple[Rule, ...] = ()
    translations: tuple[Rule, ...] = ()
    reached: bool = False


class _Walker:
    def __init__(self, ruleset: Ruleset, table: str, packet: Packet, ours: Callable[[Rule], bool]) -> None:
        self.ruleset = ruleset
        self.table = table
        self.packet = packet
        self.ours = ours
        self.leaks: list[Rule] = []
        self.translations: list[Rule] = []
        self.reached = False
        self.over = False
        self.seen: set[tuple[str, Fit]] = set()

    def chain(self, chain: Chain, outer: Fit) -> None:
        # What a chain says does not change, and many rules may lead to it.
        if (chain.name, outer) in self.seen:
            return
        self.seen.add((chain.name, outer))
        for rule in chain.rules:
            if self.ours(rule):
                self.reached = self.over = True
            if self.over:
                return
            match = min(outer, fit(rule, self.packet))
            if match is not Fit.NEVER and self._left(chain, rule, match):
                return

    def _left(self, chain: Chain, rule: Rule, match: Fit) -> bool:
        """Take one rule; tell whether the packet surely leaves this chain by it."""
        target = rule.target
        called = self.ruleset.chain(self.table, target)
        if called is not None:
            self.chain(called, match)
            return rule.first("-g") is not None and match is Fit.ALWAYS
        if target in _TRANSLATES:
            self.translations.append(rule)
            self.over = match is Fit.ALWAYS
        elif target in _ENDS:
            self.over = match is Fit.ALWAYS
        elif target == "RETURN":
            if chain.policy == "ACCEPT":
                self.leaks.append(rule)
            return match is Fit.ALWAYS
        elif rule.opaque or (target and target not in _GOES_ON):
            self.leaks.append(rule)
            self.over = match is Fit.ALWAYS and target == "ACCEPT"
        return self.over


def walk(
    ruleset: Ruleset, table: str, hook: str, *, packet: Packet, ours: Callable[[Rule], bool] = lambda _: False
) -> Walk:
    """Follow a packet from a built-in chain to the first rule that is ours, or to the end."""
    walker = _Walker(ruleset, table, packet, ours)
    start = ruleset.chain(table, hook)
    if start is not None:
        walker.chain(start, Fit.ALWAYS)
    return Walk(
        leaks=tuple(dict.fromkeys(walker.leaks)),
        translations=tuple(dict.fromkeys(walker.translations)),
        reached=walker.reached,
    )


def fit(rule: Rule, packet: Packet) -> Fit:
    """Tell whether a rule matches such a packet."""
    if rule.opaque:
        return Fit.MAYBE
    return min((_option_fit(option, packet) for option in rule.options), default=Fit.ALWAYS)


def _option_fit(option: Option, packet: Packet) -> Fit:
    judge = _JUDGES.get(option.name)
    return Fit.MAYBE if judge is None else judge(option, packet)


def _always(_option: Option, _packet: Packet) -> Fit:
    return Fit.ALWAYS


def _turned(option: Option, match: Fit) -> Fit:
    """Turn a sure answer round where the option is negated."""
    if not option.negated or match is Fit.MAYBE:
        return match
    return Fit.NEVER if match is Fit.ALWAYS else Fit.ALWAYS


def _protocol(option: Option, packet: Packet) -> Fit:
    name = _PROTOCOL_NAMES.get(option.value, option.value.lower())
    return _turned(option, Fit.ALWAYS if name in {"all", "0", packet.protocol.value} else Fit.NEVER)


def _destination_port(option: Option, packet: Packet) -> Fit:
    if packet.translated:
        return Fit.MAYBE
    return _turned(option, Fit.ALWAYS if _names(option, packet) else Fit.NEVER)


def _names(option: Option, packet: Packet) -> bool:
    return any(packet.port in ports for ports in port_ranges(option.value))


def _either_port(option: Option, packet: Packet) -> Fit:
    sure = _names(option, packet) and not packet.translated
    return _turned(option, Fit.ALWAYS) if sure else Fit.MAYBE  # the sender chooses the other port


def _original_port(option: Option, packet: Packet) -> Fit:
    if not packet.translated:
        return Fit.MAYBE  # it may have arrived at another port than the one it has now
    return _turned(option, Fit.ALWAYS if _names(option, packet) else Fit.NEVER)


def _incoming(option: Option, _packet: Packet) -> Fit:
    if option.value == "+":
        return _turned(option, Fit.ALWAYS)
    return _turned(option, Fit.NEVER if option.value == "lo" else Fit.MAYBE)


def _source(option: Option, packet: Packet) -> Fit:
    try:
        networks: tuple[Network, ...] = tuple(
            ip_network(part, strict=False) for part in option.value.split(",")
        )
    except ValueError:
        return Fit.MAYBE
    return _sources(option, networks, packet)


def _source_range(option: Option, packet: Packet) -> Fit:
    low, _, high = option.value.partition("-")
    try:
        first, last = ip_address(low), ip_address(high or low)
        networks: tuple[Network, ...] = tuple(summarize_address_range(first, last))
    except (ValueError, TypeError):
        return Fit.MAYBE
    return _sources(option, networks, packet)


def _sources(option: Option, networks: tuple[Network, ...], packet: Packet) -> Fit:
    if any(network.prefixlen == 0 for network in networks):
        return _turned(option, Fit.ALWAYS)
    if option.negated:
        return Fit.MAYBE
    harmless = all(_inside(network, (*packet.allowed, *_HARMLESS)) for network in networks)
    return Fit.NEVER if harmless else Fit.MAYBE


def _inside(network: Network, others: tuple[Network, ...]) -> bool:
    return any(network.version == other.version and network.subnet_of(other) for other in others)  # type: ignore[arg-type]


def _destination(option: Option, packet: Packet) -> Fit:
    try:
        network = ip_network(option.value, strict=False)
    except ValueError:
        return Fit.MAYBE
    if network.prefixlen == 0:
        return _turned(option, Fit.ALWAYS)
    if network.version == _HARMLESS[0].version and _inside(network, _HARMLESS[:1]):
        return _turned(option, Fit.NEVER)
    if packet.destinations is None or option.negated:
        return Fit.MAYBE
    mine = any(address in network for address in packet.destinations if address.version == network.version)
    return Fit.MAYBE if mine else Fit.NEVER


def _state(option: Option, _packet: Packet) -> Fit:
    """Judge connection states: a packet that opens a session is not part of one (B4)."""
    states = set(option.value.upper().split(","))
    if not option.negated and states <= {"ESTABLISHED", "RELATED"}:
        return Fit.NEVER
    return Fit.MAYBE


_JUDGES: dict[str, Callable[[Option, Packet], Fit]] = {
    "-m": _always,
    "-j": _always,
    "-g": _always,
    "--comment": _always,
    "--to-destination": _always,
    "--to-ports": _always,
    "--reject-with": _always,
    "--random": _always,
    "-p": _protocol,
    "--dport": _destination_port,
    "--dports": _destination_port,
    "--ports": _either_port,
    "--ctorigdstport": _original_port,
    "-i": _incoming,
    "-s": _source,
    "--src-range": _source_range,
    "-d": _destination,
    "--ctstate": _state,
    "--state": _state,
}


def port_ranges(text: str) -> Iterator[range]:
    """Read `9100`, `8610:8614` or `515,9100:9102`; what is no number is left out."""
    for part in text.split(","):
        first, colon, last = part.partition(":")
        if colon and not first:
            first = "0"
        if colon and not last:
            last = "65535"
        if first.isdecimal() and (last.isdecimal() or not colon):
            yield range(int(first), int(last if colon else first) + 1)
