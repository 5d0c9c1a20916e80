"""One spelling for an nft rule, whatever the version of nft that lists it, and what it matches. Pure."""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from fwfix.model.policy import Address, Family, Protocol

_NAMED_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_PRIORITY = re.compile(r"([a-z]+)?\s*([+-]?\s*\d+)?")
_SET = re.compile(r"\{([^}]*)\}")
# What versions of nft add, leave out or call by another name.
_SPELLINGS = (
    (re.compile(r"counter packets \d+ bytes \d+"), "counter"),
    (re.compile(r" with (icmp|icmpv6|icmpx)( type)? port-unreachable"), ""),
    (re.compile(r" burst 5 packets"), ""),
    (re.compile(r" level warn(ing)?\b"), ""),
    (re.compile(r"\bmeta l4proto (tcp|udp) (?=\1 )"), ""),
    (re.compile(r'\biif(name)? "?lo"?(?=\s)'), "iifname lo"),
    (re.compile(r"(\d+)/(second|minute|hour|day)\b"), r"\1/\2"),
)
_PROTOCOL = re.compile(r"\b(tcp|udp) dport|meta l4proto (tcp|udp)|(?:ip protocol|ip6 nexthdr) (tcp|udp)")
_PORTS = re.compile(r"(?:(?:tcp|udp|th) dport|proto-dst) (\{[^}]*\}|\S+)")
_SOURCE = re.compile(r"\bip6? saddr ([0-9a-fA-F.:/]+)")
_FAMILY = re.compile(r"meta nfproto (ipv4|ipv6)|\b(ip6?) (?:saddr|daddr|protocol)|ct original (ip6?) ")


def nft_spelling(text: str) -> str:
    """Return a form in which two listings of the same rule are equal."""
    plain = " ".join(text.split())
    for pattern, instead in _SPELLINGS:
        plain = pattern.sub(instead, plain)
    plain = _SET.sub(lambda found: _set(found.group(1)), plain)
    return " ".join(_element(word) for word in plain.replace('"', "").split())


def _set(text: str) -> str:
    elements = sorted(_element(part.strip()) for part in text.split(",") if part.strip())
    return elements[0] if len(elements) == 1 else "{" + ",".join(elements) + "}"


def _element(text: str) -> str:
    """Write an address, a network or a range of addresses in one way: an address, or first and last."""
    try:
        if "-" in text:
            first, last = (ip_address(part) for part in text.split("-", 1))
        elif "." in text or ":" in text:
            network = ip_network(text, strict=False)
            first, last = network.network_address, network.broadcast_address
        else:
            return text
    except ValueError:
        return text
    return str(first) if first == last else f"{first}-{last}"


def nft_priority(text: str) -> int | None:
    """Read `-10`, `filter` or `filter - 10`; None if it is something else."""
    found = _PRIORITY.fullmatch(text.strip())
    if found is None or not text.strip() or found.group(1) not in {None, *_NAMED_PRIORITIES}:
        return None
    offset = int((found.group(2) or "0").replace(" ", ""))
    return _NAMED_PRIORITIES.get(found.group(1) or "filter", 0) + offset


@dataclass(frozen=True, slots=True, kw_only=True)
class NftMatch:
    """What one of our own rules matches."""

    families: tuple[Family, ...]
    protocols: tuple[Protocol, ...]
    ports: tuple[int, ...]
    source: Address | None


def read_match(text: str) -> NftMatch:
    """Read what a rule of ours matches; what it does not say is every family and protocol."""
    families = {_family(groups) for groups in _FAMILY.findall(text)}
    protocols = {Protocol(name) for groups in _PROTOCOL.findall(text) for name in groups if name}
    found, source = _PORTS.search(text), _SOURCE.search(text)
    return NftMatch(
        families=tuple(sorted(families)) or tuple(Family),
        protocols=tuple(sorted(protocols)) or tuple(Protocol),
        ports=tuple(_ports(found.group(1))) if found else (),
        source=ip_interface(source.group(1)).ip if source else None,
    )


def _family(groups: tuple[str, ...]) -> Family:
    name = next(name for name in groups if name)
    return Family.IPV6 if name in {"ipv6", "ip6"} else Family.IPV4


def _ports(text: str) -> list[int]:
    ports: list[int] = []
    for part in text.strip("{} ").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal():
            ports.extend(range(int(first), int(last or first) + 1))
    return ports
